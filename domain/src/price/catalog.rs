//! Finds the price of a model.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use jiff::Timestamp;
use rust_decimal::Decimal;

use super::catalog_file::{CatalogError, CatalogFile, ModelEntry, ProviderEntry, named};
use super::line::LineKind;
use super::matching::MatchRule;
use super::sheet::{PriceSheet, Rate};
use crate::model::ModelRef;

/// Most output tokens that a worst case assumes where neither the caller nor the catalog says.
pub const DEFAULT_MAX_OUTPUT_TOKENS: u64 = 8192;

const BUILTIN: &str = include_str!("../../catalog/prices.toml");

/// What providers charge, compiled once for look-ups.
#[derive(Debug)]
pub struct Catalog {
    version: String,
    providers: Vec<Provider>,
    /// Names and aliases in lower case, to the place in `providers`.
    names: HashMap<String, usize>,
}

#[derive(Debug)]
enum Provider {
    /// Every model costs nothing.
    Free { name: String, max_output_tokens: u64 },
    /// The models that it lists.
    Listed(Models),
}

/// A provider's models in the order of the file, which decides between rules that both match.
#[derive(Debug)]
struct Models {
    models: Vec<Model>,
    /// Ids of `equals` rules, to the first model that claims them.
    exact: HashMap<String, usize>,
    /// All other rules with their model, in order.
    patterns: Vec<(usize, MatchRule)>,
}

#[derive(Debug)]
struct Model {
    /// By the instant from which each holds, rising; absent sorts first.
    sheets: Vec<(Option<Timestamp>, Arc<PriceSheet>)>,
}

impl Catalog {
    /// The catalog that ships with the binary.
    ///
    /// # Errors
    /// [`CatalogError`], which a test of this crate rules out.
    pub fn builtin() -> Result<Self, CatalogError> {
        Self::parse(BUILTIN)
    }

    /// Reads a catalog from `text`, TOML in the format that the head of the built-in file explains.
    ///
    /// # Errors
    /// [`CatalogError`], naming the entry.
    pub fn parse(text: &str) -> Result<Self, CatalogError> {
        let file = CatalogFile::parse(text)?;
        let mut compiler = Compiler {
            version: file.version,
            max_output_tokens: file.default_max_output_tokens.unwrap_or(DEFAULT_MAX_OUTPUT_TOKENS),
            price_ids: HashSet::new(),
        };
        let mut names = HashMap::new();
        let mut providers = Vec::with_capacity(file.providers.len());
        for (index, provider) in file.providers.iter().enumerate() {
            for name in std::iter::once(&provider.name).chain(&provider.aliases) {
                named("provider", "name and aliases", name)?;
                if names.insert(name.to_ascii_lowercase(), index).is_some() {
                    return Err(CatalogError::Repeated { place: "provider", name: name.clone() });
                }
            }
            providers.push(compiler.provider(provider)?);
        }
        Ok(Self { version: compiler.version, providers, names })
    }

    /// Its version.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// The prices of `model` in force at `at`; `None` = unknown model, or none in force yet.
    ///
    /// Names match without regard to ASCII case, the provider's also by alias. Without a provider name, the model is
    /// looked for at all providers that list models, and found only where exactly one knows it. The catalog holds
    /// standard prices: a service tier or region changes nothing.
    pub fn find(&self, model: &ModelRef, at: Timestamp) -> Option<Arc<PriceSheet>> {
        if model.model.is_empty() {
            return None;
        }
        let id = model.model.to_ascii_lowercase();
        if model.provider_name.is_empty() {
            let mut matches = self.providers.iter().filter_map(|provider| match provider {
                Provider::Listed(models) => models.find(&id),
                Provider::Free { .. } => None,
            });
            let only = matches.next()?;
            return if matches.next().is_some() { None } else { only.at(at) };
        }
        let provider = self.providers.get(*self.names.get(&model.provider_name.to_ascii_lowercase())?)?;
        match provider {
            Provider::Free { name, max_output_tokens } => {
                Some(Arc::new(free_sheet(&self.version, name, &model.model, *max_output_tokens)))
            }
            Provider::Listed(models) => models.find(&id)?.at(at),
        }
    }
}

