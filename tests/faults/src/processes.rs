//! Signals, and what the system tells about processes.

use anyhow::Context as _;
use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// Sends a signal. A process that has ended already is fine.
pub(crate) fn signal(pid: Pid, signal: Signal) -> anyhow::Result<()> {
    match kill(pid, signal) {
        Ok(()) | Err(Errno::ESRCH) => Ok(()),
        Err(error) => Err(anyhow::Error::new(error).context(format!("{signal} cannot be sent to process {pid}"))),
    }
}

/// Whether a process has this id and has not ended.
pub(crate) fn is_alive(pid: Pid) -> bool {
    stat(pid).is_some_and(|(state, _)| state != "Z")
}

/// The children of a process.
pub(crate) fn children(parent: Pid) -> Vec<Pid> {
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok().map(Pid::from_raw));
    pids.filter(|pid| stat(*pid).is_some_and(|(_, of)| of == parent)).collect()
}

/// Most bytes that the process has had in memory so far.
pub(crate) fn peak_resident_bytes(pid: Pid) -> anyhow::Result<u64> {
    let path = format!("/proc/{pid}/status");
    let status = std::fs::read_to_string(&path).with_context(|| format!("{path} cannot be read"))?;
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kibibytes = peak.and_then(|peak| peak.trim().strip_suffix("kB")?.trim().parse::<u64>().ok());
    kibibytes.and_then(|kibibytes| kibibytes.checked_mul(1_024)).with_context(|| format!("{path} tells no VmHWM"))
}

/// State and parent.
fn stat(pid: Pid) -> Option<(String, Pid)> {
    let line = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, rest) = line.rsplit_once(") ")?;
    let mut fields = rest.split(' ');
    let state = fields.next()?.to_owned();
    Some((state, Pid::from_raw(fields.next()?.parse().ok()?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_peak_of_a_process_is_read_or_its_absence_is_an_error() {
        assert!(peak_resident_bytes(Pid::this()).unwrap() > 1 << 20);
        assert!(peak_resident_bytes(Pid::from_raw(i32::MAX)).is_err());
    }
}
