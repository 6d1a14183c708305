//! How much of a pool of connections is used.

use sqlx::PgPool;

/// The connections of a pool at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PoolUsage {
    /// In use.
    pub used: usize,
    /// Open, and not in use.
    pub idle: usize,
    /// Most that may be open.
    pub limit: usize,
}

impl PoolUsage {
    /// That of `pool` now.
    pub fn of(pool: &PgPool) -> Self {
        let count = |connections: u32| usize::try_from(connections).unwrap_or(usize::MAX);
        let idle = pool.num_idle();
        // The two are read one after the other, and connections come and go in between.
        let used = count(pool.size()).saturating_sub(idle);
        Self { used, idle, limit: count(pool.options().get_max_connections()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_pool_that_nobody_used_has_no_connection() {
        let pool = sqlx::postgres::PgPoolOptions::new().max_connections(3).connect_lazy("postgres://nowhere/").unwrap();
        assert_eq!(PoolUsage::of(&pool), PoolUsage { used: 0, idle: 0, limit: 3 });
    }
}
