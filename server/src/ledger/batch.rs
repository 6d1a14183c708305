//! One batch, one transaction: events, totals, rollups, budgets and reservations change together or not at all
//! (invariant 3).

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use sqlx::PgConnection;
use thiserror::Error;
use tollgate_domain::amount::AmountError;
use tollgate_domain::budget::AdmissionError;
use uuid::Uuid;

use super::Shared;
use super::adjust::Adjustments;
use super::alerts;
use super::command::{Answer, Command};
use super::counters::Counters;
use super::drafts::Drafts;
use super::holds;
use super::periods::{self, Calendar};
use super::queue::Turn;
use super::settle::{self, Reservations};
use super::totals::Totals;
use crate::app::AppError;
use crate::live::Touch;
use crate::metrics::CheckMode;
use crate::store::budgets::BudgetSet;
use crate::store::ledger::{self, Conclusion};
use crate::store::lent::Lent;
use crate::store::periods::{PeriodsByBudget, WantedPeriods};
use crate::store::{StoreError, budgets};
use crate::tenant::TenantId;

/// Longest time of one batch: well above any wait for a lock, a new budget's counting included.
const LONGEST: Duration = Duration::from_secs(60);

/// Most times that a batch starts over for windows: the clock may go on into the next one in between. And once for what it repeats.
const ROUNDS: usize = 6;

/// What a committed batch leaves to do.
pub(super) struct Done {
    /// One per command, in the same order.
    pub(super) answers: Vec<Result<Answer, AppError>>,
    /// Whose totals moved.
    pub(super) touches: Vec<Touch>,
    /// The database's clock.
    pub(super) now: Timestamp,
}

/// Why a batch did not commit.
#[derive(Debug, Error)]
pub(super) enum BatchError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("an amount cannot be held: {0}")]
    Amount(#[from] AmountError),
    #[error("another writer recorded or reserved the same meanwhile")]
    Raced,
    #[error("something of it was recorded or reserved before")]
    Repeated,
    #[error("a command cannot be applied: {0}")]
    Command(&'static str),
    #[error("{} window(s) are not stored yet", .0.len())]
    Unsettled(WantedPeriods),
}

impl From<AdmissionError> for BatchError {
    fn from(error: AdmissionError) -> Self {
        match error {
            AdmissionError::Amount(error) => Self::Amount(error),
            AdmissionError::Price(_) => Self::Amount(AmountError::TooLarge),
        }
    }
}

/// Whether a batch looks first for what was recorded and reserved before. Hardly any call is told twice: a batch takes all that it
/// tells for new, and starts over, looking, where that was wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Care {
    TakesAllForNew,
    LooksFirst,
}

impl Care {
    /// What it means that something was there already.
    fn found(self) -> BatchError {
        match self {
            Self::TakesAllForNew => BatchError::Repeated,
            Self::LooksFirst => BatchError::Raced,
        }
    }
}

/// What every step of a batch looks at.
pub(super) struct Scene<'a> {
    pub(super) tenant: TenantId,
    pub(super) now: Timestamp,
    pub(super) budgets: Arc<BudgetSet>,
    pub(super) calendar: Calendar,
    pub(super) commands: &'a [Command],
}

/// Runs the batch, within a bounded time: a database whose host is gone without a word must not hold a writer. A
/// connection on which anything failed is not used again, and its transaction ends with it. The `turn` ends with the last lock.
pub(super) async fn run(
    shared: &Shared,
    tenant: TenantId,
    commands: &[Command],
    turn: &mut Option<Turn>,
) -> Result<Done, BatchError> {
    let mut lent = tokio::select! {
        biased;
        lent = Lent::from(&shared.pool) => lent?,
        () = shared.presence.went_away() => return Err(StoreError::unanswered().into()),
    };
    let ran = tokio::select! {
        biased;
        ran = tokio::time::timeout(LONGEST, settled(shared, lent.connection(), tenant, commands, turn)) => ran.ok(),
        // A silent database would hold the writer until its connection breaks.
        () = shared.presence.went_away() => None,
    };
    let done = ran.unwrap_or_else(|| Err(StoreError::unanswered().into()));
    if done.is_ok() {
        lent.give_back();
    }
    done
}

