//! The most that a planned call may cost.

use std::fmt::Display;

use serde::{Deserialize, Serialize};

use super::catalog::DEFAULT_MAX_OUTPUT_TOKENS;
use super::cost::{Cost, PriceError, PriceState, UnitCount};
use super::line::LineKind;
use super::pricing::Tally;
use super::sheet::{PriceSheet, REQUEST_UNIT, Rate};
use crate::amount::{Amount, Usd};
use crate::tokens::{TOKENS_LIMIT, TokenClass};
use crate::violation::{Violation, Violations};

/// Most choices of one call, and most calls of one estimate.
pub const REPETITIONS_LIMIT: u32 = 1_000_000;

/// What a caller expects of a call, or of several alike.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(default)]
pub struct Estimate {
    /// Input tokens of one call, cached included; absent = none assumed.
    pub input_tokens: Option<u64>,
    /// How many of them will be read from a prompt cache.
    pub cache_read_tokens: Option<u64>,
    /// Most output tokens of one choice; absent = the model's maximum.
    pub max_output_tokens: Option<u64>,
    /// Answers asked for in one call; 0 = 1.
    pub choices: u32,
    /// Calls; 0 = 1.
    pub calls: u32,
    /// Other counted units of one call.
    pub units: Vec<UnitCount>,
    /// The whole cost as the caller knows it: set, nothing is computed.
    pub amount_usd: Option<Usd>,
}

impl Estimate {
    /// Checks bounds and consistency.
    ///
    /// # Errors
    /// Every violation, with field paths below `path`.
    pub fn validated(self, path: impl Display) -> Result<Self, Vec<Violation>> {
        let mut violations = Violations::new();
        for (name, tokens) in [
            ("input_tokens", self.input_tokens),
            ("cache_read_tokens", self.cache_read_tokens),
            ("max_output_tokens", self.max_output_tokens),
        ] {
            let too_many = tokens.is_some_and(|tokens| tokens > TOKENS_LIMIT);
            violations.add_if(too_many, format_args!("{path}.{name}"), format_args!("must be at most {TOKENS_LIMIT}"));
        }
        for (name, count) in [("choices", self.choices), ("calls", self.calls)] {
            let rule = format_args!("must be at most {REPETITIONS_LIMIT}");
            violations.add_if(count > REPETITIONS_LIMIT, format_args!("{path}.{name}"), rule);
        }
        violations.add_if(
            self.cache_read_tokens > Some(self.input_tokens.unwrap_or(0)),
            format_args!("{path}.cache_read_tokens"),
            "must be at most input_tokens: those include it",
        );
        for (position, count) in self.units.iter().enumerate() {
            let field = format_args!("{path}.units[{position}].quantity");
            violations.add_if(count.quantity.is_negative(), field, "must be zero or more");
        }
        let negative = self.amount_usd.is_some_and(Usd::is_negative);
        violations.add_if(negative, format_args!("{path}.amount_usd"), "must be zero or more");
        violations.into_result(self)
    }

    /// Calls, at least 1.
    pub fn calls(&self) -> u64 {
        u64::from(self.calls.max(1))
    }

    /// Answers over all calls.
    fn answers(&self) -> Result<u64, PriceError> {
        u64::from(self.choices.max(1)).checked_mul(self.calls()).ok_or(PriceError::TooLarge)
    }

    /// Input tokens of one call: decides between rates by context size.
    pub fn context(&self) -> u64 {
        self.input_tokens.unwrap_or(0)
    }

    /// Input tokens over all calls: not cached, and cached.
    fn input(&self) -> Result<(u64, u64), PriceError> {
        let input = self.input_tokens.unwrap_or(0);
        let cached = self.cache_read_tokens.unwrap_or(0).min(input);
        Ok((multiplied(input - cached, self.calls())?, multiplied(cached, self.calls())?))
    }
}

/// The most that an estimate allows for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Worst {
    /// What it costs.
    pub cost: Cost,
    /// Input tokens over all calls.
    pub input_tokens: u64,
    /// Output tokens over all calls and choices.
    pub output_tokens: u64,
    /// Calls.
    pub calls: u64,
}

