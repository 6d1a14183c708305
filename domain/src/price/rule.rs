//! Which names an entry of the catalog stands for.

use serde::Deserialize;

/// One rule over a provider's name or a model's id, both in lower case.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub(super) enum Rule {
    /// The name is this.
    Equals(String),
    /// The name begins with this.
    Prefix(String),
    /// The name ends with this.
    Suffix(String),
    /// The name has this anywhere.
    Contains(String),
    /// The name is this, then `-` or `@`, then a date: `YYYY-MM-DD` or `YYYYMMDD`.
    Dated(String),
    /// The name begins with this, and a digit follows.
    DigitAfter(String),
    /// The rule does not hold.
    Not(Box<Self>),
    /// All of them hold.
    All(Vec<Self>),
    /// One of them holds.
    Any(Vec<Self>),
}

impl Rule {
    /// Whether it names `name`, which is in lower case.
    pub(super) fn matches(&self, name: &str) -> bool {
        match self {
            Self::Equals(text) => name == text,
            Self::Prefix(text) => name.starts_with(text.as_str()),
            Self::Suffix(text) => name.ends_with(text.as_str()),
            Self::Contains(text) => name.contains(text.as_str()),
            Self::Dated(text) => {
                name.strip_prefix(text.as_str()).and_then(|rest| rest.strip_prefix(['-', '@'])).is_some_and(is_date)
            }
            Self::DigitAfter(text) => name
                .strip_prefix(text.as_str())
                .is_some_and(|rest| rest.bytes().next().is_some_and(|first| first.is_ascii_digit())),
            Self::Not(rule) => !rule.matches(name),
            Self::All(rules) => rules.iter().all(|rule| rule.matches(name)),
            Self::Any(rules) => rules.iter().any(|rule| rule.matches(name)),
        }
    }

    /// The texts that it compares with.
    pub(super) fn texts(&self) -> Vec<&str> {
        match self {
            Self::Equals(text)
            | Self::Prefix(text)
            | Self::Suffix(text)
            | Self::Contains(text)
            | Self::Dated(text)
            | Self::DigitAfter(text) => vec![text],
            Self::Not(rule) => rule.texts(),
            Self::All(rules) | Self::Any(rules) => rules.iter().flat_map(Self::texts).collect(),
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

/// `name` with its first compact date, such as `-20251211` before `-`, `:` or the end, written as `-2025-12-11`. `None`
/// where it has none. Gateways send the one form of ids that providers list in the other.
pub(super) fn with_dashed_date(name: &str) -> Option<String> {
    name.match_indices("-20").find_map(|(position, _)| {
        let (before, rest) = name.split_at_checked(position + 1)?;
        let (date, after) = rest.split_at_checked(8)?;
        let ends = after.is_empty() || after.starts_with(['-', ':']);
        let (year, month, day) = (date.get(..4)?, date.get(4..6)?, date.get(6..)?);
        let number = |text: &str| text.parse::<i8>().ok();
        let is_day = date.bytes().all(|byte| byte.is_ascii_digit())
            && jiff::civil::Date::new(year.parse().ok()?, number(month)?, number(day)?).is_ok();
        (ends && is_day).then(|| format!("{before}{year}-{month}-{day}{after}"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dated_name_takes_dates_only() {
        let rule = Rule::Dated("gpt-4o".into());
        for good in ["gpt-4o-2024-08-06", "gpt-4o@20240806", "gpt-4o-20240806"] {
            assert!(rule.matches(good), "{good}");
        }
        for bad in ["gpt-4o", "gpt-4o-mini", "gpt-4o-mini-2024-07-18", "gpt-4o-2024-08", "gpt-4o2024-08-06"] {
            assert!(!rule.matches(bad), "{bad}");
        }
    }

    #[test]
    fn the_other_rules_do_what_their_names_say() {
        let prefix = || Rule::Prefix("a-b".into());
        let cases = [
            (Rule::Equals("a-b".into()), ["a-b"].as_slice(), ["a-bc", "xa-b"].as_slice()),
            (prefix(), &["a-b", "a-bc"], &["xa-b"]),
            (Rule::Suffix("a-b".into()), &["a-b", "xa-b"], &["a-bc"]),
            (Rule::Contains("a-b".into()), &["a-b", "xa-bc"], &["ab"]),
            (Rule::DigitAfter("a-".into()), &["a-1", "a-1b"], &["a-", "a-b", "xa-1"]),
            (Rule::Not(Box::new(prefix())), &["xa-b"], &["a-b"]),
            (Rule::All(vec![prefix(), Rule::Suffix("c".into())]), &["a-bc"], &["a-b", "c"]),
            (Rule::Any(vec![prefix(), Rule::Suffix("c".into())]), &["a-b", "c"], &["b"]),
        ];
        for (rule, good, bad) in cases {
            assert!(good.iter().all(|name| rule.matches(name)), "{rule:?}");
            assert!(!bad.iter().any(|name| rule.matches(name)), "{rule:?}");
        }
    }

    #[test]
    fn compact_dates_become_dashed() {
        let cases = [
            ("gpt-5.2-20251211", Some("gpt-5.2-2025-12-11")),
            ("gpt-5.2-20251211-x", Some("gpt-5.2-2025-12-11-x")),
            ("gpt-5.2-20251211:free", Some("gpt-5.2-2025-12-11:free")),
            ("gpt-5.2-20251311", None),
            ("gpt-5.2-20250230", None),
            ("gpt-5.2-202512110", None),
            ("gpt-20", None),
            ("gpt-20é5é12", None),
            ("", None),
        ];
        for (name, expected) in cases {
            assert_eq!(with_dashed_date(name).as_deref(), expected, "{name}");
        }
    }
}
