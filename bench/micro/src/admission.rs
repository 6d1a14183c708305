//! Deciding whether a call may run.

use std::hint::black_box;

use tollgate_domain::amount::Amount;
use tollgate_domain::budget::{Action, Applied, Basis, Budget, Carry, Counter, Demand, Mode, Rule, Unit, decide};
use tollgate_domain::price::Estimate;
use tollgate_domain::window::{Bounds, Window};

use crate::{Routine, sample};

fn estimate() -> Estimate {
    Estimate { input_tokens: Some(4_096), max_output_tokens: Some(1_024), ..Estimate::default() }
}

/// The most that a call may cost.
pub(crate) fn worst_case() -> anyhow::Result<Routine> {
    let sheet = sample::sheet()?;
    let estimate = estimate();
    Ok(Routine::new(move || {
        drop(black_box(tollgate_domain::price::worst_case(black_box(&estimate), Some(&sheet))));
    }))
}

/// One call against the budgets of its user, its team and the tenant: in dollars, dollars and tokens, all with room.
pub(crate) fn decide_call() -> anyhow::Result<Routine> {
    let demands = [Demand::new(sample::asked_model(), Some(sample::sheet()?), estimate())?];
    let budgets = [
        budget("user", Unit::Usd, "25")?,
        budget("team", Unit::Usd, "1000")?,
        budget("all", Unit::Tokens, "9000000000")?,
    ];
    let counter = Counter {
        spent: "7.123456".parse()?,
        held: "0.75".parse()?,
        highest_limit: "25".parse()?,
        ..Counter::default()
    };
    let window = budgets[0].window.bounds(sample::start()?)?;
    Ok(Routine::new(move || {
        let applied = budgets.each_ref().map(|budget| applied(budget, &counter, window));
        drop(black_box(decide(black_box(&demands), &applied, false, |model| {
            Demand::new(model.clone(), None, estimate())
        })));
    }))
}

fn applied<'a>(budget: &'a Budget, counter: &'a Counter, window: Bounds) -> Applied<'a> {
    Applied { budget, counter: Ok(counter), limit: budget.limit, own_limit: budget.limit, window }
}

fn budget(budget_id: &str, unit: Unit, limit: &str) -> anyhow::Result<Budget> {
    let rule = |at_fraction: &str, action| -> anyhow::Result<Rule> {
        let at_fraction: Amount = at_fraction.parse()?;
        Ok(Rule { at_fraction, basis: Basis::Committed, action, downgrade_to: Vec::new() })
    };
    Ok(Budget {
        budget_id: budget_id.to_owned(),
        display_name: String::new(),
        annotations: Default::default(),
        selector: Vec::new(),
        models: Vec::new(),
        per: Vec::new(),
        per_absent: None,
        unit,
        window: Window::lifetime(),
        limit: limit.parse()?,
        rules: vec![rule("0.8", Action::Alert)?, rule("1", Action::Block)?],
        mode: Mode::Enforced,
        unpriced: None,
        unavailable: None,
        on_expire: None,
        carry: Carry::None,
        start_time: None,
        end_time: None,
        count_from: None,
    })
}
