use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::budget::{Carry, PerValues};
use crate::dimensions::{Dimension, DimensionKey, Dimensions};
use crate::price::{Catalog, Estimate};
use crate::window::{Window, WindowKind};

fn amount(text: &str) -> Amount {
    text.parse().unwrap()
}

fn rule(at_fraction: &str, action: Action, downgrade_to: &[&str]) -> Rule {
    Rule {
        at_fraction: amount(at_fraction),
        basis: Basis::Committed,
        action,
        downgrade_to: downgrade_to.iter().map(|model| ModelRef::new("openai", *model)).collect(),
    }
}

fn budget(limit: &str, rules: Vec<Rule>) -> Budget {
    Budget {
        budget_id: "b".to_owned(),
        display_name: String::new(),
        annotations: Default::default(),
        selector: Vec::new(),
        models: Vec::new(),
        per: Vec::new(),
        per_absent: None,
        unit: Unit::Usd,
        window: Window::new(WindowKind::Day, 1, Some("UTC".to_owned()), None, "window").unwrap(),
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

fn hard(limit: &str) -> Budget {
    budget(limit, vec![rule("1", Action::Block, &[])])
}

fn now() -> Timestamp {
    "2026-11-22T12:00:00Z".parse().unwrap()
}

fn demand(provider: &str, model: &str, output: u64) -> Demand {
    let model = ModelRef::new(provider, model);
    let estimate = Estimate { input_tokens: Some(1_000), max_output_tokens: Some(output), ..Estimate::default() };
    let sheet = Catalog::builtin().unwrap().find(&model, now());
    Demand::new(model, sheet, estimate).unwrap()
}

/// 0.0125 USD: 1,000 tokens in, 1,000 out.
fn call() -> Vec<Demand> {
    vec![demand("openai", "gpt-4o", 1_000)]
}

fn spent(text: &str) -> Counter {
    Counter { spent: amount(text), ..Counter::default() }
}

fn decided(demands: &[Demand], entries: &[(&Budget, &Counter)], headroom: bool) -> Outcome {
    let applied: Vec<Applied<'_>> = entries
        .iter()
        .map(|(budget, counter)| Applied {
            budget,
            counter: Ok(counter),
            limit: budget.limit,
            own_limit: budget.limit,
            window: budget.window.bounds(now()).unwrap(),
        })
        .collect();
    let estimate = demands[0].estimate.clone();
    let catalog = Arc::new(Catalog::builtin().unwrap());
    decide(demands, &applied, headroom, |model| {
        Demand::new(model.clone(), catalog.find(model, now()), estimate.clone())
    })
    .unwrap()
}

#[test]
fn a_hard_budget_admits_up_to_its_limit_and_no_further() {
    let budget = hard("0.025");
    assert_eq!(decided(&call(), &[(&budget, &spent("0.0125"))], false).decision, Decision::Allowed);
    let outcome = decided(&call(), &[(&budget, &spent("0.012500000001"))], false);
    assert_eq!(outcome.decision, Decision::Denied(Refusal::BudgetExceeded));
    assert_eq!(outcome.affordable_output_tokens, Some(999));
    assert!(!outcome.never_fits);
    assert!(decided(&call(), &[(&hard("0.01"), &spent("0"))], false).never_fits);
    let by_spend = vec![Rule { basis: Basis::Spent, ..rule("1", Action::Block, &[]) }];
    let by_spend = Budget { rules: by_spend, ..hard("0.01") };
    let outcome = decided(&call(), &[(&by_spend, &spent("0"))], false);
    assert_eq!((outcome.decision, outcome.never_fits), (Decision::Allowed, false));
}

#[test]
fn nested_budgets_must_all_pass() {
    let (wide, narrow) = (hard("100"), hard("0.01"));
    let outcome = decided(&call(), &[(&wide, &spent("0")), (&narrow, &spent("0"))], false);
    assert_eq!(outcome.decision, Decision::Denied(Refusal::BudgetExceeded));
    assert_eq!(outcome.refused, [false, true]);
}

#[test]
fn decision_9_the_severest_rule_that_fires_wins() {
    let rules =
        vec![rule("0.5", Action::Alert, &[]), rule("0.8", Action::Throttle, &[]), rule("1", Action::Block, &[])];
    let budget = budget("0.1", rules);
    let at = |counter: &str| decided(&call(), &[(&budget, &spent(counter))], false);
    assert_eq!((at("0.01").decision, at("0.01").fired[0]), (Decision::Allowed, None));
    assert_eq!((at("0.05").decision, at("0.05").fired[0]), (Decision::Allowed, Some(Action::Alert)));
    let until = "2026-11-23T00:00:00Z".parse().unwrap();
    assert_eq!((at("0.07").decision, at("0.07").fired[0]), (Decision::Throttled { until }, Some(Action::Throttle)));
    assert_eq!(at("0.09").decision, Decision::Denied(Refusal::BudgetExceeded));
}

#[test]
fn decision_9_a_shadow_budget_reports_and_never_refuses() {
    let mut budget = hard("0.01");
    budget.mode = Mode::Shadow;
    let outcome = decided(&call(), &[(&budget, &spent("0"))], false);
    assert_eq!((outcome.decision, outcome.refused[0]), (Decision::Allowed, true));
}

#[test]
fn decision_9_a_missing_per_key_is_refused_by_a_hard_budget() {
    let mut budget = hard("1");
    budget.per = vec![DimensionKey::Dimension(Dimension::UserId)];
    let nobody = Dimensions::default();
    assert!(matches!(budget.reach(&nobody), crate::budget::Reach::MissingKey(_)));
    budget.per_absent = Some(Choice::Allow);
    assert_eq!(budget.reach(&nobody), crate::budget::Reach::Counter(PerValues(vec![None])));
    budget.per_absent = None;
    let applied = [Applied {
        budget: &budget,
        counter: Err(DimensionKey::Dimension(Dimension::UserId)),
        limit: budget.limit,
        own_limit: budget.limit,
        window: budget.window.bounds(now()).unwrap(),
    }];
    let outcome = decide(&call(), &applied, false, |_| unreachable!("no rule names a model")).unwrap();
    assert_eq!(outcome.decision, Decision::Denied(Refusal::PerKeyMissing));
}

#[test]
fn decision_6_a_downgrade_names_the_first_model_that_fits() {
    let rules = vec![rule("0.5", Action::Downgrade, &["gpt-4o-mini"]), rule("1", Action::Block, &[])];
    let budget = budget("0.02", rules);
    let outcome = decided(&call(), &[(&budget, &spent("0.01"))], false);
    assert_eq!(outcome.decision, Decision::Downgraded(ModelRef::new("openai", "gpt-4o-mini")));
    assert_eq!(outcome.holds[0], Some(amount("0.00075")), "what is held is the cheaper model's worst case");
    let exhausted = decided(&call(), &[(&budget, &spent("0.0199"))], false);
    assert_eq!(exhausted.decision, Decision::Denied(Refusal::BudgetExceeded));
    let already = decided(&[demand("openai", "gpt-4o-mini", 1_000)], &[(&budget, &spent("0.015"))], false);
    assert_eq!(already.decision, Decision::Allowed, "a call on the cheaper model is no call to downgrade");
}

#[test]
fn decision_10_the_dearest_of_the_fallbacks_is_held() {
    let demands = vec![demand("openai", "gpt-4o-mini", 1_000), demand("openai", "gpt-4o", 1_000)];
    let budget = hard("1");
    assert_eq!(decided(&demands, &[(&budget, &spent("0"))], false).holds[0], Some(amount("0.0125")));
}

#[test]
fn a_free_model_passes_an_exhausted_budget_in_dollars_unless_a_fallback_costs() {
    let budget = hard("1");
    let free = demand("openrouter", "google/gemma-3-27b-it:free", 1_000);
    let exhausted = spent("2");
    assert_eq!(decided(std::slice::from_ref(&free), &[(&budget, &exhausted)], false).decision, Decision::Allowed);
    let with_fallback = [free, demand("openai", "gpt-4o", 1_000)];
    let outcome = decided(&with_fallback, &[(&budget, &exhausted)], false);
    assert_eq!(outcome.decision, Decision::Denied(Refusal::BudgetExceeded));
}

#[test]
fn invariant_7_an_unpriced_model_is_refused_by_a_hard_budget_in_dollars_unless_told_otherwise() {
    let unknown = [demand("nobody", "no-such-model", 1_000)];
    let mut budget = hard("1");
    assert_eq!(decided(&unknown, &[(&budget, &spent("0"))], false).decision, Decision::Denied(Refusal::Unpriced));
    budget.unpriced = Some(Choice::Allow);
    assert_eq!(decided(&unknown, &[(&budget, &spent("0"))], false).decision, Decision::Allowed);
    budget.unpriced = None;
    budget.unit = Unit::Tokens;
    budget.limit = amount("5000");
    let outcome = decided(&unknown, &[(&budget, &spent("0"))], false);
    assert_eq!((outcome.decision, outcome.holds[0]), (Decision::Allowed, Some(amount("2000"))));
}

#[test]
fn headroom_cuts_the_call_to_what_fits() {
    let budget = hard("0.01");
    let outcome = decided(&call(), &[(&budget, &spent("0"))], true);
    assert_eq!(outcome.decision, Decision::Allowed);
    // 0.0025 for the input leaves 0.0075: 750 tokens of output.
    assert_eq!((outcome.demand.worst.output_tokens, outcome.holds[0]), (750, Some(amount("0.01"))));
    let denied = decided(&call(), &[(&budget, &spent("0.0099"))], true);
    assert_eq!(denied.decision, Decision::Denied(Refusal::BudgetExceeded));
}

proptest! {
    /// Invariant 4: whatever is asked for in whatever order, what is admitted never exceeds the limit, and what was
    /// refused would have.
    #[test]
    fn invariant_4_admitted_holds_never_exceed_the_limit(
        limit in 1_u32..2_000,
        outputs in proptest::collection::vec(1_u64..20_000, 1..40),
        headroom in any::<bool>(),
    ) {
        let budget = hard(&format!("0.{limit:04}"));
        let mut counter = Counter::default();
        for output in outputs {
            let demands = [demand("openai", "gpt-4o", output)];
            let outcome = decided(&demands, &[(&budget, &counter)], headroom);
            match outcome.decision {
                Decision::Allowed => counter.hold(outcome.holds[0].unwrap()).unwrap(),
                Decision::Denied(Refusal::BudgetExceeded) => {
                    let wanted = demands[0].quantities().in_unit(Unit::Usd).unwrap();
                    prop_assert!(counter.committed().unwrap().plus(wanted).unwrap() > budget.limit);
                }
                other => prop_assert!(false, "unexpected {other:?}"),
            }
            prop_assert!(counter.committed().unwrap() <= budget.limit);
        }
    }
}
