//! Turns a catalog's file into what look-ups need.

use std::collections::BTreeMap;
use std::collections::{HashMap, HashSet};
use std::sync::{Arc, RwLock};

use super::catalog::{Catalog, DEFAULT_MAX_OUTPUT_TOKENS, Model, Provider};
use super::catalog_file::{
    CatalogError, CatalogProblem, Entry, Head, ModelEntry, PriceEntry, ProviderEntry, named, named_in_lower_case,
};
use super::model_prices::{ModelPrices, Standard, VARIANTS_LIMIT, Variant};
use super::rule::Rule;
use super::sheet::PriceSheet;

/// Reads a catalog, JSON Lines.
pub(super) fn compile(text: &str) -> Result<Catalog, CatalogError> {
    let mut lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    let at = |number: usize| move |problem| CatalogError { line: number + 1, problem };
    let (number, first) =
        lines.next().ok_or_else(|| at(0)(CatalogProblem::Order("the first line must be {\"catalog\":{…}}")))?;
    let head = Head::parse(first).map_err(at(number))?;
    let mut compiler = Compiler::new(head);
    let mut last = number;
    for (number, line) in lines {
        last = number;
        compiler.add(line).map_err(at(number))?;
    }
    compiler.finish().map_err(at(last))
}

/// A provider as far as it was read.
struct Draft {
    entry: ProviderEntry,
    models: Vec<Model>,
    rules: Vec<(usize, Rule)>,
    names: HashSet<String>,
}

struct Compiler {
    version: Arc<str>,
    max_output_tokens: u64,
    price_ids: HashSet<String>,
    drafts: Vec<Draft>,
}

impl Compiler {
    fn new(head: Head) -> Self {
        Self {
            version: head.version.into(),
            max_output_tokens: head.default_max_output_tokens.unwrap_or(DEFAULT_MAX_OUTPUT_TOKENS),
            price_ids: HashSet::new(),
            drafts: Vec::new(),
        }
    }

    fn add(&mut self, line: &str) -> Result<(), CatalogProblem> {
        match Entry::parse(line)? {
            Entry::Provider(entry) => {
                named_in_lower_case("provider", &entry.provider)?;
                check_rules(entry.aliases.iter().chain(&entry.owns))?;
                if self.drafts.iter().any(|draft| draft.entry.provider == entry.provider) {
                    return Err(CatalogProblem::Repeated { field: "provider", name: entry.provider });
                }
                self.drafts.push(Draft { entry, models: Vec::new(), rules: Vec::new(), names: HashSet::new() });
                Ok(())
            }
            Entry::Model(entry) => self.add_model(&entry),
        }
    }

    fn add_model(&mut self, entry: &ModelEntry) -> Result<(), CatalogProblem> {
        named("model", &entry.model)?;
        check_rules(&entry.rules)?;
        let prices = self.prices(entry)?;
        let owner = self.drafts.last_mut().filter(|draft| draft.entry.provider == entry.provider);
        let draft = owner.ok_or(CatalogProblem::Order("a model must stand below its provider"))?;
        if !draft.names.insert(entry.model.clone()) {
            return Err(CatalogProblem::Repeated { field: "model", name: entry.model.clone() });
        }
        let place = draft.models.len();
        draft.rules.extend(flattened(&entry.rules).map(|rule| (place, rule.clone())));
        draft.models.push(Model { name: entry.model.clone(), prices });
        Ok(())
    }

    fn prices(&mut self, entry: &ModelEntry) -> Result<ModelPrices, CatalogProblem> {
        let (mut standards, mut variants) = (Vec::new(), Vec::new());
        for price in &entry.prices {
            named("price id", &price.id)?;
            if !self.price_ids.insert(price.id.clone()) {
                return Err(CatalogProblem::Repeated { field: "price id", name: price.id.clone() });
            }
            if price.tier.is_some() || price.region.is_some() {
                variants.push(variant(price)?);
            } else {
                let (schedule, sheet) = (price.schedule()?, self.sheet(entry, price)?);
                standards.push(Standard { origin: price.origin(), schedule, sheet });
            }
        }
        if variants.len() > VARIANTS_LIMIT {
            return Err(CatalogProblem::Order("a model may have at most 64 variants"));
        }
        for (variant, standard) in variants.iter().flat_map(|variant| standards.iter().map(move |it| (variant, it))) {
            check_factor(variant, standard)?;
        }
        Ok(ModelPrices { standards, variants, patched: RwLock::new(Vec::new()) })
    }

