//! The admission rules as a sequential specification: what the ledger must answer, told without queues, batches, rows or locks.
//!
//! It is written apart from the rules that run (`admission`, `counter`, `reservation`) and shares only their vocabulary, so
//! that a mistake has to be made twice to go unseen. One operation after the other, a `BTreeMap` for every table, sums
//! recomputed where that is simpler: slow and plain. Tests run the same program here and against a real server, and compare
//! every answer; after each step [`Model::broken_invariant`] must find nothing.
//!
//! What windows carry over, counting back in the background and deleted budgets are left to tests of their own.

mod check;
mod correct;
mod counters;
mod invariants;
mod manage;
mod settle;
#[cfg(test)]
mod tests;
mod words;

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use rust_decimal::Decimal;
use uuid::Uuid;

pub use counters::Period;
pub use words::{
    Amendment, Answer, Asked, Correction, CounterView, Definition, Event, Extension, HeldView, Judgement, Need,
    Operation, Phase, Rate, Receipt, Step, Verdict, Who,
};

/// Which counter in which window.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct CounterKey {
    /// The budget.
    pub budget: String,
    /// Value of its `per` key; `None` where it has one counter.
    pub scope: Option<String>,
    /// Start of the window; `None` for a lifetime.
    pub start: Option<Timestamp>,
}

/// Sums of one counter in one window.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Tally {
    /// Charged.
    pub spent: Decimal,
    /// Held by open reservations.
    pub held: Decimal,
    /// Held by reservations that ran out.
    pub presumed: Decimal,
    /// Lifted above every limit of the window.
    pub overrun: Decimal,
    /// The highest limit of the window since its first use.
    pub highest: Decimal,
    /// End of the window; `None` for a lifetime.
    pub end: Option<Timestamp>,
}

impl Tally {
    /// Spent, held and presumed.
    pub fn committed(&self) -> Decimal {
        self.spent + self.held + self.presumed
    }
}

/// The hold on one counter.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Part {
    key: CounterKey,
    held: Decimal,
    charged: Decimal,
    presumed: Decimal,
}

/// A reservation.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Reservation {
    phase: Phase,
    /// What asked for it; `None` = a tombstone.
    asked: Option<Asked>,
    /// The model that it is held for.
    model: String,
    /// Whether the check was told to use another model.
    downgraded: bool,
    created: Timestamp,
    expires: Timestamp,
    sequence: i64,
    running: Option<Need>,
    parts: Vec<Part>,
    events: BTreeSet<Uuid>,
}

/// An event as it was told first, and as it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Recorded {
    told: Event,
    receipt: Receipt,
    revision: i64,
    /// What it comes to now; `None` = cancelled.
    stands: Option<Standing>,
    /// To whom it was charged last, kept where it is cancelled.
    who: Who,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Standing {
    who: Who,
    model: String,
    need: Need,
    charge_time: Timestamp,
}

/// The budget as its owner changed it, with what the model keeps about it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Managed {
    definition: Definition,
    /// Earlier charges are not counted; `None` = all are.
    counted_from: Option<Timestamp>,
    /// Other limits, by scope.
    overrides: BTreeMap<Option<String>, Decimal>,
}

/// The whole state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Model {
    now: Timestamp,
    rates: BTreeMap<String, Rate>,
    /// In the order of their creation, which is the order of all answers.
    budgets: Vec<Managed>,
    tallies: BTreeMap<CounterKey, Tally>,
    reservations: BTreeMap<Uuid, Reservation>,
    events: BTreeMap<Uuid, Recorded>,
}

impl Model {
    /// Nothing yet, at this instant and with these prices.
    pub fn new(now: Timestamp, rates: BTreeMap<String, Rate>) -> Self {
        Self {
            now,
            rates,
            budgets: Vec::new(),
            tallies: BTreeMap::new(),
            reservations: BTreeMap::new(),
            events: BTreeMap::new(),
        }
    }

    /// The instant.
    pub fn now(&self) -> Timestamp {
        self.now
    }

    /// Carries out one operation.
    pub fn apply(&mut self, operation: &Operation) -> Answer {
        match operation {
            Operation::Clock(now) => {
                self.now = self.now.max(*now);
                Answer::Done
            }
            Operation::Check(asked) => self.check(asked),
            Operation::Record(event) => self.record(event),
            Operation::Extend(extension) => self.extend(extension),
            Operation::Release(id) => self.release(*id),
            Operation::Expire(id) => self.expire(*id),
            Operation::Create(definition) => self.create(definition),
            Operation::Limit { budget, limit } => self.change_limit(budget, *limit),
            Operation::Mode { budget, mode } => self.change_mode(budget, *mode),
            Operation::Override { budget, scope, limit } => self.change_override(budget, scope, *limit),
            Operation::Amend(correction) => self.amend(correction),
        }
    }

    /// The counters that were used so far.
    pub fn tallies(&self) -> &BTreeMap<CounterKey, Tally> {
        &self.tallies
    }

    /// Where each reservation stands, with what it holds.
    pub fn reservations(&self) -> impl Iterator<Item = (Uuid, Phase, Vec<HeldView>)> {
        self.reservations.iter().map(|(id, one)| (*id, one.phase, one.view()))
    }

    /// Reservations whose time has run out.
    pub fn due(&self) -> Vec<Uuid> {
        let due = |one: &Reservation| one.phase == Phase::Pending && one.expires <= self.now;
        self.reservations.iter().filter(|(_, one)| due(one)).map(|(id, _)| *id).collect()
    }
}

impl Reservation {
    fn tombstone(now: Timestamp) -> Self {
        Self {
            phase: Phase::Void,
            asked: None,
            model: String::new(),
            downgraded: false,
            created: now,
            expires: now,
            sequence: 0,
            running: None,
            parts: Vec::new(),
            events: BTreeSet::new(),
        }
    }

    fn view(&self) -> Vec<HeldView> {
        self.parts
            .iter()
            .map(|part| HeldView {
                budget: part.key.budget.clone(),
                held: part.held,
                charged: part.charged,
                presumed: part.presumed,
            })
            .collect()
    }
}
