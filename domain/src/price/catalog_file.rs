//! The catalog's file format, JSON Lines; `domain/catalog/README.md` explains its fields.

use std::collections::BTreeMap;
use std::str::FromStr;

use jiff::Timestamp;
use jiff::civil::{Time, Weekday};
use jiff::tz::TimeZone;
use rust_decimal::Decimal;
use serde::Deserialize;
use serde::de::IgnoredAny;
use thiserror::Error;

use super::line::LineKind;
use super::listing::Origin;
use super::rule::Rule;
use super::schedule::{Daily, Schedule};
use super::sheet::Rate;
use super::unit_price::UnitPrice;
use crate::amount::Amount;

/// The version of the format that this reads.
pub const CATALOG_FORMAT: u32 = 1;

/// Most digits after the point of a price in the file: gateways publish quotients, and below that lies float noise.
const PRICE_SCALE_LIMIT: u32 = 16;

/// Highest price in the file, in US dollars: above it lies a typing error.
const PRICE_LIMIT: Decimal = Decimal::from_parts(1_000_000, 0, 0, false, 0);

/// Most bytes of a name in the file.
const NAME_LIMIT: usize = 256;

/// Why a catalog is refused.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("line {line} of the catalog: {problem}")]
pub struct CatalogError {
    /// Which line of the file, counted from 1.
    pub line: usize,
    /// What is wrong there, and what to do.
    pub problem: CatalogProblem,
}

/// What is wrong with a line of a catalog.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum CatalogProblem {
    /// Not the format.
    #[error("{0}")]
    Malformed(String),
    /// Written for another reader.
    #[error("its format is {0}, this version reads format {CATALOG_FORMAT}")]
    Format(u32),
    /// A line in the wrong place.
    #[error("{0}")]
    Order(&'static str),
    /// A name that must be there is empty, too long or not in lower case.
    #[error("{field} {name:?} must have 1 to {NAME_LIMIT} bytes, in lower case where it is compared")]
    Name {
        /// Which field.
        field: &'static str,
        /// Its text.
        name: String,
    },
    /// Two entries claim the same name or id.
    #[error("{field} {name:?} is used twice, choose another")]
    Repeated {
        /// What is named.
        field: &'static str,
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
    /// A price whose schedule, rates or multiplier make no sense.
    #[error("price {price_id:?}: {rule}")]
    Shape {
        /// The price entry.
        price_id: String,
        /// What to do.
        rule: &'static str,
    },
    /// A provider that is not in the file.
    #[error("provider {0:?} is not in the catalog")]
    Provider(String),
}

/// A line of the file.
#[derive(Debug)]
pub(super) enum Entry {
    /// A provider.
    Provider(ProviderEntry),
    /// A model, after its provider.
    Model(ModelEntry),
}

impl Entry {
    /// Reads a line below the first.
    pub(super) fn parse(text: &str) -> Result<Self, CatalogProblem> {
        /// Tells the two apart, so that what is wrong with either is named.
        #[derive(Deserialize)]
        struct Kind {
            #[serde(default)]
            model: Option<IgnoredAny>,
        }
        let kind: Kind = parsed(text)?;
        Ok(if kind.model.is_some() { Self::Model(parsed(text)?) } else { Self::Provider(parsed(text)?) })
    }
}

impl Head {
    /// Reads the first line.
    pub(super) fn parse(text: &str) -> Result<Self, CatalogProblem> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct First {
            catalog: Head,
        }
        let First { catalog } = parsed(text)?;
        if catalog.format != CATALOG_FORMAT {
            return Err(CatalogProblem::Format(catalog.format));
        }
        named("version", &catalog.version)?;
        Ok(catalog)
    }
}

fn parsed<'a, T: Deserialize<'a>>(text: &'a str) -> Result<T, CatalogProblem> {
    serde_json::from_str(text).map_err(|error| CatalogProblem::Malformed(error.to_string()))
}

/// The file.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Head {
    pub(super) format: u32,
    pub(super) version: String,
    #[serde(default)]
    pub(super) default_max_output_tokens: Option<u64>,
    /// Where the facts come from: for readers of the file.
    #[serde(default, rename = "sources")]
    _sources: Vec<String>,
}

/// A provider.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ProviderEntry {
    pub(super) provider: String,
    #[serde(default)]
    pub(super) aliases: Vec<Rule>,
    #[serde(default)]
    pub(super) owns: Vec<Rule>,
    #[serde(default)]
    pub(super) fallback: Vec<String>,
}

/// A model.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ModelEntry {
    pub(super) provider: String,
    pub(super) model: String,
    #[serde(rename = "match")]
    pub(super) rules: Vec<Rule>,
    #[serde(default)]
    pub(super) max_output_tokens: Option<u64>,
    pub(super) prices: Vec<PriceEntry>,
}

/// A price of a model.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PriceEntry {
    pub(super) id: String,
    #[serde(default)]
    from: Option<Timestamp>,
    #[serde(default)]
    until: Option<Timestamp>,
    #[serde(default)]
    daily: Option<DailyEntry>,
    #[serde(default)]
    pub(super) tier: Option<String>,
    #[serde(default)]
    pub(super) region: Option<String>,
    #[serde(default)]
    rates: BTreeMap<String, RateEntry>,
    #[serde(default)]
    multiplier: Option<String>,
    #[serde(default)]
    source: Option<String>,
    #[serde(default)]
    reason: Option<String>,
}

/// A time of day.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct DailyEntry {
    from: String,
    to: String,
    zone: String,
    #[serde(default)]
    weekdays: Vec<String>,
}