    fn sheet(&self, entry: &ModelEntry, price: &PriceEntry) -> Result<Arc<PriceSheet>, CatalogProblem> {
        let rates = price.rates()?;
        if rates.is_empty() || price.multiplier()?.is_some() {
            return Err(price.shape("give at least one rate, zero where it costs nothing, and no multiplier"));
        }
        // A model that writes nothing, such as one for embeddings, has no output to assume.
        let writes = rates.iter().any(|rate| rate.line.is_output());
        let assumed = if writes { self.max_output_tokens } else { 0 };
        Ok(Arc::new(PriceSheet {
            catalog_version: self.version.as_ref().to_owned(),
            provider_name: entry.provider.clone(),
            model: entry.model.clone(),
            rates,
            max_output_tokens: entry.max_output_tokens.filter(|_| writes).unwrap_or(assumed),
            others: BTreeMap::new(),
        }))
    }

    fn finish(self) -> Result<Catalog, CatalogProblem> {
        let places: HashMap<String, usize> =
            self.drafts.iter().enumerate().map(|(place, draft)| (draft.entry.provider.clone(), place)).collect();
        let aliases: Vec<(usize, Rule)> = self
            .drafts
            .iter()
            .enumerate()
            .flat_map(|(place, draft)| flattened(&draft.entry.aliases).map(move |rule| (place, rule.clone())))
            .collect();
        let owners: Vec<(usize, Rule)> = self
            .drafts
            .iter()
            .enumerate()
            .flat_map(|(place, draft)| draft.entry.owns.iter().map(move |rule| (place, rule.clone())))
            .collect();
        let mut names = exact(&aliases);
        // A provider's own name goes before every alias.
        names.extend(places.iter().map(|(name, place)| (name.clone(), *place)));
        let mut providers = Vec::with_capacity(self.drafts.len());
        for Draft { entry, models, rules, .. } in self.drafts {
            let known = |name: &String| places.get(name).copied().ok_or(CatalogProblem::Provider(name.clone()));
            let fallback = entry.fallback.iter().map(known).collect::<Result<_, _>>()?;
            providers.push(Provider {
                name: entry.provider,
                models,
                exact: exact(&rules),
                patterns: patterns(rules),
                fallback,
            });
        }
        Ok(Catalog { version: self.version, providers, names, aliases: patterns(aliases), owners })
    }
}

fn variant(price: &PriceEntry) -> Result<Variant, CatalogProblem> {
    for (field, name) in [("tier", &price.tier), ("region", &price.region)] {
        if let Some(name) = name {
            named_in_lower_case(field, name)?;
        }
    }
    let (rates, multiplier) = (price.rates()?, price.multiplier()?);
    if rates.is_empty() && multiplier.is_none() {
        return Err(price.shape("give a rate or a multiplier"));
    }
    let (tier, region) = (price.tier.clone(), price.region.clone());
    Ok(Variant { origin: price.origin(), schedule: price.schedule()?, tier, region, rates, multiplier })
}

/// Refuses a factor whose product with a price has more digits than a decimal holds.
fn check_factor(variant: &Variant, standard: &Standard) -> Result<(), CatalogProblem> {
    let Some(factor) = variant.multiplier else { return Ok(()) };
    for rate in variant.rates.iter().chain(&standard.sheet.rates) {
        if rate.price.times(factor).is_err() {
            let rule = "its multiplier makes more digits than a price can have";
            return Err(CatalogProblem::Shape { price_id: rate.price_id.clone(), rule });
        }
    }
    Ok(())
}

fn check_rules<'a>(rules: impl IntoIterator<Item = &'a Rule>) -> Result<(), CatalogProblem> {
    rules.into_iter().flat_map(Rule::texts).try_for_each(|text| named_in_lower_case("match", text))
}

/// The rules of which one must hold.
fn flattened(rules: &[Rule]) -> impl Iterator<Item = &Rule> {
    rules.iter().flat_map(|rule| match rule {
        Rule::Any(rules) => rules.as_slice(),
        single => std::slice::from_ref(single),
    })
}

/// The names that a rule spells out, with the owner of the first rule that matches each: found at once, however many
/// rules there are.
fn exact(rules: &[(usize, Rule)]) -> HashMap<String, usize> {
    let patterns: Vec<&(usize, Rule)> = rules.iter().filter(|(_, rule)| !matches!(rule, Rule::Equals(_))).collect();
    let mut exact = HashMap::new();
    for (owner, rule) in rules {
        if let Rule::Equals(name) = rule {
            let earlier = patterns.iter().take_while(|(place, _)| place < owner).find(|(_, rule)| rule.matches(name));
            exact.entry(name.clone()).or_insert(earlier.map_or(*owner, |(place, _)| *place));
        }
    }
    exact
}

/// The rules that [`exact`] does not answer.
fn patterns(rules: Vec<(usize, Rule)>) -> Vec<(usize, Rule)> {
    rules.into_iter().filter(|(_, rule)| !matches!(rule, Rule::Equals(_))).collect()
}
