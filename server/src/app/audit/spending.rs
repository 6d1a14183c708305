//! What counters have spent against the events in their scope. Which event falls under which counter is decided by the
//! domain, on groups of events, exactly as it was when they were charged.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use sqlx::PgConnection;
use tollgate_domain::amount::{Amount, AmountError};
use tollgate_domain::budget::{Budget, Reach, Unit};
use tollgate_domain::dimensions::Dimensions;
use tollgate_domain::window::{Bounds, LIFETIME_END};
use uuid::Uuid;

use super::AppError;
use crate::store::audit::{AuditedCounter, Comparison, Difference, Example, Figure, Selection, counters};
use crate::store::audit_range::count_charged;
use crate::store::budgets::ActiveBudget;
use crate::store::counters::{ChargedGroup, Needed, charged_groups, dimensions_of};
use crate::store::dictionary::Dictionary;
use crate::store::periods;
use crate::store::shape::Shape;
use crate::tenant::TenantId;

/// Compares the spend of every counter of the active budgets, or, of a range, of the windows that meet it, as far as they
/// hold at most `allowance` events: what is left of it afterwards bounds what is read. Windows above it are left out.
///
/// Budgets that look at the same dimensions over the same time share one reading of the events.
pub(super) async fn compare(
    connection: &mut PgConnection,
    dictionary: &Dictionary,
    tenant: TenantId,
    budgets: &[Arc<ActiveBudget>],
    selection: &Selection,
    allowance: i64,
) -> Result<Comparison, AppError> {
    let mut families: BTreeMap<(Option<Span>, Needed), Vec<&ActiveBudget>> = BTreeMap::new();
    for active in budgets {
        let span = match selection.range {
            None => None,
            Some(range) => match span(connection, tenant, active, range).await? {
                Some(span) => Some(span),
                None => continue,
            },
        };
        families.entry((span, Needed::by(&active.budget))).or_default().push(active);
    }
    let mut found = Found { limit: usize::from(selection.examples), ..Found::default() };
    let mut left = allowance;
    for ((span, needed), family) in families {
        let span = span.map(|(start, end)| Bounds { start, end });
        if let Some(span) = span {
            let events = count_charged(connection, tenant, span, left.saturating_add(1)).await?;
            let events = i64::try_from(events).unwrap_or(i64::MAX);
            if events > left {
                tracing::debug!(budgets = family.len(), %span, "windows hold too many events for this audit");
                continue;
            }
            left -= events;
        }
        let numbers: Vec<i64> = family.iter().map(|active| active.number).collect();
        let mut ledger = Counters::new(counters(connection, tenant, span, &numbers).await?);
        let intervals = intervals(&family, &ledger, span);
        let groups = charged_groups(connection, tenant, &intervals, &needed, None).await?;
        let shapes = dictionary.shapes(connection, tenant, groups.iter().map(|group| group.shape_id)).await?;
        for group in &groups {
            let (Some(shape), Some(interval)) = (group.shape(&shapes), intervals.get(group.window_index)) else {
                return Err(AppError::Internal);
            };
            let dimensions = dimensions_of(group, shape);
            let interval = Bounds { start: interval.0, end: interval.1 };
            for active in &family {
                ledger.charge(active, group, shape, &dimensions, interval).map_err(too_large)?;
            }
        }
        for active in &family {
            found.add(active, &ledger).map_err(too_large)?;
        }
    }
    Ok(found.comparison())
}

/// Start and end of windows that follow each other.
type Span = (Timestamp, Timestamp);

/// The windows of a budget that meet `range`, from the start of the first to the end of the last; none where the budget
/// did not count yet.
async fn span(
    connection: &mut PgConnection,
    tenant: TenantId,
    active: &ActiveBudget,
    range: Bounds,
) -> Result<Option<Span>, AppError> {
    if range.end <= active.counted_from {
        return Ok(None);
    }
    let from = range.start.max(active.counted_from);
    // A window that ends with the range is whole without the next one.
    let last = range.end - SignedDuration::from_micros(1);
    let stored = periods::in_range(connection, tenant, active, from, last).await?;
    let bounds = |at| stored.bounds(&active.budget.window, at).map_err(|_| AppError::Internal);
    let (first, last) = (bounds(from)?, bounds(last)?);
    Ok(Some((first.start, last.end)))
}

fn too_large(error: AmountError) -> AppError {
    tracing::error!(%error, "a sum of the audit cannot be held");
    AppError::Internal
}

/// Cuts time wherever a window of the family begins or ends, so that each window is made of whole intervals and what
/// lies in no window is seen, too.
fn intervals(family: &[&ActiveBudget], ledger: &Counters, span: Option<Bounds>) -> Vec<(Timestamp, Timestamp)> {
    let Some(first) = family.iter().map(|active| active.counted_from).min() else { return Vec::new() };
    let mut cuts: BTreeSet<Timestamp> = family.iter().map(|active| active.counted_from).collect();
    for window in ledger.by_counter.values().flat_map(|windows| windows.values()) {
        cuts.extend([window.counter.window.start, window.counter.window.end]);
    }
    let first = span.map_or(first, |span| span.start.max(first));
    let last = span.map_or(LIFETIME_END, |span| span.end);
    cuts.extend([first, last]);
    let cuts: Vec<Timestamp> = cuts.into_iter().filter(|cut| (first..=last).contains(cut)).collect();
    cuts.iter().copied().zip(cuts.iter().copied().skip(1)).collect()
}

/// A stored counter with what the events say.
struct Window {
    counter: AuditedCounter,
    charged: Amount,
}

/// Which counter of which budget.
type CounterKey = (i64, Uuid);

