//! Budgets, windows and counters.

use tollgate_domain::amount::Amount;
use tollgate_domain::budget::{Action, Basis, Budget, BudgetState, Carry, Choice, Mode, OnExpire, Rule, Unit};
use tollgate_domain::violation::Violations;
use tollgate_domain::window::{LIFETIME_START, Window, WindowKind};
use tollgate_proto::v1;

use super::dimensions::{key, matches, model, to_key, to_match, to_model};
use super::values::{decimal, known, remaining, timestamp, to_timestamp};
use crate::app::AppError;
use crate::store::budgets::StoredBudget;

/// A validated budget.
///
/// # Errors
/// [`AppError::Invalid`] with every violation.
pub fn budget(message: Option<v1::Budget>) -> Result<Budget, AppError> {
    let Some(message) = message else { return Err(AppError::invalid("budget", "must be set")) };
    let v1::Budget {
        budget_id,
        display_name,
        annotations,
        selector,
        models,
        per,
        per_absent,
        unit,
        window: window_message,
        limit,
        rules,
        mode,
        unpriced,
        unavailable,
        on_expire,
        carry,
        start_time,
        end_time,
        count_from,
        // Written by the server.
        state: _,
        etag: _,
        create_time: _,
        update_time: _,
        last_match_time: _,
    } = message;
    let mut found = Violations::new();
    let selector = matches(&mut found, "budget.selector", selector);
    let models = models
        .into_iter()
        .enumerate()
        .map(|(position, message)| model(&mut found, &format!("budget.models[{position}]"), message))
        .collect();
    let per = per
        .into_iter()
        .enumerate()
        .filter_map(|(position, message)| key(&mut found, &format!("budget.per[{position}]"), Some(message)))
        .collect();
    let unit = known::<v1::Unit>(&mut found, "budget.unit", unit, false).and_then(unit_to_domain);
    let window = window(&mut found, "budget.window", window_message);
    found.add_if(limit.is_empty(), "budget.limit", "must be set");
    let limit: Option<Amount> = decimal(&mut found, "budget.limit", &limit);
    let rules = rules
        .into_iter()
        .enumerate()
        .filter_map(|(position, message)| rule(&mut found, &format!("budget.rules[{position}]"), message))
        .collect();
    let mode = known::<v1::budget::Mode>(&mut found, "budget.mode", mode, true);
    let carry = known::<v1::budget::Carry>(&mut found, "budget.carry", carry, true);
    let per_absent = choice(&mut found, "budget.per_absent", per_absent);
    let unpriced = choice(&mut found, "budget.unpriced", unpriced);
    let unavailable = choice(&mut found, "budget.unavailable", unavailable);
    let on_expire = known::<v1::budget::OnExpire>(&mut found, "budget.on_expire", on_expire, true);
    let start_time = timestamp(&mut found, "budget.start_time", start_time);
    let end_time = timestamp(&mut found, "budget.end_time", end_time);
    let count_from = timestamp(&mut found, "budget.count_from", count_from);
    let (Some(unit), Some(window), Some(limit)) = (unit, window, limit) else {
        return Err(found.into_result(()).err().unwrap_or_default().into());
    };
    let budget = Budget {
        budget_id,
        display_name,
        annotations: annotations.into_iter().collect(),
        selector,
        models,
        per,
        per_absent,
        unit,
        window,
        limit,
        rules,
        mode: match mode {
            Some(v1::budget::Mode::Shadow) => Mode::Shadow,
            Some(v1::budget::Mode::Disabled) => Mode::Disabled,
            _ => Mode::Enforced,
        },
        unpriced,
        unavailable,
        on_expire: on_expire.and_then(|value| match value {
            v1::budget::OnExpire::Unspecified => None,
            v1::budget::OnExpire::Release => Some(OnExpire::Release),
            v1::budget::OnExpire::Presume => Some(OnExpire::Presume),
        }),
        carry: match carry {
            Some(v1::budget::Carry::Overrun) => Carry::Overrun,
            Some(v1::budget::Carry::Rest) => Carry::Rest,
            Some(v1::budget::Carry::Both) => Carry::Both,
            None | Some(v1::budget::Carry::None | v1::budget::Carry::Unspecified) => Carry::None,
        },
        start_time,
        end_time,
        count_from,
    };
    if let Err(violations) = budget.validate("budget") {
        found.extend(violations);
    }
    found.into_result(budget).map_err(AppError::from)
}

fn choice(found: &mut Violations, field: &str, value: i32) -> Option<Choice> {
    match known::<v1::Choice>(found, field, value, true)? {
        v1::Choice::Unspecified => None,
        v1::Choice::Deny => Some(Choice::Deny),
        v1::Choice::Allow => Some(Choice::Allow),
    }
}

