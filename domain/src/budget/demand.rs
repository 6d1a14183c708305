//! What one call asks of budgets, in every unit.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::definition::Unit;
use crate::amount::{Amount, AmountError, Usd};
use crate::model::ModelRef;
use crate::price::estimate::{Estimate, Worst, worst_case};
use crate::price::{PriceError, PriceSheet, PriceState};

/// Quantities of one call or event, one for every unit of budgets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Quantities {
    /// Dollars.
    pub usd: Usd,
    /// Input tokens.
    pub input_tokens: u64,
    /// Output tokens.
    pub output_tokens: u64,
    /// Calls.
    pub calls: u64,
    /// Attempts.
    pub attempts: u64,
}

impl Quantities {
    /// The quantity that a budget of this unit counts.
    ///
    /// # Errors
    /// [`AmountError::TooLarge`].
    pub fn in_unit(&self, unit: Unit) -> Result<Amount, AmountError> {
        match unit {
            Unit::Usd => Ok(self.usd.into()),
            Unit::Tokens => Amount::from_count(self.input_tokens.saturating_add(self.output_tokens)),
            Unit::InputTokens => Amount::from_count(self.input_tokens),
            Unit::OutputTokens => Amount::from_count(self.output_tokens),
            Unit::Calls => Amount::from_count(self.calls),
            Unit::Attempts => Amount::from_count(self.attempts),
        }
    }
}

/// The worst case of one call on one model.
#[derive(Debug, Clone)]
pub struct Demand {
    /// The model.
    pub model: ModelRef,
    /// Its unit prices; `None` = unpriced.
    pub sheet: Option<Arc<PriceSheet>>,
    /// What the caller estimates.
    pub estimate: Estimate,
    /// The worst case of it.
    pub worst: Worst,
}

impl Demand {
    /// Prices the worst case of `estimate` on `model`.
    ///
    /// # Errors
    /// [`PriceError`] where the cost cannot be held.
    pub fn new(model: ModelRef, sheet: Option<Arc<PriceSheet>>, estimate: Estimate) -> Result<Self, PriceError> {
        let worst = worst_case(&estimate, sheet.as_deref())?;
        Ok(Self { model, sheet, estimate, worst })
    }

    /// The same call with its output capped.
    ///
    /// # Errors
    /// [`PriceError`].
    pub fn with_output(&self, max_output_tokens: u64) -> Result<Self, PriceError> {
        let estimate = Estimate { max_output_tokens: Some(max_output_tokens), ..self.estimate.clone() };
        Self::new(self.model.clone(), self.sheet.clone(), estimate)
    }

    /// Whether no complete price is known: its dollars say nothing.
    pub fn is_unpriced(&self) -> bool {
        matches!(self.worst.cost.state, PriceState::Unpriced | PriceState::Partial)
    }

    /// Whether its price is zero: such a call passes budgets in dollars, exhausted ones too. An estimate of nothing on a
    /// priced model is not free.
    pub fn is_free(&self) -> bool {
        self.worst.cost.state == PriceState::Free || self.estimate.amount_usd.is_some_and(Usd::is_zero)
    }

    /// Its quantities.
    pub fn quantities(&self) -> Quantities {
        Quantities {
            usd: self.worst.cost.usd,
            input_tokens: self.worst.input_tokens,
            output_tokens: self.worst.output_tokens,
            calls: self.worst.calls,
            attempts: self.worst.calls,
        }
    }
}
