//! The catalog's file format; its fields are explained at the head of the built-in file.

use std::collections::BTreeMap;

use jiff::Timestamp;
use rust_decimal::Decimal;
use serde::Deserialize;
use thiserror::Error;

use super::line::LineKind;
use super::matching::MatchRule;
use super::sheet::Rate;

/// Most digits after the point of a price in the file: below that lies float noise, not a price.
const PRICE_SCALE_LIMIT: u32 = 12;

/// Highest price in the file, in US dollars per million tokens or per unit: above it lies a typing error.
const PRICE_LIMIT: Decimal = Decimal::from_parts(1_000_000, 0, 0, false, 0);

/// Most bytes of a name in the file.
const NAME_LIMIT: usize = 256;

/// Why a catalog is refused.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum CatalogError {
    /// Not the format.
    #[error("the catalog cannot be read: {0}")]
    Malformed(String),
    /// A name that must be there is empty or too long.
    #[error("{place}: {field} must have 1 to {NAME_LIMIT} bytes")]
    Name {
        /// Where in the file.
        place: String,
        /// Which field.
        field: &'static str,
    },
    /// Two entries claim the same name or id.
    #[error("{place}: {name:?} is used twice, choose another")]
    Repeated {
        /// What is named.
        place: &'static str,
        /// The name.
        name: String,
    },
    /// A price that is no decimal, negative, too high or too fine.
    #[error(
        "price {price_id:?}: {line} must be a decimal string from 0 to {PRICE_LIMIT} with at most {PRICE_SCALE_LIMIT} decimals"
    )]
    Price {
        /// The price entry.
        price_id: String,
        /// The line.
        line: String,
    },
    /// A line that is not one of tokens, or a unit that is one.
    #[error("price {price_id:?}: {line:?} is not a line of this table, see the head of the built-in catalog")]
    Line {
        /// The price entry.
        price_id: String,
        /// The line.
        line: String,
    },
    /// A free provider with models, a model without prices, a price without rates, or a model without rules.
    #[error("{place}: {rule}")]
    Shape {
        /// Where in the file.
        place: String,
        /// What to do.
        rule: &'static str,
    },
}

/// The file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct CatalogFile {
    pub(super) version: String,
    #[serde(default)]
    pub(super) default_max_output_tokens: Option<u64>,
    #[serde(default, rename = "provider")]
    pub(super) providers: Vec<ProviderEntry>,
}

/// A provider.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ProviderEntry {
    pub(super) name: String,
    #[serde(default)]
    pub(super) aliases: Vec<String>,
    #[serde(default)]
    pub(super) free: bool,
    #[serde(default, rename = "model")]
    pub(super) models: Vec<ModelEntry>,
}

/// A model.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ModelEntry {
    pub(super) name: String,
    #[serde(rename = "match")]
    pub(super) rules: Vec<MatchRule>,
    #[serde(default)]
    pub(super) max_output_tokens: Option<u64>,
    #[serde(rename = "price")]
    pub(super) prices: Vec<PriceEntry>,
}

/// The prices of a model from an instant on.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PriceEntry {
    pub(super) id: String,
    #[serde(default)]
    pub(super) from: Option<Timestamp>,
    #[serde(default)]
    per_million_tokens: BTreeMap<String, String>,
    #[serde(default)]
    per_unit: BTreeMap<String, String>,
}

impl CatalogFile {
    /// Reads `text`, TOML.
    pub(super) fn parse(text: &str) -> Result<Self, CatalogError> {
        let file: Self = toml::from_str(text).map_err(|error| CatalogError::Malformed(error.to_string()))?;
        named("catalog", "version", &file.version)?;
        Ok(file)
    }
}

/// Refuses an empty or overlong `name`.
pub(super) fn named(place: &str, field: &'static str, name: &str) -> Result<(), CatalogError> {
    if name.is_empty() || name.len() > NAME_LIMIT {
        return Err(CatalogError::Name { place: place.to_owned(), field });
    }
    Ok(())
}

impl PriceEntry {
    /// Its rates per single token or unit, sorted by line.
    pub(super) fn rates(&self) -> Result<Vec<Rate>, CatalogError> {
        let unknown = |line: &str| CatalogError::Line { price_id: self.id.clone(), line: line.to_owned() };
        let mut rates = Vec::new();
        for (name, text) in &self.per_million_tokens {
            let line = LineKind::token_line(name).ok_or_else(|| unknown(name))?;
            // Moves the decimal point: exact, where a division would have to be checked for being so.
            let price = self.amount(name, text)?;
            let per_token = Decimal::try_from_i128_with_scale(price.mantissa(), price.scale() + 6)
                .map_err(|_| self.refused(name))?;
            rates.push(self.rate(line, per_token));
        }
        for (name, text) in &self.per_unit {
            let is_unit_name = !name.is_empty()
                && name.len() <= 64
                && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_');
            if !is_unit_name || LineKind::token_line(name).is_some() {
                return Err(unknown(name));
            }
            rates.push(self.rate(LineKind::Unit(name.clone()), self.amount(name, text)?));
        }
        if rates.is_empty() {
            let place = format!("price {:?}", self.id);
            return Err(CatalogError::Shape { place, rule: "give at least one rate, zero where it costs nothing" });
        }
        rates.sort_by(|left, right| left.line.cmp(&right.line));
        Ok(rates)
    }

    fn rate(&self, line: LineKind, usd_per_unit: Decimal) -> Rate {
        Rate { line, usd_per_unit: usd_per_unit.normalize(), price_id: self.id.clone() }
    }

    fn amount(&self, line: &str, text: &str) -> Result<Decimal, CatalogError> {
        let starts_with_digit = text.starts_with(|first: char| first.is_ascii_digit());
        Decimal::from_str_exact(text)
            .ok()
            .map(|price| price.normalize())
            .filter(|price| starts_with_digit && *price <= PRICE_LIMIT && price.scale() <= PRICE_SCALE_LIMIT)
            .ok_or_else(|| self.refused(line))
    }

    fn refused(&self, line: &str) -> CatalogError {
        CatalogError::Price { price_id: self.id.clone(), line: line.to_owned() }
    }
}