/// For the wire.
pub fn to_choice(choice: Choice) -> v1::Choice {
    match choice {
        Choice::Deny => v1::Choice::Deny,
        Choice::Allow => v1::Choice::Allow,
    }
}

fn unit_to_domain(unit: v1::Unit) -> Option<Unit> {
    Some(match unit {
        v1::Unit::Unspecified => return None,
        v1::Unit::Usd => Unit::Usd,
        v1::Unit::Tokens => Unit::Tokens,
        v1::Unit::InputTokens => Unit::InputTokens,
        v1::Unit::OutputTokens => Unit::OutputTokens,
        v1::Unit::Calls => Unit::Calls,
        v1::Unit::Attempts => Unit::Attempts,
    })
}

/// For the wire.
pub fn to_unit(unit: Unit) -> v1::Unit {
    match unit {
        Unit::Usd => v1::Unit::Usd,
        Unit::Tokens => v1::Unit::Tokens,
        Unit::InputTokens => v1::Unit::InputTokens,
        Unit::OutputTokens => v1::Unit::OutputTokens,
        Unit::Calls => v1::Unit::Calls,
        Unit::Attempts => v1::Unit::Attempts,
    }
}

fn rule(found: &mut Violations, path: &str, message: v1::Rule) -> Option<Rule> {
    let v1::Rule { at_fraction, basis, action, downgrade_to } = message;
    found.add_if(at_fraction.is_empty(), format!("{path}.at_fraction"), "must be set, for example 0.8");
    let at_fraction = decimal(found, &format!("{path}.at_fraction"), &at_fraction);
    let basis = known::<v1::Basis>(found, &format!("{path}.basis"), basis, true);
    let action = known::<v1::Action>(found, &format!("{path}.action"), action, false);
    let downgrade_to = downgrade_to
        .into_iter()
        .enumerate()
        .map(|(position, message)| model(found, &format!("{path}.downgrade_to[{position}]"), message))
        .collect();
    Some(Rule {
        at_fraction: at_fraction?,
        basis: match basis {
            Some(v1::Basis::Spent) => Basis::Spent,
            _ => Basis::Committed,
        },
        action: match action? {
            v1::Action::Unspecified => return None,
            v1::Action::Alert => Action::Alert,
            v1::Action::Downgrade => Action::Downgrade,
            v1::Action::Throttle => Action::Throttle,
            v1::Action::Block => Action::Block,
        },
        downgrade_to,
    })
}

/// For the wire.
pub fn to_action(action: Action) -> v1::Action {
    match action {
        Action::Alert => v1::Action::Alert,
        Action::Downgrade => v1::Action::Downgrade,
        Action::Throttle => v1::Action::Throttle,
        Action::Block => v1::Action::Block,
    }
}

/// A validated window.
pub fn window(found: &mut Violations, path: &str, message: Option<v1::Window>) -> Option<Window> {
    let Some(v1::Window { kind, count, time_zone, anchor }) = message else {
        found.add(path, "must be set");
        return None;
    };
    let kind = match known::<v1::window::Kind>(found, &format!("{path}.kind"), kind, false)? {
        v1::window::Kind::Unspecified => return None,
        v1::window::Kind::Lifetime => WindowKind::Lifetime,
        v1::window::Kind::Minute => WindowKind::Minute,
        v1::window::Kind::Hour => WindowKind::Hour,
        v1::window::Kind::Day => WindowKind::Day,
        v1::window::Kind::Week => WindowKind::Week,
        v1::window::Kind::Month => WindowKind::Month,
        v1::window::Kind::Quarter => WindowKind::Quarter,
        v1::window::Kind::Year => WindowKind::Year,
    };
    let Ok(count) = u32::try_from(count) else {
        found.add(format!("{path}.count"), "must not be negative");
        return None;
    };
    let anchor = timestamp(found, &format!("{path}.anchor"), anchor);
    let time_zone = (!time_zone.is_empty()).then_some(time_zone);
    match Window::new(kind, count, time_zone, anchor, path) {
        Ok(window) => Some(window),
        Err(violations) => {
            found.extend(violations);
            None
        }
    }
}

fn to_window(window: &Window) -> v1::Window {
    v1::Window {
        kind: match window.kind() {
            WindowKind::Lifetime => v1::window::Kind::Lifetime,
            WindowKind::Minute => v1::window::Kind::Minute,
            WindowKind::Hour => v1::window::Kind::Hour,
            WindowKind::Day => v1::window::Kind::Day,
            WindowKind::Week => v1::window::Kind::Week,
            WindowKind::Month => v1::window::Kind::Month,
            WindowKind::Quarter => v1::window::Kind::Quarter,
            WindowKind::Year => v1::window::Kind::Year,
        }
        .into(),
        count: i32::try_from(window.count()).unwrap_or(i32::MAX),
        time_zone: window.time_zone().unwrap_or_default().to_owned(),
        anchor: window.anchor().map(to_timestamp),
    }
}

