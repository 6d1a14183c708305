//! Another limit for single values of a budget's `per` keys.

use std::collections::{BTreeMap, HashMap};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::definition::{Budget, PerValues, check_limit};
use crate::amount::Amount;
use crate::dimensions::{VALUE_BYTES_LIMIT, check_text};
use crate::violation::{Violation, Violations};

/// The limit of one counter instead of its budget's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LimitOverride {
    /// Which counter.
    pub per_values: PerValues,
    /// How much, in the budget's unit.
    pub limit: Amount,
    /// In force from; absent = at once.
    pub start_time: Option<Timestamp>,
    /// In force until; absent = for ever.
    pub end_time: Option<Timestamp>,
}

impl LimitOverride {
    /// Whether it decides at `at`.
    pub fn is_in_force(&self, at: Timestamp) -> bool {
        self.start_time.is_none_or(|start| start <= at) && self.end_time.is_none_or(|end| at < end)
    }

    /// Checks its limit and times against the budget that it belongs to.
    ///
    /// # Errors
    /// Every violation, with field paths below `path`.
    pub fn validate(&self, budget: &Budget, path: &str) -> Result<(), Vec<Violation>> {
        let mut violations = Violations::new();
        check_limit(&mut violations, format!("{path}.limit"), self.limit, budget.unit);
        violations.add_if(
            matches!((self.start_time, self.end_time), (Some(start), Some(end)) if start >= end),
            format!("{path}.end_time"),
            "must lie after start_time",
        );
        violations.into_result(())
    }
}

impl PerValues {
    /// The counter of `budget` whose values are named by the keys' display names. Every key is asked for: one that is
    /// left out could be read as "any", and no counter counts that.
    ///
    /// # Errors
    /// Every violation, with field paths that begin with `path`.
    pub fn from_names(budget: &Budget, named: &HashMap<String, String>, path: &str) -> Result<Self, Vec<Violation>> {
        let mut violations = Violations::new();
        let keys: Vec<String> = budget.per.iter().map(|key| key.display_name()).collect();
        // In the order of their names, so that the same mistake is told in the same words.
        for (name, value) in named.iter().collect::<BTreeMap<_, _>>() {
            let field = format!("{path}[{name}]");
            violations.add_if(!keys.contains(name), field.clone(), "is no key of the budget's per");
            violations.add_if(value.is_empty(), field.clone(), "must be set");
            check_text(&mut violations, field, value, VALUE_BYTES_LIMIT);
        }
        for name in keys.iter().filter(|name| !named.contains_key(*name)) {
            violations.add(format!("{path}[{name}]"), "must be set: every key of the budget's per is asked for");
        }
        let values = keys.iter().map(|name| named.get(name).cloned()).collect();
        violations.into_result(Self(values))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn budget() -> Budget {
        serde_json::from_value(serde_json::json!({
            "budget_id": "b", "unit": "calls", "limit": "10", "window": {"kind": "lifetime"}, "mode": "enforced",
            "carry": "none", "per": [{"dimension": "user_id"}, {"label": "team"}],
        }))
        .unwrap()
    }

    fn named(values: &[(&str, &str)]) -> HashMap<String, String> {
        values.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn every_key_of_per_names_the_counter_and_no_other() {
        let values = PerValues::from_names(&budget(), &named(&[("label:team", "blue"), ("user_id", "ada")]), "v");
        assert_eq!(values.unwrap(), PerValues(vec![Some("ada".to_owned()), Some("blue".to_owned())]));
        let wrong = named(&[("team_id", "blue"), ("user_id", "")]);
        let found = PerValues::from_names(&budget(), &wrong, "v").unwrap_err();
        let fields: Vec<&str> = found.iter().map(|violation| violation.field.as_str()).collect();
        assert_eq!(fields, ["v[team_id]", "v[user_id]", "v[label:team]"]);
    }

    #[test]
    fn it_is_in_force_between_its_times_only() {
        let at = |second| Timestamp::from_second(second).unwrap();
        let limited = LimitOverride {
            per_values: PerValues::default(),
            limit: Amount::from(5),
            start_time: Some(at(10)),
            end_time: Some(at(20)),
        };
        assert_eq!([9, 10, 19, 20].map(|second| limited.is_in_force(at(second))), [false, true, true, false]);
        let backwards = LimitOverride { limit: "0.5".parse().unwrap(), end_time: Some(at(10)), ..limited };
        let found = backwards.validate(&budget(), "o").unwrap_err();
        let fields: Vec<&str> = found.iter().map(|violation| violation.field.as_str()).collect();
        assert_eq!(fields, ["o.limit", "o.end_time"]);
    }
}
