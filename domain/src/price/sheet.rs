//! The unit prices in force for one model.

use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

use super::line::LineKind;

/// The price of one line.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Rate {
    /// What it prices.
    pub line: LineKind,
    /// US dollars for one token or one unit, exact, never negative.
    pub usd_per_unit: Decimal,
    /// The catalog's price entry that it comes from.
    pub price_id: String,
}

/// Every rate in force for one model at one instant.
///
/// A recorded call refers to a copy of the sheet that priced it, so that its cost can be recomputed to the last digit
/// when the catalog has moved on. Copies are interned by their JSON: a sheet from the catalog serialises to the same
/// bytes every time, its rates sorted by line and its decimals without trailing zeros.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct PriceSheet {
    /// The version of the catalog.
    pub catalog_version: String,
    /// The provider's OpenTelemetry name.
    pub provider_name: String,
    /// The catalog's name of the model.
    pub model: String,
    /// The rates, one per line.
    pub rates: Vec<Rate>,
    /// Most tokens that one answer may have.
    pub max_output_tokens: u64,
}

impl PriceSheet {
    /// The rate for `line`: its own, else its nearest priced parent's.
    pub fn rate(&self, line: &LineKind) -> Option<&Rate> {
        if let Some(rate) = self.rates.iter().find(|rate| rate.line == *line) {
            return Some(rate);
        }
        self.rate(&line.parent()?)
    }

    /// Whether it has rates and all of them are zero. A price of zero is a price; no rate is none.
    pub fn is_free(&self) -> bool {
        !self.rates.is_empty() && self.rates.iter().all(|rate| rate.usd_per_unit.is_zero())
    }
}
