//! Finds the price of a model.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::{Arc, OnceLock};

use jiff::Timestamp;

use super::catalog_file::CatalogError;
use super::compile::compile;
use super::model_prices::{Conditions, ModelPrices};
use super::rule::{Rule, with_dashed_date};
use super::sheet::PriceSheet;
use crate::model::ModelRef;

/// Most output tokens that a worst case assumes where neither the caller nor the catalog says.
pub const DEFAULT_MAX_OUTPUT_TOKENS: u64 = 8192;

const BUILTIN: &str = include_str!("../../catalog/catalog.jsonl");

/// A name under which gateways hide the provider: their model ids begin with it.
const GATEWAY: &str = "litellm";

/// What providers charge, compiled once for look-ups.
///
/// It never changes: another version is another catalog.
#[derive(Debug)]
pub struct Catalog {
    pub(super) version: Arc<str>,
    pub(super) providers: Vec<Provider>,
    /// Names of providers in lower case, and the aliases that are spelt out.
    pub(super) names: HashMap<String, usize>,
    /// All other aliases, in order.
    pub(super) aliases: Vec<(usize, Rule)>,
    /// Rules on model ids that imply a provider, in order.
    pub(super) owners: Vec<(usize, Rule)>,
}

/// A provider's models in the order of the file, which decides between rules that both match.
#[derive(Debug)]
pub(super) struct Provider {
    pub(super) name: String,
    pub(super) models: Vec<Model>,
    /// Ids that a rule spells out, to the model that wins them.
    pub(super) exact: HashMap<String, usize>,
    /// All other rules with their model, in order.
    pub(super) patterns: Vec<(usize, Rule)>,
    /// Whose models are tried when no own one matches.
    pub(super) fallback: Vec<usize>,
}

/// A model of a provider.
#[derive(Debug)]
pub(super) struct Model {
    pub(super) name: String,
    pub(super) prices: ModelPrices,
}

/// Where a model was found.
struct Found<'a> {
    model: &'a Model,
    /// Whether another provider's price list stands in: only its standard prices apply there.
    by_fallback: bool,
}

impl Catalog {
    /// The catalog that ships with the binary, compiled on first use.
    ///
    /// # Errors
    /// [`CatalogError`], which a test of this crate rules out.
    pub fn builtin() -> Result<Arc<Self>, CatalogError> {
        static COMPILED: OnceLock<Result<Arc<Catalog>, CatalogError>> = OnceLock::new();
        COMPILED.get_or_init(|| Self::parse(BUILTIN).map(Arc::new)).clone()
    }

