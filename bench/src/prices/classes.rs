//! The names that oracles give disjoint classes, and Tollgate's own.

use std::collections::BTreeMap;

use anyhow::Context as _;
use tollgate_domain::price::UnitCount;
use tollgate_domain::tokens::{Side, TokenClass, TokenPart, TokenUsage, UsageQuality};

/// Disjoint counts by name: tokens and other units.
pub(crate) type Classes = BTreeMap<String, serde_json::Number>;

const INPUT: &str = "input_uncached";
const OUTPUT: &str = "output_text";
const FIVE_MINUTES: (&str, u32) = ("cache_write_5m", 300);
const ONE_HOUR: (&str, u32) = ("cache_write_1h", 3600);

/// The token class called `name`, and how long its cache entry lives.
fn class(name: &str) -> Option<(TokenClass, Option<u32>)> {
    for (written, seconds) in [FIVE_MINUTES, ONE_HOUR] {
        if name == written {
            return Some((TokenClass::CacheWrite, Some(seconds)));
        }
    }
    TokenClass::ALL.into_iter().find(|class| class.name() == name).map(|class| (class, None))
}

/// The disjoint classes of `usage` and `units` that are not zero, as decimal text by name.
pub(crate) fn of(usage: &TokenUsage, units: &[UnitCount]) -> BTreeMap<String, String> {
    let mut classes = BTreeMap::new();
    for (side, name) in [(Side::Input, INPUT), (Side::Output, OUTPUT)] {
        classes.insert(name.to_owned(), usage.plain_text(side).unwrap_or(0).to_string());
    }
    for part in &usage.parts {
        let lived = [FIVE_MINUTES, ONE_HOUR].into_iter().find(|(_, seconds)| Some(*seconds) == part.cache_ttl_seconds);
        let name = lived.map_or(part.class.name(), |(name, _)| name);
        classes.insert(name.to_owned(), part.tokens.to_string());
    }
    for count in units {
        classes.insert(count.unit.clone(), count.quantity.to_string());
    }
    classes.retain(|_, count| count != "0");
    classes
}

/// Tollgate's usage and units.
pub(crate) fn usage(classes: &Classes) -> anyhow::Result<(TokenUsage, Vec<UnitCount>)> {
    let (mut input, mut output, mut parts, mut units) = (0, 0, Vec::new(), Vec::new());
    for (name, count) in classes {
        let tokens = || count.as_u64().with_context(|| format!("{name} is no count"));
        match (name.as_str(), class(name)) {
            (INPUT, _) => input += tokens()?,
            (OUTPUT, _) => output += tokens()?,
            (_, Some((class, cache_ttl_seconds))) => {
                let total = if class.side() == Side::Input { &mut input } else { &mut output };
                *total += tokens()?;
                parts.push(TokenPart { class, tokens: tokens()?, cache_ttl_seconds });
            }
            (unit, None) => {
                units.push(UnitCount { unit: unit.to_owned(), quantity: count.to_string().parse()? });
            }
        }
    }
    let usage = TokenUsage {
        total_input: Some(input),
        total_output: Some(output),
        reported_total: None,
        parts,
        quality: UsageQuality::Reported,
    };
    let usage = usage.validated("usage").map_err(|violations| anyhow::anyhow!("{violations:?}"))?;
    Ok((usage, units))
}
