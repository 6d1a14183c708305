//! Counts on their way to a validated usage.

use std::collections::BTreeMap;

use super::error::ExtractError;
use super::json::Count;
use crate::tokens::{PARTS_LIMIT, TOKENS_LIMIT, TokenClass, TokenPart, TokenUsage, UsageQuality};

/// Inclusive totals and disjoint parts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Counts {
    /// All input; absent = not reported.
    pub input: Option<u64>,
    /// All output; absent = not reported.
    pub output: Option<u64>,
    /// The provider's own total.
    pub total: Option<u64>,
    parts: BTreeMap<(TokenClass, Option<u32>), u64>,
}

impl Counts {
    /// Adds a part.
    pub(super) fn add(&mut self, class: TokenClass, tokens: u64) {
        self.add_living(class, None, tokens);
    }

    /// Adds a part that is reported, if it is.
    pub(super) fn add_if(&mut self, class: TokenClass, count: Option<&Count>) {
        if let Some(count) = count {
            self.add(class, count.tokens);
        }
    }

    /// Adds a cache write that lives for `seconds`; absent = the provider's default.
    pub(super) fn add_living(&mut self, class: TokenClass, seconds: Option<u32>, tokens: u64) {
        let sum = self.parts.entry((class, seconds)).or_default();
        *sum = sum.saturating_add(tokens);
    }

    /// Adds the counts of another call.
    pub(super) fn add_all(&mut self, other: &Self) {
        self.input = sum([self.input, other.input]);
        self.output = sum([self.output, other.output]);
        self.total = sum([self.total, other.total]);
        for ((class, seconds), tokens) in &other.parts {
            self.add_living(*class, *seconds, *tokens);
        }
    }

    /// Whether nothing at all was reported.
    pub(super) fn is_empty(&self) -> bool {
        self.input.is_none() && self.output.is_none() && self.total.is_none()
    }

    /// The usage, as the provider reported it.
    pub(super) fn into_usage(self) -> Result<TokenUsage, ExtractError> {
        for (side, tokens) in [("input", self.input), ("output", self.output)] {
            if let Some(tokens) = tokens.filter(|tokens| *tokens > TOKENS_LIMIT) {
                return Err(ExtractError::TooManyTokens { side, tokens });
            }
        }
        if self.parts.len() > PARTS_LIMIT {
            return Err(ExtractError::TooManyParts);
        }
        let part = |((class, cache_ttl_seconds), tokens)| TokenPart { class, tokens, cache_ttl_seconds };
        Ok(TokenUsage {
            total_input: self.input,
            total_output: self.output,
            // Kept for reconciliation only: no reason to refuse a call.
            reported_total: self.total.filter(|total| *total <= TOKENS_LIMIT),
            parts: self.parts.into_iter().map(part).collect(),
            quality: UsageQuality::Reported,
        })
    }
}

/// The sum of what is there; absent where nothing is.
pub(super) fn sum(counts: impl IntoIterator<Item = Option<u64>>) -> Option<u64> {
    counts.into_iter().flatten().reduce(u64::saturating_add)
}

/// The tokens of a count that may be absent.
pub(super) fn tokens(count: Option<&Count>) -> Option<u64> {
    count.map(|count| count.tokens)
}

/// Checks that parts are together at most their whole.
///
/// # Errors
/// [`ExtractError::PartsExceedWhole`] with the paths and numbers of both.
pub(super) fn check_within<'a>(
    whole: &Count,
    parts: impl IntoIterator<Item = Option<&'a Count>>,
) -> Result<(), ExtractError> {
    let parts: Vec<&Count> = parts.into_iter().flatten().filter(|part| part.tokens > 0).collect();
    let sum = parts.iter().fold(0, |sum: u64, part| sum.saturating_add(part.tokens));
    if sum <= whole.tokens {
        return Ok(());
    }
    let paths: Vec<&str> = parts.iter().map(|part| part.path.as_str()).collect();
    Err(ExtractError::PartsExceedWhole {
        parts: paths.join(" + "),
        parts_tokens: sum,
        whole: whole.path.clone(),
        whole_tokens: whole.tokens,
    })
}
