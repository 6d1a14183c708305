//! What a budget is: its selector, counters, unit, window, limit and rules.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::amount::Amount;
use crate::digest::Digester;
use crate::dimensions::{
    Dimension, DimensionKey, DimensionKind, DimensionMatch, Dimensions, LABEL_KEY_BYTES_LIMIT, check_text,
};
use crate::model::ModelRef;
use crate::violation::{Violation, Violations};
use crate::window::Window;

/// Longest budget id, in bytes.
const BUDGET_ID_BYTES_LIMIT: usize = 64;
const SELECTOR_LIMIT: usize = 16;
const MODELS_LIMIT: usize = 100;
const PER_LIMIT: usize = 3;
const RULES_LIMIT: usize = 16;
const DOWNGRADES_LIMIT: usize = 8;
const ANNOTATIONS_LIMIT: usize = 32;
const TEXT_BYTES_LIMIT: usize = 256;
const FRACTION_SCALE: u32 = 4;

/// What a budget counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Unit {
    /// US dollars.
    Usd,
    /// Input and output tokens together.
    Tokens,
    /// Input tokens.
    InputTokens,
    /// Output tokens.
    OutputTokens,
    /// Calls: first attempts.
    Calls,
    /// Attempts.
    Attempts,
}

/// What a rule does, by severity.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// Tells.
    Alert,
    /// Names a cheaper model.
    Downgrade,
    /// Asks to wait.
    Throttle,
    /// Refuses.
    Block,
}

/// What a rule's fraction is compared with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Basis {
    /// What was spent.
    Spent,
    /// Spent, held and presumed together.
    Committed,
}

/// An action at a fraction of the limit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rule {
    /// Fraction of the limit, above 0, at most 4 decimals.
    pub at_fraction: Amount,
    /// What is compared.
    pub basis: Basis,
    /// What happens.
    pub action: Action,
    /// For [`Action::Downgrade`]: models to offer, the first that fits wins.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub downgrade_to: Vec<ModelRef>,
}

impl Rule {
    /// Whether both tell people the same, so that one of them is enough: same share, same figure, same action.
    pub fn same_alert(&self, other: &Self) -> bool {
        (self.at_fraction, self.basis, self.action) == (other.at_fraction, other.basis, other.action)
    }
}

/// Refuse or let pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Choice {
    /// Refuse.
    Deny,
    /// Let pass.
    Allow,
}

/// Whether decisions bind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// They bind.
    Enforced,
    /// Decided and reported, never binding.
    Shadow,
    /// Counted only.
    Disabled,
}

/// What becomes of a hold that expires.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnExpire {
    /// It is freed.
    Release,
    /// It moves to `presumed`: never spend, still not available.
    Presume,
}

/// What the next window inherits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Carry {
    /// Nothing.
    None,
    /// What was overspent.
    Overrun,
    /// What was left.
    Rest,
    /// Both.
    Both,
}

/// A budget as its owner defined it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Budget {
    /// Chosen by the owner.
    pub budget_id: String,
    /// For people.
    #[serde(default)]
    pub display_name: String,
    /// The owner's notes.
    #[serde(default)]
    pub annotations: BTreeMap<String, String>,
    /// All must match.
    #[serde(default)]
    pub selector: Vec<DimensionMatch>,
    /// Models that count, by any of these patterns; empty = all.
    #[serde(default)]
    pub models: Vec<ModelRef>,
    /// One counter per combination of these keys' values.
    #[serde(default)]
    pub per: Vec<DimensionKey>,
    /// What a missing `per` key means; absent = [`Choice::Deny`] when hard.
    #[serde(default)]
    pub per_absent: Option<Choice>,
    /// What is counted.
    pub unit: Unit,
    /// Over which time.
    pub window: Window,
    /// How much, in `unit`.
    pub limit: Amount,
    /// What happens on the way.
    #[serde(default)]
    pub rules: Vec<Rule>,
    /// Whether decisions bind.
    pub mode: Mode,
    /// What an unpriced model means to a budget in dollars; absent = [`Choice::Deny`] when hard.
    #[serde(default)]
    pub unpriced: Option<Choice>,
    /// What a check answers while the database is away; absent = [`Choice::Deny`] when hard.
    #[serde(default)]
    pub unavailable: Option<Choice>,
    /// What becomes of expired holds; absent = [`OnExpire::Presume`] when hard.
    #[serde(default)]
    pub on_expire: Option<OnExpire>,
    /// What the next window inherits.
    pub carry: Carry,
    /// In force from.
    #[serde(default)]
    pub start_time: Option<Timestamp>,
    /// In force until.
    #[serde(default)]
    pub end_time: Option<Timestamp>,
    /// Counts from; absent = the start of the window in which it was created.
    #[serde(default)]
    pub count_from: Option<Timestamp>,
}

