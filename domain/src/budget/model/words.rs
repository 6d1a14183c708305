//! What can be asked of the model, and what it answers.

use std::collections::BTreeMap;

use jiff::Timestamp;
use rust_decimal::Decimal;
use uuid::Uuid;

use super::counters::Period;
use crate::budget::{Action, Basis, Mode, Unit};

/// Dimensions of a call, by name.
pub type Who = BTreeMap<String, String>;

/// What a model costs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rate {
    /// Dollars per token.
    Priced {
        /// In.
        input: Decimal,
        /// Out.
        output: Decimal,
    },
    /// Nothing.
    Free,
    /// Nobody knows.
    Unpriced,
}

/// Quantities of one call, one for every unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Need {
    /// Dollars; 0 where no price is known.
    pub usd: Decimal,
    /// Input tokens.
    pub input: u64,
    /// Output tokens, reasoning included.
    pub output: u64,
    /// First attempts.
    pub calls: u64,
    /// All attempts.
    pub attempts: u64,
}

impl Need {
    /// What one call of this size comes to.
    pub fn of(rate: Rate, input: u64, output: u64) -> Self {
        let usd = match rate {
            Rate::Priced { input: per_input, output: per_output } => {
                Decimal::from(input) * per_input + Decimal::from(output) * per_output
            }
            Rate::Free | Rate::Unpriced => Decimal::ZERO,
        };
        Self { usd, input, output, calls: 1, attempts: 1 }
    }

    /// The one that a budget counts.
    pub fn in_unit(&self, unit: Unit) -> Decimal {
        match unit {
            Unit::Usd => self.usd,
            Unit::Tokens => Decimal::from(self.input) + Decimal::from(self.output),
            Unit::InputTokens => Decimal::from(self.input),
            Unit::OutputTokens => Decimal::from(self.output),
            Unit::Calls => Decimal::from(self.calls),
            Unit::Attempts => Decimal::from(self.attempts),
        }
    }
}

/// A rule of a budget.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// Fraction of the limit.
    pub at: Decimal,
    /// What is compared.
    pub basis: Basis,
    /// What happens.
    pub action: Action,
    /// Models to offer instead.
    pub downgrade_to: Vec<String>,
}

/// A budget.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Definition {
    /// Its id.
    pub id: String,
    /// One counter for each value of this dimension.
    pub per: Option<String>,
    /// Only calls of which this dimension has this value.
    pub selects: Option<(String, String)>,
    /// Only these models; empty = all.
    pub models: Vec<String>,
    /// What is counted.
    pub unit: Unit,
    /// Over which time.
    pub period: Period,
    /// How much.
    pub limit: Decimal,
    /// What happens on the way.
    pub steps: Vec<Step>,
    /// Whether it binds.
    pub mode: Mode,
}

impl Definition {
    /// Whether it refuses what would lift commitments above the limit.
    pub fn is_hard(&self) -> bool {
        self.steps
            .iter()
            .any(|step| step.action == Action::Block && step.basis == Basis::Committed && step.at <= Decimal::ONE)
    }

    pub(super) fn counts(&self, model: &str) -> bool {
        self.models.is_empty() || self.models.iter().any(|one| one == model)
    }
}

/// A check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// The id that a hold takes; `None` = look, and hold nothing.
    pub id: Option<Uuid>,
    /// For whom.
    pub who: Who,
    /// The model asked for, then those that the caller may switch to unasked.
    pub models: Vec<String>,
    /// Input tokens.
    pub input: u64,
    /// Most output tokens.
    pub output: u64,
    /// Whether to hold less output where the whole does not fit.
    pub headroom: bool,
    /// How long to hold, in seconds.
    pub seconds: i64,
}

/// An event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// Its id.
    pub id: Uuid,
    /// Who it says that it is about.
    pub who: Who,
    /// The model that answered.
    pub model: String,
    /// Input tokens.
    pub input: u64,
    /// Output tokens, reasoning included.
    pub output: u64,
    /// Reasoning tokens among the output.
    pub reasoning: u64,
    /// Which attempt, from 1.
    pub attempt: u64,
    /// When the call began.
    pub start: Timestamp,
    /// The reservation that pays, and whether more events follow.
    pub reservation: Option<(Uuid, bool)>,
}

/// More time, news of the call, or more to hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Extension {
    /// Which reservation.
    pub id: Uuid,
    /// Rises; a lower one is ignored.
    pub sequence: i64,
    /// Lead from now, in seconds.
    pub seconds: Option<i64>,
    /// Input and output tokens so far.
    pub running: Option<(u64, u64)>,
    /// A model, input and most output tokens to hold for from now on.
    pub raise: Option<(String, u64, u64)>,
}

