//! What a stretch of a run costs: processor time and memory of the server, of Postgres and of the load.

use std::time::Duration;

use nix::unistd::Pid;
use tollgate_stage::{Cluster, processes};

/// Whose processor time is measured.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Watched<'a> {
    /// Processes of the server, or of the baseline.
    pub(crate) servers: &'a [Pid],
    /// The database.
    pub(crate) cluster: Option<&'a Cluster>,
}

/// Processor time, so far or of a stretch.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct ProcessorTime {
    /// Of the server.
    pub(crate) server: Duration,
    /// Of Postgres.
    pub(crate) postgres: Duration,
    /// Of this process, which makes the load.
    pub(crate) load: Duration,
}

impl ProcessorTime {
    /// So far.
    pub(crate) fn of(watched: Watched<'_>) -> Self {
        let sum = |pids: &[Pid]| pids.iter().filter_map(|pid| processes::processor_time(*pid)).sum();
        let postgres = watched.cluster.and_then(|cluster| cluster.processes().ok()).unwrap_or_default();
        Self {
            server: sum(watched.servers),
            postgres: sum(&postgres),
            load: processes::processor_time(Pid::this()).unwrap_or_default(),
        }
    }

    /// What came since.
    pub(crate) fn since(self, before: Self) -> Self {
        Self {
            server: self.server.saturating_sub(before.server),
            postgres: self.postgres.saturating_sub(before.postgres),
            load: self.load.saturating_sub(before.load),
        }
    }

    /// Of both stretches.
    pub(crate) fn plus(self, other: Self) -> Self {
        Self {
            server: self.server + other.server,
            postgres: self.postgres + other.postgres,
            load: self.load + other.load,
        }
    }
}

/// Bytes in memory.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Memory {
    /// The most that one server ever had.
    pub(crate) server: u64,
    /// What the processes of Postgres have now, shared memory counted once.
    pub(crate) postgres: u64,
}

impl Memory {
    /// Now.
    pub(crate) fn of(watched: Watched<'_>) -> Self {
        let highest = watched.servers.iter().filter_map(|pid| processes::highest_resident_bytes(*pid)).max();
        let postgres = watched.cluster.and_then(|cluster| cluster.processes().ok()).unwrap_or_default();
        let own: u64 = postgres.iter().filter_map(|pid| processes::own_bytes(*pid)).sum();
        let shared = postgres.iter().filter_map(|pid| processes::shared_bytes(*pid)).max();
        Self { server: highest.unwrap_or_default(), postgres: own + shared.unwrap_or_default() }
    }

    /// The more of each.
    pub(crate) fn most(self, other: Self) -> Self {
        Self { server: self.server.max(other.server), postgres: self.postgres.max(other.postgres) }
    }
}