/// The worst case of `estimate` at the rates of `sheet`.
///
/// The input counts once per call, its cached part at the cache's rate; the output counts once per choice and call, at
/// the dearer of the rates for text and for reasoning, since nobody knows the share of either before the call. Rates by
/// context size are those of one call's input. Without
/// a sheet, the tokens are computed and the cost is unpriced.
///
/// # Errors
/// [`PriceError`] where a product or the sum does not fit, or a quantity is negative.
pub fn worst_case(estimate: &Estimate, sheet: Option<&PriceSheet>) -> Result<Worst, PriceError> {
    let (plain, cached) = estimate.input()?;
    let assumed_output = match (estimate.amount_usd, sheet) {
        // The caller knows the cost, so that no model's maximum enters: the call may not even be one of a model.
        (Some(_), _) => 0,
        (None, Some(sheet)) => sheet.max_output_tokens,
        (None, None) => DEFAULT_MAX_OUTPUT_TOKENS,
    };
    let output_tokens = multiplied(estimate.max_output_tokens.unwrap_or(assumed_output), estimate.answers()?)?;
    let cost = match (estimate.amount_usd, sheet) {
        (Some(usd), sheet) => Cost {
            state: PriceState::Priced,
            usd,
            lines: Vec::new(),
            catalog_version: sheet.map(|sheet| sheet.catalog_version.clone()).unwrap_or_default(),
        },
        (None, None) => Cost::unpriced(),
        (None, Some(sheet)) => {
            let mut tally = without_output(estimate, sheet)?;
            tally.add(output_line(sheet, estimate.context()), Amount::from_count(output_tokens)?)?;
            tally.into_cost()
        }
    };
    let input_tokens = plain.checked_add(cached).ok_or(PriceError::TooLarge)?;
    Ok(Worst { cost, input_tokens, output_tokens, calls: estimate.calls() })
}

/// The largest `max_output_tokens` with which the worst case of `estimate` costs at most `available`.
///
/// Like that field, it counts for one choice of one call; the estimate's own maximum does not matter. 0 where not even
/// the input is affordable. At most [`TOKENS_LIMIT`]. `None` where money sets no bound (the output is free, or
/// `amount_usd` is set) or knows none (a rate is missing, or a number does not fit).
pub fn affordable_output_tokens(estimate: &Estimate, sheet: Option<&PriceSheet>, available: Usd) -> Option<u64> {
    let sheet = sheet.filter(|_| estimate.amount_usd.is_none())?;
    let rate = sheet.rate(&output_line(sheet, estimate.context()), estimate.context())?;
    let fixed = without_output(estimate, sheet).ok().filter(|tally| !tally.is_partial())?.usd();
    if fixed > available && !sheet.is_free() {
        return Some(0);
    }
    if rate.price.is_zero() {
        return None;
    }
    let left = available.minus(fixed).ok()?;
    let answers = estimate.answers().ok()?;
    let fits = |tokens: u64| output_usd(tokens, answers, rate).is_ok_and(|usd| usd <= left);
    let (mut affordable, mut beyond) = (0, TOKENS_LIMIT + 1);
    // The quotient nearly always is the answer. The rounding of the line is what decides, whatever the quotient is.
    if let Some(all) = rate.price.affords(left) {
        let likely = (all / answers).min(TOKENS_LIMIT);
        if fits(likely) {
            affordable = likely;
        } else {
            beyond = likely;
        }
        if likely + 1 < beyond && !fits(likely + 1) {
            beyond = likely + 1;
        }
    }
    while beyond - affordable > 1 {
        let middle = affordable + (beyond - affordable) / 2;
        if fits(middle) { affordable = middle } else { beyond = middle }
    }
    Some(affordable)
}

/// What the input and the units cost.
fn without_output<'a>(estimate: &Estimate, sheet: &'a PriceSheet) -> Result<Tally<'a>, PriceError> {
    let (plain, cached) = estimate.input()?;
    let mut tally = Tally::new(sheet, estimate.context());
    tally.add(LineKind::InputText, Amount::from_count(plain)?)?;
    tally.add(LineKind::class(TokenClass::CacheRead), Amount::from_count(cached)?)?;
    for count in &estimate.units {
        let quantity = count.quantity.decimal().checked_mul(estimate.calls().into()).ok_or(PriceError::TooLarge)?;
        tally.add(LineKind::Unit(count.unit.clone()), Amount::new(quantity)?)?;
    }
    if !estimate.units.iter().any(|count| count.unit == REQUEST_UNIT) {
        tally.add_requests(estimate.calls())?;
    }
    Ok(tally)
}

/// The dearer of text and reasoning.
fn output_line(sheet: &PriceSheet, input_tokens: u64) -> LineKind {
    let reasoning = LineKind::class(TokenClass::Reasoning);
    let rates = [&reasoning, &LineKind::OutputText].map(|line| sheet.rate(line, input_tokens));
    let [for_reasoning, for_text] = rates.map(|rate| rate.map(|rate| rate.price));
    // Most models have one rate for both: no quotient is needed to see it.
    let dearer = for_reasoning != for_text
        && for_reasoning.map(|price| price.per_unit()) > for_text.map(|price| price.per_unit());
    if dearer { reasoning } else { LineKind::OutputText }
}

fn output_usd(tokens: u64, answers: u64, rate: &Rate) -> Result<Usd, PriceError> {
    rate.price.of(Amount::from_count(multiplied(tokens, answers)?)?)
}

fn multiplied(left: u64, right: u64) -> Result<u64, PriceError> {
    left.checked_mul(right).ok_or(PriceError::TooLarge)
}

#[cfg(test)]
mod tests;
