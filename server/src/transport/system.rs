//! What the system lets this process have: open files, of which each connection is one, and memory in small pages.

use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// Files of the process beside its connections: those to the database, the log, and the runtime's own.
const OTHERS: u64 = 256;

/// Allows as many open files as the system lets this process have, and says where that is too few for so many connections. What a
/// shell allows by default, 1,024, is meant for programs that wait for files in an old way.
pub fn raise_open_files(connections: usize) {
    let raised = getrlimit(Resource::RLIMIT_NOFILE)
        .and_then(|(_, hard)| setrlimit(Resource::RLIMIT_NOFILE, hard, hard).map(|()| hard));
    match raised {
        Ok(files) if files < OTHERS + connections as u64 => tracing::warn!(
            files,
            connections,
            "the system allows fewer open files than connections are configured: lower server.connections.limit, or raise \
             the limit of open files"
        ),
        Ok(_) => {}
        Err(error) => tracing::warn!(%error, "the limit of open files cannot be raised"),
    }
}

/// Asks for memory in small pages. A quiet connection touches half of the buffers that HTTP/2 keeps for it: in large pages, which
/// the allocator asks for where the system leaves it to programs, it holds all of them, 40 KiB instead of 20.
pub fn keep_pages_small() {
    #[cfg(target_os = "linux")]
    if let Err(error) = nix::sys::prctl::set_thp_disable(true) {
        tracing::warn!(%error, "memory comes in large pages: connections take about twice as much of it");
    }
}