    /// The text of the catalog that ships with the binary.
    pub fn builtin_text() -> &'static str {
        BUILTIN
    }

    /// Reads a catalog from `text`, JSON Lines in the format that `domain/catalog/README.md` explains.
    ///
    /// # Errors
    /// [`CatalogError`], naming the line.
    pub fn parse(text: &str) -> Result<Self, CatalogError> {
        compile(text)
    }

    /// Its version.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// How many providers and models it has.
    pub fn size(&self) -> (usize, usize) {
        (self.providers.len(), self.providers.iter().map(|provider| provider.models.len()).sum())
    }

    /// Every model as its provider and its own name, in the order of the file.
    pub fn models(&self) -> impl Iterator<Item = (&str, &str)> {
        self.providers
            .iter()
            .flat_map(|provider| provider.models.iter().map(|model| (provider.name.as_str(), model.name.as_str())))
    }

    /// Every id that a rule spells out, with the provider that knows it.
    pub fn ids(&self) -> impl Iterator<Item = (&str, &str)> {
        self.providers.iter().flat_map(|provider| provider.exact.keys().map(|id| (provider.name.as_str(), id.as_str())))
    }

    /// The prices of `model` in force at `at`; `None` = unknown model, or none in force then.
    ///
    /// Names match without regard to case, the provider's also by alias. Without a provider name, or with that of a
    /// gateway, `provider/model` is taken apart, and a few model ids imply their provider. An id with a compact date that
    /// nothing matches is tried with a dashed one. A service tier or region without a price of its own changes nothing.
    pub fn find(&self, model: &ModelRef, at: Timestamp) -> Option<Arc<PriceSheet>> {
        let found = self.found(model)?;
        let conditions = if found.by_fallback {
            Conditions::default()
        } else {
            Conditions { tier: &lower_case(&model.provider_tier), region: &lower_case(&model.region) }
        };
        found.model.prices.find(at, conditions)
    }

    fn found(&self, model: &ModelRef) -> Option<Found<'_>> {
        if model.model.is_empty() {
            return None;
        }
        let id = lower_case(&model.model);
        let provider_name = lower_case(model.provider_name.trim());
        if provider_name.is_empty() || provider_name == GATEWAY {
            return self.found_without_provider(&id);
        }
        let place = self.provider(&provider_name)?;
        self.found_at(place, &id).or_else(|| {
            let (prefix, rest) = id.split_once('/')?;
            if self.provider(prefix)? == place { self.found_at(place, rest) } else { None }
        })
    }

    /// The provider and model that a call of `model` is priced as.
    pub(super) fn place_of(&self, model: &ModelRef) -> Option<(&Provider, &Model)> {
        let found = self.found(model)?.model;
        self.providers.iter().find_map(|provider| {
            provider.models.iter().find(|own| std::ptr::eq(*own, found)).map(|own| (provider, own))
        })
    }

    fn found_without_provider(&self, id: &str) -> Option<Found<'_>> {
        if let Some((prefix, rest)) = id.split_once('/')
            && let Some(place) = self.provider(prefix)
        {
            return self.found_at(place, rest);
        }
        let (place, _) = self.owners.iter().find(|(_, rule)| rule.matches(id))?;
        self.found_at(*place, id)
    }

    /// The provider called `name`, in lower case.
    fn provider(&self, name: &str) -> Option<usize> {
        self.names
            .get(name)
            .or_else(|| self.aliases.iter().find(|(_, rule)| rule.matches(name)).map(|(place, _)| place))
            .copied()
    }

    /// The provider whose prices a call of `model` is looked for at, and the id that they know it by, in lower case; `None`
    /// where no provider is found. The provider may be implied by the id, or part of it.
    pub fn canonical(&self, model: &ModelRef) -> Option<(&str, String)> {
        let id = lower_case(&model.model);
        let provider_name = lower_case(model.provider_name.trim());
        let prefixed = || {
            let (prefix, rest) = id.split_once('/')?;
            Some((self.provider(prefix)?, rest.to_owned()))
        };
        let (place, id) = if provider_name.is_empty() || provider_name == GATEWAY {
            let owned = || Some((self.owners.iter().find(|(_, rule)| rule.matches(&id))?.0, id.to_string()));
            prefixed().or_else(owned)?
        } else {
            let place = self.provider(&provider_name)?;
            // An id that is known as it is keeps its prefix, which then is part of its name.
            let own = self.found_at(place, &id).is_some();
            prefixed().filter(|(prefix, _)| !own && *prefix == place).unwrap_or((place, id.to_string()))
        };
        Some((self.providers.get(place)?.name.as_str(), id))
    }

    fn found_at(&self, place: usize, id: &str) -> Option<Found<'_>> {
        self.matched(place, id).or_else(|| self.matched(place, &with_dashed_date(id)?))
    }

    fn matched(&self, place: usize, id: &str) -> Option<Found<'_>> {
        let provider = self.providers.get(place)?;
        if let Some(model) = provider.model(id) {
            return Some(Found { model, by_fallback: false });
        }
        let others = provider.fallback.iter().filter_map(|place| self.providers.get(*place));
        others.filter_map(|other| other.model(id)).next().map(|model| Found { model, by_fallback: true })
    }
}

impl Provider {
    /// The first model with a rule that matches `id`, in lower case.
    fn model(&self, id: &str) -> Option<&Model> {
        let place = self
            .exact
            .get(id)
            .or_else(|| self.patterns.iter().find(|(_, rule)| rule.matches(id)).map(|(place, _)| place));
        self.models.get(*place?)
    }
}

/// `text` in lower case, copied only where it is not.
fn lower_case(text: &str) -> Cow<'_, str> {
    if text.bytes().all(|byte| byte.is_ascii() && !byte.is_ascii_uppercase()) {
        Cow::Borrowed(text)
    } else {
        Cow::Owned(text.to_lowercase())
    }
}

#[cfg(test)]
mod tests;
