//! What the model says of itself.

use rust_decimal::Decimal;

use super::*;
use crate::budget::{Action, Basis, Mode, Unit};

fn decimal(text: &str) -> Decimal {
    text.parse().unwrap()
}

fn instant(text: &str) -> Timestamp {
    text.parse().unwrap()
}

/// Half an hour before the clocks go forward.
const NIGHT: &str = "2027-03-28T00:30:00Z";

fn model() -> Model {
    let rates = BTreeMap::from([(
        "gpt-4o".to_owned(),
        Rate::Priced { input: decimal("0.0000025"), output: decimal("0.00001") },
    )]);
    Model::new(instant(NIGHT), rates)
}

fn hard(id: &str, limit: &str) -> Definition {
    Definition {
        id: id.to_owned(),
        per: None,
        selects: None,
        models: Vec::new(),
        unit: Unit::Usd,
        period: Period::Days("Europe/Berlin".to_owned()),
        limit: decimal(limit),
        steps: vec![Step {
            at: Decimal::ONE,
            basis: Basis::Committed,
            action: Action::Block,
            downgrade_to: Vec::new(),
        }],
        mode: Mode::Enforced,
    }
}

fn check(number: u128, output: u64) -> Operation {
    Operation::Check(Asked {
        id: Some(Uuid::from_u128(number)),
        who: Who::new(),
        models: vec!["gpt-4o".to_owned()],
        input: 1_000,
        output,
        headroom: false,
        seconds: 60,
    })
}

fn event(number: u128, output: u64, reservation: Option<(u128, bool)>) -> Operation {
    Operation::Record(Event {
        id: Uuid::from_u128(number),
        who: Who::new(),
        model: "gpt-4o".to_owned(),
        input: 1_000,
        output,
        reasoning: 0,
        attempt: 1,
        start: instant(NIGHT),
        reservation: reservation.map(|(id, keep_open)| (Uuid::from_u128(id), keep_open)),
    })
}

fn verdict(answer: Answer) -> Verdict {
    match answer {
        Answer::Checked(judgement) => judgement.verdict,
        other => panic!("{other:?}"),
    }
}

/// Spent, held, presumed, overrun.
fn sums(model: &Model) -> [String; 4] {
    let tally = model.tallies().values().next().unwrap();
    [tally.spent, tally.held, tally.presumed, tally.overrun].map(|sum| sum.normalize().to_string())
}

#[test]
fn a_hold_is_admitted_settled_once_and_charged_in_full() {
    let mut model = model();
    model.apply(&Operation::Create(hard("b", "0.02")));
    assert_eq!(verdict(model.apply(&check(1, 1_000))), Verdict::Allowed);
    assert_eq!(verdict(model.apply(&check(2, 1_000))), Verdict::Denied("BUDGET_EXCEEDED"));
    assert_eq!(sums(&model), ["0", "0.0125", "0", "0"]);
    for _ in 0..2 {
        model.apply(&event(3, 2_000, Some((1, false))));
        assert_eq!(sums(&model), ["0.0225", "0", "0", "0.0025"]);
    }
    assert_eq!(model.broken_invariant(), None);
}

#[test]
fn a_hold_that_runs_out_is_presumed_in_its_own_day_of_23_hours() {
    let mut model = model();
    model.apply(&Operation::Create(hard("b", "0.02")));
    model.apply(&check(1, 1_000));
    model.apply(&Operation::Clock(instant("2027-03-28T22:00:00Z")));
    model.apply(&Operation::Expire(Uuid::from_u128(1)));
    assert_eq!(sums(&model), ["0", "0", "0.0125", "0"]);
    assert_eq!(verdict(model.apply(&check(2, 1_000))), Verdict::Allowed, "the next day has begun");
    assert_eq!(model.tallies().len(), 2);
    model.apply(&event(3, 1_000, Some((1, false))));
    assert_eq!(sums(&model), ["0.0125", "0", "0", "0"], "charged in the day of its check");
    assert_eq!(model.broken_invariant(), None);
}

#[test]
fn what_was_never_seen_leaves_a_tombstone() {
    let mut model = model();
    model.apply(&Operation::Release(Uuid::from_u128(1)));
    assert_eq!(verdict(model.apply(&check(1, 1_000))), Verdict::Denied("CLOSED"));
}

#[test]
fn a_broken_state_is_named() {
    let mut model = model();
    model.apply(&Operation::Create(hard("b", "1")));
    model.apply(&check(1, 1_000));
    let key = model.tallies().keys().next().unwrap().clone();
    let broken = |change: &dyn Fn(&mut Tally)| {
        let mut other = model.clone();
        other.change(&key, change);
        other.broken_invariant().unwrap_or_default().chars().take(2).collect::<String>()
    };
    assert_eq!(broken(&|tally| tally.held += Decimal::ONE), "I1");
    assert_eq!(broken(&|tally| tally.spent += Decimal::ONE), "I2");
    assert_eq!(broken(&|tally| tally.highest = Decimal::ZERO), "I4");
}
