//! What a call costs, line by line.

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::line::LineKind;
use super::sheet::Rate;
use super::unit_price::UnitPrice;
use crate::amount::{Amount, AmountError, Usd};

/// How far a call could be priced.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PriceState {
    /// Everything that was used has a rate.
    Priced,
    /// Everything that was used has a rate of zero.
    Free,
    /// Something that was used has no rate: the cost is what the rest costs.
    Partial,
    /// The model has no price: the cost is unknown, and its zero no price.
    Unpriced,
}

/// A count of something other than tokens.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct UnitCount {
    /// What was counted, for example `web_search`.
    pub unit: String,
    /// How many.
    pub quantity: Amount,
}

/// Why a cost cannot be computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum PriceError {
    /// A product or a sum outgrows what money can hold.
    #[error("the cost is too large to be held: send smaller quantities")]
    TooLarge,
    /// A quantity or a rate is below zero.
    #[error("a quantity or a rate is negative: it must be zero or more")]
    Negative,
}

impl From<AmountError> for PriceError {
    fn from(_: AmountError) -> Self {
        Self::TooLarge
    }
}

/// One line: a quantity at a price.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct CostLine {
    /// What was used, also where a parent's rate prices it.
    pub line: LineKind,
    /// Tokens or units.
    pub quantity: Amount,
    /// What one costs.
    pub price: UnitPrice,
    /// Their product, rounded once, half-even, to 12 decimals (contract, decision 12).
    pub usd: Usd,
    /// The catalog's price entry.
    pub price_id: String,
    /// The catalog's name of the model: one answer can bill two.
    pub model: String,
}

impl CostLine {
    /// Charges `quantity` of `line` at `rate`, at least the rate's minimum.
    ///
    /// # Errors
    /// [`PriceError`] where the product does not fit or a factor is negative.
    pub fn new(line: LineKind, quantity: Amount, rate: &Rate, model: &str) -> Result<Self, PriceError> {
        let quantity = rate.billed(quantity);
        Ok(Self {
            line,
            quantity,
            price: rate.price,
            usd: rate.price.of(quantity)?,
            price_id: rate.price_id.clone(),
            model: model.to_owned(),
        })
    }
}

/// What a call costs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cost {
    /// How far it could be priced.
    pub state: PriceState,
    /// The exact sum of the lines, never rounded.
    pub usd: Usd,
    /// One line for each thing that was used and has a rate; a quantity of zero has none.
    pub lines: Vec<CostLine>,
    /// The version of the catalog; empty where no price was found.
    pub catalog_version: String,
}

impl Cost {
    /// The cost of a call whose model has no price.
    pub fn unpriced() -> Self {
        Self { state: PriceState::Unpriced, usd: Usd::ZERO, lines: Vec::new(), catalog_version: String::new() }
    }
}
