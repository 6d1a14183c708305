//! The prices that a tenant's calls are priced by: the catalog's, with the tenant's own over them.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use jiff::Timestamp;
use rust_decimal::Decimal;

use super::catalog::{Catalog, DEFAULT_MAX_OUTPUT_TOKENS};
use super::free::{FreeProviders, free_sheet};
use super::line::LineKind;
use super::sheet::{PriceSheet, Rate};
use super::tenant::{ANY_REST, Coverage, TenantPrice};
use crate::model::ModelRef;
use crate::tokens::TokenClass;

/// Most composed sheets that are remembered; over it, all are composed anew.
const COMPOSED_LIMIT: usize = 4_096;

/// What one tenant's calls are priced by, at one version of its prices and of the catalog. It never changes.
#[derive(Debug)]
pub struct PriceBook {
    catalog: Arc<Catalog>,
    free_providers: FreeProviders,
    /// By provider in lower case.
    providers: HashMap<String, ProviderPrices>,
    composed: Mutex<HashMap<Composition, Composed>>,
}

/// The tenant's prices of one provider.
#[derive(Debug, Default)]
struct ProviderPrices {
    /// By model in lower case, the most specific first.
    exact: HashMap<String, Vec<Compiled>>,
    /// Those whose model ends with `*`, the most specific first.
    patterns: Vec<Compiled>,
}

/// A price of the tenant, ready to be matched.
#[derive(Debug)]
struct Compiled {
    price: Arc<TenantPrice>,
    /// Names it within the book.
    number: usize,
    /// What the model begins with, in lower case; of an exact one, all of it.
    prefix: String,
    /// Lower case; empty = any.
    tier: String,
    /// Lower case; empty = any.
    region: String,
}

/// Which sheet was made of what: the catalog's by its address, or the model where the catalog has none.
type Composition = (usize, String, Vec<usize>);

/// A composed sheet, with the catalog's kept so that its address stays taken.
#[derive(Debug)]
struct Composed {
    _below: Option<Arc<PriceSheet>>,
    sheet: Option<Arc<PriceSheet>>,
}

impl PriceBook {
    /// The catalog alone.
    pub fn of_catalog(catalog: Arc<Catalog>, free_providers: FreeProviders) -> Self {
        Self::new(catalog, std::iter::empty(), free_providers)
    }

    /// The catalog under the prices of a tenant.
    pub fn new(
        catalog: Arc<Catalog>,
        prices: impl IntoIterator<Item = Arc<TenantPrice>>,
        free_providers: FreeProviders,
    ) -> Self {
        let mut providers: HashMap<String, ProviderPrices> = HashMap::new();
        for (number, price) in prices.into_iter().enumerate() {
            let compiled = Compiled::new(price, number);
            let provider = compiled.price.terms.target.provider_name.to_lowercase();
            let provider = providers.entry(provider).or_default();
            if compiled.is_pattern() {
                provider.patterns.push(compiled);
            } else {
                provider.exact.entry(compiled.prefix.clone()).or_default().push(compiled);
            }
        }
        for provider in providers.values_mut() {
            for prices in provider.exact.values_mut().chain(std::iter::once(&mut provider.patterns)) {
                prices.sort_by_key(|price| std::cmp::Reverse(price.precedence()));
            }
        }
        Self { catalog, free_providers, providers, composed: Mutex::default() }
    }

    /// The catalog below.
    pub fn catalog(&self) -> &Arc<Catalog> {
        &self.catalog
    }

    /// The prices of `model` for a call that starts at `at`; `None` = unknown.
    ///
    /// From the catalog's sheet up, every price of the tenant that applies is laid over what is below: one with the
    /// coverage MODEL replaces all of it, one with LINES its lines, all thresholds of them included. The order is from the
    /// least to the most specific: an exact model stands above a pattern and a longer pattern above a shorter one, then one
    /// that names a tier or region above one that does not, then a later start above an earlier. Last, every line is
    /// multiplied by the factors of all that applied. Where nothing is known, models of free providers cost zero.
    pub fn find(&self, model: &ModelRef, at: Timestamp) -> Option<Arc<PriceSheet>> {
        let found = self.catalog.find(model, at);
        if model.model.is_empty() || (found.is_some() && self.providers.is_empty()) {
            return found;
        }
        let provider_name = model.provider_name.trim().to_lowercase();
        let applied = self.applying(&provider_name, model, at);
        let free = || {
            let free = self.free_providers.contains(&provider_name);
            free.then(|| Arc::new(free_sheet(self.catalog.version(), &provider_name, &model.model)))
        };
        if applied.is_empty() {
            return found.or_else(free);
        }
        if found.is_none()
            && let Some(free) = free()
        {
            // Composed anew each time: what is free is not worth remembering.
            return self.laid_over(Some(&free), model, &applied).map(Arc::new);
        }
        self.compose(found, model, &applied)
    }

