//! The use cases, one file each.

pub mod alerts;
pub mod amend;
pub mod audit;
mod backfill;
mod budget_alerts;
pub mod budgets;
pub mod check;
pub mod erase;
pub mod error;
pub mod keys;
pub mod overrides;
mod peeks;
pub mod prices;
pub mod rebuild;
pub mod record;
pub mod reprice;
mod retention;
pub mod stream;
pub mod summary;
pub mod tenants;
pub mod totals;
pub mod turns;
pub mod usage;

use moka::sync::Cache;
use sqlx::PgPool;
use uuid::Uuid;

pub use error::AppError;

use self::audit::RequestedAudits;
use self::budgets::PartBudget;
use self::peeks::Peeks;
use self::turns::{TurnSettings, Turns};
use crate::alerts::{Alerts, Feed, FeedSettings};
use crate::ledger::Ledger;
use crate::live::Hub;
use crate::prices::Prices;
use crate::store::StoreError;
use crate::store::dictionary::Dictionary;
use crate::store::scoped::{Scoped, TenantPool};
use crate::tenant::TenantId;

/// What the use cases share.
#[derive(Debug, Clone)]
pub struct App {
    /// Connections for whatever a tenant asks and administers; the ledger has its own.
    pub tenants: TenantPool,
    /// Connections for what concerns every tenant, which row-level security does not confine: upkeep, audits in the background.
    pub all_tenants: PgPool,
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
    /// Whose turn it is to read much.
    reads: Turns,
    /// Whose turn it is to change budgets.
    changes: Turns,
    /// Checks that hold nothing.
    peeks: Peeks,
    /// What counters show in reservations, by budget number and counter.
    part_budgets: Cache<(TenantId, (i64, Uuid)), PartBudget>,
}

/// Counters whose names are remembered.
const PART_BUDGETS: u64 = 100_000;

impl App {
    /// The use cases over these parts. Runs inside of a runtime: checks that hold nothing are decided in tasks.
    pub fn new(
        tenants: TenantPool,
        all_tenants: PgPool,
        ledger: Ledger,
        hub: Hub,
        dictionary: Dictionary,
        prices: Prices,
        alerts: Alerts,
        audits: RequestedAudits,
    ) -> Self {
        let feed = Feed::new(all_tenants.clone(), hub.clone(), FeedSettings::default());
        let peeks = Peeks::start(&tenants, &ledger, &prices);
        let part_budgets = Cache::new(PART_BUDGETS);
        let (reads, changes) = turns(TurnSettings::default());
        Self {
            tenants,
            all_tenants,
            ledger,
            hub,
            dictionary,
            prices,
            alerts,
            feed,
            audits,
            reads,
            changes,
            peeks,
            part_budgets,
        }
    }

    /// The same with other bounds of what takes turns.
    #[must_use]
    pub fn with_turns(self, settings: TurnSettings) -> Self {
        let (reads, changes) = turns(settings);
        Self { reads, changes, ..self }
    }

    /// The same with other bounds of who follows alerts.
    #[must_use]
    pub fn with_feed(self, settings: FeedSettings) -> Self {
        Self { feed: Feed::new(self.all_tenants.clone(), self.hub.clone(), settings), ..self }
    }

    /// A read-only transaction that sees one snapshot of the tenant's rows.
    async fn snapshot(&self, tenant: TenantId) -> Result<Scoped, StoreError> {
        if self.ledger.presence().is_away() {
            return Err(StoreError::unanswered());
        }
        self.tenants.snapshot(tenant).await
    }

    /// Waits for the turn of something that reads much; it lasts as long as what is given back.
    ///
    /// # Errors
    /// [`AppError::Full`] where as many of the tenant wait as may.
    pub async fn turn_to_read(&self, tenant: TenantId) -> Result<impl Send + use<>, AppError> {
        self.reads.enter(tenant).await
    }

    /// Waits for the turn of something that keeps the tenant's batches out, and waits for those under way with a connection in its
    /// hand; it lasts as long as what is given back.
    ///
    /// # Errors
    /// [`AppError::Full`] where as many of the tenant wait as may.
    pub async fn turn_to_change(&self, tenant: TenantId) -> Result<impl Send + use<>, AppError> {
        self.changes.enter(tenant).await
    }
}

/// Of what reads much, and of what changes budgets.
fn turns(settings: TurnSettings) -> (Turns, Turns) {
    let TurnSettings { reads, changes } = settings;
    (
        Turns::new("the tenant's queue of large reads", reads),
        Turns::new("the tenant's queue of budget changes", changes),
    )
}
