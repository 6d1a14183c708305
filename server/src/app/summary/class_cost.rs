//! The cost by class of single events. Rollups carry it; a row carries tokens and a price sheet instead.
//!
//! Where no line of a sheet is ever rounded and none depends on the size of a call, the cost of the summed tokens is the
//! sum of the costs: one multiplication for any number of events. All other events are priced one by one.

use std::collections::HashMap;
use std::sync::Arc;

use serde::Deserialize as _;
use tollgate_domain::amount::Usd;
use tollgate_domain::extract::ModelUsage;
use tollgate_domain::measures::{CostClass, Measures};
use tollgate_domain::price::{Cost, LineKind, PriceSheet, UnitCount, Used, price};
use tollgate_domain::tokens::{TokenClass, TokenPart, TokenUsage};

use super::event;
use super::failure::Failure;
use crate::store::StoreError;
use crate::store::summaries::SummedEvent;

/// The price sheets of a tenant.
#[derive(Debug, Default)]
pub(super) struct Sheets {
    sheets: HashMap<i64, (Arc<PriceSheet>, bool)>,
}

impl Sheets {
    /// Finds out by which of them sums may be priced.
    pub(super) fn new(sheets: HashMap<i64, Arc<PriceSheet>>) -> Self {
        let sheets = sheets.into_iter().map(|(number, sheet)| {
            let sums = sheet.is_linear();
            (number, (sheet, sums))
        });
        Self { sheets: sheets.collect() }
    }

    fn sheet(&self, number: i64) -> Result<(&PriceSheet, bool), StoreError> {
        let (sheet, linear) = self.sheets.get(&number).ok_or(StoreError::Unreadable { what: "price sheet" })?;
        Ok((sheet, *linear))
    }
}

/// Tokens that are priced together at the end, by price sheet.
#[derive(Debug, Default)]
pub(super) struct Deferred {
    by_sheet: HashMap<i64, TokenSums>,
}

#[derive(Debug, Default)]
struct TokenSums {
    input: u64,
    output: u64,
    classes: [u64; TokenClass::ALL.len()],
}

impl Deferred {
    /// Adds the event's cost by class to `measures`, or its tokens to what is priced at the end.
    ///
    /// # Errors
    /// [`Failure`] where the row cannot be read or a sum cannot be held.
    pub(super) fn charge(
        &mut self,
        measures: &mut Measures,
        candidate: &SummedEvent,
        sheets: &Sheets,
    ) -> Result<(), Failure> {
        let Some(number) = candidate.price_sheet_id.filter(|_| !candidate.memo && !candidate.response_cache_hit) else {
            return Ok(());
        };
        let (sheet, linear) = sheets.sheet(number)?;
        let summable = candidate.used
            && candidate.units.is_none()
            && candidate.cache_write_ttls.is_none()
            && candidate.additional.is_none();
        if linear && summable {
            return self.by_sheet.entry(number).or_default().add(candidate);
        }
        let units: Vec<UnitCount> = match &candidate.units {
            Some(units) => Vec::deserialize(units).map_err(|_| unreadable())?,
            None => Vec::new(),
        };
        let additional: Vec<ModelUsage> = match &candidate.additional {
            Some(parts) => Vec::deserialize(parts).map_err(|_| unreadable())?,
            None => Vec::new(),
        };
        let usage = usage(candidate)?;
        let used = Used { usage: Some(&usage).filter(|_| candidate.used), units: &units, additional: &additional };
        add_lines(measures, &used.bill(Some(sheet)).map_err(|_| Failure::TooLarge)?)
    }

    /// Adds what another cell deferred.
    ///
    /// # Errors
    /// [`Failure::TooLarge`].
    pub(super) fn merge(&mut self, other: Self) -> Result<(), Failure> {
        for (number, sums) in other.by_sheet {
            self.by_sheet.entry(number).or_default().merge(&sums)?;
        }
        Ok(())
    }

