//! The use cases, one file each.

pub mod alerts;
pub mod amend;
pub mod audit;
mod backfill;
mod budget_alerts;
pub mod budgets;
pub mod check;
pub mod error;
pub mod overrides;
pub mod prices;
pub mod rebuild;
pub mod record;
pub mod reprice;
mod retention;
pub mod stream;
pub mod summary;
pub mod totals;
pub mod usage;

use moka::sync::Cache;
use sqlx::{PgPool, Postgres, Transaction};
use uuid::Uuid;

pub use error::AppError;

use self::audit::RequestedAudits;
use self::budgets::PartBudget;
use crate::alerts::{Alerts, Feed};
use crate::ledger::Ledger;
use crate::live::Hub;
use crate::prices::Prices;
use crate::store::StoreError;
use crate::store::connect::begin;
use crate::store::dictionary::Dictionary;
use crate::tenant::TenantId;

/// What the use cases share.
#[derive(Debug, Clone)]
pub struct App {
    /// Connections for reads and administration; the ledger has its own.
    pub pool: PgPool,
    /// The one writer.
    pub ledger: Ledger,
    /// Live totals.
    pub hub: Hub,
    /// Numbers of dimension values, shapes and price sheets.
    pub dictionary: Dictionary,
    /// What calls cost.
    pub prices: Prices,
    /// Where alerts are raised.
    pub alerts: Alerts,
    /// Where alerts are followed.
    pub feed: Feed,
    /// Audits on request.
    audits: RequestedAudits,
    /// What counters show in reservations, by budget number and counter.
    part_budgets: Cache<(TenantId, (i64, Uuid)), PartBudget>,
}

/// Counters whose names are remembered.
const PART_BUDGETS: u64 = 100_000;

impl App {
    /// The use cases over these parts.
    pub fn new(
        pool: PgPool,
        ledger: Ledger,
        hub: Hub,
        dictionary: Dictionary,
        prices: Prices,
        alerts: Alerts,
        feed: Feed,
        audits: RequestedAudits,
    ) -> Self {
        Self { pool, ledger, hub, dictionary, prices, alerts, feed, audits, part_budgets: Cache::new(PART_BUDGETS) }
    }

    /// A read-only transaction that sees one snapshot.
    async fn snapshot(&self) -> Result<Transaction<'static, Postgres>, StoreError> {
        if self.ledger.presence().is_away() {
            return Err(StoreError::unanswered());
        }
        begin(&self.pool, "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").await
    }
}
