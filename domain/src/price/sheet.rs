//! The unit prices in force for one model.

use std::collections::BTreeMap;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::line::LineKind;
use super::unit_price::UnitPrice;
use crate::amount::Amount;
use crate::tokens::TokenUsage;

/// The unit that every call uses once, where a model's prices name it: a fee per request.
pub const REQUEST_UNIT: &str = "request";

/// The price of one line.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Rate {
    /// What it prices.
    pub line: LineKind,
    /// What that costs.
    pub price: UnitPrice,
    /// Counts for calls with more input tokens than this, all classes together; of several, that with the highest
    /// threshold counts for the whole call. Absent = for calls of any size.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub above_input_tokens: Option<u64>,
    /// What a smaller quantity above zero is billed as.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub minimum: Option<Amount>,
    /// The price entry that it comes from.
    pub price_id: String,
}

impl Rate {
    /// A rate for calls of any size.
    pub fn new(line: LineKind, price: UnitPrice, price_id: impl Into<String>) -> Self {
        Self { line, price, above_input_tokens: None, minimum: None, price_id: price_id.into() }
    }

    /// What `quantity` is billed as.
    pub fn billed(&self, quantity: Amount) -> Amount {
        match self.minimum {
            Some(minimum) if !quantity.is_zero() => quantity.max(minimum),
            _ => quantity,
        }
    }
}

/// Every rate in force for one model at one instant.
///
/// A recorded call refers to a copy of the sheet that priced it, so that its cost can be recomputed to the last digit
/// when the catalog has moved on. Copies are interned by their JSON: a sheet from the catalog serialises to the same
/// bytes every time, its rates sorted and its decimals without trailing zeros.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PriceSheet {
    /// The version of the catalog.
    pub catalog_version: String,
    /// The provider whose price list it comes from.
    pub provider_name: String,
    /// The catalog's name of the model.
    pub model: String,
    /// The rates, sorted by line and threshold, one for each pair.
    pub rates: Vec<Rate>,
    /// Most tokens that one answer may have.
    pub max_output_tokens: u64,
    /// The sheets of other models that the call was billed as, by the names that the provider gave them.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub others: BTreeMap<String, Self>,
}

/// By what names it and its first rate: every event looks its sheet up, and to go through all rates each time costs more than the
/// rare sheets do that differ in nothing else.
impl Hash for PriceSheet {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.catalog_version.hash(state);
        self.provider_name.hash(state);
        self.model.hash(state);
        self.rates.len().hash(state);
        self.rates.first().map(|rate| &rate.price_id).hash(state);
        self.others.len().hash(state);
    }
}

impl PriceSheet {
    /// The rate for `line` in a call of so many input tokens: its own, else that of the nearest line with one.
    pub fn rate(&self, line: &LineKind, total_input_tokens: u64) -> Option<&Rate> {
        if let Some(rate) = self.own_rate(line, total_input_tokens) {
            return Some(rate);
        }
        line.substitutes().iter().find_map(|substitute| self.own_rate(substitute, total_input_tokens))
    }

    fn own_rate(&self, line: &LineKind, total_input_tokens: u64) -> Option<&Rate> {
        let applies = |rate: &&Rate| {
            rate.line == *line && rate.above_input_tokens.is_none_or(|threshold| total_input_tokens > threshold)
        };
        self.rates.iter().filter(applies).max_by_key(|rate| rate.above_input_tokens)
    }

    /// The sheet as it applies to a call of so many input tokens: without thresholds, so that the counts of many calls
    /// priced by it may be added up before they are priced.
    pub fn applied(self: &Arc<Self>, total_input_tokens: u64) -> Arc<Self> {
        if self.rates.iter().all(|rate| rate.above_input_tokens.is_none()) {
            return Arc::clone(self);
        }
        let applies = |rate: &&Rate| {
            self.own_rate(&rate.line, total_input_tokens).is_some_and(|applied| std::ptr::eq(applied, *rate))
        };
        let flat = |rate: &Rate| Rate { above_input_tokens: None, ..rate.clone() };
        Arc::new(Self { rates: self.rates.iter().filter(applies).map(flat).collect(), ..Self::clone(self) })
    }

    /// [`Self::applied`] to a call of `usage`.
    pub fn applied_to(self: &Arc<Self>, usage: Option<&TokenUsage>) -> Arc<Self> {
        self.applied(usage.and_then(|usage| usage.total_input).unwrap_or(0))
    }

    /// Whether the cost of summed token counts is the sum of the costs: nothing is rounded, and nothing depends on the
    /// size of a single call.
    pub fn is_linear(&self) -> bool {
        self.rates
            .iter()
            .all(|rate| rate.price.never_rounds() && rate.above_input_tokens.is_none() && rate.minimum.is_none())
            && self.request_rate().is_none()
            && self.others.is_empty()
    }

    /// The fee of one request, where the model has one.
    pub fn request_rate(&self) -> Option<&Rate> {
        self.rates.iter().find(|rate| matches!(&rate.line, LineKind::Unit(unit) if unit == REQUEST_UNIT))
    }

    /// Whether it has rates and all of them are zero. A price of zero is a price; no rate is none.
    pub fn is_free(&self) -> bool {
        !self.rates.is_empty() && self.rates.iter().all(|rate| rate.price.is_zero())
    }
}

#[cfg(test)]
mod tests {
    use rust_decimal::Decimal;

    use super::*;

    fn tiered() -> Arc<PriceSheet> {
        let rate = |usd: i64, above: Option<u64>| Rate {
            above_input_tokens: above,
            ..Rate::new(LineKind::InputText, UnitPrice::each(Decimal::from(usd)), "p")
        };
        Arc::new(PriceSheet {
            catalog_version: "1".into(),
            provider_name: "p".into(),
            model: "m".into(),
            rates: vec![rate(1, None), rate(2, Some(100)), rate(3, Some(200))],
            max_output_tokens: 0,
            others: BTreeMap::new(),
        })
    }

    #[test]
    fn a_threshold_counts_for_calls_above_it() {
        let sheet = tiered();
        for (input, usd) in [(0, 1), (100, 1), (101, 2), (200, 2), (201, 3), (u64::MAX, 3)] {
            let rate = sheet.rate(&LineKind::InputText, input).unwrap();
            assert_eq!(rate.price.usd, Decimal::from(usd), "{input}");
            let applied = sheet.applied(input);
            assert_eq!(applied.rates.len(), 1);
            assert_eq!(applied.rates.first().unwrap().price.usd, Decimal::from(usd), "{input}");
            assert!(applied.is_linear() && !sheet.is_linear());
        }
    }

    #[test]
    fn a_minimum_is_for_what_was_used() {
        let second = LineKind::Unit("audio_second".into());
        let rate = Rate { minimum: "10".parse().ok(), ..Rate::new(second, UnitPrice::each(Decimal::ONE), "p") };
        let billed = |text: &str| rate.billed(text.parse().unwrap()).to_string();
        assert_eq!([billed("0"), billed("0.5"), billed("10"), billed("11")], ["0", "10", "10", "11"]);
    }
}