    /// Prices everything deferred into `measures`.
    ///
    /// # Errors
    /// [`Failure`].
    pub(super) fn settle(self, measures: &mut Measures, sheets: &Sheets) -> Result<(), Failure> {
        for (number, sums) in self.by_sheet {
            let (sheet, _) = sheets.sheet(number)?;
            let cost = price(Some(&sums.usage()), &[], Some(sheet)).map_err(|_| Failure::TooLarge)?;
            add_lines(measures, &cost)?;
        }
        Ok(())
    }
}

impl TokenSums {
    fn add(&mut self, candidate: &SummedEvent) -> Result<(), Failure> {
        let added = Self {
            input: count(candidate.input_tokens)?,
            output: count(candidate.output_tokens)?,
            classes: {
                let mut classes = [0; TokenClass::ALL.len()];
                for (sum, tokens) in classes.iter_mut().zip(event::class_tokens(candidate)) {
                    *sum = count(tokens)?;
                }
                classes
            },
        };
        self.merge(&added)
    }

    fn merge(&mut self, other: &Self) -> Result<(), Failure> {
        let sums = [&mut self.input, &mut self.output].into_iter().chain(&mut self.classes);
        for (sum, added) in sums.zip([other.input, other.output].into_iter().chain(other.classes)) {
            *sum = sum.checked_add(added).ok_or(Failure::TooLarge)?;
        }
        Ok(())
    }

    fn usage(&self) -> TokenUsage {
        let mut usage = TokenUsage::reported(self.input, self.output);
        for (class, tokens) in TokenClass::ALL.into_iter().zip(self.classes) {
            usage.parts.push(TokenPart { class, tokens, cache_ttl_seconds: None });
        }
        usage
    }
}

/// The usage of one event, cache writes apart by their time to live.
fn usage(candidate: &SummedEvent) -> Result<TokenUsage, StoreError> {
    let mut usage = TokenUsage::reported(0, 0);
    usage.total_input = candidate.input_tokens.map(u64::try_from).transpose().map_err(|_| unreadable())?;
    usage.total_output = candidate.output_tokens.map(u64::try_from).transpose().map_err(|_| unreadable())?;
    for (class, tokens) in TokenClass::ALL.into_iter().zip(event::class_tokens(candidate)) {
        let mut rest = count(tokens)?;
        let lived = candidate.cache_write_ttls.as_deref().filter(|_| class == TokenClass::CacheWrite);
        for pair in lived.unwrap_or_default().chunks_exact(2) {
            let [seconds, tokens] = pair else { continue };
            let tokens = count(Some(*tokens))?;
            let seconds = u32::try_from(*seconds).map_err(|_| unreadable())?;
            usage.parts.push(TokenPart { class, tokens, cache_ttl_seconds: Some(seconds) });
            rest = rest.saturating_sub(tokens);
        }
        usage.parts.push(TokenPart { class, tokens: rest, cache_ttl_seconds: None });
    }
    Ok(usage)
}

fn add_lines(measures: &mut Measures, cost: &Cost) -> Result<(), Failure> {
    for line in &cost.lines {
        if let Some(sum) = measures.class_usd.get_mut(class_of(&line.line).index()) {
            *sum = Some(sum.unwrap_or(Usd::ZERO).plus(line.usd)?);
        }
    }
    Ok(())
}

fn class_of(line: &LineKind) -> CostClass {
    match line {
        LineKind::InputText => CostClass::TextIn,
        LineKind::OutputText => CostClass::TextOut,
        LineKind::Class { class, .. } => CostClass::Class(*class),
        LineKind::Unit(_) => CostClass::Units,
    }
}

fn count(tokens: Option<i64>) -> Result<u64, StoreError> {
    u64::try_from(tokens.unwrap_or(0)).map_err(|_| unreadable())
}

fn unreadable() -> StoreError {
    StoreError::Unreadable { what: "event" }
}
