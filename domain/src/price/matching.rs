//! Which model ids a catalog entry stands for.

use serde::Deserialize;

/// One rule. Ids are compared without regard to ASCII case.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
#[non_exhaustive]
pub(super) enum MatchRule {
    /// The id is this.
    Equals(String),
    /// The id begins with this.
    Prefix(String),
    /// The id ends with this.
    Suffix(String),
    /// The id has this anywhere.
    Contains(String),
    /// The id is this, then `-` or `@`, then a date: `YYYY-MM-DD` or `YYYYMMDD`.
    PrefixDate(String),
}

impl MatchRule {
    /// The rule in lower case, as [`Self::matches`] wants it.
    pub(super) fn lowercased(self) -> Self {
        match self {
            Self::Equals(text) => Self::Equals(text.to_ascii_lowercase()),
            Self::Prefix(text) => Self::Prefix(text.to_ascii_lowercase()),
            Self::Suffix(text) => Self::Suffix(text.to_ascii_lowercase()),
            Self::Contains(text) => Self::Contains(text.to_ascii_lowercase()),
            Self::PrefixDate(text) => Self::PrefixDate(text.to_ascii_lowercase()),
        }
    }

    /// The text that it compares with.
    pub(super) fn text(&self) -> &str {
        match self {
            Self::Equals(text)
            | Self::Prefix(text)
            | Self::Suffix(text)
            | Self::Contains(text)
            | Self::PrefixDate(text) => text,
        }
    }

    /// Whether it names `id`, which is in lower case like the rule.
    pub(super) fn matches(&self, id: &str) -> bool {
        match self {
            Self::Equals(text) => id == text,
            Self::Prefix(text) => id.starts_with(text.as_str()),
            Self::Suffix(text) => id.ends_with(text.as_str()),
            Self::Contains(text) => id.contains(text.as_str()),
            Self::PrefixDate(text) => {
                id.strip_prefix(text.as_str()).and_then(|rest| rest.strip_prefix(['-', '@'])).is_some_and(is_date)
            }
        }
    }
}

/// Whether `text` has the shape of a date. Providers' snapshots are names: whether the day exists does not matter.
fn is_date(text: &str) -> bool {
    let digits = |part: &str, length: usize| part.len() == length && part.bytes().all(|byte| byte.is_ascii_digit());
    match text.split('-').collect::<Vec<_>>().as_slice() {
        [compact] => digits(compact, 8),
        [year, month, day] => digits(year, 4) && digits(month, 2) && digits(day, 2),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dated_prefix_takes_dates_only() {
        let rule = MatchRule::PrefixDate("GPT-4o".into()).lowercased();
        for good in ["gpt-4o-2024-08-06", "gpt-4o@20240806", "gpt-4o-20240806"] {
            assert!(rule.matches(good), "{good}");
        }
        for bad in ["gpt-4o", "gpt-4o-mini", "gpt-4o-mini-2024-07-18", "gpt-4o-2024-08", "gpt-4o2024-08-06"] {
            assert!(!rule.matches(bad), "{bad}");
        }
    }

    #[test]
    fn the_other_rules_do_what_their_names_say() {
        let cases = [
            (MatchRule::Equals("a-b".into()), ["a-b"].as_slice(), ["a-bc", "xa-b"].as_slice()),
            (MatchRule::Prefix("a-b".into()), &["a-b", "a-bc"], &["xa-b"]),
            (MatchRule::Suffix("a-b".into()), &["a-b", "xa-b"], &["a-bc"]),
            (MatchRule::Contains("a-b".into()), &["a-b", "xa-bc"], &["ab"]),
        ];
        for (rule, good, bad) in cases {
            assert!(good.iter().all(|id| rule.matches(id)), "{rule:?}");
            assert!(!bad.iter().any(|id| rule.matches(id)), "{rule:?}");
        }
    }
}
