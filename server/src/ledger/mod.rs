//! The ledger: the one writer of usage, totals, rollups, budgets and reservations.
//!
//! While one transaction commits, the next batch forms: no timer stands in the way of a lone call, and thousands of
//! calls share a commit under load. Handlers enqueue and await; they never own a database future, so a cancelled call
//! leaves nothing half done.

mod adjust;
mod alerts;
mod batch;
mod claim;
mod command;
mod correction;
mod counters;
pub mod deadline;
mod degraded;
mod drafts;
mod fullness;
mod holds;
mod inheritance;
mod known;
mod peek;
mod periods;
mod pins;
mod presence;
mod queue;
mod settle;
pub(crate) mod totals;
mod weight;
mod withdrawals;
mod writer;

use std::collections::BTreeMap;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use moka::sync::Cache;
use sqlx::{PgConnection, PgPool};
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tollgate_domain::price::ReportedCostTolerance;
use uuid::Uuid;

pub use adjust::{Adjust, AdjustAnswer};
pub use claim::Claim;
pub use command::{
    CheckAnswer, Command, ExtendAnswer, Extension, Record, RecordAnswer, ReleaseAnswer, Reply, Reserve,
    check_budgets_view,
};
pub use correction::{CORRECTIONS_LIMIT, Change, Correction};
pub use counters::budget_state;
pub(crate) use drafts::STATED_UNIT;
pub use holds::{CheckPlan, explain};
pub use inheritance::{InheritanceError, inherit};
pub use pins::Pins;
pub use presence::Presence;
pub(crate) use queue::Places;
pub use withdrawals::Withdrawal;

use self::fullness::LatestFullness;
use self::known::{KnownBudgets, KnownFigures};
use self::periods::{Calendar, KnownPeriods};
use self::withdrawals::Withdrawals;
use crate::alerts::Alerts;
use crate::app::AppError;
use crate::live::Hub;
use crate::metrics::{CheckMode, FULLNESS, Metrics};
use crate::prices::Prices;
use crate::store::budgets::{self, BudgetSet};
use crate::store::dictionary::Dictionary;
use crate::store::heartbeat::Heartbeat;
use crate::store::ledger::Clock;
use crate::store::windows::WindowKey;
use crate::tenant::TenantId;

/// The answer to an event that is enqueued.
pub type RecordTold = oneshot::Receiver<Result<RecordAnswer, AppError>>;

/// Bounds of the ledger.
#[derive(Debug, Clone, Copy)]
pub struct LedgerSettings {
    /// Most commands that wait.
    pub queue_items: usize,
    /// Most bytes that wait.
    pub queue_bytes: usize,
    /// Most commands of one transaction.
    pub batch_items: usize,
    /// Transactions at once.
    pub writers: usize,
    /// How long a batch is tried again while the database is away.
    pub retry_for: Duration,
    /// How long the database must have been unreachable until checks are answered without it; where it does not even refuse, twice
    /// as long.
    pub degraded_after: Duration,
    /// How old an event id may be.
    pub retention: Duration,
    /// How far ahead an event id may be.
    pub ahead: Duration,
    /// From how many earlier events on a new budget counts back in the background, and how many it counts at a time.
    pub count_at_once: u64,
    /// How far a reported cost may lie from ours without a notice.
    pub reported_cost: ReportedCostTolerance,
}

impl Default for LedgerSettings {
    fn default() -> Self {
        Self {
            queue_items: 8_192,
            queue_bytes: 16 << 20,
            batch_items: 1_000,
            writers: 2,
            retry_for: Duration::from_secs(5),
            degraded_after: Duration::from_secs(1),
            retention: Duration::from_secs(400 * 86_400),
            ahead: Duration::from_secs(48 * 3_600),
            count_at_once: 20_000,
            reported_cost: ReportedCostTolerance::default(),
        }
    }
}

