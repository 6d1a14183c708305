//! Budgets: what they select, how a counter moves, and who is admitted.

mod admission;
mod carry;
mod counter;
mod crossing;
mod definition;
mod demand;
mod limit_override;
#[cfg(any(test, feature = "model"))]
pub mod model;
mod state;
mod unavailable;

pub use admission::{AdmissionError, Applied, Decision, Outcome, Refusal, decide, peek_fired, room};
pub use carry::{Inheritance, effective_limit, empty_windows};
pub use counter::{Counter, OverrunCause};
pub use crossing::{Crossing, change_crossings, crossings, rules_against};
pub use definition::{Action, Basis, Budget, Carry, Choice, Mode, OnExpire, PerValues, Reach, Rule, Unit};
pub use demand::{Demand, Quantities};
pub use limit_override::LimitOverride;
pub use state::BudgetState;
pub use unavailable::{Matched, decide_unavailable};
