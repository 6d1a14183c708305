//! Bounds and rhythms of the live totals.

use std::time::Duration;

/// Bounds and rhythms of one replica's live totals.
#[derive(Debug, Clone)]
pub struct HubSettings {
    /// Least time between two readings of the same tenant, so that changes in between share one reading.
    pub refresh_interval: Duration,
    /// Every watched scope is read at least this often, so that what no notice told of arrives all the same.
    pub poll_interval: Duration,
    /// Most subscribers of this replica, long polls included.
    pub subscribers_limit: usize,
    /// Most of them of one tenant.
    pub subscribers_limit_per_tenant: usize,
    /// Most scopes of one subscriber, at most 64.
    pub scopes_limit_per_stream: usize,
    /// Whether replicas tell each other through the database what they touched. Off where the database is reached
    /// through a pooler that cannot LISTEN: then polling alone carries changes between replicas.
    pub notify: bool,
}

impl Default for HubSettings {
    fn default() -> Self {
        Self {
            refresh_interval: Duration::from_millis(20),
            poll_interval: Duration::from_secs(2),
            subscribers_limit: 20_000,
            subscribers_limit_per_tenant: 10_000,
            scopes_limit_per_stream: 64,
            notify: true,
        }
    }
}