    /// The prices that apply, the most specific first, up to the first that covers the whole model: nothing below that one
    /// counts. A price over the catalog's name of a provider is for calls under its aliases, too, below those that name the
    /// alias itself; so are calls that leave the provider to the catalog, or name it in the model's id.
    fn applying(&self, provider_name: &str, model: &ModelRef, at: Timestamp) -> Vec<&Compiled> {
        let mut applied = Vec::new();
        if self.providers.is_empty() {
            return applied;
        }
        let call = Call::new(model, at);
        let canonical = self.catalog.canonical(model);
        let (name, id) = canonical.as_ref().map_or((provider_name, &*call.model), |(name, id)| (name, id));
        let canonical = (name != provider_name || id != call.model).then_some((name, id));
        let named = std::iter::once((provider_name, &*call.model)).chain(canonical);
        let prices = named.filter_map(|(name, id)| Some(self.providers.get(name)?.named(id))).flatten();
        for price in prices.filter(|price| call.meets(price)) {
            applied.push(price);
            if price.price.terms.coverage == Coverage::Model {
                break;
            }
        }
        applied
    }

    fn compose(
        &self,
        below: Option<Arc<PriceSheet>>,
        model: &ModelRef,
        applied: &[&Compiled],
    ) -> Option<Arc<PriceSheet>> {
        let address = below.as_ref().map_or(0, |sheet| Arc::as_ptr(sheet).addr());
        let name = if below.is_some() { String::new() } else { model.model.clone() };
        let key = (address, name, applied.iter().map(|price| price.number).collect());
        if let Some(known) = self.composed.lock().unwrap_or_else(PoisonError::into_inner).get(&key) {
            return known.sheet.clone();
        }
        let sheet = self.laid_over(below.as_deref(), model, applied).map(Arc::new);
        let mut composed = self.composed.lock().unwrap_or_else(PoisonError::into_inner);
        if composed.len() >= COMPOSED_LIMIT {
            composed.clear();
        }
        composed.insert(key, Composed { _below: below, sheet: sheet.clone() });
        sheet
    }

    /// The sheet below with `applied`, the most specific first, over it; `None` where no line has a price.
    fn laid_over(&self, below: Option<&PriceSheet>, model: &ModelRef, applied: &[&Compiled]) -> Option<PriceSheet> {
        let mut rates = below.map(|sheet| sheet.rates.clone()).unwrap_or_default();
        for price in applied.iter().rev().map(|compiled| &compiled.price) {
            let lines = price.terms.lines();
            rates.retain(|rate| price.terms.coverage == Coverage::Lines && !covers(&lines, &rate.line));
            rates.extend(price.sheet_rates());
        }
        // A product with more digits than a decimal holds is refused when a price is set. Where another catalog makes one
        // nevertheless, the line has no price, which shows, instead of a wrong one.
        rates = rates.into_iter().filter_map(|rate| multiplied(rate, applied)).collect();
        rates
            .sort_by(|left, right| (&left.line, left.above_input_tokens).cmp(&(&right.line, right.above_input_tokens)));
        if rates.is_empty() {
            return None;
        }
        let writes = rates.iter().any(|rate| rate.line.is_output());
        let assumed = if writes { DEFAULT_MAX_OUTPUT_TOKENS } else { 0 };
        Some(PriceSheet {
            catalog_version: self.catalog.version().to_owned(),
            provider_name: below.map_or(&model.provider_name, |sheet| &sheet.provider_name).clone(),
            model: below.map_or(&model.model, |sheet| &sheet.model).clone(),
            rates,
            max_output_tokens: below.map_or(assumed, |sheet| sheet.max_output_tokens),
            others: BTreeMap::new(),
        })
    }
}

/// Whether a price over `lines` stands over `line`: a cache write without a lifetime is for every lifetime.
fn covers(lines: &BTreeSet<&LineKind>, line: &LineKind) -> bool {
    let any_lifetime = match line {
        LineKind::Class { class: TokenClass::CacheWrite, .. } => {
            lines.contains(&&LineKind::class(TokenClass::CacheWrite))
        }
        _ => false,
    };
    any_lifetime || lines.contains(line)
}

