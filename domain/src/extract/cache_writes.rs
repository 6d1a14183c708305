//! Tokens written to a prompt cache, by how long they live there.

use super::counts::{Counts, check_within};
use super::error::ExtractError;
use super::json::{Count, Object};
use crate::tokens::TokenClass;

/// Cache writes: a whole, perhaps split by time to live.
#[derive(Debug, Default)]
pub(super) struct CacheWrites {
    by_lifetime: Vec<(Option<u32>, Count)>,
}

impl CacheWrites {
    /// A split of `whole` wins over it; what the split leaves of it was written for an unknown time.
    ///
    /// # Errors
    /// [`ExtractError::PartsExceedWhole`] where the split is more than the whole.
    pub(super) fn new(whole: Option<Count>, split: Vec<(u32, Count)>) -> Result<Self, ExtractError> {
        let split_sum = split.iter().fold(0, |sum: u64, (_, part)| sum.saturating_add(part.tokens));
        if let Some(whole) = &whole {
            check_within(whole, split.iter().map(|(_, part)| Some(part)))?;
        }
        let named: Vec<_> = split.into_iter().filter(|(_, part)| part.tokens > 0).collect();
        let rest = whole.map(|whole| Count { tokens: whole.tokens - split_sum.min(whole.tokens), path: whole.path });
        let mut by_lifetime: Vec<_> = named.into_iter().map(|(seconds, part)| (Some(seconds), part)).collect();
        by_lifetime.extend(rest.filter(|rest| rest.tokens > 0 || by_lifetime.is_empty()).map(|rest| (None, rest)));
        Ok(Self { by_lifetime })
    }

    /// All of them.
    pub(super) fn counts(&self) -> impl Iterator<Item = &Count> {
        self.by_lifetime.iter().map(|(_, count)| count)
    }

    /// Their sum; absent where none was reported.
    pub(super) fn tokens(&self) -> Option<u64> {
        self.counts().map(|count| count.tokens).reduce(u64::saturating_add)
    }

    /// Adds them as parts.
    pub(super) fn add_to(&self, counts: &mut Counts) {
        for (seconds, count) in &self.by_lifetime {
            counts.add_living(TokenClass::CacheWrite, *seconds, count.tokens);
        }
    }
}

/// The counts in `object` whose names carry a time to live: `ephemeral_5m_input_tokens`, `cache_write_30m_tokens`.
/// Times are an open set.
pub(super) fn by_named_lifetime(object: Option<&Object<'_>>) -> Result<Vec<(u32, Count)>, ExtractError> {
    let Some(object) = object else { return Ok(Vec::new()) };
    let mut found = Vec::new();
    for key in object.keys() {
        let Some(seconds) = lifetime_in(key) else { continue };
        found.extend(object.count(key)?.map(|count| (seconds, count)));
    }
    Ok(found)
}

fn lifetime_in(key: &str) -> Option<u32> {
    let name = ["ephemeral_", "cache_write_", "cache_creation_"].iter().find_map(|prefix| key.strip_prefix(prefix))?;
    ["_input_tokens", "_tokens"].iter().find_map(|suffix| name.strip_suffix(suffix)).and_then(seconds)
}

/// Seconds of a time such as `5m` or `1h`.
pub(super) fn seconds(text: &str) -> Option<u32> {
    let unit = match text.chars().next_back()? {
        's' => 1,
        'm' => 60,
        'h' => 3600,
        'd' => 86_400,
        _ => return None,
    };
    let number = text.get(..text.len() - 1)?;
    let digits = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
    if digits { number.parse::<u32>().ok()?.checked_mul(unit).filter(|seconds| *seconds > 0) } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lifetimes_are_an_open_set() {
        for (key, expected) in [
            ("ephemeral_5m_input_tokens", Some(300)),
            ("ephemeral_1h_input_tokens", Some(3600)),
            ("ephemeral_12h_input_tokens", Some(43_200)),
            ("cache_write_30m_tokens", Some(1800)),
            ("cache_write_tokens", None),
            ("cache_creation_input_tokens", None),
            ("ephemeral_m_input_tokens", None),
            ("ephemeral_0m_input_tokens", None),
            ("ephemeral_99999999999h_input_tokens", None),
        ] {
            assert_eq!(lifetime_in(key), expected, "{key}");
        }
    }
}