/// Runs the transaction, once more where it repeats what was told before, or where the windows that it needs have to be stored first.
async fn settled(
    shared: &Shared,
    connection: &mut PgConnection,
    tenant: TenantId,
    commands: &[Command],
    turn: &mut Option<Turn>,
) -> Result<Done, BatchError> {
    let mut settled = PeriodsByBudget::new();
    let mut care = Care::TakesAllForNew;
    for _ in 0..ROUNDS {
        match transact(shared, connection, tenant, commands, &settled, care, turn).await {
            Err(BatchError::Repeated) => {
                ledger::roll_back(connection).await?;
                care = Care::LooksFirst;
            }
            Err(BatchError::Unsettled(wanted)) => {
                ledger::roll_back(connection).await?;
                for (number, found) in periods::settle(connection, tenant, &shared.periods, &wanted).await? {
                    settled.entry(number).or_default().merge(&found, usize::MAX);
                }
            }
            outcome => return outcome,
        }
    }
    Err(BatchError::Command("its windows are not found"))
}

/// The transaction. The rows that many batches meet on are locked last: the budgets' counters, then the rollups by shape.
async fn transact(
    shared: &Shared,
    connection: &mut PgConnection,
    tenant: TenantId,
    commands: &[Command],
    settled: &PeriodsByBudget,
    care: Care,
    turn: &mut Option<Turn>,
) -> Result<Done, BatchError> {
    let clock = ledger::begin_batch(connection, tenant).await?;
    // What was priced by older prices stands: it was told while they were in force here.
    shared.prices.noticed(tenant, clock.prices_version);
    shared.dictionary.noticed(tenant, clock.erasures_version);
    let budgets = budgets_at(shared, connection, tenant, clock.budgets_version).await?;
    let calendar = Calendar::new(tenant, shared.periods.clone()).with(settled.clone());
    let scene = Scene { tenant, now: clock.now, budgets, calendar, commands };

    let named = commands.iter().filter(|command| care == Care::LooksFirst || !matches!(command, Command::Reserve(..)));
    let ids: Vec<Uuid> = named.filter_map(Command::reservation_id).collect();
    let mut reservations = Reservations::lock(connection, tenant, ids, &scene.budgets.erasers).await?;
    let mut counters = Counters::new(scene.now);
    let mut drafts = Drafts::prepare(&scene, &reservations, &shared.settings, &shared.dictionary)?;
    let plans = holds::need_counters(&scene, &reservations, &mut counters)?;
    let mut adjustments = Adjustments::prepare(shared, connection, &scene, drafts.wanted_mut()).await?;
    let unsettled = scene.calendar.take_wanted();
    if !unsettled.is_empty() {
        // Before anything is written: the first call in a window starts its batch over.
        return Err(BatchError::Unsettled(unsettled));
    }
    drafts.identify(connection, &scene).await?;
    if care == Care::LooksFirst {
        drafts.find_stored(shared, connection, tenant).await?;
    }
    let numbers = drafts.resolve(shared, connection, tenant).await?;
    let mut totals = Totals::default();
    drafts.add_totals(&numbers, &mut totals)?;
    adjustments.insert(connection, &scene, &numbers, &mut totals).await?;
    let rows = drafts.rows(&scene, &numbers)?;
    if ledger::record(connection, tenant, &rows, totals.sessions(), totals.users()).await? < rows.len() {
        return Err(care.found());
    }
    drop(rows);

    drafts.need_counters(&reservations, &mut counters);
    adjustments.need_counters(&mut counters);
    counters.lock(connection, tenant, &shared.known_windows).await?;
    drop(turn.take());

    let mut raised = shared.alerts.raising(tenant, scene.now);
    alerts::of_events(drafts.new_drafts(), &mut raised);
    let mut answers = HashMap::new();
    for (index, command) in commands.iter().enumerate() {
        let answer = match command {
            Command::Record(..) => drafts.settle(index, &scene, &mut reservations, &mut counters)?,
            Command::Reserve(reserve, _) => {
                holds::reserve(reserve, plans.get(&index), &scene, &mut reservations, &mut counters)?
            }
            Command::Extend(extension, _) => {
                settle::extend(extension, plans.get(&index), &scene, &mut reservations, &mut counters)?
            }
            Command::Release { id, reason, pins, .. } => {
                settle::release_for(pins, *id, reason, &scene, &mut reservations, &mut counters)?
            }
            Command::Adjust(..) => adjustments.settle(index, &scene, &mut counters)?,
            Command::Expire { id, .. } => settle::expire(*id, &scene, &mut reservations, &mut counters)?,
            Command::Withdraw { withdrawal, .. } => {
                settle::withdraw(withdrawal, &scene, &mut reservations, &mut counters)?
            }
        };
        alerts::of_command(command, &answer, plans.get(&index), &scene, &mut counters, &mut raised)?;
        answers.insert(index, answer);
    }

    let checks = commands.iter().filter_map(|command| match command {
        Command::Reserve(reserve, _) => Some(reserve.id),
        _ => None,
    });
    if reservations.refused_are_known(connection, tenant, checks).await? {
        return Err(care.found());
    }
    drafts.write_late_notices(connection, tenant).await?;
    adjustments.write_requests(connection, &scene).await?;
    let alerts = shared.alerts.write(connection, raised).await?;
    let conclusion = Conclusion {
        added: reservations.added(),
        changed: reservations.changed(),
        counters: counters.changed(),
        rollups: totals.shapes().collect(),
    };
    if ledger::conclude(connection, tenant, &conclusion).await? < conclusion.added.len() {
        return Err(care.found());
    }
    let mut answer = |index| answers.remove(&index).unwrap_or(Err(AppError::Internal));
    let answers: Vec<Result<Answer, AppError>> = (0..commands.len()).map(&mut answer).collect();
    if commands.iter().any(Command::is_rehearsal) {
        ledger::roll_back(connection).await?;
        return Ok(Done { answers, touches: Vec::new(), now: scene.now });
    }
    ledger::commit(connection).await?;

    shared.dictionary.remember(tenant, drafts.wanted(), &numbers);
    counters.remember(tenant, &shared.known_windows, &shared.figures);
    shared.alerts.announce(tenant, &alerts);
    note_matches(shared, &scene, drafts.matched().chain(plans.values().flat_map(holds::ReservePlan::matched)));
    drafts.outcomes().for_each(|(state, notices)| shared.metrics.recorded(state, notices));
    for answer in answers.iter().flatten() {
        if let Answer::Checked(checked) = answer {
            shared.metrics.ledger.checked(&checked.decision, CheckMode::Reserve);
        }
    }
    let mut touches = drafts.touches(&scene);
    touches.extend(adjustments.touches(tenant));
    Ok(Done { answers, touches, now: scene.now })
}

/// Remembers which selectors matched: a background task writes it down.
fn note_matches(shared: &Shared, scene: &Scene<'_>, budgets: impl Iterator<Item = i64>) {
    let budgets: BTreeSet<i64> = budgets.collect();
    let mut matches = shared.matches.lock().unwrap_or_else(PoisonError::into_inner);
    matches.extend(budgets.into_iter().map(|budget| ((scene.tenant, budget), scene.now)));
}

/// The tenant's budgets at this version: as remembered, or read in the batch's own transaction.
async fn budgets_at(
    shared: &Shared,
    connection: &mut PgConnection,
    tenant: TenantId,
    version: i64,
) -> Result<Arc<BudgetSet>, StoreError> {
    if let Some(known) = shared.budgets.at(tenant, version) {
        return Ok(known);
    }
    let read = Arc::new(budgets::active(connection, tenant, version).await?);
    shared.budgets.remember(tenant, read.clone());
    Ok(read)
}