/// What all writers share.
#[derive(Debug)]
struct Shared {
    pool: PgPool,
    dictionary: Dictionary,
    settings: LedgerSettings,
    hub: Hub,
    prices: Prices,
    metrics: Metrics,
    alerts: Alerts,
    presence: Presence,
    budgets: Arc<KnownBudgets>,
    figures: KnownFigures,
    fullness: LatestFullness,
    periods: KnownPeriods,
    withdrawals: Withdrawals,
    /// Outages after which what was remembered was forgotten.
    outages_seen: AtomicU64,
    known_windows: Cache<(TenantId, WindowKey), ()>,
    matches: Mutex<BTreeMap<(TenantId, i64), Timestamp>>,
}

impl Shared {
    /// The database may come back with less than it had: nothing that was remembered of it is trusted.
    fn forget(&self) {
        self.dictionary.forget();
        self.known_windows.invalidate_all();
        self.prices.forget();
        self.alerts.forget();
        self.budgets.distrust();
        self.periods.forget();
    }

    /// How much longer anything is tried while the database is away.
    fn patience(&self) -> Duration {
        self.settings.retry_for.saturating_sub(self.presence.away_for().unwrap_or_default())
    }

    fn note_withdrawal(&self, withdrawal: Withdrawal) {
        if !self.withdrawals.note(withdrawal) {
            self.metrics.outage.withdrawal_dropped();
        }
    }
}

/// The handle by which use cases reach the ledger.
#[derive(Debug, Clone)]
pub struct Ledger {
    shared: Arc<Shared>,
    queue: queue::Queue,
    tasks: TaskTracker,
    failed: CancellationToken,
    stop_watching: CancellationToken,
}

impl Ledger {
    /// Starts the writers.
    pub fn start(
        pool: PgPool,
        heartbeat: Heartbeat,
        dictionary: Dictionary,
        hub: Hub,
        prices: Prices,
        metrics: Metrics,
        alerts: Alerts,
        settings: LedgerSettings,
    ) -> Self {
        let stop_watching = CancellationToken::new();
        let presence = Presence::new();
        let budgets = Arc::<KnownBudgets>::default();
        let watched = presence::watch(
            presence.clone(),
            heartbeat,
            (budgets.clone(), dictionary.clone()),
            metrics.clone(),
            settings.degraded_after,
            stop_watching.clone(),
        );
        let shared = Arc::new(Shared {
            pool,
            dictionary,
            settings,
            hub,
            prices,
            metrics,
            alerts,
            presence,
            budgets,
            figures: KnownFigures::new(),
            fullness: LatestFullness::default(),
            periods: KnownPeriods::new(),
            withdrawals: Withdrawals::default(),
            outages_seen: AtomicU64::new(0),
            known_windows: Cache::new(200_000),
            matches: Mutex::default(),
        });
        let (queue, intake) = queue::bounded(queue::Bounds {
            items: settings.queue_items,
            bytes: settings.queue_bytes,
            writers: settings.writers,
            batch_items: settings.batch_items,
        });
        let tasks = TaskTracker::new();
        let failed = CancellationToken::new();
        // Cancelled also where it panics: nobody would see the database come back.
        let fails = failed.clone().drop_guard();
        tokio::spawn(async move {
            watched.await;
            drop(fails);
        });
        for _ in 0..settings.writers.max(1) {
            // Cancelled also where the writer panics: nobody would take what waits.
            let fails = failed.clone().drop_guard();
            let writer = writer::run(shared.clone(), intake.clone());
            tasks.spawn(async move {
                writer.await;
                drop(fails);
            });
        }
        tasks.close();
        Self { shared, queue, tasks, failed, stop_watching }
    }

    /// How many commands wait, and about how many bytes they take.
    pub fn queued(&self) -> (usize, usize) {
        self.queue.waiting()
    }

    /// Counters of budgets in windows that run, as this replica saw them last, by the share of their limit that they have reached;
    /// as they were at most five seconds ago.
    pub fn fullness(&self) -> [usize; FULLNESS.len()] {
        let Shared { budgets, figures, fullness, .. } = &*self.shared;
        fullness.or_count(|| fullness::fullness(budgets, figures, Timestamp::now()))
    }

