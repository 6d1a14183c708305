//! A connection of its own that asks again and again whether the database is there.

use std::time::Duration;

use jiff::Timestamp;
use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions as _, PgConnection};

use super::budgets::{self, BudgetSet};
use super::dictionary::ErasuresVersion;
use super::error::StoreError;
use super::time::from_database;
use crate::tenant::TenantId;

/// What a beat tells.
#[derive(Debug)]
pub struct Pulse {
    /// The database's clock.
    pub now: Timestamp,
    /// At which version the budgets of every tenant stand.
    pub budgets_versions: Vec<(TenantId, i64)>,
    /// At which version the erasures of every tenant stand.
    pub erasures_versions: Vec<(TenantId, ErasuresVersion)>,
}

/// Asks for the state of the database on a connection that nothing else waits for.
#[derive(Debug)]
pub struct Heartbeat {
    options: PgConnectOptions,
    connection: Option<PgConnection>,
}

impl Heartbeat {
    /// Connects at the first beat.
    pub fn new(options: PgConnectOptions) -> Self {
        let options = options.application_name("tollgate-heartbeat").options([("TimeZone", "UTC"), ("jit", "off")]);
        Self { options, connection: None }
    }

    /// Asks once. After a failure the next beat connects anew.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] where the database cannot be reached, is silent for `limit`, or takes no writes.
    pub async fn beat(&mut self, limit: Duration) -> Result<Pulse, StoreError> {
        let mut connection = self.connection.take();
        let asked = tokio::time::timeout(limit, ask(&self.options, &mut connection)).await;
        let pulse = asked.unwrap_or_else(|_| Err(StoreError::unanswered()))?;
        self.connection = connection;
        Ok(pulse)
    }

    /// Reads the active budgets of a tenant, on the connection of the last beat.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn budgets(&mut self, tenant: TenantId, version: i64, limit: Duration) -> Result<BudgetSet, StoreError> {
        let mut connection = self.connection.take().ok_or_else(StoreError::unanswered)?;
        let read = tokio::time::timeout(limit, budgets::active(&mut connection, tenant, version)).await;
        let set = read.unwrap_or_else(|_| Err(StoreError::unanswered()))?;
        self.connection = Some(connection);
        Ok(set)
    }
}

async fn ask(options: &PgConnectOptions, kept: &mut Option<PgConnection>) -> Result<Pulse, StoreError> {
    let connection = match kept {
        Some(connection) => connection,
        None => kept.insert(options.connect().await?),
    };
    let rows = sqlx::query_file!("sql/ledger/heartbeat.sql").fetch_all(connection).await?;
    let mut pulse = Pulse { now: Timestamp::now(), budgets_versions: Vec::new(), erasures_versions: Vec::new() };
    for row in rows {
        if !row.writable {
            // A standby, or the old primary after a failover.
            return Err(StoreError::Unavailable(sqlx::Error::Protocol("the database takes no writes".to_owned())));
        }
        pulse.now = from_database(row.now)?;
        pulse.budgets_versions.push((TenantId(row.tenant_id), row.budgets_version));
        pulse.erasures_versions.push((TenantId(row.tenant_id), row.erasures_version));
    }
    Ok(pulse)
}
