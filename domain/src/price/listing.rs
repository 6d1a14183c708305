//! The catalog's prices as they stand in it, for people who want to see them.

use jiff::Timestamp;
use rust_decimal::Decimal;

use super::catalog::{Catalog, Model, Provider};
use super::schedule::{Daily, Schedule};
use super::sheet::Rate;
use crate::model::ModelRef;

/// A price of the catalog, whether it is in force or not.
#[derive(Debug, Clone)]
pub struct CatalogPrice<'a> {
    /// The provider.
    pub provider_name: &'a str,
    /// The catalog's name of the model.
    pub model: &'a str,
    /// Names it for ever.
    pub price_id: &'a str,
    /// The service tier that it is for; absent = the standard price.
    pub tier: Option<&'a str>,
    /// The region that it is for; absent = any.
    pub region: Option<&'a str>,
    /// From when it is in force; absent = since ever.
    pub from: Option<Timestamp>,
    /// Until when, exclusive; absent = until a later one of its kind.
    pub until: Option<Timestamp>,
    /// At which time of day, as text; absent = all day.
    pub daily: Option<String>,
    /// Its rates; those of a tier or region replace only the lines that they name.
    pub rates: &'a [Rate],
    /// Factor on every token line.
    pub multiplier: Option<Decimal>,
    /// Where a correction of the upstream figure was read.
    pub source: Option<&'a str>,
    /// Why it was corrected.
    pub reason: Option<&'a str>,
}

/// What names a price, and what it rests on.
#[derive(Debug, Clone)]
pub(super) struct Origin {
    pub(super) id: String,
    pub(super) source: Option<String>,
    pub(super) reason: Option<String>,
}

impl Catalog {
    /// Every price, in the order of the file: of a model, the standard ones come first.
    pub fn prices(&self) -> impl Iterator<Item = CatalogPrice<'_>> {
        self.listed(None)
    }

    /// Every price in force at `at`: of a model, the one standard price that counts then, and all that patch it.
    pub fn prices_at(&self, at: Timestamp) -> impl Iterator<Item = CatalogPrice<'_>> {
        self.listed(Some(at))
    }

    fn listed(&self, at: Option<Timestamp>) -> impl Iterator<Item = CatalogPrice<'_>> {
        self.providers
            .iter()
            .flat_map(move |provider| provider.models.iter().flat_map(move |model| listed(provider, model, at)))
    }

    /// The prices of the model that a call of `model` would be priced as; empty where it is unknown.
    pub fn prices_of(&self, model: &ModelRef) -> Vec<CatalogPrice<'_>> {
        self.place_of(model).map(|(provider, model)| listed(provider, model, None).collect()).unwrap_or_default()
    }
}

fn listed<'a>(
    provider: &'a Provider,
    model: &'a Model,
    at: Option<Timestamp>,
) -> impl Iterator<Item = CatalogPrice<'a>> {
    let standards =
        model.prices.standards.iter().filter(move |it| at.is_none_or(|at| model.prices.is_standard(it, at)));
    let variants = model.prices.variants.iter().filter(move |it| at.is_none_or(|at| it.schedule.contains(at)));
    let price = move |origin: &'a Origin, schedule: &Schedule, rates: &'a [Rate]| CatalogPrice {
        provider_name: &provider.name,
        model: &model.name,
        price_id: &origin.id,
        tier: None,
        region: None,
        from: schedule.from,
        until: schedule.until,
        daily: schedule.daily.as_ref().map(Daily::to_string),
        rates,
        multiplier: None,
        source: origin.source.as_deref(),
        reason: origin.reason.as_deref(),
    };
    let standards = standards.map(move |it| price(&it.origin, &it.schedule, &it.sheet.rates));
    let variants = variants.map(move |it| CatalogPrice {
        tier: it.tier.as_deref(),
        region: it.region.as_deref(),
        multiplier: it.multiplier,
        ..price(&it.origin, &it.schedule, &it.rates)
    });
    standards.chain(variants)
}
