//! Which counters there are, and how they move.

use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan as _};
use rust_decimal::Decimal;

use super::{CounterKey, CounterView, Managed, Model, Part, Tally, Who};
use crate::budget::{Action, Basis, Mode};

/// Over which time a budget counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Period {
    /// All time.
    Lifetime,
    /// Hours of UTC.
    Hours,
    /// Days of a time zone, by its IANA name.
    Days(String),
}

impl Period {
    /// Start and end of the window that holds `at`: `None` for a lifetime, or beyond the ends of time.
    pub(super) fn bounds(&self, at: Timestamp) -> (Option<Timestamp>, Option<Timestamp>) {
        match self {
            Self::Lifetime => (None, None),
            Self::Hours => {
                let hour = at.as_second().div_euclid(3_600);
                let instant = |hour: i64| Timestamp::from_second(hour * 3_600).ok();
                (instant(hour), instant(hour + 1))
            }
            Self::Days(zone) => {
                let zone = TimeZone::get(zone).unwrap_or(TimeZone::UTC);
                let today = at.to_zoned(zone.clone()).date();
                let midnight = |days: i32| {
                    let date = today.checked_add(days.days()).ok()?;
                    Some(date.to_zoned(zone.clone()).ok()?.timestamp())
                };
                (midnight(0), midnight(1))
            }
        }
    }
}

/// Where a call falls under a budget.
pub(super) enum Reach {
    Outside,
    Counter(CounterKey),
    KeyMissing,
}

impl Managed {
    pub(super) fn reach(&self, who: &Who, at: Timestamp) -> Reach {
        let definition = &self.definition;
        if definition.selects.as_ref().is_some_and(|(name, value)| who.get(name) != Some(value)) {
            return Reach::Outside;
        }
        let scope = match &definition.per {
            None => None,
            Some(name) => match who.get(name) {
                Some(value) => Some(value.clone()),
                None if definition.is_hard() => return Reach::KeyMissing,
                None => None,
            },
        };
        Reach::Counter(CounterKey { budget: definition.id.clone(), scope, start: definition.period.bounds(at).0 })
    }

    pub(super) fn counts_at(&self, at: Timestamp) -> bool {
        self.counted_from.is_none_or(|from| from <= at)
    }

    pub(super) fn is_in_force(&self) -> bool {
        self.definition.mode != Mode::Disabled
    }

    pub(super) fn limit(&self, scope: &Option<String>) -> Decimal {
        self.overrides.get(scope).copied().unwrap_or(self.definition.limit)
    }
}

impl Model {
    pub(super) fn managed(&self, id: &str) -> Option<&Managed> {
        self.budgets.iter().find(|one| one.definition.id == id)
    }

    /// The counter, made where it is missing: its first use sees the limit in force.
    pub(super) fn tally(&mut self, key: &CounterKey, at: Timestamp) -> &mut Tally {
        let managed = self.budgets.iter().find(|one| one.definition.id == key.budget);
        let limit = managed.map(|one| one.limit(&key.scope)).unwrap_or_default();
        let end = managed.and_then(|one| one.definition.period.bounds(at).1);
        self.tallies.entry(key.clone()).or_insert_with(|| Tally { highest: limit, end, ..Tally::default() })
    }

    /// Moves a counter that is there.
    pub(super) fn change(&mut self, key: &CounterKey, change: impl FnOnce(&mut Tally)) {
        if let Some(tally) = self.tallies.get_mut(key) {
            change(tally);
        }
    }

    /// A limit counts for a window while it lasts.
    pub(super) fn note_limit(&mut self, key: &CounterKey) {
        let now = self.now;
        let limit = self.managed(&key.budget).map(|one| one.limit(&key.scope)).unwrap_or_default();
        self.change(key, |tally| {
            if tally.end.is_none_or(|end| end > now) {
                tally.highest = tally.highest.max(limit);
            }
        });
    }

    /// Counts what lies above every limit of the window and was not counted before; says whether there was any.
    pub(super) fn book_excess(&mut self, key: &CounterKey) -> bool {
        let mut excess = Decimal::ZERO;
        self.change(key, |tally| {
            excess = (tally.committed() - tally.highest - tally.overrun).max(Decimal::ZERO);
            tally.overrun += excess;
        });
        excess > Decimal::ZERO
    }

    /// A counter as it is shown; one that nobody used is empty.
    pub(super) fn view(&self, key: &CounterKey, fired: Option<Action>, refused: bool) -> CounterView {
        let tally = self.tallies.get(key).cloned().unwrap_or_default();
        let managed = self.managed(&key.budget);
        let limit = managed.map(|one| one.limit(&key.scope)).unwrap_or_default();
        let reached = managed.into_iter().flat_map(|one| &one.definition.steps).filter(|step| {
            let value = match step.basis {
                Basis::Spent => tally.spent,
                Basis::Committed => tally.committed(),
            };
            value >= step.at * limit
        });
        CounterView {
            budget: key.budget.clone(),
            scope: key.scope.clone(),
            spent: tally.spent,
            held: tally.held,
            presumed: tally.presumed,
            overrun: tally.overrun,
            limit,
            available: limit - tally.committed(),
            fired: reached.map(|step| step.action).max().max(fired),
            refused,
        }
    }

    pub(super) fn views(&self, parts: &[Part]) -> Vec<CounterView> {
        parts.iter().map(|part| self.view(&part.key, None, false)).collect()
    }
}
