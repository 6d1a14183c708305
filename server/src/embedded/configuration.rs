//! The server's settings, and who may connect.

use std::path::Path;

use nix::sys::statvfs::statvfs;

use super::account::Account;
use super::connection::ROLE;
use super::error::EmbeddedError;
use super::layout::Layout;
use super::socket::PORT;

/// The file, beside `postgresql.conf`, that Tollgate writes at every start.
const FILE: &str = "tollgate.conf";

/// Appended once to `postgresql.conf`, so that what an operator adds below it wins.
pub(super) const INCLUDE: &str = "\n# The defaults of Tollgate. A setting below this line, or ALTER SYSTEM, overrides them.\ninclude_if_exists = 'tollgate.conf'\n";

const MEBIBYTE: u64 = 1024 * 1024;
/// More would not help a private database of this size, and takes memory from the machine's owner.
const LARGEST_SHARED_BUFFERS: u64 = 256 * MEBIBYTE;
const SMALLEST_SHARED_BUFFERS: u64 = 16 * MEBIBYTE;
/// When the machine does not tell how much memory it has.
const DEFAULT_SHARED_BUFFERS: u64 = 128 * MEBIBYTE;
/// Containers get 64 MiB of /dev/shm unless told otherwise, in which parallel plans fail.
const ENOUGH_SHARED_MEMORY: u64 = 256 * MEBIBYTE;

/// Writes the settings and the access rules into the cluster.
pub(super) fn write(layout: &Layout) -> Result<(), EmbeddedError> {
    let cluster = layout.cluster();
    layout.replace_file(&cluster.join(FILE), &settings(shared_buffers(memory()), shared_memory_is_small()))?;
    layout.replace_file(&cluster.join("pg_ident.conf"), &identity_map(&[&layout.application, &layout.server]))?;
    layout.replace_file(&cluster.join("pg_hba.conf"), &access_rules())
}

/// What must hold whatever the settings files say: a setting on the command line cannot be overridden.
pub(super) fn enforced(socket_directory: &Path) -> Vec<String> {
    [
        "listen_addresses=".to_owned(),
        format!("port={PORT}"),
        // A list separated by commas: the quotes keep a comma or a space inside the name.
        format!("unix_socket_directories=\"{}\"", socket_directory.display().to_string().replace('"', "\"\"")),
        "unix_socket_permissions=0700".to_owned(),
        // An acknowledged record is a durable record.
        "fsync=on".to_owned(),
        "full_page_writes=on".to_owned(),
        "synchronous_commit=on".to_owned(),
        // One file, opened by the launcher, of which it can show the end when a start fails.
        "logging_collector=off".to_owned(),
        "log_destination=stderr".to_owned(),
    ]
    .into()
}

fn settings(shared_buffers: u64, shared_memory_is_small: bool) -> String {
    let megabytes = shared_buffers / MEBIBYTE;
    let mut text = format!(
        "# Written by Tollgate at every start: change settings in postgresql.conf or with ALTER SYSTEM.
shared_buffers = '{megabytes}MB'
max_connections = 100
wal_compression = on
max_wal_size = '2GB'
autovacuum_naptime = '5s'
jit = off
timezone = 'UTC'
log_timezone = 'UTC'
log_checkpoints = off
# A failed statement is reported to Tollgate, which logs it without the data in it: the server's log is about the server,
# and stays small.
log_min_messages = log
log_min_error_statement = panic
log_error_verbosity = terse
"
    );
    if shared_memory_is_small {
        text.push_str("# /dev/shm is too small for parallel plans.\ndynamic_shared_memory_type = mmap\n");
    }
    text
}

/// Peer authentication: the kernel says which user connects. No password, no TCP, nobody else.
fn access_rules() -> String {
    format!("# Written by Tollgate at every start.\nlocal all all peer map={ROLE}\n")
}

/// Root could become any of these users anyway, so it is always let in: `sudo tollgate` then works on a user's data.
fn identity_map(accounts: &[&Account]) -> String {
    let mut names = vec!["root"];
    for account in accounts {
        if !names.contains(&account.name.as_str()) {
            names.push(&account.name);
        }
    }
    let lines: String = names.iter().map(|name| format!("{ROLE} \"{}\" {ROLE}\n", name.replace('"', "\"\""))).collect();
    format!("# Written by Tollgate at every start.\n{lines}")
}

fn shared_buffers(memory: Option<u64>) -> u64 {
    memory.map_or(DEFAULT_SHARED_BUFFERS, |bytes| (bytes / 4).clamp(SMALLEST_SHARED_BUFFERS, LARGEST_SHARED_BUFFERS))
}

/// The memory this process may use, in bytes: the machine's or the container's, whichever is less.
fn memory() -> Option<u64> {
    let machine = std::fs::read_to_string("/proc/meminfo").ok().and_then(|text| total_memory(&text));
    let container = ["/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"]
        .into_iter()
        .find_map(|path| std::fs::read_to_string(path).ok()?.trim().parse().ok());
    machine.into_iter().chain(container).min()
}

fn total_memory(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kibibytes.checked_mul(1024)
}

fn shared_memory_is_small() -> bool {
    statvfs("/dev/shm").is_ok_and(|space| {
        #[expect(clippy::useless_conversion, reason = "the width of these fields differs between platforms")]
        let (blocks, size) = (u64::from(space.blocks()), u64::from(space.fragment_size()));
        blocks.saturating_mul(size) < ENOUGH_SHARED_MEMORY
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn account(name: &str) -> Account {
        Account { name: name.into(), uid: 1, gid: 1 }
    }

    #[test]
    fn only_the_named_users_are_mapped() {
        let map = identity_map(&[&account("alice"), &account("postgres"), &account("alice")]);
        let lines: Vec<&str> = map.lines().skip(1).collect();
        assert_eq!(
            lines,
            ["tollgate \"root\" tollgate", "tollgate \"alice\" tollgate", "tollgate \"postgres\" tollgate"]
        );
    }

    #[test]
    fn memory_is_a_quarter_within_bounds() {
        assert_eq!(shared_buffers(None), DEFAULT_SHARED_BUFFERS);
        assert_eq!(shared_buffers(Some(1)), SMALLEST_SHARED_BUFFERS);
        assert_eq!(shared_buffers(Some(512 * MEBIBYTE)), 128 * MEBIBYTE);
        assert_eq!(shared_buffers(Some(u64::MAX)), LARGEST_SHARED_BUFFERS);
        assert_eq!(total_memory("MemFree: 1 kB\nMemTotal:       2048 kB\n").unwrap(), 2 * MEBIBYTE);
    }

    #[test]
    fn durability_is_enforced_and_the_socket_name_is_quoted() {
        let enforced = enforced(Path::new("/a b,c"));
        assert!(enforced.contains(&"fsync=on".to_owned()));
        assert!(enforced.contains(&"unix_socket_directories=\"/a b,c\"".to_owned()));
        assert!(enforced.contains(&"listen_addresses=".to_owned()));
    }

    #[test]
    fn little_shared_memory_changes_where_parallel_plans_keep_theirs() {
        assert!(settings(MEBIBYTE, true).contains("dynamic_shared_memory_type = mmap"));
        assert!(!settings(MEBIBYTE, false).contains("dynamic_shared_memory_type"));
    }
}
