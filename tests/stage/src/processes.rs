//! Signals, and what the system tells about processes.

use std::time::Duration;

use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, SysconfVar, sysconf};

/// Bytes of the unit that the system counts memory of processes in.
const KIBIBYTE: u64 = 1_024;
/// Fields of `/proc/PID/stat` after the name of the program: state and parent are the first two.
const USER_TICKS: usize = 11;
/// User and system time of the process, then of its children that have ended.
const TICK_FIELDS: usize = 4;
/// Ticks a second where the system does not say.
const USUAL_TICKS: u64 = 100;

/// Sends a signal. A process that has ended already is fine.
///
/// # Errors
/// Where the system refuses.
pub fn signal(pid: Pid, signal: Signal) -> anyhow::Result<()> {
    match kill(pid, signal) {
        Ok(()) | Err(Errno::ESRCH) => Ok(()),
        Err(error) => Err(anyhow::Error::new(error).context(format!("{signal} cannot be sent to process {pid}"))),
    }
}

/// Whether a process has this id and has not ended.
#[must_use]
pub fn is_alive(pid: Pid) -> bool {
    state_and_parent(pid).is_some_and(|(state, _)| state != "Z")
}

/// The children of a process.
#[must_use]
pub fn children(parent: Pid) -> Vec<Pid> {
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok().map(Pid::from_raw));
    pids.filter(|pid| state_and_parent(*pid).is_some_and(|(_, of)| of == parent)).collect()
}

/// Bytes that the process keeps in memory.
#[must_use]
pub fn resident_bytes(pid: Pid) -> Option<u64> {
    memory(pid, "VmRSS:")
}

/// The most bytes that the process ever kept in memory at once.
#[must_use]
pub fn highest_resident_bytes(pid: Pid) -> Option<u64> {
    memory(pid, "VmHWM:")
}

/// Bytes in memory that the process shares with nobody.
#[must_use]
pub fn own_bytes(pid: Pid) -> Option<u64> {
    memory(pid, "RssAnon:")
}

/// Bytes of shared memory that the process has touched.
#[must_use]
pub fn shared_bytes(pid: Pid) -> Option<u64> {
    memory(pid, "RssShmem:")
}

/// Processor time of the process and of those of its children that have ended.
#[must_use]
pub fn processor_time(pid: Pid) -> Option<Duration> {
    let fields = stat(pid)?;
    let ticks: u64 =
        fields.iter().skip(USER_TICKS).take(TICK_FIELDS).filter_map(|field| field.parse::<u64>().ok()).sum();
    let a_second = sysconf(SysconfVar::CLK_TCK).ok().flatten().and_then(|ticks| u64::try_from(ticks).ok());
    let microseconds = ticks.saturating_mul(1_000_000).checked_div(a_second.unwrap_or(USUAL_TICKS))?;
    Some(Duration::from_micros(microseconds))
}

fn memory(pid: Pid, line: &str) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let value = status.lines().find_map(|text| text.strip_prefix(line))?;
    value.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(KIBIBYTE)
}

fn state_and_parent(pid: Pid) -> Option<(String, Pid)> {
    let mut fields = stat(pid)?.into_iter();
    let state = fields.next()?;
    Some((state, Pid::from_raw(fields.next()?.parse().ok()?)))
}

/// The fields after the name of the program, which may contain anything.
fn stat(pid: Pid) -> Option<Vec<String>> {
    let line = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, rest) = line.rsplit_once(") ")?;
    Some(rest.split(' ').map(str::to_owned).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_has_memory_and_used_a_processor() {
        let own = Pid::this();
        assert!(is_alive(own));
        assert!(resident_bytes(own) <= highest_resident_bytes(own));
        assert!(own_bytes(own).is_some() && shared_bytes(own).is_some());
        let until_used = std::time::Instant::now() + Duration::from_secs(20);
        while processor_time(own) < Some(Duration::from_millis(20)) {
            assert!(std::time::Instant::now() < until_used, "processor time never rises");
        }
    }
}
