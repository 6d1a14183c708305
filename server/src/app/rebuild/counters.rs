//! Counters of budgets: what is spent from the events, counted back as for a new budget, what is held and presumed from the
//! reservations.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use jiff::Timestamp;
use sqlx::PgConnection;
use tollgate_domain::amount::{Amount, AmountError};
use tollgate_domain::budget::{Carry, Counter, Inheritance, OverrunCause};
use tollgate_domain::window::Bounds;
use uuid::Uuid;

use super::RebuildError;
use super::report::{Kind, KindReport};
use crate::app::AppError;
use crate::app::backfill::charged;
use crate::ledger::inherit;
use crate::store::audit::Difference;
use crate::store::backfill::Counted;
use crate::store::budgets::{self, ActiveBudget};
use crate::store::dictionary::Dictionary;
use crate::store::ledger::{self, Conclusion};
use crate::store::windows::{self, NewWindow, StoredWindow, WindowKey};
use crate::store::{periods, rebuild as store, retention};
use crate::tenant::TenantId;

pub(super) async fn rebuild(
    connection: &mut PgConnection,
    dictionary: &Dictionary,
    tenant: TenantId,
    dry_run: bool,
) -> Result<KindReport, RebuildError> {
    let mut report = KindReport::new(Kind::BudgetCounters);
    let now = ledger::clock(connection, tenant).await?.now;
    let budgets = budgets::active(connection, tenant, 0).await?.budgets;
    // What is still counted back is put right by the end of its counting.
    for active in budgets.iter().filter(|active| !active.backfilling) {
        let changes = compare(connection, dictionary, tenant, active, now, &mut report).await?;
        if !dry_run {
            changes.write(connection, tenant).await?;
        }
    }
    Ok(report)
}

#[derive(Default)]
struct Changes {
    missing: BTreeMap<WindowKey, NewWindow>,
    /// Of the missing ones, those that carry.
    heirs: Vec<(StoredWindow, Inheritance)>,
    written: Vec<StoredWindow>,
}

impl Changes {
    async fn write(&self, connection: &mut PgConnection, tenant: TenantId) -> Result<(), RebuildError> {
        if !self.missing.is_empty() {
            let windows = self.missing.iter();
            let windows = windows.map(|(key, new)| (key.budget, Bounds { start: key.start, end: new.end }));
            periods::add(connection, tenant, windows).await?;
            windows::add(connection, tenant, &self.missing).await?;
        }
        if !self.heirs.is_empty() {
            windows::set_carried(connection, tenant, &self.heirs).await?;
        }
        let conclusion = Conclusion { counters: self.written.iter().collect(), ..Conclusion::default() };
        ledger::conclude(connection, tenant, &conclusion).await?;
        Ok(())
    }
}

async fn compare(
    connection: &mut PgConnection,
    dictionary: &Dictionary,
    tenant: TenantId,
    active: &ActiveBudget,
    now: Timestamp,
    report: &mut KindReport,
) -> Result<Changes, RebuildError> {
    let (number, budget) = (active.number, &active.budget);
    let end = budget.window.bounds(now).map_err(|_| AppError::Internal)?.end;
    let range = Bounds { start: active.counted_from, end };
    let mut spent = charged(connection, dictionary, tenant, active, range, None).await?;
    for (key, sealed) in retention::sealed_counters(connection, tenant, number).await? {
        let entry = spent.entry(key).or_insert_with(|| Counted::new(sealed.end, sealed.per_values));
        entry.spent = entry.spent.plus(sealed.spent)?;
    }
    let mut holds: BTreeMap<(Uuid, Timestamp), (Amount, Amount)> = BTreeMap::new();
    for hold in store::holds(connection, tenant, number).await? {
        holds.insert((hold.scope, hold.window_start), (hold.held, hold.presumed));
    }
    let mut changes = Changes::default();
    let stored = store::windows(connection, tenant, number).await?.into_iter();
    let mut windows: BTreeMap<WindowKey, StoredWindow> = stored.map(|window| (window.key, window)).collect();
    for (key, counted) in spent.iter().filter(|(_, counted)| !counted.spent.is_zero()) {
        if let Entry::Vacant(entry) = windows.entry(*key) {
            let Counted { end, per_values, .. } = counted.clone();
            let limit = active.limit(key.scope, end, now);
            changes.missing.insert(*key, NewWindow { end, per_values: per_values.clone(), limit });
            entry.insert(StoredWindow { key: *key, end, per_values, counter: Counter::default(), version: 0 });
        }
    }
    // In the order of the keys: what precedes is the same counter's last window, or another counter.
    let mut last: Option<StoredWindow> = None;
    for (key, mut window) in windows {
        report.rows += 1;
        let before = window.counter.clone();
        let charged = spent.remove(&key).map_or(Amount::ZERO, |counted| counted.spent);
        let (held, presumed) = holds.remove(&(key.scope, key.start)).unwrap_or_default();
        let is_missing = changes.missing.contains_key(&key);
        if is_missing {
            window.counter.note_limit(active.limit(key.scope, window.end, now));
            let last = last.as_ref().filter(|last| last.key.scope == key.scope);
            if let Some(last) = last.filter(|_| budget.carry != Carry::None) {
                let from = inherit(&mut window, active, last, now).map_err(|_| AppError::Internal)?;
                changes.heirs.push((window.clone(), from));
            }
        }
        if (before.spent, before.held, before.presumed) != (charged, held, presumed) {
            derive(&mut window.counter, charged, held, presumed)?;
            let stored = (!is_missing).then_some(&before);
            report.differs(
                || {
                    format!(
                        "budget {}, counter {:?}, window {}",
                        budget.budget_id,
                        window.per_values.0,
                        window.bounds()
                    )
                },
                differences(&window.counter, stored),
            );
            changes.written.push(window.clone());
        }
        last = Some(window);
    }
    if let Some(((scope, start), _)) = holds.iter().find(|(_, (held, presumed))| !held.is_zero() || !presumed.is_zero())
    {
        // Its values are known to the reservation's context alone, and no batch leaves it so.
        tracing::error!(budget = budget.budget_id, %scope, %start, "a reservation holds of a counter that is not there");
        return Err(AppError::Internal.into());
    }
    Ok(changes)
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
