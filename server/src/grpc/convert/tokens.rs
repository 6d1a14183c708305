//! Token usage.

use std::fmt::Display;

use tollgate_domain::price::UnitCount;
use tollgate_domain::tokens::{TokenClass, TokenPart, TokenUsage, UsageQuality};
use tollgate_domain::violation::Violations;
use tollgate_proto::v1;

use super::values::{count, decimal, known};

/// Longest name of a unit, in bytes.
const UNIT_BYTES_LIMIT: usize = 64;
/// Largest quantity of a unit.
const QUANTITY_LIMIT: u32 = 1_000_000_000;
/// Most units of one event.
pub(super) const UNITS_LIMIT: usize = 32;

/// Validated usage.
pub fn usage(violations: &mut Violations, path: impl Display + Copy, message: v1::TokenUsage) -> Option<TokenUsage> {
    let v1::TokenUsage { total_input_tokens, total_output_tokens, reported_total, parts, quality } = message;
    let mut total =
        |name: &str, value: Option<i64>| value.map(|value| count(violations, format_args!("{path}.{name}"), value));
    let total_input = total("total_input_tokens", total_input_tokens);
    let total_output = total("total_output_tokens", total_output_tokens);
    let reported_total = total("reported_total", reported_total);
    let quality: Option<v1::UsageQuality> = known(violations, format_args!("{path}.quality"), quality, false);
    let mut found = Vec::with_capacity(parts.len());
    for (position, message) in parts.into_iter().enumerate() {
        found.extend(part(violations, format_args!("{path}.parts[{position}]"), message));
    }
    let usage = TokenUsage { total_input, total_output, reported_total, parts: found, quality: to_domain(quality?)? };
    match usage.validated(path) {
        Ok(usage) => Some(usage),
        Err(found) => {
            violations.extend(found);
            None
        }
    }
}

fn to_domain(quality: v1::UsageQuality) -> Option<UsageQuality> {
    match quality {
        v1::UsageQuality::Unspecified => None,
        v1::UsageQuality::Reported => Some(UsageQuality::Reported),
        v1::UsageQuality::Counted => Some(UsageQuality::Counted),
        v1::UsageQuality::Estimated => Some(UsageQuality::Estimated),
        v1::UsageQuality::Unknown => Some(UsageQuality::Unknown),
    }
}

fn part(violations: &mut Violations, path: impl Display + Copy, message: v1::TokenPart) -> Option<TokenPart> {
    let v1::TokenPart { token_class, tokens, cache_ttl } = message;
    let class: Option<v1::TokenClass> = known(violations, format_args!("{path}.token_class"), token_class, false);
    let tokens = count(violations, format_args!("{path}.tokens"), tokens);
    let cache_ttl_seconds = cache_ttl.map(|prost_types::Duration { seconds, nanos }| {
        u32::try_from(seconds).ok().filter(|seconds| *seconds > 0 && nanos == 0).unwrap_or_else(|| {
            violations.add(format_args!("{path}.cache_ttl"), "must be a whole number of seconds above 0");
            1
        })
    });
    Some(TokenPart { class: class_to_domain(class?)?, tokens, cache_ttl_seconds })
}

fn class_to_domain(class: v1::TokenClass) -> Option<TokenClass> {
    Some(match class {
        v1::TokenClass::Unspecified => return None,
        v1::TokenClass::CacheRead => TokenClass::CacheRead,
        v1::TokenClass::CacheWrite => TokenClass::CacheWrite,
        v1::TokenClass::AudioIn => TokenClass::AudioIn,
        v1::TokenClass::ImageIn => TokenClass::ImageIn,
        v1::TokenClass::VideoIn => TokenClass::VideoIn,
        v1::TokenClass::CacheReadAudio => TokenClass::CacheReadAudio,
        v1::TokenClass::CacheReadImage => TokenClass::CacheReadImage,
        v1::TokenClass::CacheReadVideo => TokenClass::CacheReadVideo,
        v1::TokenClass::ToolIn => TokenClass::ToolIn,
        v1::TokenClass::Reasoning => TokenClass::Reasoning,
        v1::TokenClass::AudioOut => TokenClass::AudioOut,
        v1::TokenClass::ImageOut => TokenClass::ImageOut,
        v1::TokenClass::VideoOut => TokenClass::VideoOut,
        v1::TokenClass::Citation => TokenClass::Citation,
    })
}

