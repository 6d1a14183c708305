//! Connections for one tenant: Postgres itself confines what is read and written through them to its rows.

use std::ops::{Deref, DerefMut};

use sqlx::{AssertSqlSafe, PgConnection, PgPool, Postgres, Transaction};

use super::connect::begin;
use super::error::StoreError;
use super::pool_usage::PoolUsage;
use crate::tenant::TenantId;

/// The role that row-level security confines; `migrations/0015_row_level_security.sql` makes it.
pub const ROLE: &str = "tollgate_tenant";
/// One snapshot, in which nothing is written.
const SNAPSHOT: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";
/// Changes.
const CHANGE: &str = "BEGIN ISOLATION LEVEL READ COMMITTED";

/// Connections for whatever a tenant asks and administers. Each is lent for one transaction, and is nobody's before and after it:
/// role and tenant are part of the transaction, so that they go with it, and poolers may hand it any connection. What concerns
/// all tenants has another pool. Cheap to clone.
#[derive(Debug, Clone)]
pub struct TenantPool {
    pool: PgPool,
}

/// A transaction that sees and writes the rows of one tenant alone, whatever its statements say. Dropped, it is rolled back, and
/// nobody waits for that.
#[derive(Debug)]
pub struct Scoped {
    transaction: Transaction<'static, Postgres>,
}

impl TenantPool {
    /// Over these connections, which need not be tried before they are used: the first message of each transaction does that.
    pub fn new(pool: PgPool) -> Self {
        Self { pool }
    }

    /// Reads one snapshot.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn snapshot(&self, tenant: TenantId) -> Result<Scoped, StoreError> {
        self.begin(tenant, SNAPSHOT).await
    }

    /// Reads one snapshot, with each statement planned once for any values: for statements that look for rows by their whole
    /// keys, which take longer to plan than to run.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn planned_once(&self, tenant: TenantId) -> Result<Scoped, StoreError> {
        self.begin(tenant, &format!("{SNAPSHOT}; SET LOCAL plan_cache_mode = force_generic_plan")).await
    }

    /// Reads and writes.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn change(&self, tenant: TenantId) -> Result<Scoped, StoreError> {
        self.begin(tenant, CHANGE).await
    }

    /// Begins with this text, one round trip in all.
    pub(super) async fn begin(&self, tenant: TenantId, text: &str) -> Result<Scoped, StoreError> {
        // Role and tenant come first: where they are refused, no transaction is left open on a connection that goes back. The
        // database takes what one message says as one transaction, and BEGIN goes on with it. Nothing but the tenant's number
        // is put into the text.
        let text = format!("SET LOCAL ROLE {ROLE}; SET LOCAL tollgate.tenant = '{}'; {text}", tenant.0);
        let mut untried = self.pool.size();
        loop {
            match begin(&self.pool, AssertSqlSafe(text.clone())).await {
                Ok(transaction) => return Ok(Scoped { transaction }),
                // A connection that broke while it lay idle. As many may have broken at once as there are.
                Err(StoreError::Unavailable(error)) if untried > 0 && is_broken(&error) => untried -= 1,
                // Nothing of the caller's is in it: it is the role that is not there.
                Err(StoreError::Data(error)) => return Err(StoreError::Unavailable(error)),
                Err(error) => return Err(error),
            }
        }
    }

    /// How much of it is used.
    pub fn usage(&self) -> PoolUsage {
        PoolUsage::of(&self.pool)
    }

    /// Closes the connections, when all have come back.
    pub async fn close(&self) {
        self.pool.close().await;
    }
}

/// Whether it says of one connection that it is no more, and nothing of others.
fn is_broken(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(_) => true,
        // The database said so before it hung up.
        sqlx::Error::Database(error) => error.code().is_some_and(|code| code.starts_with("57P")),
        _ => false,
    }
}

impl Scoped {
    /// Makes the changes last.
    ///
    /// # Errors
    /// [`StoreError`]: the outcome is unknown.
    pub async fn commit(self) -> Result<(), StoreError> {
        Ok(self.transaction.commit().await?)
    }
}

impl Deref for Scoped {
    type Target = PgConnection;

    fn deref(&self) -> &PgConnection {
        &self.transaction
    }
}

impl DerefMut for Scoped {
    fn deref_mut(&mut self) -> &mut PgConnection {
        &mut self.transaction
    }
}