/// The values of a budget's `per` keys: which of its counters.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PerValues(pub Vec<Option<String>>);

impl PerValues {
    /// The counter's key in the database.
    pub fn digest(&self) -> Uuid {
        let mut digester = Digester::new();
        for value in &self.0 {
            digester.optional(value.as_deref());
        }
        digester.finish()
    }

    /// By the keys' display names; absent ones left out.
    pub fn by_name(&self, keys: &[DimensionKey]) -> BTreeMap<String, String> {
        let named = keys.iter().zip(&self.0);
        named.filter_map(|(key, value)| Some((key.display_name(), value.clone()?))).collect()
    }
}

/// Whether and where a call falls under a budget.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reach {
    /// The selector does not match.
    Outside,
    /// Under this counter.
    Counter(PerValues),
    /// The selector matches, but a `per` key is missing and the budget has no counter for that.
    MissingKey(DimensionKey),
}

impl Budget {
    /// Whether it has a BLOCK at 1 or below: such a budget is never overspent by callers that reserve.
    pub fn is_hard(&self) -> bool {
        self.rules.iter().any(|rule| {
            rule.action == Action::Block && rule.basis == Basis::Committed && rule.at_fraction <= Amount::from(1)
        })
    }

    /// Whether it promises never to be overspent by callers that reserve: hard, and enforced.
    pub fn binds(&self) -> bool {
        self.is_hard() && self.mode == Mode::Enforced
    }

    fn choice(&self, chosen: Option<Choice>) -> Choice {
        chosen.unwrap_or(if self.is_hard() { Choice::Deny } else { Choice::Allow })
    }

    /// What a missing `per` key means.
    pub fn effective_per_absent(&self) -> Choice {
        self.choice(self.per_absent)
    }

    /// What an unpriced model means.
    pub fn effective_unpriced(&self) -> Choice {
        self.choice(self.unpriced)
    }

    /// What a check answers while the database is away.
    pub fn effective_unavailable(&self) -> Choice {
        self.choice(self.unavailable)
    }

    /// What becomes of expired holds.
    pub fn effective_on_expire(&self) -> OnExpire {
        self.on_expire.unwrap_or(if self.is_hard() { OnExpire::Presume } else { OnExpire::Release })
    }

    /// Whether it decides at `at`: not disabled, and within its start and end.
    pub fn is_in_force(&self, at: Timestamp) -> bool {
        self.mode != Mode::Disabled
            && self.start_time.is_none_or(|start| start <= at)
            && self.end_time.is_none_or(|end| at < end)
    }

    /// Whether it counts what this model uses.
    pub fn counts_model(&self, model: &ModelRef) -> bool {
        self.models.is_empty() || self.models.iter().any(|pattern| model.is_named_by(pattern))
    }

    /// Which counter a call of these dimensions falls under.
    pub fn reach(&self, dimensions: &Dimensions) -> Reach {
        let selected = self.selector.iter().all(|condition| condition.accepts(dimensions.get_key(&condition.key)));
        if !selected {
            return Reach::Outside;
        }
        let values: Vec<Option<String>> =
            self.per.iter().map(|key| dimensions.get_key(key).map(str::to_owned)).collect();
        let missing = self.per.iter().zip(&values).find(|(_, value)| value.is_none());
        match missing {
            Some((key, _)) if self.effective_per_absent() == Choice::Deny => Reach::MissingKey(key.clone()),
            _ => Reach::Counter(PerValues(values)),
        }
    }

    /// Checks every rule of the definition.
    ///
    /// # Errors
    /// Every violation, with field paths below `path`.
    pub fn validate(&self, path: &str) -> Result<(), Vec<Violation>> {
        let mut violations = Violations::new();
        self.check_id(&mut violations, path);
        self.check_texts(&mut violations, path);
        self.check_selection(&mut violations, path);
        check_limit(&mut violations, format!("{path}.limit"), self.limit, self.unit);
        let at_most = |violations: &mut Violations, count: usize, limit: usize, field: &str| {
            violations.add_if(count > limit, format!("{path}.{field}"), format!("must have at most {limit} entries"));
        };
        at_most(&mut violations, self.rules.len(), RULES_LIMIT, "rules");
        for (position, rule) in self.rules.iter().take(RULES_LIMIT).enumerate() {
            self.check_rule(&mut violations, &format!("{path}.rules[{position}]"), rule);
        }
        violations.add_if(
            matches!((self.start_time, self.end_time), (Some(start), Some(end)) if start >= end),
            format!("{path}.end_time"),
            "must lie after start_time",
        );
        violations.into_result(())
    }

