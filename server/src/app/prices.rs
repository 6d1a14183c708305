//! Prices: set them, end them, list them, and say what a call would cost.

use std::sync::Arc;

use jiff::Timestamp;
use tollgate_domain::digest::Digester;
use tollgate_domain::extract::{ModelUsage, Served};
use tollgate_domain::model::ModelRef;
use tollgate_domain::price::{
    Catalog, CatalogPrice, Cost, Estimate, PriceBook, PriceTerms, TenantPrice, UnitCount, Used, factors_overflow,
    worst_case,
};
use tollgate_domain::tokens::TokenUsage;
use uuid::Uuid;

use super::error::Named;
use super::record::{not_priced, sheet_of};
use super::{App, AppError};
use crate::store::prices::{self, PRICES_LIMIT, PriceChange, PriceRequest};
use crate::tenant::TenantId;

/// A price that was set, or that would be.
#[derive(Debug, Clone)]
pub struct PriceSet {
    /// The price.
    pub price: Arc<TenantPrice>,
    /// The prices that it ends, with their new ends.
    pub superseded: Vec<Arc<TenantPrice>>,
}

/// What a list of prices is narrowed to. All conditions must hold.
#[derive(Debug, Clone, Default)]
pub struct PriceFilter {
    /// Which model; empty fields match any, and a model that ends with `*` all that begin so.
    pub model: ModelRef,
    /// In force then.
    pub at: Option<Timestamp>,
    /// Whose.
    pub source: Option<PriceSource>,
}

/// Where prices come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum PriceSource {
    /// The tenant.
    Tenant,
    /// The catalog.
    Catalog,
}

/// A price of either source.
#[derive(Debug)]
pub enum ListedPrice<'a> {
    /// The tenant's.
    Tenant(&'a TenantPrice),
    /// The catalog's.
    Catalog(Box<CatalogPrice<'a>>),
}

/// Where a page of a list begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PriceCursor {
    /// In which part of the list.
    pub source: PriceSource,
    /// How many prices of that part are behind it.
    pub position: usize,
    /// The catalog whose prices are counted.
    pub catalog_version: String,
}

/// One page of prices.
#[derive(Debug)]
pub struct PricePage<T> {
    /// The prices.
    pub prices: Vec<T>,
    /// Where the next page begins; absent on the last one.
    pub next: Option<PriceCursor>,
    /// The version of the catalog.
    pub catalog_version: String,
}

/// What a call uses, or will at most.
#[derive(Debug, Clone)]
pub enum Quantities {
    /// At most this.
    AtMost(Estimate),
    /// Exactly this.
    Exactly(Box<Exact>),
}

/// What a call uses, as it is recorded.
#[derive(Debug, Clone, Default)]
pub struct Exact {
    /// All tokens.
    pub usage: Option<TokenUsage>,
    /// Everything else.
    pub units: Vec<UnitCount>,
    /// Parts that are billed as other models.
    pub additional: Vec<ModelUsage>,
    /// What the provider says of who served the call.
    pub served: Option<Served>,
}

impl PriceFilter {
    /// Digest of the conditions: a page token belongs to a request with the same ones.
    pub fn digest(&self) -> Uuid {
        let Self { model, at, source } = self;
        let mut digester = Digester::new();
        digester.field(format!("{model:?}")).field(format!("{at:?}")).field(format!("{source:?}"));
        digester.finish()
    }

    fn wants(&self, source: PriceSource) -> bool {
        self.source.is_none_or(|wanted| wanted == source)
    }
}

impl App {
    /// Sets a price. The same request again answers with the price that it set.
    ///
    /// # Errors
    /// [`AppError`].
    pub async fn set_price(
        &self,
        tenant: TenantId,
        terms: PriceTerms,
        request_id: Option<Uuid>,
        validate_only: bool,
    ) -> Result<PriceSet, AppError> {
        let request = request_id.map(|id| PriceRequest { id, digest: digest(&terms) });
        let mut change = prices::begin_change(&self.tenants, tenant).await?;
        if let Some(known) = self.set_before(&mut change, tenant, request).await? {
            return Ok(known);
        }
        let mut known = self.prices_before(&mut change, tenant).await?;
        if let Some(same) = said_already(&terms, &known) {
            return Ok(PriceSet { price: same, superseded: Vec::new() });
        }
        if known.len() >= PRICES_LIMIT {
            let advice = format!("there are {PRICES_LIMIT} already: cover more models with one by a `*` at the end");
            return Err(AppError::invalid("price", advice));
        }
        let price = Arc::new(TenantPrice { price_id: Uuid::now_v7(), terms, create_time: change.now });
        let mut superseded = Vec::new();
        for other in known.iter_mut().filter(|other| price.terms.supersedes(&other.terms)) {
            Arc::make_mut(other).terms.end_time = Some(price.terms.start_time);
            superseded.push(other.clone());
        }
        refuse_overflow(&price, &known, &self.prices.catalog())?;
        let connection = &mut *change.transaction;
        prices::insert(connection, tenant, &price, request).await?;
        let ended: Vec<Uuid> = superseded.iter().map(|other| other.price_id).collect();
        prices::end(connection, tenant, &ended, price.terms.start_time, Some(price.price_id)).await?;
        if !validate_only {
            known.push(price.clone());
            self.commit(change, tenant, known).await?;
        }
        Ok(PriceSet { price, superseded })
    }