/// For the wire.
pub fn to_class(class: TokenClass) -> v1::TokenClass {
    match class {
        TokenClass::CacheRead => v1::TokenClass::CacheRead,
        TokenClass::CacheWrite => v1::TokenClass::CacheWrite,
        TokenClass::AudioIn => v1::TokenClass::AudioIn,
        TokenClass::ImageIn => v1::TokenClass::ImageIn,
        TokenClass::VideoIn => v1::TokenClass::VideoIn,
        TokenClass::CacheReadAudio => v1::TokenClass::CacheReadAudio,
        TokenClass::CacheReadImage => v1::TokenClass::CacheReadImage,
        TokenClass::CacheReadVideo => v1::TokenClass::CacheReadVideo,
        TokenClass::ToolIn => v1::TokenClass::ToolIn,
        TokenClass::Reasoning => v1::TokenClass::Reasoning,
        TokenClass::AudioOut => v1::TokenClass::AudioOut,
        TokenClass::ImageOut => v1::TokenClass::ImageOut,
        TokenClass::VideoOut => v1::TokenClass::VideoOut,
        TokenClass::Citation => v1::TokenClass::Citation,
    }
}

/// For the wire.
pub fn to_usage(usage: &TokenUsage) -> v1::TokenUsage {
    let TokenUsage { total_input, total_output, reported_total, parts, quality } = usage;
    let count = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
    v1::TokenUsage {
        total_input_tokens: total_input.map(count),
        total_output_tokens: total_output.map(count),
        reported_total: reported_total.map(count),
        parts: parts.iter().map(|part| to_part(part.class, count(part.tokens), part.cache_ttl_seconds)).collect(),
        quality: match quality {
            UsageQuality::Reported => v1::UsageQuality::Reported,
            UsageQuality::Counted => v1::UsageQuality::Counted,
            UsageQuality::Estimated => v1::UsageQuality::Estimated,
            UsageQuality::Unknown => v1::UsageQuality::Unknown,
        }
        .into(),
    }
}

/// For the wire.
pub fn to_part(class: TokenClass, tokens: i64, cache_ttl_seconds: Option<u32>) -> v1::TokenPart {
    v1::TokenPart {
        token_class: to_class(class).into(),
        tokens,
        cache_ttl: cache_ttl_seconds.map(|seconds| prost_types::Duration { seconds: i64::from(seconds), nanos: 0 }),
    }
}

/// Other billed units.
pub fn units(violations: &mut Violations, path: impl Display + Copy, messages: Vec<v1::UnitCount>) -> Vec<UnitCount> {
    violations.add_if(messages.len() > UNITS_LIMIT, path, format_args!("must have at most {UNITS_LIMIT} entries"));
    let mut found: Vec<UnitCount> = Vec::new();
    for (position, message) in messages.into_iter().take(UNITS_LIMIT).enumerate() {
        let v1::UnitCount { unit, quantity } = message;
        let field = format_args!("{path}[{position}]");
        violations.add_if(unit.is_empty(), format_args!("{field}.unit"), "must be set");
        tollgate_domain::dimensions::check_text(violations, format_args!("{field}.unit"), &unit, UNIT_BYTES_LIMIT);
        violations.add_if(
            found.iter().any(|earlier| earlier.unit == unit),
            format_args!("{field}.unit"),
            "repeats a unit: add its quantities into one entry",
        );
        violations.add_if(quantity.is_empty(), format_args!("{field}.quantity"), "must be set");
        let quantity: tollgate_domain::amount::Amount =
            decimal(violations, format_args!("{field}.quantity"), &quantity).unwrap_or_default();
        let too_many = quantity > QUANTITY_LIMIT.into();
        violations.add_if(quantity.is_negative(), format_args!("{field}.quantity"), "must not be negative");
        violations.add_if(too_many, format_args!("{field}.quantity"), format_args!("must be at most {QUANTITY_LIMIT}"));
        found.push(UnitCount { unit, quantity });
    }
    found
}

/// For the wire.
pub fn to_unit(count: &UnitCount) -> v1::UnitCount {
    let UnitCount { unit, quantity } = count;
    v1::UnitCount { unit: unit.clone(), quantity: quantity.to_string() }
}