    /// Says where nothing of the tenant would find room in the queue: what would only be refused need not be made ready.
    ///
    /// # Errors
    /// [`AppError`], as the command would be refused.
    pub fn room(&self, tenant: TenantId) -> Result<(), AppError> {
        self.is_there()?;
        self.queue.room(tenant, deadline::current())
    }

    /// Its bounds.
    pub fn settings(&self) -> &LedgerSettings {
        &self.shared.settings
    }

    /// Records one event.
    ///
    /// # Errors
    /// [`AppError`].
    pub async fn record(&self, tenant: TenantId, record: Record) -> Result<RecordAnswer, AppError> {
        self.submit(tenant, |reply| Command::Record(Box::new(record), reply)).await
    }

    /// Takes places for up to so many events of a batch.
    ///
    /// # Errors
    /// [`AppError`] where there is not one, at once.
    pub(crate) fn claim(&self, tenant: TenantId, wanted: usize) -> Result<Places, AppError> {
        self.is_there()?;
        self.queue.claim(tenant, wanted, deadline::current())
    }

    /// Enqueues one event in one of these places; the answer comes later.
    ///
    /// # Errors
    /// [`AppError::Full`] and [`AppError::ShuttingDown`], at once.
    pub(crate) fn enqueue_record(&self, places: &mut Places, record: Record) -> Result<RecordTold, AppError> {
        let (reply, answer) = Reply::new();
        self.is_there()?;
        places.push(Command::Record(Box::new(record), reply), deadline::current())?;
        Ok(answer)
    }

    /// Decides a check and, where it is admitted, holds for it.
    ///
    /// # Errors
    /// [`AppError`].
    pub async fn reserve(&self, tenant: TenantId, reserve: Reserve) -> Result<CheckAnswer, AppError> {
        self.submit(tenant, |reply| Command::Reserve(Box::new(reserve), reply)).await
    }

    /// Extends a reservation.
    ///
    /// # Errors
    /// [`AppError`].
    pub async fn extend(&self, tenant: TenantId, extension: Extension) -> Result<ExtendAnswer, AppError> {
        self.submit(tenant, |reply| Command::Extend(Box::new(extension), reply)).await
    }

    /// Releases a reservation.
    ///
    /// # Errors
    /// [`AppError`].
    pub async fn release(
        &self,
        tenant: TenantId,
        id: Uuid,
        reason: String,
        pins: Pins,
    ) -> Result<ReleaseAnswer, AppError> {
        self.submit(tenant, |reply| Command::Release { id, reason, pins, reply }).await
    }

    /// Corrects events, all or none.
    ///
    /// # Errors
    /// [`AppError`].
    pub async fn adjust(&self, tenant: TenantId, adjust: Adjust) -> Result<AdjustAnswer, AppError> {
        self.submit(tenant, |reply| Command::Adjust(Box::new(adjust), reply)).await
    }

    /// Ends a reservation whose time has run out.
    ///
    /// # Errors
    /// [`AppError`].
    pub async fn expire(&self, tenant: TenantId, id: Uuid) -> Result<(), AppError> {
        self.submit(tenant, |reply| Command::Expire { id, reply }).await
    }

    /// Releases a hold that its caller was never told of; says whether there was one.
    ///
    /// # Errors
    /// [`AppError`].
    pub async fn withdraw(&self, withdrawal: Withdrawal) -> Result<bool, AppError> {
        let found = self.submit(withdrawal.tenant, |reply| Command::Withdraw { withdrawal, reply }).await?;
        if found {
            self.shared.metrics.outage.withdrawn();
        }
        Ok(found)
    }

    /// Holds that may have been made for checks that were answered without the database, up to `limit`; none while it is away.
    pub fn withdrawals_due(&self, limit: usize) -> Vec<Withdrawal> {
        if self.shared.presence.is_away() {
            return Vec::new();
        }
        self.shared.withdrawals.due(self.shared.presence.back_at(), limit)
    }

    /// These were looked for and, where they were there, withdrawn.
    pub fn withdrawals_looked_for(&self, looked_for: &[Withdrawal]) {
        self.shared.withdrawals.looked_for(looked_for, self.shared.presence.back_at());
    }