    /// Ends a price at an instant, now where none is given. Once more changes nothing.
    ///
    /// # Errors
    /// [`AppError`]: unknown prices, those of the catalog, and ends that lie before the start or after an earlier end.
    pub async fn end_price(
        &self,
        tenant: TenantId,
        price_id: &str,
        end_time: Option<Timestamp>,
    ) -> Result<Arc<TenantPrice>, AppError> {
        let missing = || AppError::NotFound { what: Named::Price, id: price_id.to_owned() };
        let Ok(id) = Uuid::try_parse(price_id) else {
            let of_catalog = self.prices.catalog().prices().any(|price| price.price_id == price_id);
            return Err(if of_catalog { AppError::PriceOfCatalog(price_id.to_owned()) } else { missing() });
        };
        let mut change = prices::begin_change(&self.tenants, tenant).await?;
        let mut known = self.prices_before(&mut change, tenant).await?;
        let price = known.iter_mut().find(|price| price.price_id == id).ok_or_else(missing)?;
        let Some(end) = end_of(&price.terms, end_time, change.now)? else { return Ok(price.clone()) };
        Arc::make_mut(price).terms.end_time = Some(end);
        let price = price.clone();
        prices::end(&mut change.transaction, tenant, &[id], end, None).await?;
        self.commit(change, tenant, known).await?;
        Ok(price)
    }

