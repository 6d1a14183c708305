//! A counter as it is shown.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::definition::{Action, Unit};
use crate::amount::Amount;
use crate::window::Bounds;

/// One counter of one budget in one window.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BudgetState {
    /// The budget.
    pub budget_id: String,
    /// Which counter, by the keys' display names.
    pub per_values: BTreeMap<String, String>,
    /// What is counted.
    pub unit: Unit,
    /// The window.
    pub window: Bounds,
    /// The limit as defined.
    pub limit: Amount,
    /// The limit in force.
    pub effective_limit: Amount,
    /// Charged.
    pub spent: Amount,
    /// Held by open reservations.
    pub held: Amount,
    /// Held by expired reservations whose call may have been billed.
    pub presumed: Amount,
    /// How far commitments were lifted above the limit.
    pub overrun: Amount,
    /// The limit in force less all commitments; may be below zero.
    pub available: Amount,
    /// The severest action that fired.
    pub fired: Option<Action>,
    /// Whether this budget refused the call.
    pub refused: bool,
    /// Whether its decisions do not bind.
    pub shadow: bool,
    /// Rises with every change of the counter.
    pub version: i64,
    /// Whether its figures are not known, as in an answer without the database: what was charged, held, presumed, overrun and is
    /// available stands at zero and is not shown then. Nothing that is stored is unknown.
    #[serde(skip)]
    pub figures_unknown: bool,
}