    /// The tenant's active budgets as this replica saw them last.
    pub fn last_known_budgets(&self, tenant: TenantId) -> Option<Arc<BudgetSet>> {
        self.shared.budgets.last(tenant)
    }

    /// Whether the database is there.
    pub fn presence(&self) -> &Presence {
        &self.shared.presence
    }

    /// Decides a check without the database, from what this replica saw last. What the check of this id may hold all the same is
    /// released when the database is back.
    ///
    /// # Errors
    /// [`AppError::Unavailable`] where this replica never saw the tenant's budgets.
    pub fn degraded(&self, tenant: TenantId, plan: &CheckPlan, id: Option<Uuid>) -> Result<CheckAnswer, AppError> {
        let now = self.shared.presence.clock();
        let budgets = self.last_known_budgets(tenant).ok_or(AppError::Unavailable)?;
        let calendar = Calendar::new(tenant, self.shared.periods.clone());
        let decided = degraded::decide(tenant, plan, &budgets, &self.shared.figures, &calendar, now);
        let answer = decided.map_err(|error| {
            tracing::error!(error = &error as &dyn std::error::Error, "a check cannot be decided");
            AppError::Internal
        })?;
        if let Some(id) = id {
            self.shared.note_withdrawal(Withdrawal { tenant, id, told_before: now });
        }
        self.shared.metrics.outage.degraded(&answer.decision);
        Ok(answer)
    }

    /// Decides checks on the counters of one snapshot, holding nothing: an answer for each, in their order.
    ///
    /// # Errors
    /// [`AppError`].
    pub async fn peek(
        &self,
        connection: &mut PgConnection,
        tenant: TenantId,
        plans: &[CheckPlan],
        clock: Clock,
    ) -> Result<Vec<Result<CheckAnswer, AppError>>, AppError> {
        let budgets = match self.shared.budgets.at(tenant, clock.budgets_version) {
            Some(known) => known,
            None => {
                let read = Arc::new(budgets::active(connection, tenant, clock.budgets_version).await?);
                self.shared.budgets.remember(tenant, read.clone());
                read
            }
        };
        let calendar = Calendar::new(tenant, self.shared.periods.clone());
        let answers =
            peek::peek(connection, tenant, plans, &budgets, &self.shared.figures, calendar, clock.now).await?;
        for answer in answers.iter().flatten() {
            self.shared.metrics.ledger.checked(&answer.decision, CheckMode::Peek);
        }
        Ok(answers)
    }

    /// Waits until a writer has ended: after [`Self::drain`], or because of a defect.
    pub async fn writer_ended(&self) {
        self.failed.cancelled().await;
    }

    /// When the selectors of budgets matched last, since this was asked before.
    pub fn take_matches(&self) -> BTreeMap<(TenantId, i64), Timestamp> {
        std::mem::take(&mut *self.shared.matches.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Takes no more commands, and waits until all that were taken are answered.
    pub async fn drain(&self, deadline: &CancellationToken) {
        self.queue.close();
        tokio::select! {
            () = self.tasks.wait() => {}
            () = deadline.cancelled() => tracing::warn!("the ledger's queue did not drain in time"),
        }
        self.stop_watching.cancel();
    }

    async fn submit<T>(&self, tenant: TenantId, command: impl FnOnce(Reply<T>) -> Command) -> Result<T, AppError> {
        let (reply, answer) = Reply::new();
        self.push(tenant, command(reply))?;
        // A writer that is gone without an answer may have committed: the caller tries again with the same id.
        answer.await.unwrap_or(Err(AppError::Unavailable))
    }

    fn push(&self, tenant: TenantId, command: Command) -> Result<(), AppError> {
        self.is_there()?;
        self.queue.push(tenant, command, deadline::current())
    }

    /// Refuses where the database has been away for so long that a command would only wait for its refusal.
    fn is_there(&self) -> Result<(), AppError> {
        if self.shared.patience().is_zero() { Err(AppError::Unavailable) } else { Ok(()) }
    }
}