    fn check_id(&self, violations: &mut Violations, path: &str) {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.:/".contains(&byte);
        let id = &self.budget_id;
        violations.add_if(
            id.is_empty() || id.len() > BUDGET_ID_BYTES_LIMIT || !id.bytes().all(allowed),
            format!("{path}.budget_id"),
            format!("must have 1 to {BUDGET_ID_BYTES_LIMIT} characters out of A-Z a-z 0-9 - _ . : /"),
        );
    }

    fn check_texts(&self, violations: &mut Violations, path: &str) {
        check_text(violations, format!("{path}.display_name"), &self.display_name, TEXT_BYTES_LIMIT);
        violations.add_if(
            self.annotations.len() > ANNOTATIONS_LIMIT,
            format!("{path}.annotations"),
            format!("must have at most {ANNOTATIONS_LIMIT} entries"),
        );
        for (key, value) in self.annotations.iter().take(ANNOTATIONS_LIMIT) {
            check_text(violations, format!("{path}.annotations key"), key, LABEL_KEY_BYTES_LIMIT);
            check_text(violations, format!("{path}.annotations[{key}]"), value, TEXT_BYTES_LIMIT);
        }
    }

    fn check_selection(&self, violations: &mut Violations, path: &str) {
        let limits = [
            (self.selector.len(), SELECTOR_LIMIT, "selector"),
            (self.models.len(), MODELS_LIMIT, "models"),
            (self.per.len(), PER_LIMIT, "per"),
        ];
        for (count, limit, field) in limits {
            violations.add_if(count > limit, format!("{path}.{field}"), format!("must have at most {limit} entries"));
        }
        for (position, condition) in self.selector.iter().take(SELECTOR_LIMIT).enumerate() {
            let field = format!("{path}.selector[{position}]");
            condition.check(violations, &field);
            check_known_at_check(violations, format!("{field}.key"), &condition.key);
        }
        for (position, key) in self.per.iter().take(PER_LIMIT).enumerate() {
            let field = format!("{path}.per[{position}]");
            violations.add_if(self.per.iter().take(position).any(|earlier| earlier == key), &field, "repeats a key");
            check_known_at_check(violations, field, key);
        }
    }

    fn check_rule(&self, violations: &mut Violations, field: &str, rule: &Rule) {
        let fraction = rule.at_fraction;
        violations.add_if(
            fraction <= Amount::ZERO || fraction > Amount::from(10) || fraction.decimal().scale() > FRACTION_SCALE,
            format!("{field}.at_fraction"),
            format!("must be above 0, at most 10, with at most {FRACTION_SCALE} decimals"),
        );
        let offers = rule.downgrade_to.len();
        violations.add_if(
            (rule.action == Action::Downgrade) != (offers > 0),
            format!("{field}.downgrade_to"),
            "must be given for ACTION_DOWNGRADE, and for no other action",
        );
        violations.add_if(
            offers > DOWNGRADES_LIMIT,
            format!("{field}.downgrade_to"),
            format!("must have at most {DOWNGRADES_LIMIT} entries"),
        );
        for (position, model) in rule.downgrade_to.iter().enumerate() {
            violations.add_if(
                model.model.is_empty(),
                format!("{field}.downgrade_to[{position}].model"),
                "must be set: the caller is told to use it",
            );
        }
        violations.add_if(
            rule.action == Action::Throttle && !self.window.at_most_a_day(),
            format!("{field}.action"),
            "ACTION_THROTTLE needs a window of at most a day: nobody waits longer",
        );
    }
}

/// Checks a limit of a budget of this unit.
pub(super) fn check_limit(violations: &mut Violations, field: String, limit: Amount, unit: Unit) {
    violations.add_if(limit.is_negative(), field.clone(), "must not be negative");
    violations.add_if(
        unit != Unit::Usd && !limit.decimal().fract().is_zero(),
        field,
        "must be a whole number, unless the unit is UNIT_USD",
    );
}

fn check_known_at_check(violations: &mut Violations, field: String, key: &DimensionKey) {
    if let DimensionKey::Dimension(dimension) = key
        && dimension.kind() == DimensionKind::Call
    {
        let advice = match dimension {
            Dimension::Model | Dimension::ProviderName | Dimension::ProviderTier | Dimension::Region => {
                "is not known for certain at the check: use `models`"
            }
            _ => "is not known at the check",
        };
        violations.add(field, format!("{} {advice}", dimension.name()));
    }
}