/// A correction of one event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Correction {
    /// Which event.
    pub event: Uuid,
    /// The revision that the caller saw.
    pub expected: i64,
    /// What should have been.
    pub change: Amendment,
}

/// What an event should have been.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Amendment {
    /// Nothing.
    Cancel,
    /// Another model or size.
    Replace {
        /// Who it says that it is about.
        who: Who,
        /// The model that answered.
        model: String,
        /// Input tokens.
        input: u64,
        /// Output tokens.
        output: u64,
    },
    /// Someone else's.
    Reattribute(Who),
}

/// One operation of a program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Operation {
    /// The database's clock moves forward.
    Clock(Timestamp),
    /// CheckBudget.
    Check(Asked),
    /// RecordUsage.
    Record(Event),
    /// ExtendReservation.
    Extend(Extension),
    /// ReleaseReservation.
    Release(Uuid),
    /// The end of a reservation's time, where it has come.
    Expire(Uuid),
    /// CreateBudget.
    Create(Definition),
    /// UpdateBudget: another limit.
    Limit {
        /// Of this budget.
        budget: String,
        /// The new one.
        limit: Decimal,
    },
    /// UpdateBudget: binding or not.
    Mode {
        /// Of this budget.
        budget: String,
        /// The new one.
        mode: Mode,
    },
    /// SetBudgetOverride or DeleteBudgetOverride.
    Override {
        /// Of this budget.
        budget: String,
        /// This counter.
        scope: Option<String>,
        /// The other limit; `None` = the budget's again.
        limit: Option<Decimal>,
    },
    /// AmendUsage.
    Amend(Correction),
}

/// Where a reservation stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// It holds.
    Pending,
    /// Settled.
    Settled,
    /// Released unused.
    Released,
    /// Its time ran out.
    Expired,
    /// Settled after that.
    SettledLate,
    /// Ended before its check came.
    Void,
}

impl Phase {
    /// Whether nothing changes it any more.
    pub fn is_final(self) -> bool {
        !matches!(self, Self::Pending | Self::Expired)
    }
}

/// What is decided.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Go.
    Allowed,
    /// Go, on this model.
    Downgraded(String),
    /// Wait for the end of a window.
    Throttled,
    /// No, for this reason.
    Denied(&'static str),
}

/// A counter as it is shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CounterView {
    /// The budget.
    pub budget: String,
    /// Which counter.
    pub scope: Option<String>,
    /// Charged.
    pub spent: Decimal,
    /// Held.
    pub held: Decimal,
    /// Presumed.
    pub presumed: Decimal,
    /// Lifted above every limit.
    pub overrun: Decimal,
    /// The limit in force for it.
    pub limit: Decimal,
    /// What that leaves.
    pub available: Decimal,
    /// The severest rule that fires.
    pub fired: Option<Action>,
    /// Whether it refused.
    pub refused: bool,
}

/// The hold on one counter as it is shown.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct HeldView {
    /// The budget.
    pub budget: String,
    /// Still held.
    pub held: Decimal,
    /// Charged so far.
    pub charged: Decimal,
    /// Presumed since its time ran out.
    pub presumed: Decimal,
}

/// The answer to a check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Judgement {
    /// The decision.
    pub verdict: Verdict,
    /// Most output that every binding budget affords; `None` = no bound.
    pub affordable: Option<u64>,
    /// Whether an empty window would refuse, too.
    pub never_fits: bool,
    /// What is held.
    pub holds: Vec<HeldView>,
    /// The counters that were asked.
    pub counters: Vec<CounterView>,
}

/// The answer to an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receipt {
    /// Whether it was told before.
    pub duplicate: bool,
    /// Dollars.
    pub usd: Decimal,
    /// What places it in windows.
    pub charge_time: Timestamp,
    /// Names of notices, sorted.
    pub notices: Vec<&'static str>,
    /// The counters that it was charged to; left out of a duplicate's answer.
    pub counters: Vec<CounterView>,
}

/// What an operation answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// Nothing to say.
    Done,
    /// A check's.
    Checked(Judgement),
    /// An event's.
    Recorded(Receipt),
    /// An extension's: whether it was granted, and what is held.
    Extended {
        /// Whether.
        granted: bool,
        /// What is held.
        holds: Vec<HeldView>,
        /// In which counters.
        counters: Vec<CounterView>,
    },
    /// A release's: where the reservation stands.
    Released {
        /// Where.
        phase: Phase,
        /// What it held in.
        counters: Vec<CounterView>,
    },
    /// A correction's: the revision, and by how much the cost changed.
    Amended {
        /// The revision.
        revision: i64,
        /// By how much.
        usd_delta: Decimal,
    },
    /// An error, by its reason.
    Refused(&'static str),
}
