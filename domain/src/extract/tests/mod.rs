//! Tests of this room, a file for each family of APIs.

mod anthropic;
mod google;
mod names;
mod openai;
mod others;
mod properties;
mod refusals;
mod responses;
mod streams;

use std::collections::BTreeMap;

use super::{ExtractError, Extraction, extract};
use crate::price::UnitCount;
use crate::tokens::{Side, TokenUsage};

/// What a test compares: disjoint classes and units by name, without zeros.
type Disjoint = BTreeMap<String, String>;

fn disjoint(usage: &TokenUsage, units: &[UnitCount]) -> Disjoint {
    let mut found = Disjoint::new();
    for (name, tokens) in
        [("input_uncached", usage.plain_text(Side::Input)), ("output_text", usage.plain_text(Side::Output))]
    {
        found.extend(tokens.map(|tokens| (name.to_owned(), tokens.to_string())));
    }
    for part in &usage.parts {
        let lifetime = match part.cache_ttl_seconds {
            None => String::new(),
            Some(300) => "_5m".to_owned(),
            Some(3600) => "_1h".to_owned(),
            Some(seconds) => format!("_{seconds}s"),
        };
        found.insert(format!("{}{lifetime}", part.class.name()), part.tokens.to_string());
    }
    found.extend(units.iter().map(|count| (count.unit.clone(), count.quantity.to_string())));
    found.retain(|_, quantity| quantity != "0");
    found
}

fn extracted(api: &str, json: &str) -> Extraction {
    let extraction = extract(api, json.as_bytes()).unwrap_or_else(|error| panic!("{api}: {error}: {json}"));
    let valid = extraction.usage.clone().validated("usage").unwrap();
    assert_eq!(valid, extraction.usage, "parts are sorted");
    extraction
}

/// Asserts the disjoint classes and units of `json`, given as `name=count` words.
fn assert_usage(api: &str, json: &str, expected: &str) {
    let extraction = extracted(api, json);
    let expected: Disjoint = expected
        .split_whitespace()
        .map(|word| word.split_once('=').unwrap())
        .map(|(name, count)| (name.to_owned(), count.to_owned()))
        .collect();
    assert_eq!(disjoint(&extraction.usage, &extraction.units), expected, "{api}: {json}");
}

fn refusal(api: &str, json: &str) -> String {
    let error: ExtractError = extract(api, json.as_bytes()).expect_err(json);
    error.to_string()
}
