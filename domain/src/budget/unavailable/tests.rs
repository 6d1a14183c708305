use super::*;
use crate::amount::Amount;
use crate::budget::{Action, Basis, Carry, Rule};
use crate::model::ModelRef;
use crate::price::{Catalog, Estimate};
use crate::window::Window;

fn budget(rules: Vec<Rule>) -> Budget {
    Budget {
        budget_id: "b".to_owned(),
        display_name: String::new(),
        annotations: Default::default(),
        selector: Vec::new(),
        models: Vec::new(),
        per: Vec::new(),
        per_absent: None,
        unit: Unit::Usd,
        window: Window::lifetime(),
        limit: Amount::from(1),
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

fn hard() -> Budget {
    let at_fraction = Amount::from(1);
    budget(vec![Rule { at_fraction, basis: Basis::Committed, action: Action::Block, downgrade_to: Vec::new() }])
}

fn soft() -> Budget {
    budget(Vec::new())
}

fn demand(model: ModelRef) -> Demand {
    let sheet = Catalog::builtin().unwrap().find(&model, "2026-11-22T12:00:00Z".parse().unwrap());
    let estimate = Estimate { input_tokens: Some(1), max_output_tokens: Some(1), ..Estimate::default() };
    Demand::new(model, sheet, estimate).unwrap()
}

fn decided(model: &str, budgets: &[&Budget]) -> (Decision, Vec<bool>) {
    let matched: Vec<Matched<'_>> = budgets.iter().map(|budget| Matched { budget, has_counter: true }).collect();
    decide_unavailable(&[demand(ModelRef::new("openai", model))], &matched)
}

#[test]
fn decision_14_hard_budgets_deny_soft_and_shadow_ones_allow_and_one_denial_is_enough() {
    let denied = Decision::Denied(Refusal::Unavailable);
    let shadow = Budget { mode: Mode::Shadow, ..hard() };
    assert_eq!(decided("gpt-4o", &[]), (Decision::Allowed, vec![]));
    assert_eq!(decided("gpt-4o", &[&hard()]), (denied.clone(), vec![true]));
    assert_eq!(decided("gpt-4o", &[&soft()]), (Decision::Allowed, vec![false]));
    assert_eq!(decided("gpt-4o", &[&shadow]), (Decision::Allowed, vec![true]), "it would have refused");
    assert_eq!(decided("gpt-4o", &[&soft(), &hard(), &soft()]), (denied, vec![false, true, false]));
}

#[test]
fn decision_14_the_choice_of_a_budget_stands_above_its_default() {
    let open = Budget { unavailable: Some(Choice::Allow), ..hard() };
    let closed = Budget { unavailable: Some(Choice::Deny), ..soft() };
    assert_eq!(decided("gpt-4o", &[&open]).0, Decision::Allowed);
    assert_eq!(decided("gpt-4o", &[&closed]).0, Decision::Denied(Refusal::Unavailable));
}

#[test]
fn what_needs_no_counter_is_decided_as_ever() {
    let open = Budget { unavailable: Some(Choice::Allow), ..hard() };
    assert_eq!(decided("no-such-model", &[&open]).0, Decision::Denied(Refusal::Unpriced));
    let other_model = Budget { models: vec![ModelRef::new("openai", "gpt-4o-mini")], ..hard() };
    assert_eq!(decided("gpt-4o", &[&other_model]), (Decision::Allowed, vec![false]));
    let keyless = [Matched { budget: &open, has_counter: false }, Matched { budget: &hard(), has_counter: true }];
    let demands = [demand(ModelRef::new("openai", "gpt-4o"))];
    assert_eq!(decide_unavailable(&demands, &keyless).0, Decision::Denied(Refusal::PerKeyMissing));
    let estimate = Estimate { amount_usd: Some(crate::amount::Usd::ZERO), ..Estimate::default() };
    let free = [Demand::new(ModelRef::default(), None, estimate).unwrap()];
    assert_eq!(
        decide_unavailable(&free, &[Matched { budget: &hard(), has_counter: true }]),
        (Decision::Allowed, vec![false]),
        "a free call passes budgets in dollars"
    );
}
