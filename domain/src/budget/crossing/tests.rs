use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::budget::Carry;
use crate::window::Window;

fn amount(text: &str) -> Amount {
    text.parse().unwrap()
}

fn rule(at_fraction: &str, basis: Basis, action: Action) -> Rule {
    Rule { at_fraction: amount(at_fraction), basis, action, downgrade_to: Vec::new() }
}

fn budget(limit: &str, rules: Vec<Rule>) -> Budget {
    Budget {
        budget_id: "b".to_owned(),
        display_name: String::new(),
        annotations: BTreeMap::new(),
        selector: Vec::new(),
        models: Vec::new(),
        per: Vec::new(),
        per_absent: None,
        unit: Unit::Usd,
        window: Window::lifetime(),
        limit: amount(limit),
        rules,
        mode: Mode::Enforced,
        unpriced: None,
        unavailable: None,
        on_expire: None,
        carry: Carry::None,
        start_time: None,
        end_time: None,
        count_from: None,
    }
}

fn spent(text: &str) -> Counter {
    Counter { spent: amount(text), ..Counter::default() }
}

fn held(text: &str) -> Counter {
    Counter { held: amount(text), ..Counter::default() }
}

fn raised(budget: &Budget, before: &Counter, after: &Counter) -> Vec<Crossing> {
    crossings(budget, before, after, budget.limit).unwrap()
}

#[test]
fn each_basis_looks_at_its_own_figure() {
    let on_spent = rule("0.8", Basis::Spent, Action::Alert);
    let on_committed = rule("0.8", Basis::Committed, Action::Alert);
    let budget = budget("10", vec![on_spent.clone(), on_committed.clone()]);
    assert_eq!(raised(&budget, &spent("0"), &held("8")), [Crossing::Rule(on_committed.clone())]);
    assert_eq!(raised(&budget, &held("8"), &spent("8")), [Crossing::Rule(on_spent.clone())]);
    assert_eq!(raised(&budget, &spent("0"), &spent("7.99")), []);
    assert_eq!(raised(&budget, &spent("7.99"), &spent("8")), [on_spent, on_committed].map(Crossing::Rule));
}

#[test]
fn shadow_raises_and_disabled_does_not() {
    let mut budget = budget("10", vec![rule("0.5", Basis::Spent, Action::Alert)]);
    budget.mode = Mode::Shadow;
    assert_eq!(raised(&budget, &spent("0"), &spent("5")).len(), 1);
    budget.mode = Mode::Disabled;
    assert_eq!(raised(&budget, &spent("0"), &spent("5")), []);
}

#[test]
fn a_limit_of_nothing_is_reached_by_the_first_use() {
    let budget = budget("0", vec![rule("1", Basis::Spent, Action::Alert)]);
    assert_eq!(raised(&budget, &spent("0"), &spent("0")), []);
    assert_eq!(raised(&budget, &spent("0"), &spent("0.1")).len(), 1);
}

#[test]
fn overruns_are_told_by_cause_and_only_of_hard_budgets() {
    let mut hard = budget("10", vec![rule("1", Basis::Committed, Action::Block)]);
    let before = spent("9");
    let mut after = before.clone();
    after.charge(amount("3"), hard.limit, OverrunCause::NotReserved).unwrap();
    let overrun = Crossing::Overrun(OverrunCause::NotReserved);
    assert!(raised(&hard, &before, &after).contains(&overrun));
    let mut again = after.clone();
    again.charge(amount("3"), hard.limit, OverrunCause::Late).unwrap();
    assert_eq!(raised(&hard, &after, &again), [Crossing::Overrun(OverrunCause::Late)]);
    hard.rules.clear();
    assert_eq!(raised(&hard, &before, &after), []);
}

#[test]
fn a_lowered_limit_and_a_new_rule_raise_what_is_reached_now() {
    let half = rule("0.5", Basis::Spent, Action::Alert);
    let most = rule("0.9", Basis::Spent, Action::Alert);
    let before = budget("100", vec![half.clone()]);
    let lowered = budget("10", vec![half.clone()]);
    let change = |before: Option<&Budget>, after: &Budget, counter: &Counter| {
        let old = before.map_or(Amount::ZERO, |budget| budget.limit);
        change_crossings(before, after, counter, (old, after.limit)).unwrap()
    };
    assert_eq!(change(Some(&before), &lowered, &spent("6")), [Crossing::Rule(half.clone())]);
    assert_eq!(change(Some(&before), &lowered, &spent("4")), []);
    assert_eq!(change(Some(&before), &lowered, &spent("60")), [], "it was reached before");
    let more = budget("100", vec![half.clone(), most.clone()]);
    assert_eq!(change(Some(&before), &more, &spent("95")), [Crossing::Rule(most)]);
    assert_eq!(change(None, &before, &spent("50")), [Crossing::Rule(half)]);
}

proptest! {
    /// Over any rising moves, every threshold is raised exactly once if it was reached, and never if it was not.
    #[test]
    fn every_threshold_is_raised_exactly_once(
        steps in proptest::collection::vec((0_u32..40, any::<bool>()), 1..40),
        fractions in proptest::collection::btree_set(1_u32..150, 1..8),
        basis in prop_oneof![Just(Basis::Spent), Just(Basis::Committed)],
    ) {
        let rules: Vec<Rule> = fractions
            .iter()
            .map(|percent| rule(&format!("0.{percent:04}"), basis, Action::Alert))
            .collect();
        let budget = budget("10000", rules.clone());
        let (mut counter, mut told) = (Counter::default(), Vec::new());
        for (step, holds) in steps {
            let before = counter.clone();
            if holds {
                counter.hold(Amount::from(step)).unwrap();
            } else {
                counter.charge(Amount::from(step), budget.limit, OverrunCause::NotReserved).unwrap();
            }
            told.extend(raised(&budget, &before, &counter));
        }
        for rule in rules {
            let value = match basis {
                Basis::Spent => counter.spent,
                Basis::Committed => counter.committed().unwrap(),
            };
            let reached = value.decimal() >= rule.at_fraction.decimal() * budget.limit.decimal();
            let times = told.iter().filter(|crossing| **crossing == Crossing::Rule(rule.clone())).count();
            prop_assert_eq!(times, usize::from(reached), "{:?} at {}", rule, value);
        }
    }
}