/// The price of a line.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum RateEntry {
    Plain(String),
    Full(FullRate),
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct FullRate {
    usd: String,
    #[serde(default)]
    per: Option<u32>,
    #[serde(default)]
    minimum: Option<String>,
    #[serde(default)]
    tiers: Vec<Tier>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Tier {
    above: u64,
    usd: String,
}

/// Refuses an empty or overlong `name`.
pub(super) fn named(field: &'static str, name: &str) -> Result<(), CatalogProblem> {
    if name.is_empty() || name.len() > NAME_LIMIT {
        return Err(CatalogProblem::Name { field, name: name.to_owned() });
    }
    Ok(())
}

/// Refuses a `name` that is not in lower case: it would never match.
pub(super) fn named_in_lower_case(field: &'static str, name: &str) -> Result<(), CatalogProblem> {
    named(field, name)?;
    if name.chars().any(char::is_uppercase) {
        return Err(CatalogProblem::Name { field, name: name.to_owned() });
    }
    Ok(())
}

impl PriceEntry {
    /// What names it, and what it rests on.
    pub(super) fn origin(&self) -> Origin {
        Origin { id: self.id.clone(), source: self.source.clone(), reason: self.reason.clone() }
    }

    /// When it is in force.
    pub(super) fn schedule(&self) -> Result<Schedule, CatalogProblem> {
        let daily = self.daily.as_ref().map(|daily| self.daily(daily)).transpose()?;
        Ok(Schedule { from: self.from, until: self.until, daily })
    }

    fn daily(&self, entry: &DailyEntry) -> Result<Daily, CatalogProblem> {
        let time = |text: &str| {
            Time::strptime("%H:%M", text).map_err(|_| self.shape("daily times are written like \"16:30\""))
        };
        let weekday = |text: &String| match text.as_str() {
            "mon" => Ok(Weekday::Monday),
            "tue" => Ok(Weekday::Tuesday),
            "wed" => Ok(Weekday::Wednesday),
            "thu" => Ok(Weekday::Thursday),
            "fri" => Ok(Weekday::Friday),
            "sat" => Ok(Weekday::Saturday),
            "sun" => Ok(Weekday::Sunday),
            _ => Err(self.shape("weekdays are mon, tue, wed, thu, fri, sat, sun")),
        };
        Ok(Daily {
            from: time(&entry.from)?,
            to: time(&entry.to)?,
            zone: match entry.zone.as_str() {
                "UTC" => TimeZone::UTC,
                name => TimeZone::get(name).map_err(|_| self.shape("daily.zone must be an IANA time zone"))?,
            },
            weekdays: entry.weekdays.iter().map(weekday).collect::<Result<_, _>>()?,
        })
    }

    /// Its factor; absent = 1.
    pub(super) fn multiplier(&self) -> Result<Option<Decimal>, CatalogProblem> {
        self.multiplier.as_deref().map(|text| self.decimal("multiplier", text)).transpose()
    }

    /// Its rates, sorted by line and threshold.
    pub(super) fn rates(&self) -> Result<Vec<Rate>, CatalogProblem> {
        let mut rates = Vec::new();
        for (name, entry) in &self.rates {
            self.add_rates(&mut rates, name, entry)?;
        }
        rates
            .sort_by(|left, right| (&left.line, left.above_input_tokens).cmp(&(&right.line, right.above_input_tokens)));
        Ok(rates)
    }

    fn add_rates(&self, rates: &mut Vec<Rate>, name: &str, entry: &RateEntry) -> Result<(), CatalogProblem> {
        let (line, default_per) = match LineKind::token_line(name) {
            Some(line) => (line, UnitPrice::TOKENS),
            None if LineKind::is_unit_name(name) => (LineKind::Unit(name.to_owned()), 1),
            None => return Err(self.shape("name lines as tokens, or as units in lower case, digits and _")),
        };
        let plain;
        let full = match entry {
            RateEntry::Full(full) => full,
            RateEntry::Plain(usd) => {
                plain = FullRate { usd: usd.clone(), per: None, minimum: None, tiers: Vec::new() };
                &plain
            }
        };
        let per = full.per.unwrap_or(default_per);
        if per == 0 || (full.per.is_some() && default_per == UnitPrice::TOKENS) {
            return Err(self.shape("give `per` for units only, at least 1"));
        }
        let minimum = match &full.minimum {
            Some(text) => Some(Amount::from_str(text).map_err(|_| self.shape("minimum must be a decimal string"))?),
            None => None,
        };
        let mut add = |usd: &str, above_input_tokens| {
            rates.push(Rate {
                line: line.clone(),
                price: UnitPrice { usd: self.decimal(name, usd)?, per },
                above_input_tokens,
                minimum,
                price_id: self.id.clone(),
            });
            Ok(())
        };
        add(&full.usd, None)?;
        for tier in &full.tiers {
            add(&tier.usd, Some(tier.above))?;
        }
        if full.tiers.windows(2).any(|pair| matches!(pair, [left, right] if left.above >= right.above)) {
            return Err(self.shape("let the thresholds of tiers rise"));
        }
        Ok(())
    }

    fn decimal(&self, line: &str, text: &str) -> Result<Decimal, CatalogProblem> {
        let starts_with_digit = text.starts_with(|first: char| first.is_ascii_digit());
        Decimal::from_str_exact(text)
            .ok()
            .map(|price| price.normalize())
            .filter(|price| starts_with_digit && *price <= PRICE_LIMIT && price.scale() <= PRICE_SCALE_LIMIT)
            .ok_or_else(|| CatalogProblem::Price { price_id: self.id.clone(), line: line.to_owned() })
    }

    pub(super) fn shape(&self, rule: &'static str) -> CatalogProblem {
        CatalogProblem::Shape { price_id: self.id.clone(), rule }
    }
}