/// The counters of a family, each with its windows by their start.
struct Counters {
    by_counter: BTreeMap<CounterKey, BTreeMap<Timestamp, Window>>,
    /// What events charge where no counter is, by budget, interval and `per` values.
    missing: BTreeMap<(CounterKey, Timestamp), Missing>,
}

struct Missing {
    per_values: String,
    interval: Bounds,
    charged: Amount,
}

impl Counters {
    fn new(stored: Vec<AuditedCounter>) -> Self {
        let mut by_counter: BTreeMap<CounterKey, BTreeMap<Timestamp, Window>> = BTreeMap::new();
        for counter in stored {
            let windows = by_counter.entry((counter.budget, counter.scope)).or_default();
            windows.insert(counter.window.start, Window { charged: counter.sealed, counter });
        }
        Self { by_counter, missing: BTreeMap::new() }
    }

    /// Charges a group to the budget's counter in the interval, if the budget counts it.
    fn charge(
        &mut self,
        active: &ActiveBudget,
        group: &ChargedGroup,
        shape: &Shape,
        dimensions: &Dimensions,
        interval: Bounds,
    ) -> Result<(), AmountError> {
        let budget = &active.budget;
        if interval.start < active.counted_from || !budget.counts_model(shape.model()) {
            return Ok(());
        }
        let Reach::Counter(per_values) = budget.reach(dimensions) else { return Ok(()) };
        let amount = group.quantities.in_unit(budget.unit)?;
        let key = (active.number, per_values.digest());
        let windows = self.by_counter.entry(key).or_default();
        let window = windows.range_mut(..=interval.start).next_back().map(|(_, window)| window);
        if let Some(window) = window.filter(|window| window.counter.window.contains(interval.start)) {
            window.charged = window.charged.plus(amount)?;
        } else if !amount.is_zero() {
            let missing = self.missing.entry((key, interval.start)).or_insert_with(|| Missing {
                per_values: shown(budget, &per_values),
                interval,
                charged: Amount::ZERO,
            });
            missing.charged = missing.charged.plus(amount)?;
        }
        Ok(())
    }
}

fn shown(budget: &Budget, per_values: &tollgate_domain::budget::PerValues) -> String {
    let named: Vec<String> =
        per_values.by_name(&budget.per).into_iter().map(|(key, value)| format!("{key} = {value}")).collect();
    if named.is_empty() { "its only one".to_owned() } else { named.join(", ") }
}

/// What all families add up to.
#[derive(Default)]
struct Found {
    /// Most rows that are named.
    limit: usize,
    rows: u64,
    drifting: u64,
    examples: Vec<Example>,
    /// Sums of both sides, by unit: dollars and tokens do not add up.
    sums: BTreeMap<&'static str, (Amount, Amount)>,
    usd_drift: Amount,
}

impl Found {
    fn add(&mut self, active: &ActiveBudget, ledger: &Counters) -> Result<(), AmountError> {
        let id = &active.budget.budget_id;
        let of_budget = (active.number, Uuid::nil())..=(active.number, Uuid::max());
        for window in ledger.by_counter.range(of_budget.clone()).flat_map(|(_, windows)| windows.values()) {
            let AuditedCounter { window: bounds, per_values, spent, .. } = &window.counter;
            let counter = shown(&active.budget, per_values);
            let row = || format!("budget {id}, counter {counter}, window {bounds}");
            self.count(active.budget.unit, window.charged, Some(*spent), row)?;
        }
        let from = (*of_budget.start(), Timestamp::MIN);
        let until = (*of_budget.end(), Timestamp::MAX);
        for Missing { per_values, interval, charged } in ledger.missing.range(from..=until).map(|(_, value)| value) {
            let row = || format!("budget {id}, counter {per_values}, no window for charges in {interval}");
            self.count(active.budget.unit, *charged, None, row)?;
        }
        Ok(())
    }

    fn count(
        &mut self,
        unit: Unit,
        charged: Amount,
        stored: Option<Amount>,
        id: impl FnOnce() -> String,
    ) -> Result<(), AmountError> {
        let spent = stored.unwrap_or(Amount::ZERO);
        let sums = self.sums.entry(name_of(unit)).or_default();
        *sums = (sums.0.plus(charged)?, sums.1.plus(spent)?);
        self.rows += 1;
        if charged == spent {
            return Ok(());
        }
        self.drifting += 1;
        if unit == Unit::Usd {
            let difference = charged.max(spent).minus(charged.min(spent))?;
            self.usd_drift = self.usd_drift.plus(difference)?;
        }
        if self.examples.len() < self.limit {
            let difference = Difference {
                figure: "spent".to_owned(),
                ledger: Some(charged.to_string()),
                stored: stored.map(|spent| spent.to_string()),
            };
            self.examples.push(Example { id: id(), differences: vec![difference] });
        }
        Ok(())
    }

    fn comparison(self) -> Comparison {
        let figures = self.sums.into_iter();
        Comparison {
            rows: self.rows,
            drifting: self.drifting,
            figures: figures
                .map(|(name, (ledger, stored))| Figure::amounts(name, ledger.decimal(), stored.decimal()))
                .collect(),
            usd_drift: tollgate_domain::amount::Usd::new(self.usd_drift.decimal()).ok(),
            examples: self.examples,
        }
    }
}

fn name_of(unit: Unit) -> &'static str {
    match unit {
        Unit::Usd => "spent in usd",
        Unit::Tokens => "spent in tokens",
        Unit::InputTokens => "spent in input tokens",
        Unit::OutputTokens => "spent in output tokens",
        Unit::Calls => "spent in calls",
        Unit::Attempts => "spent in attempts",
    }
}