/// For the wire.
pub fn to_budget(stored: &StoredBudget) -> v1::Budget {
    let StoredBudget {
        number: _,
        budget,
        counted_from,
        request_id: _,
        etag,
        create_time,
        update_time,
        delete_time,
        last_match_time,
        backfilling,
    } = stored;
    let Budget {
        budget_id,
        display_name,
        annotations,
        selector,
        models,
        per,
        per_absent: _,
        unit,
        window,
        limit,
        rules,
        mode,
        unpriced: _,
        unavailable: _,
        on_expire: _,
        carry,
        start_time,
        end_time,
        count_from: _,
    } = budget;
    v1::Budget {
        budget_id: budget_id.clone(),
        display_name: display_name.clone(),
        annotations: annotations.clone().into_iter().collect(),
        selector: selector.iter().map(to_match).collect(),
        models: models.iter().map(to_model).collect(),
        per: per.iter().map(to_key).collect(),
        // What is in force is shown, also where the owner left the default.
        per_absent: to_choice(budget.effective_per_absent()).into(),
        unit: to_unit(*unit).into(),
        window: Some(to_window(window)),
        limit: limit.to_string(),
        rules: rules.iter().map(to_rule).collect(),
        mode: match mode {
            Mode::Enforced => v1::budget::Mode::Enforced,
            Mode::Shadow => v1::budget::Mode::Shadow,
            Mode::Disabled => v1::budget::Mode::Disabled,
        }
        .into(),
        unpriced: to_choice(budget.effective_unpriced()).into(),
        unavailable: to_choice(budget.effective_unavailable()).into(),
        on_expire: match budget.effective_on_expire() {
            OnExpire::Release => v1::budget::OnExpire::Release,
            OnExpire::Presume => v1::budget::OnExpire::Presume,
        }
        .into(),
        carry: match carry {
            Carry::None => v1::budget::Carry::None,
            Carry::Overrun => v1::budget::Carry::Overrun,
            Carry::Rest => v1::budget::Carry::Rest,
            Carry::Both => v1::budget::Carry::Both,
        }
        .into(),
        start_time: start_time.map(to_timestamp),
        end_time: end_time.map(to_timestamp),
        // All time has no beginning that a caller could say.
        count_from: Some(*counted_from).filter(|from| *from > LIFETIME_START).map(to_timestamp),
        state: match delete_time {
            Some(_) => v1::budget::State::Deleted,
            None if *backfilling => v1::budget::State::Backfilling,
            None => v1::budget::State::Active,
        }
        .into(),
        etag: etag.clone(),
        create_time: Some(to_timestamp(*create_time)),
        update_time: Some(to_timestamp(*update_time)),
        last_match_time: last_match_time.map(to_timestamp),
    }
}

/// For the wire.
pub fn to_rule(rule: &Rule) -> v1::Rule {
    let Rule { at_fraction, basis, action, downgrade_to } = rule;
    v1::Rule {
        at_fraction: at_fraction.to_string(),
        basis: match basis {
            Basis::Spent => v1::Basis::Spent,
            Basis::Committed => v1::Basis::Committed,
        }
        .into(),
        action: to_action(*action).into(),
        downgrade_to: downgrade_to.iter().map(to_model).collect(),
    }
}

/// For the wire; `now` says how long the window still lasts.
pub fn to_state(state: &BudgetState, now: jiff::Timestamp) -> v1::BudgetState {
    let BudgetState {
        budget_id,
        per_values,
        unit,
        window,
        limit,
        effective_limit,
        spent,
        held,
        presumed,
        overrun,
        available,
        fired,
        refused,
        shadow,
        version,
        figures_unknown,
    } = state;
    // Unset differs from zero: what is not known is not shown.
    let figure = |amount: &Amount| if *figures_unknown { String::new() } else { amount.to_string() };
    v1::BudgetState {
        budget_id: budget_id.clone(),
        per_values: per_values.clone().into_iter().collect(),
        unit: to_unit(*unit).into(),
        window_start: Some(to_timestamp(window.start)),
        window_end: Some(to_timestamp(window.end)),
        resets_in: Some(remaining(now, window.end)),
        limit: limit.to_string(),
        effective_limit: effective_limit.to_string(),
        spent: figure(spent),
        held: figure(held),
        presumed: figure(presumed),
        overrun: figure(overrun),
        available: figure(available),
        fired: fired.map_or(v1::Action::Unspecified, to_action).into(),
        refused: *refused,
        shadow: *shadow,
        version: *version,
    }
}