impl Models {
    /// The first model with a rule that matches `id`, in lower case.
    fn find(&self, id: &str) -> Option<&Model> {
        let exact = self.exact.get(id).copied();
        let before = exact.unwrap_or(usize::MAX);
        let earlier_pattern = self
            .patterns
            .iter()
            .take_while(|(index, _)| *index < before)
            .find(|(_, rule)| rule.matches(id))
            .map(|(index, _)| *index);
        self.models.get(earlier_pattern.or(exact)?)
    }
}

impl Model {
    /// The sheet in force at `at`.
    fn at(&self, at: Timestamp) -> Option<Arc<PriceSheet>> {
        let in_force = |from: &Option<Timestamp>| from.is_none_or(|from| from <= at);
        self.sheets.iter().rev().find(|(from, _)| in_force(from)).map(|(_, sheet)| Arc::clone(sheet))
    }
}

/// A sheet of zeros under the name that the caller gave the model.
fn free_sheet(catalog_version: &str, provider_name: &str, model: &str, max_output_tokens: u64) -> PriceSheet {
    let zero = |line| Rate { line, usd_per_unit: Decimal::ZERO, price_id: format!("{provider_name}/free") };
    PriceSheet {
        catalog_version: catalog_version.to_owned(),
        provider_name: provider_name.to_owned(),
        model: model.to_owned(),
        rates: vec![zero(LineKind::InputText), zero(LineKind::OutputText)],
        max_output_tokens,
    }
}

/// Checks entries and turns them into what look-ups need.
struct Compiler {
    version: String,
    max_output_tokens: u64,
    price_ids: HashSet<String>,
}

impl Compiler {
    fn provider(&mut self, entry: &ProviderEntry) -> Result<Provider, CatalogError> {
        if entry.free {
            if !entry.models.is_empty() {
                let place = format!("provider {:?}", entry.name);
                return Err(CatalogError::Shape { place, rule: "list no models where every model is free" });
            }
            return Ok(Provider::Free { name: entry.name.clone(), max_output_tokens: self.max_output_tokens });
        }
        let mut listed = Models { models: Vec::new(), exact: HashMap::new(), patterns: Vec::new() };
        let mut model_names = HashSet::new();
        for (index, model) in entry.models.iter().enumerate() {
            if !model_names.insert(model.name.as_str()) {
                return Err(CatalogError::Repeated { place: "model", name: model.name.clone() });
            }
            listed.models.push(self.model(&entry.name, model)?);
            for rule in &model.rules {
                named(&format!("model {:?}", model.name), "match", rule.text())?;
                match rule.clone().lowercased() {
                    MatchRule::Equals(id) => {
                        listed.exact.entry(id).or_insert(index);
                    }
                    pattern => listed.patterns.push((index, pattern)),
                }
            }
        }
        Ok(Provider::Listed(listed))
    }

    fn model(&mut self, provider_name: &str, entry: &ModelEntry) -> Result<Model, CatalogError> {
        let place = format!("model {:?}", entry.name);
        named(&place, "name", &entry.name)?;
        if entry.rules.is_empty() || entry.prices.is_empty() {
            return Err(CatalogError::Shape { place, rule: "give at least one match rule and one price" });
        }
        let mut sheets = Vec::with_capacity(entry.prices.len());
        for price in &entry.prices {
            named(&place, "price id", &price.id)?;
            if !self.price_ids.insert(price.id.clone()) {
                return Err(CatalogError::Repeated { place: "price id", name: price.id.clone() });
            }
            let rates = price.rates()?;
            // A model that writes nothing, such as one for embeddings, has no output to assume.
            let writes = rates.iter().any(|rate| rate.line.is_output());
            let assumed = if writes { self.max_output_tokens } else { 0 };
            let sheet = PriceSheet {
                catalog_version: self.version.clone(),
                provider_name: provider_name.to_owned(),
                model: entry.name.clone(),
                rates,
                max_output_tokens: entry.max_output_tokens.unwrap_or(assumed),
            };
            if sheets.iter().any(|(from, _)| *from == price.from) {
                return Err(CatalogError::Shape { place, rule: "let no two prices start at the same instant" });
            }
            sheets.push((price.from, Arc::new(sheet)));
        }
        sheets.sort_by_key(|(from, _)| *from);
        Ok(Model { sheets })
    }
}

#[cfg(test)]
mod tests;
