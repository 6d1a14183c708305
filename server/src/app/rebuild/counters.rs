//! Counters of budgets: what is spent from the events, counted back as for a new budget, what is held and presumed from the
//! reservations.

use std::collections::BTreeMap;

use jiff::Timestamp;
use sqlx::PgConnection;
use tollgate_domain::amount::{Amount, AmountError};
use tollgate_domain::budget::{Counter, OverrunCause};
use uuid::Uuid;

use super::RebuildError;
use super::report::{Kind, KindReport};
use crate::app::AppError;
use crate::app::budgets::charged_windows;
use crate::store::audit::Difference;
use crate::store::budgets::{self, ActiveBudget, NewWindow, StoredWindow, WindowKey};
use crate::store::dictionary::Dictionary;
use crate::store::{ledger, rebuild as store};
use crate::tenant::TenantId;

pub(super) async fn rebuild(
    connection: &mut PgConnection,
    dictionary: &Dictionary,
    tenant: TenantId,
    dry_run: bool,
) -> Result<KindReport, RebuildError> {
    let mut report = KindReport::new(Kind::BudgetCounters);
    let now = ledger::clock(connection, tenant).await?.now;
    for active in budgets::active(connection, tenant, 0).await?.budgets {
        let (missing, changed) = compare(connection, dictionary, tenant, &active, now, &mut report).await?;
        if !dry_run {
            if !missing.is_empty() {
                budgets::add_windows(connection, tenant, &missing).await?;
            }
            budgets::update_windows(connection, tenant, changed.iter()).await?;
        }
    }
    Ok(report)
}

/// Counters to add, and counters to write.
type Changes = (BTreeMap<WindowKey, NewWindow>, Vec<StoredWindow>);

async fn compare(
    connection: &mut PgConnection,
    dictionary: &Dictionary,
    tenant: TenantId,
    active: &ActiveBudget,
    now: Timestamp,
    report: &mut KindReport,
) -> Result<Changes, RebuildError> {
    let (number, budget) = (active.number, &active.budget);
    let mut spent = charged_windows(connection, dictionary, tenant, number, budget, active.counted_from, now).await?;
    let mut holds: BTreeMap<(Uuid, Timestamp), (Amount, Amount)> = BTreeMap::new();
    for hold in store::holds(connection, tenant, number).await? {
        holds.insert((hold.scope, hold.window_start), (hold.held, hold.presumed));
    }
    let mut windows = store::windows(connection, tenant, number).await?;
    let mut missing = BTreeMap::new();
    let known: std::collections::BTreeSet<WindowKey> = windows.iter().map(|window| window.key).collect();
    for (key, (new, _)) in spent.iter().filter(|(key, (_, amount))| !known.contains(key) && !amount.is_zero()) {
        let (end, per_values, counter) = (new.end, new.per_values.clone(), Counter::default());
        windows.push(StoredWindow { key: *key, end, per_values, counter, version: 0 });
        missing.insert(*key, new.clone());
    }
    let mut changed = Vec::new();
    for mut window in windows {
        report.rows += 1;
        let before = window.counter.clone();
        let charged = spent.remove(&window.key).map_or(Amount::ZERO, |(_, amount)| amount);
        let (held, presumed) = holds.remove(&(window.key.scope, window.key.start)).unwrap_or_default();
        if missing.contains_key(&window.key) {
            window.counter.note_limit(budget.limit);
        }
        if (before.spent, before.held, before.presumed) == (charged, held, presumed) {
            continue;
        }
        derive(&mut window.counter, charged, held, presumed)?;
        let stored = (!missing.contains_key(&window.key)).then_some(&before);
        report.differs(
            || format!("budget {}, counter {:?}, window {}", budget.budget_id, window.per_values.0, window.bounds()),
            differences(&window.counter, stored),
        );
        changed.push(window);
    }
    if let Some(((scope, start), _)) = holds.iter().find(|(_, (held, presumed))| !held.is_zero() || !presumed.is_zero())
    {
        // Its values are known to the reservation's context alone, and no batch leaves it so.
        tracing::error!(budget = budget.budget_id, %scope, %start, "a reservation holds of a counter that is not there");
        return Err(AppError::Internal.into());
    }
    Ok((missing, changed))
}

/// Sets the sums. What they lift above every limit of the window is booked as for a budget that is created over it.
fn derive(counter: &mut Counter, spent: Amount, held: Amount, presumed: Amount) -> Result<(), AmountError> {
    (counter.spent, counter.held, counter.presumed) = (spent, held, presumed);
    counter.correct(Amount::ZERO, OverrunCause::BudgetCreated)?;
    Ok(())
}

/// How a sum of a counter is read.
type Figure = fn(&Counter) -> Amount;

fn differences(ledger: &Counter, stored: Option<&Counter>) -> Vec<Difference> {
    let figures: [(&str, Figure); 3] = [
        ("spent", |counter| counter.spent),
        ("held", |counter| counter.held),
        ("presumed", |counter| counter.presumed),
    ];
    let differences = figures.into_iter().map(|(name, read)| Difference {
        figure: name.to_owned(),
        ledger: Some(read(ledger).to_string()),
        stored: stored.map(|stored| read(stored).to_string()),
    });
    differences.filter(|difference| difference.ledger != difference.stored).collect()
}