/// The rate times the factors of all prices that applied; the prices that only gave a factor are added to its id.
fn multiplied(rate: Rate, applied: &[&Compiled]) -> Option<Rate> {
    let mut rate = rate;
    let own = rate.price_id.clone();
    for (price, factor) in applied.iter().rev().filter_map(|one| Some((&one.price, one.price.terms.multiplier?))) {
        rate.price = rate.price.times(factor).ok()?;
        let id = price.price_id.to_string();
        if id != own {
            rate.price_id = format!("{}*{id}", rate.price_id);
        }
    }
    Some(rate)
}

impl ProviderPrices {
    /// The prices over this model, in lower case, the most specific first.
    fn named(&self, model: &str) -> impl Iterator<Item = &Compiled> {
        let exact = self.exact.get(model).map(Vec::as_slice).unwrap_or_default();
        exact.iter().chain(self.patterns.iter().filter(move |price| model.starts_with(&price.prefix)))
    }
}

/// What decides which prices apply, in lower case.
struct Call {
    model: String,
    tier: String,
    region: String,
    at: Timestamp,
}

impl Call {
    fn new(model: &ModelRef, at: Timestamp) -> Self {
        let ModelRef { provider_name: _, model, provider_tier, region } = model;
        Self { model: model.to_lowercase(), tier: provider_tier.to_lowercase(), region: region.to_lowercase(), at }
    }

    fn meets(&self, price: &Compiled) -> bool {
        // A call without a tier is a standard one; several tiers are joined by `+`.
        let tier = if self.tier.is_empty() { "standard" } else { &self.tier };
        let in_region = |rest: &str| rest.is_empty() || rest.starts_with('-');
        price.price.terms.is_in_force(self.at)
            && (price.tier.is_empty() || tier.split('+').any(|tier| tier == price.tier))
            && (price.region.is_empty() || self.region.strip_prefix(price.region.as_str()).is_some_and(in_region))
    }
}

impl Compiled {
    fn new(price: Arc<TenantPrice>, number: usize) -> Self {
        let target = &price.terms.target;
        let model = target.model.to_lowercase();
        Self {
            number,
            prefix: model.strip_suffix(ANY_REST).map(str::to_owned).unwrap_or(model),
            tier: target.provider_tier.to_lowercase(),
            region: target.region.to_lowercase(),
            price,
        }
    }

    fn is_pattern(&self) -> bool {
        self.price.terms.target.model.ends_with(ANY_REST)
    }

    /// Rises with how specific a price is, among those of the same kind of model.
    fn precedence(&self) -> impl Ord + use<> {
        let TenantPrice { price_id, terms, create_time } = &*self.price;
        (self.prefix.len(), !self.tier.is_empty(), !self.region.is_empty(), terms.start_time, *create_time, *price_id)
    }
}

/// Whether the factors that may meet on a call make more digits with any of `rates` than a price can hold.
pub fn factors_overflow<'a>(
    price: &TenantPrice,
    others: impl IntoIterator<Item = &'a TenantPrice>,
    rates: impl IntoIterator<Item = &'a Rate>,
) -> bool {
    let meeting: Vec<&TenantPrice> = others.into_iter().filter(|other| other.terms.may_meet(&price.terms)).collect();
    let all = || meeting.iter().copied().chain(std::iter::once(price));
    let Some((coefficient, scale)) = product(all().filter_map(|price| price.terms.multiplier)) else { return true };
    let own: Vec<Rate> = all().flat_map(TenantPrice::sheet_rates).collect();
    let too_long = |rate: &Rate| {
        let usd = rate.price.usd.normalize();
        let digits = usd.mantissa().checked_mul(coefficient);
        digits.is_none_or(|digits| Decimal::try_from_i128_with_scale(digits, usd.scale() + scale).is_err())
    };
    own.iter().any(too_long) || rates.into_iter().any(too_long)
}

/// The digits of a product of factors and how many of them are decimals, without what they cancel out: the product of a
/// part of the factors never has more.
fn product(factors: impl Iterator<Item = Decimal>) -> Option<(i128, u32)> {
    factors.map(|factor| factor.normalize()).try_fold((1_i128, 0_u32), |(coefficient, scale), factor| {
        Some((coefficient.checked_mul(factor.mantissa().max(1))?, scale.checked_add(factor.scale())?))
    })
}

#[cfg(test)]
mod tests;
