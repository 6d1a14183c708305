//! The server process as its files and the system describe it.

use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::error::EmbeddedError;
use super::layout::Layout;
use super::socket;

/// What `postmaster.pid` claims. It outlives a crash, so it is a hint and never a proof.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct PidFile {
    pub(super) pid: Pid,
    /// Line 5; missing while the server has not got that far.
    pub(super) socket_directory: Option<PathBuf>,
}

impl PidFile {
    /// Reads the file's text; nothing if it is not (yet) that of a server.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let mut lines = text.lines();
        let pid: i32 = lines.next()?.trim().parse().ok()?;
        let socket_directory = lines.nth(3).filter(|line| line.starts_with('/')).map(PathBuf::from);
        (pid > 1).then(|| Self { pid: Pid::from_raw(pid), socket_directory })
    }
}

/// Whether the process lives and serves this cluster, as far as the system tells.
pub(super) fn serves(pid: Pid, layout: &Layout) -> bool {
    if !is_alive(pid) {
        return false;
    }
    let description = PathBuf::from(format!("/proc/{pid}"));
    if !Path::new("/proc/self").exists() {
        // No way to tell what the process is: Postgres itself will refuse to start beside a live one.
        return true;
    }
    match std::fs::read_link(description.join("cwd")) {
        // Every process of Postgres works in its cluster's folder.
        Ok(folder) => folder == layout.cluster(),
        // Root without CAP_SYS_PTRACE, as in most containers, may not look: the owner and the name are public.
        Err(_) => {
            let owner = description.metadata().map(|metadata| metadata.uid());
            let name = std::fs::read_to_string(description.join("comm"));
            owner.is_ok_and(|owner| owner == layout.server.uid) && name.is_ok_and(|name| name.trim() == "postgres")
        }
    }
}

/// Whether a process has this id. One that has ended but was not collected by its parent counts as dead.
pub(super) fn is_alive(pid: Pid) -> bool {
    if kill(pid, None) == Err(Errno::ESRCH) {
        return false;
    }
    let state = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok();
    let state = state.as_deref().and_then(|line| line.rsplit_once(") ")).map(|(_, rest)| rest.starts_with('Z'));
    state != Some(true)
}

/// Sends a signal. A process that has ended already is fine.
pub(super) fn signal(pid: Pid, signal: Signal) -> Result<(), EmbeddedError> {
    match kill(pid, signal) {
        Ok(()) | Err(Errno::ESRCH) => Ok(()),
        Err(source) => Err(EmbeddedError::Signal { pid: pid.as_raw(), source }),
    }
}

/// Clears away what a crash left, once it is known that no server serves this cluster; `remains` is what was then in
/// `postmaster.pid`.
///
/// Postgres refuses to start when the process id in its files belongs to any live process of the same user, which after
/// a reboot or in a restarted container is often some innocent one. The socket's files may simply go. `postmaster.pid`
/// must not: it names the shared memory by which Postgres finds out that a process of the former server still writes.
/// Only its process id is replaced, by ours, because Postgres accepts the id of its own parent.
pub(super) fn clear_remains(
    layout: &Layout,
    socket_directory: &Path,
    remains: Option<&str>,
) -> Result<(), EmbeddedError> {
    for file in socket::files(socket_directory) {
        match std::fs::remove_file(&file) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(EmbeddedError::io("remove", &file)(error));
            }
            _ => {}
        }
    }
    let cluster = layout.cluster();
    let path = path(&cluster);
    match remains {
        // Somebody else's server has come up since: Postgres itself decides between the two.
        found if found != read(&cluster).as_deref() => Ok(()),
        None => Ok(()),
        Some(text) if text.trim().is_empty() => std::fs::remove_file(&path).map_err(EmbeddedError::io("remove", &path)),
        Some(text) => {
            let rest = text.split_once('\n').map_or("", |(_, rest)| rest);
            overwrite(&path, &format!("{}\n{rest}", std::process::id())).map_err(EmbeddedError::io("write", &path))
        }
    }
}

/// The text of `postmaster.pid`, if there is one.
pub(super) fn read(cluster: &Path) -> Option<String> {
    std::fs::read_to_string(path(cluster)).ok()
}

/// Keeps the file's owner, and never follows a link: root writes into a folder of the server's user.
fn overwrite(path: &Path, text: &str) -> std::io::Result<()> {
    let mut file = OpenOptions::new().write(true).truncate(true).custom_flags(OFlag::O_NOFOLLOW.bits()).open(path)?;
    file.write_all(text.as_bytes())
}

fn path(cluster: &Path) -> PathBuf {
    cluster.join("postmaster.pid")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pid_file_is_read_as_far_as_it_is_written() {
        let whole = "4242\n/data/cluster\n1763800000\n5432\n/data\n\n  1234 5\nready   \n";
        let read = PidFile::parse(whole).unwrap();
        assert_eq!(read, PidFile { pid: Pid::from_raw(4242), socket_directory: Some("/data".into()) });
        assert_eq!(PidFile::parse("4242\n/data/cluster\n").unwrap().socket_directory, None);
        for refused in ["", "\n", "zero", "0\n", "-7\n", "1\n"] {
            assert_eq!(PidFile::parse(refused), None, "{refused:?}");
        }
    }

    #[test]
    fn this_process_is_alive_and_an_impossible_one_is_not() {
        assert!(is_alive(Pid::this()));
        assert!(!is_alive(Pid::from_raw(i32::MAX)));
    }
}
