//! Building prices, and questions about what a call would cost.

use std::time::SystemTime;

use rust_decimal::Decimal;
use tollgate_proto::v1;
use tollgate_proto::v1::estimate_cost_request::Usage;

use crate::count::{count, wire_time};
use crate::model::Model;
use crate::tokens::Tokens;

/// How many tokens published token prices are for.
const TOKENS: i64 = 1_000_000;

/// What a model costs from a moment on. A `*` at the end of the model stands for any rest.
#[derive(Debug, Clone, PartialEq)]
#[must_use = "a price does nothing until it is set"]
pub struct PriceBuilder {
    message: v1::Price,
}

impl PriceBuilder {
    /// The price of the whole model, from now on: a line that is not named has no price.
    pub fn of_model(model: impl Into<Model>) -> Self {
        Self::new(model.into(), v1::price::Coverage::Model)
    }

    /// The price of the lines that are named, from now on: the others keep theirs.
    pub fn of_lines(model: impl Into<Model>) -> Self {
        Self::new(model.into(), v1::price::Coverage::Lines)
    }

    fn new(model: Model, coverage: v1::price::Coverage) -> Self {
        let message = v1::Price {
            model: Some(model.into()),
            coverage: coverage.into(),
            start_time: Some(wire_time(SystemTime::now())),
            ..Default::default()
        };
        Self { message }
    }

    /// The price of a million tokens of a line such as `input`, `output` or `cache_read`, in USD.
    pub fn per_million(self, line: impl Into<String>, usd: Decimal) -> Self {
        self.rate(line, usd, TOKENS)
    }

    /// The price of one unit such as `page`, in USD.
    pub fn each(self, unit: impl Into<String>, usd: Decimal) -> Self {
        self.rate(unit, usd, 1)
    }

    fn rate(mut self, line: impl Into<String>, usd: Decimal, per: i64) -> Self {
        self.message.rates.push(v1::PriceRate { line: line.into(), usd: usd.to_string(), per, ..Default::default() });
        self
    }

    /// A factor on every line after everything else, for example 0.85 for a discount of 15 %.
    pub fn multiplier(mut self, factor: Decimal) -> Self {
        self.message.multiplier = factor.to_string();
        self
    }

    /// From when calls are priced so, in place of now.
    pub fn from(mut self, start: SystemTime) -> Self {
        self.message.start_time = Some(wire_time(start));
        self
    }

    /// Until when, exclusive. Unless set, until something supersedes it.
    pub fn until(mut self, end: SystemTime) -> Self {
        self.message.end_time = Some(wire_time(end));
        self
    }

    /// Where the price was read, or with whom it was agreed.
    pub fn note(mut self, note: impl Into<String>) -> Self {
        self.message.note = note.into();
        self
    }

    /// Changes the message for what has no method here.
    pub fn with(mut self, change: impl FnOnce(&mut v1::Price)) -> Self {
        change(&mut self.message);
        self
    }
}

impl From<PriceBuilder> for v1::Price {
    fn from(price: PriceBuilder) -> Self {
        price.message
    }
}

/// A question what a call would cost.
#[derive(Debug, Clone, PartialEq)]
#[must_use = "a question does nothing until it is asked"]
pub struct CostRequest {
    message: v1::EstimateCostRequest,
}

impl CostRequest {
    /// What exactly these counts cost.
    pub fn tokens(model: impl Into<Model>, tokens: Tokens) -> Self {
        Self::new(model.into(), Usage::Tokens(tokens.into()))
    }

    /// What a call costs at most that reads so many tokens and writes up to so many; unless given, the model's maximum.
    pub fn at_most(model: impl Into<Model>, input: u64, max_output: Option<u64>) -> Self {
        let estimate = v1::Estimate {
            input_tokens: Some(count(input)),
            max_output_tokens: max_output.map(count),
            ..Default::default()
        };
        Self::new(model.into(), Usage::Estimate(estimate))
    }

    /// The same for a text of so many characters, whose tokens Tollgate estimates.
    pub fn at_most_for_text(model: impl Into<Model>, characters: u64, max_output: Option<u64>) -> Self {
        let estimate = v1::Estimate {
            input_characters: Some(count(characters)),
            max_output_tokens: max_output.map(count),
            ..Default::default()
        };
        Self::new(model.into(), Usage::Estimate(estimate))
    }

    fn new(model: Model, usage: Usage) -> Self {
        let message = v1::EstimateCostRequest { model: Some(model.into()), usage: Some(usage), ..Default::default() };
        Self { message }
    }

    /// What the call uses besides tokens, for example 2 of `web_search`.
    pub fn unit(mut self, unit: impl Into<String>, quantity: impl Into<Decimal>) -> Self {
        let unit = v1::UnitCount { unit: unit.into(), quantity: quantity.into().to_string() };
        match &mut self.message.usage {
            Some(Usage::Estimate(estimate)) => estimate.units.push(unit),
            _ => self.message.units.push(unit),
        }
        self
    }

    /// When the call starts, in place of now.
    pub fn at(mut self, start: SystemTime) -> Self {
        self.message.start_time = Some(wire_time(start));
        self
    }
}

impl From<CostRequest> for v1::EstimateCostRequest {
    fn from(request: CostRequest) -> Self {
        request.message
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_go_where_the_question_has_them() {
        let exact = v1::EstimateCostRequest::from(CostRequest::tokens(("p", "m"), Tokens::new(1, 2)).unit("page", 1));
        assert_eq!(exact.units.len(), 1);
        let most = v1::EstimateCostRequest::from(CostRequest::at_most(("p", "m"), 1, None).unit("page", 1));
        assert!(most.units.is_empty());
        assert!(matches!(most.usage, Some(Usage::Estimate(estimate)) if estimate.units.len() == 1));
    }
}
