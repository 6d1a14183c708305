use std::collections::BTreeMap;

use jiff::Timestamp;
use uuid::Uuid;

use super::*;
use crate::amount::Amount;
use crate::budget::{Basis, Unit};
use crate::window::Bounds;

fn state(shadow: bool) -> BudgetState {
    BudgetState {
        budget_id: "team".to_owned(),
        per_values: BTreeMap::from([("user_id".to_owned(), "ann".to_owned())]),
        unit: Unit::Usd,
        window: Bounds::LIFETIME,
        limit: Amount::from(10),
        effective_limit: Amount::from(10),
        spent: Amount::from(8),
        held: Amount::ZERO,
        presumed: Amount::ZERO,
        overrun: Amount::ZERO,
        available: Amount::from(2),
        fired: None,
        refused: false,
        shadow,
        version: 1,
        figures_unknown: false,
    }
}

fn fired(at_fraction: &str, basis: Basis, action: Action) -> Subject {
    let rule = Rule { at_fraction: at_fraction.parse().unwrap(), basis, action, downgrade_to: Vec::new() };
    Subject::RuleFired { rule, budget: state(false) }
}

fn key(budget: i64, window_start: &str) -> CounterKey {
    CounterKey { budget, scope: Uuid::nil(), window_start: window_start.parse().unwrap() }
}

#[test]
fn an_occasion_tells_apart_what_is_told_apart() {
    let now: Timestamp = "2026-05-01T10:00:00Z".parse().unwrap();
    let counter = key(1, "2026-05-01T00:00:00Z");
    let of = |subject: &Subject, counter: &CounterKey| subject.occasion(Some(counter), now);
    let alert = fired("0.8", Basis::Spent, Action::Alert);
    assert_eq!(of(&alert, &counter), of(&fired("0.80", Basis::Spent, Action::Alert), &counter));
    let others = [
        of(&fired("0.81", Basis::Spent, Action::Alert), &counter),
        of(&fired("0.8", Basis::Committed, Action::Alert), &counter),
        of(&fired("0.8", Basis::Spent, Action::Block), &counter),
        of(&alert, &key(2, "2026-05-01T00:00:00Z")),
        of(&alert, &key(1, "2026-05-02T00:00:00Z")),
        of(&alert, &CounterKey { scope: Uuid::max(), ..counter }),
        of(&Subject::Overrun { cause: OverrunCause::Late, budget: state(false) }, &counter),
        of(&Subject::Overrun { cause: OverrunCause::Repriced, budget: state(false) }, &counter),
        of(&Subject::ReservationExpired { budget: state(false) }, &counter),
    ];
    let mut distinct = others.to_vec();
    distinct.push(of(&alert, &counter));
    distinct.sort_unstable();
    distinct.dedup();
    assert_eq!(distinct.len(), others.len() + 1);
}

#[test]
fn a_model_is_told_once_a_day_and_kind() {
    let model = ModelRef::new("openai", "gpt-17");
    let unpriced = Subject::UnpricedModel { model: model.clone(), partial: false };
    let at = |time: &str| unpriced.occasion(None, time.parse().unwrap());
    assert_eq!(at("2026-05-01T00:00:00Z"), at("2026-05-01T23:59:59Z"));
    assert_ne!(at("2026-05-01T23:59:59Z"), at("2026-05-02T00:00:00Z"));
    let differs = Subject::ReportedCostDiffers { model, reported_usd: Usd::ZERO, computed_usd: Usd::ZERO };
    assert_ne!(at("2026-05-01T00:00:00Z"), differs.occasion(None, "2026-05-01T00:00:00Z".parse().unwrap()));
}

#[test]
fn severity_follows_what_callers_notice() {
    assert_eq!(fired("0.8", Basis::Spent, Action::Alert).severity(), Severity::Warning);
    assert_eq!(fired("1", Basis::Committed, Action::Block).severity(), Severity::Critical);
    let shadow = Subject::Overrun { cause: OverrunCause::Late, budget: state(true) };
    assert_eq!(shadow.severity(), Severity::Info);
}

#[test]
fn what_is_stored_is_read_back() {
    for subject in [
        fired("0.8", Basis::Spent, Action::Alert),
        Subject::Overrun { cause: OverrunCause::EstimateLow, budget: state(false) },
        Subject::UnpricedModel { model: ModelRef::new("a", "b"), partial: true },
    ] {
        let json = serde_json::to_value(&subject).unwrap();
        assert_eq!(serde_json::from_value::<Subject>(json).unwrap(), subject);
    }
    let summary = fired("0.8", Basis::Spent, Action::Alert).summary();
    assert_eq!(
        summary,
        "budget team user_id=ann reached 0.8 of its limit (spent): limit 10, spent 8, held 0, presumed 0 USD"
    );
}
