//! The prices of one model: which are in force for a call.

use std::sync::{Arc, PoisonError, RwLock};

use jiff::Timestamp;
use rust_decimal::Decimal;

use super::line::LineKind;
use super::listing::Origin;
use super::schedule::Schedule;
use super::sheet::{PriceSheet, Rate};

/// Most variants of one model: their choice is one bit each.
pub(super) const VARIANTS_LIMIT: usize = 64;

/// A price for the whole model.
#[derive(Debug)]
pub(super) struct Standard {
    pub(super) origin: Origin,
    pub(super) schedule: Schedule,
    pub(super) sheet: Arc<PriceSheet>,
}

/// A patch over the standard price for calls of a service tier or region.
#[derive(Debug)]
pub(super) struct Variant {
    pub(super) origin: Origin,
    pub(super) schedule: Schedule,
    /// Lower case; absent = any.
    pub(super) tier: Option<String>,
    /// Lower case; absent = any.
    pub(super) region: Option<String>,
    pub(super) rates: Vec<Rate>,
    /// Factor on every token line.
    pub(super) multiplier: Option<Decimal>,
}

/// A sheet that variants made.
#[derive(Debug)]
pub(super) struct Patched {
    /// The place of the standard price.
    place: usize,
    /// The variants that applied, one bit each.
    bits: u64,
    sheet: Arc<PriceSheet>,
}

/// Every price of a model.
#[derive(Debug)]
pub(super) struct ModelPrices {
    /// The last one in force counts.
    pub(super) standards: Vec<Standard>,
    /// For each line, the first one that applies counts; so does the first factor.
    pub(super) variants: Vec<Variant>,
    /// Sheets that variants made, kept: few sets of a model's variants are ever in force together.
    pub(super) patched: RwLock<Vec<Patched>>,
}

/// In which service tier and region a call ran, in lower case.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Conditions<'a> {
    /// One tier, or several joined by `+`.
    pub(super) tier: &'a str,
    pub(super) region: &'a str,
}

impl Conditions<'_> {
    /// Whether nothing is said.
    pub(super) fn is_empty(&self) -> bool {
        self.tier.is_empty() && self.region.is_empty()
    }
}

impl ModelPrices {
    /// Whether `standard`, one of this model's, is the one that counts at `at`.
    pub(super) fn is_standard(&self, standard: &Standard, at: Timestamp) -> bool {
        self.place(at).is_some_and(|(_, counting)| std::ptr::eq(counting, standard))
    }

    fn place(&self, at: Timestamp) -> Option<(usize, &Standard)> {
        self.standards.iter().enumerate().rev().find(|(_, standard)| standard.schedule.contains(at))
    }

    /// The price in force at `at` under `conditions`. A tier or region that no variant knows changes nothing.
    pub(super) fn find(&self, at: Timestamp, conditions: Conditions<'_>) -> Option<Arc<PriceSheet>> {
        let (place, standard) = self.place(at)?;
        if conditions.is_empty() || self.variants.is_empty() {
            return Some(Arc::clone(&standard.sheet));
        }
        let applying = self.variants.iter().enumerate().filter(|(_, variant)| variant.applies(at, conditions));
        let bits = applying.fold(0_u64, |bits, (position, _)| bits | 1 << position);
        if bits == 0 {
            return Some(Arc::clone(&standard.sheet));
        }
        Some(self.patched(place, &standard.sheet, bits))
    }

    fn patched(&self, place: usize, standard: &PriceSheet, bits: u64) -> Arc<PriceSheet> {
        let made = |known: &Patched| known.place == place && known.bits == bits;
        let known = self.patched.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = known.iter().find(|known| made(known)) {
            return Arc::clone(&known.sheet);
        }
        drop(known);
        let sheet = Arc::new(self.patch(standard, bits));
        let mut known = self.patched.write().unwrap_or_else(PoisonError::into_inner);
        if !known.iter().any(made) {
            known.push(Patched { place, bits, sheet: Arc::clone(&sheet) });
        }
        sheet
    }

    fn patch(&self, standard: &PriceSheet, bits: u64) -> PriceSheet {
        let applying =
            || self.variants.iter().enumerate().filter(|(place, _)| bits >> place & 1 == 1).map(|(_, it)| it);
        let mut rates: Vec<Rate> = Vec::new();
        for variant in applying() {
            let named: Vec<LineKind> = rates.iter().map(|rate| rate.line.clone()).collect();
            rates.extend(variant.rates.iter().filter(|rate| !named.contains(&rate.line)).cloned());
        }
        let patched: Vec<LineKind> = rates.iter().map(|rate| rate.line.clone()).collect();
        rates.extend(standard.rates.iter().filter(|rate| !patched.contains(&rate.line)).cloned());
        if let Some(factor) = applying().find_map(|variant| variant.multiplier) {
            for rate in rates.iter_mut().filter(|rate| !matches!(rate.line, LineKind::Unit(_))) {
                // A product with more digits than a decimal holds was refused when the catalog was read.
                if let Ok(price) = rate.price.times(factor) {
                    rate.price = price;
                }
            }
        }
        rates
            .sort_by(|left, right| (&left.line, left.above_input_tokens).cmp(&(&right.line, right.above_input_tokens)));
        PriceSheet { rates, ..standard.clone() }
    }
}

impl Variant {
    fn applies(&self, at: Timestamp, conditions: Conditions<'_>) -> bool {
        let tier = |wanted: &String| conditions.tier.split('+').any(|tier| tier == wanted);
        let region = |wanted: &String| {
            conditions.region.strip_prefix(wanted.as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
        };
        self.tier.as_ref().is_none_or(tier) && self.region.as_ref().is_none_or(region) && self.schedule.contains(at)
    }
}
