//! Prices what a call used.

use super::cost::{Cost, CostLine, PriceError, PriceState, UnitCount};
use super::line::LineKind;
use super::sheet::{PriceSheet, REQUEST_UNIT};
use crate::amount::{Amount, Usd};
use crate::tokens::{Side, TokenUsage};

/// The cost of `usage` and `units` at the rates of `sheet`, class by class over disjoint parts.
///
/// A class without a rate takes that of the nearest line with one; where there is none, the cost is
/// [`PriceState::Partial`]. No sheet means an unknown model: [`PriceState::Unpriced`]. Totals that are absent charge
/// nothing. A fee per request is charged once, unless `units` count requests or nothing was used at all.
///
/// # Errors
/// [`PriceError`] where a line or the sum does not fit, or a quantity is negative.
pub fn price(usage: Option<&TokenUsage>, units: &[UnitCount], sheet: Option<&PriceSheet>) -> Result<Cost, PriceError> {
    let Some(sheet) = sheet else { return Ok(Cost::unpriced()) };
    let mut tally = Tally::new(sheet, usage.and_then(|usage| usage.total_input).unwrap_or(0));
    if let Some(usage) = usage {
        for side in [Side::Input, Side::Output] {
            if let Some(tokens) = usage.plain_text(side) {
                tally.add(LineKind::plain_text(side), Amount::from_count(tokens)?)?;
            }
        }
        for part in &usage.parts {
            let line = LineKind::Class { class: part.class, cache_ttl_seconds: part.cache_ttl_seconds };
            tally.add(line, Amount::from_count(part.tokens)?)?;
        }
    }
    for count in units {
        tally.add(LineKind::Unit(count.unit.clone()), count.quantity)?;
    }
    let counts_requests = units.iter().any(|count| count.unit == REQUEST_UNIT);
    if (usage.is_some() || !units.is_empty()) && !counts_requests {
        tally.add_requests(1)?;
    }
    Ok(tally.into_cost())
}

/// Lines added up so far.
pub(super) struct Tally<'a> {
    sheet: &'a PriceSheet,
    /// Of one call: decides between rates by context size.
    total_input_tokens: u64,
    lines: Vec<CostLine>,
    usd: Usd,
    some_without_rate: bool,
}

impl<'a> Tally<'a> {
    /// Nothing yet, at the rates of `sheet` for calls of so many input tokens.
    pub(super) fn new(sheet: &'a PriceSheet, total_input_tokens: u64) -> Self {
        Self { sheet, total_input_tokens, lines: Vec::new(), usd: Usd::ZERO, some_without_rate: false }
    }

    /// Adds `quantity` of `line`.
    pub(super) fn add(&mut self, line: LineKind, quantity: Amount) -> Result<(), PriceError> {
        if quantity.is_zero() {
            return Ok(());
        }
        let Some(rate) = self.sheet.rate(&line, self.total_input_tokens) else {
            self.some_without_rate = true;
            return Ok(());
        };
        let line = CostLine::new(line, quantity, rate, &self.sheet.model)?;
        self.usd = self.usd.plus(line.usd)?;
        self.lines.push(line);
        Ok(())
    }

    /// Adds the fee of `requests`, where the model has one.
    pub(super) fn add_requests(&mut self, requests: u64) -> Result<(), PriceError> {
        match self.sheet.request_rate() {
            Some(rate) => self.add(rate.line.clone(), Amount::from_count(requests)?),
            None => Ok(()),
        }
    }

    /// What it costs until now.
    pub(super) fn usd(&self) -> Usd {
        self.usd
    }

    /// Whether something that was added has no rate.
    pub(super) fn is_partial(&self) -> bool {
        self.some_without_rate
    }

    /// The cost.
    pub(super) fn into_cost(self) -> Cost {
        let state = if self.some_without_rate {
            PriceState::Partial
        } else if self.lines.is_empty() {
            if self.sheet.is_free() { PriceState::Free } else { PriceState::Priced }
        } else if self.lines.iter().all(|line| line.price.is_zero()) {
            PriceState::Free
        } else {
            PriceState::Priced
        };
        Cost { state, usd: self.usd, lines: self.lines, catalog_version: self.sheet.catalog_version.clone() }
    }
}

#[cfg(test)]
mod tests;