    /// Lists prices from `after` on, the tenant's before the catalog's, each as `encode` shows it.
    ///
    /// # Errors
    /// [`AppError::PageTokenInvalid`] where the catalog was replaced meanwhile, and others.
    pub async fn list_prices<T>(
        &self,
        tenant: TenantId,
        filter: &PriceFilter,
        after: Option<PriceCursor>,
        limit: usize,
        encode: impl Fn(ListedPrice<'_>) -> T,
    ) -> Result<PricePage<T>, AppError> {
        let newest = self.prices.newest(tenant).await?;
        let catalog = newest.book.catalog();
        let catalog_version = catalog.version().to_owned();
        let after = match after {
            Some(after) if after.catalog_version != catalog_version => return Err(AppError::PageTokenInvalid),
            Some(after) => after,
            None => PriceCursor { source: PriceSource::Tenant, position: 0, catalog_version: catalog_version.clone() },
        };
        let own = newest.prices.iter().enumerate().filter(|(_, price)| finds_own(filter, &price.terms));
        let own = own.map(|(position, price)| ((PriceSource::Tenant, position), ListedPrice::Tenant(price)));
        let listed = listed_catalog(catalog, filter)
            .enumerate()
            .map(|(position, price)| ((PriceSource::Catalog, position), ListedPrice::Catalog(Box::new(price))));
        let mut rest = own
            .filter(|_| filter.wants(PriceSource::Tenant))
            .chain(listed.filter(|_| filter.wants(PriceSource::Catalog)))
            .skip_while(|(place, _)| *place < (after.source, after.position));
        let prices = rest.by_ref().take(limit).map(|(_, price)| encode(price)).collect();
        let next = rest.next().map(|((source, position), _)| PriceCursor {
            source,
            position,
            catalog_version: catalog_version.clone(),
        });
        Ok(PricePage { prices, next, catalog_version })
    }

    /// What a call that starts at `at` would cost, priced as RecordUsage and CheckBudget price.
    ///
    /// # Errors
    /// [`AppError`].
    pub async fn estimate_cost(
        &self,
        tenant: TenantId,
        model: &ModelRef,
        quantities: &Quantities,
        at: Option<Timestamp>,
    ) -> Result<Cost, AppError> {
        let book = self.prices.book(tenant).await?;
        cost_of(&book, model, quantities, at.unwrap_or_else(Timestamp::now))
    }

    /// The tenant's prices as they are before this change.
    async fn prices_before(
        &self,
        change: &mut PriceChange,
        tenant: TenantId,
    ) -> Result<Vec<Arc<TenantPrice>>, AppError> {
        // Every change has its version, so that the one before names exactly what is remembered. Else they are read here:
        // a second connection is never waited for while the tenant's row is locked.
        match self.prices.remembered(tenant) {
            Some(known) if known.version == change.version - 1 => Ok(known.prices.clone()),
            _ => Ok(prices::all(&mut change.transaction, tenant).await?.into_iter().map(Arc::new).collect()),
        }
    }

    /// What the same request did before.
    async fn set_before(
        &self,
        change: &mut PriceChange,
        tenant: TenantId,
        request: Option<PriceRequest>,
    ) -> Result<Option<PriceSet>, AppError> {
        let Some(request) = request else { return Ok(None) };
        let Some((id, asked)) = prices::set_by(&mut change.transaction, tenant, request.id).await? else {
            return Ok(None);
        };
        if asked != Some(request.digest) {
            return Err(AppError::RequestIdReused(request.id.to_string()));
        }
        let superseded = prices::superseded_by(&mut change.transaction, tenant, id).await?;
        let known = self.prices_before(change, tenant).await?;
        let price = known.iter().find(|price| price.price_id == id).cloned().ok_or(AppError::Internal)?;
        let superseded = known.into_iter().filter(|other| superseded.contains(&other.price_id)).collect();
        Ok(Some(PriceSet { price, superseded }))
    }

    /// Commits a change and prices by it from now on; other replicas do within a second.
    async fn commit(
        &self,
        change: PriceChange,
        tenant: TenantId,
        prices: Vec<Arc<TenantPrice>>,
    ) -> Result<(), AppError> {
        change.transaction.commit().await?;
        tracing::info!(tenant = tenant.0, version = change.version, prices = prices.len(), "prices were changed");
        self.prices.changed(tenant, change.version, prices).await;
        Ok(())
    }
}

/// What a call that starts at `at` costs by these prices.
///
/// # Errors
/// [`AppError::Invalid`] where the cost is above what can be held.
pub fn cost_of(book: &PriceBook, model: &ModelRef, quantities: &Quantities, at: Timestamp) -> Result<Cost, AppError> {
    match quantities {
        Quantities::AtMost(estimate) => match worst_case(estimate, book.find(model, at).as_deref()) {
            Ok(worst) => Ok(worst.cost),
            Err(_) => Err(AppError::invalid("estimate", "its worst case is above what can be held")),
        },
        Quantities::Exactly(exact) => {
            let Exact { usage, units, additional, served } = exact.as_ref();
            let answered = served.as_ref().and_then(|served| served.answered(model, None));
            let sheet = sheet_of(model, answered.as_ref(), additional, |model| book.find(model, at));
            Used { usage: usage.as_ref(), units, additional }.bill(sheet.as_deref()).map_err(not_priced)
        }
    }
}

/// The price in force that says the same, unless a later one may stand over it: a list that is imported every night adds
/// nothing where nothing changed.
fn said_already(terms: &PriceTerms, known: &[Arc<TenantPrice>]) -> Option<Arc<TenantPrice>> {
    let same = known.iter().find(|price| terms.is_said_by(&price.terms))?;
    let later = |price: &Arc<TenantPrice>| price.terms.start_time > same.terms.start_time;
    let hidden = known.iter().any(|price| later(price) && price.terms.may_meet(terms));
    (!hidden).then(|| same.clone())
}

/// Digest of what a request asks for.
fn digest(terms: &PriceTerms) -> Uuid {
    let mut digester = Digester::new();
    digester.field(format!("{terms:?}"));
    digester.finish()
}

/// Refuses factors whose product with a price would have more digits than a price can hold: pricing never fails on it.
fn refuse_overflow(price: &TenantPrice, others: &[Arc<TenantPrice>], catalog: &Catalog) -> Result<(), AppError> {
    let others = others.iter().map(AsRef::as_ref);
    let rates = catalog.prices().flat_map(|price| price.rates);
    if factors_overflow(price, others, rates) {
        let advice = "makes more digits than a price can have, with the factors of the prices that it can meet: use fewer decimals";
        return Err(AppError::invalid("price.multiplier", advice));
    }
    Ok(())
}

/// When the price ends; absent where it has ended by then.
fn end_of(terms: &PriceTerms, wanted: Option<Timestamp>, now: Timestamp) -> Result<Option<Timestamp>, AppError> {
    let start = terms.start_time;
    if let Some(at) = wanted.filter(|at| *at < start) {
        let advice = format!("{at} must not lie before the price's start_time {start}");
        return Err(AppError::invalid("end_time", advice));
    }
    // A price of the future that is ended now never begins.
    let end = wanted.unwrap_or_else(|| now.max(start));
    match (terms.end_time, wanted) {
        (Some(known), Some(at)) if known < at => {
            let advice = format!("the price ends at {known} already: it can only end earlier");
            Err(AppError::invalid("end_time", advice))
        }
        (Some(known), _) if known <= end => Ok(None),
        _ => Ok(Some(end)),
    }
}

/// Whether a name that may end with `*` and one that is looked for, which may, too, can mean the same; case is ignored.
fn may_name(pattern: &str, wanted: &str) -> bool {
    let (pattern, wanted) = (pattern.to_lowercase(), wanted.to_lowercase());
    match (pattern.strip_suffix('*'), wanted.strip_suffix('*')) {
        _ if wanted.is_empty() => true,
        (None, None) => pattern == wanted,
        (Some(prefix), None) => wanted.starts_with(prefix),
        (None, Some(prefix)) => pattern.starts_with(prefix),
        (Some(prefix), Some(other)) => prefix.starts_with(other) || other.starts_with(prefix),
    }
}

/// Whether a price for one tier or region, empty for any, prices calls of the one that is looked for.
fn may_price(own: &str, wanted: &str) -> bool {
    own.is_empty() || wanted.is_empty() || own.eq_ignore_ascii_case(wanted)
}

fn finds_own(filter: &PriceFilter, terms: &PriceTerms) -> bool {
    let (wanted, target) = (&filter.model, &terms.target);
    may_name(&target.provider_name, &wanted.provider_name)
        && may_name(&target.model, &wanted.model)
        && may_price(&target.provider_tier, &wanted.provider_tier)
        && may_price(&target.region, &wanted.region)
        && filter.at.is_none_or(|at| terms.is_in_force(at))
}

/// The prices of the catalog that the filter finds, in its order.
pub fn listed_catalog<'a>(
    catalog: &'a Catalog,
    filter: &'a PriceFilter,
) -> Box<dyn Iterator<Item = CatalogPrice<'a>> + 'a> {
    let wanted = &filter.model;
    // The id that a caller sends may have another name in the catalog.
    let id = ModelRef::new(wanted.provider_name.clone(), wanted.model.clone());
    let meant = catalog.prices_of(&id).first().map(|price| (price.provider_name, price.model));
    let finds = move |price: &CatalogPrice<'a>| {
        let named = may_name(price.provider_name, &wanted.provider_name) && may_name(price.model, &wanted.model);
        (named || meant == Some((price.provider_name, price.model)))
            && may_price(price.tier.unwrap_or_default(), &wanted.provider_tier)
            && may_price(price.region.unwrap_or_default(), &wanted.region)
    };
    match filter.at {
        Some(at) => Box::new(catalog.prices_at(at).filter(finds)),
        None => Box::new(catalog.prices().filter(finds)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_may_mean_the_same() {
        for (pattern, wanted) in
            [("gpt-4*", "gpt-4o"), ("GPT-4o", "gpt-4o"), ("x", ""), ("gpt-4o", "gpt*"), ("gpt-4*", "g*")]
        {
            assert!(may_name(pattern, wanted), "{pattern} {wanted}");
        }
        for (pattern, wanted) in [("gpt-4o", "gpt-4"), ("gpt-4*", "gpt-5"), ("gpt-4*", "claude*")] {
            assert!(!may_name(pattern, wanted), "{pattern} {wanted}");
        }
    }

    #[test]
    fn a_price_ends_once_and_not_before_it_starts() {
        let at = |second| Timestamp::from_second(second).unwrap();
        let terms = |end: Option<i64>| PriceTerms {
            target: ModelRef::new("p", "m"),
            coverage: tollgate_domain::price::Coverage::Model,
            rates: Vec::new(),
            multiplier: None,
            start_time: at(100),
            end_time: end.map(at),
            note: String::new(),
        };
        assert_eq!(end_of(&terms(None), None, at(200)).unwrap(), Some(at(200)));
        assert_eq!(end_of(&terms(None), None, at(50)).unwrap(), Some(at(100)), "a price of the future never begins");
        assert_eq!(end_of(&terms(None), Some(at(100)), at(200)).unwrap(), Some(at(100)));
        assert!(end_of(&terms(None), Some(at(99)), at(200)).is_err());
        assert_eq!(end_of(&terms(Some(150)), None, at(200)).unwrap(), None);
        assert_eq!(end_of(&terms(Some(150)), Some(at(150)), at(200)).unwrap(), None);
        assert_eq!(end_of(&terms(Some(150)), Some(at(120)), at(200)).unwrap(), Some(at(120)));
        assert!(end_of(&terms(Some(150)), Some(at(160)), at(200)).is_err());
    }
}
