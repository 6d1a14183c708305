//! Operations of the model as requests, and answers as the model tells them.

use rust_decimal::Decimal;
use tollgate_domain::budget::model::{
    Amendment, Answer, Asked, Correction, CounterView, Definition, Event, Extension, HeldView, Judgement, Operation,
    Period, Phase, Receipt, Verdict,
};
use tollgate_domain::budget::{Action, Basis, Mode, Unit};
use tollgate_proto::v1;
use tonic::Status;

use super::world::{ZONE, dimensions, model_of};
use crate::harness::TestServer;
use crate::harness::build::{budget, create, id, key, record, tokens};
use crate::harness::refusal::reason;
use crate::harness::time::{from_wire, to_wire};

/// Sends one operation and tells its answer.
pub(super) async fn send(server: &TestServer, operation: &Operation) -> Answer {
    let answer = match operation {
        Operation::Check(asked) => check(server, asked).await,
        Operation::Record(event) => send_event(server, event).await,
        Operation::Extend(extension) => extend(server, extension).await,
        Operation::Release(id) => {
            let request =
                v1::ReleaseReservationRequest { reservation_id: id.to_string(), reason: "not needed".to_owned() };
            server.budgets.clone().release_reservation(request).await.map(|answer| {
                let answer = answer.into_inner();
                let phase = phase(answer.reservation.unwrap().state());
                Answer::Released { phase, counters: views(answer.budgets) }
            })
        }
        Operation::Create(definition) => {
            server.budgets.clone().create_budget(create(definition_of(definition))).await.map(|_| Answer::Done)
        }
        Operation::Limit { budget, limit } => {
            let changed = v1::Budget { limit: limit.to_string(), ..named(budget) };
            update(server, changed, "limit").await
        }
        Operation::Mode { budget, mode } => {
            let mode = match mode {
                Mode::Enforced => v1::budget::Mode::Enforced,
                Mode::Shadow => v1::budget::Mode::Shadow,
                Mode::Disabled => v1::budget::Mode::Disabled,
            };
            update(server, v1::Budget { mode: mode.into(), ..named(budget) }, "mode").await
        }
        Operation::Override { budget, scope, limit } => change_override(server, budget, scope.as_deref(), *limit).await,
        Operation::Amend(correction) => amend(server, correction).await,
        Operation::Expire(id) => {
            let app = &server.running.as_ref().unwrap().app;
            app.ledger.expire(tollgate_server::tenant::TenantId::LOCAL, *id).await.unwrap();
            Ok(Answer::Done)
        }
        Operation::Clock(_) => panic!("the clock is no call"),
    };
    answer.unwrap_or_else(|status| refused(&status))
}

/// The reasons that the model knows.
fn refused(status: &Status) -> Answer {
    const REASONS: [&str; 9] = [
        "RESERVATION_ID_REUSED",
        "EVENT_ID_REUSED",
        "RESERVATION_NOT_FOUND",
        "RESERVATION_ENDED",
        "BUDGET_ALREADY_EXISTS",
        "BUDGET_NOT_FOUND",
        "EVENT_NOT_FOUND",
        "REVISION_MISMATCH",
        "EVENT_CANCELLED",
    ];
    let found = reason(status);
    let known = REASONS.into_iter().find(|known| *known == found);
    Answer::Refused(known.unwrap_or_else(|| panic!("{found}: {status:?}")))
}

fn named(budget_id: &str) -> v1::Budget {
    v1::Budget { budget_id: budget_id.to_owned(), ..Default::default() }
}

async fn update(server: &TestServer, changed: v1::Budget, path: &str) -> Result<Answer, Status> {
    let request = v1::UpdateBudgetRequest {
        budget: Some(changed),
        update_mask: Some(prost_types::FieldMask { paths: vec![path.to_owned()] }),
        ..Default::default()
    };
    server.budgets.clone().update_budget(request).await.map(|_| Answer::Done)
}

async fn change_override(
    server: &TestServer,
    budget: &str,
    scope: Option<&str>,
    limit: Option<Decimal>,
) -> Result<Answer, Status> {
    let per_values = scope.map(|value| ("user_id".to_owned(), value.to_owned())).into_iter().collect();
    let mut budgets = server.budgets.clone();
    match limit {
        Some(limit) => {
            let content = v1::BudgetOverride {
                budget_id: budget.to_owned(),
                per_values,
                limit: limit.to_string(),
                ..Default::default()
            };
            let request = v1::SetBudgetOverrideRequest { budget_override: Some(content), validate_only: false };
            budgets.set_budget_override(request).await.map(|_| Answer::Done)
        }
        None => {
            let request =
                v1::DeleteBudgetOverrideRequest { budget_id: budget.to_owned(), per_values, ..Default::default() };
            budgets.delete_budget_override(request).await.map(|_| Answer::Done)
        }
    }
}

fn definition_of(definition: &Definition) -> v1::Budget {
    let window = match &definition.period {
        Period::Lifetime => v1::Window { kind: v1::window::Kind::Lifetime.into(), ..Default::default() },
        Period::Hours => {
            v1::Window { kind: v1::window::Kind::Hour.into(), time_zone: "UTC".to_owned(), ..Default::default() }
        }
        Period::Days(zone) => {
            assert_eq!(zone, ZONE);
            v1::Window { kind: v1::window::Kind::Day.into(), time_zone: zone.clone(), ..Default::default() }
        }
    };
    let unit = match definition.unit {
        Unit::Usd => v1::Unit::Usd,
        Unit::Tokens => v1::Unit::Tokens,
        Unit::InputTokens => v1::Unit::InputTokens,
        Unit::OutputTokens => v1::Unit::OutputTokens,
        Unit::Calls => v1::Unit::Calls,
        Unit::Attempts => v1::Unit::Attempts,
    };
    let rules = definition.steps.iter().map(|step| v1::Rule {
        at_fraction: step.at.to_string(),
        basis: match step.basis {
            Basis::Spent => v1::Basis::Spent.into(),
            Basis::Committed => v1::Basis::Committed.into(),
        },
        action: match step.action {
            Action::Alert => v1::Action::Alert.into(),
            Action::Downgrade => v1::Action::Downgrade.into(),
            Action::Throttle => v1::Action::Throttle.into(),
            Action::Block => v1::Action::Block.into(),
        },
        downgrade_to: step.downgrade_to.iter().map(|name| model_of(name)).collect(),
    });
    let mode = if definition.mode == Mode::Shadow { v1::budget::Mode::Shadow } else { v1::budget::Mode::Enforced };
    v1::Budget {
        per: definition.per.iter().map(|name| key(name)).collect(),
        selector: definition
            .selects
            .iter()
            .map(|(name, value)| v1::DimensionMatch {
                key: Some(key(name)),
                values: vec![value.clone()],
                ..Default::default()
            })
            .collect(),
        models: definition.models.iter().map(|name| model_of(name)).collect(),
        unit: unit.into(),
        window: Some(window),
        rules: rules.collect(),
        mode: mode.into(),
        ..budget(&definition.id, &definition.limit.to_string())
    }
}

async fn check(server: &TestServer, asked: &Asked) -> Result<Answer, Status> {
    let mode = match (asked.id, asked.headroom) {
        (None, _) => v1::CheckMode::Peek,
        (Some(_), false) => v1::CheckMode::Reserve,
        (Some(_), true) => v1::CheckMode::ReserveHeadroom,
    };
    let mut models = asked.models.iter().map(|name| model_of(name));
    let request = v1::CheckBudgetRequest {
        mode: mode.into(),
        reservation_id: asked.id.map(|id| id.to_string()).unwrap_or_default(),
        dimensions: Some(dimensions(&asked.who)),
        model: models.next(),
        fallbacks: models.collect(),
        estimate: Some(estimate(asked.input, asked.output)),
        ttl: asked.id.map(|_| prost_types::Duration { seconds: asked.seconds, nanos: 0 }),
        view: v1::ResponseView::Full.into(),
    };
    let answer = server.budgets.clone().check_budget(request).await?.into_inner();
    let verdict = match answer.decision() {
        v1::Decision::Allowed => Verdict::Allowed,
        v1::Decision::Downgraded => Verdict::Downgraded(answer.use_model.unwrap().model),
        v1::Decision::Throttled => Verdict::Throttled,
        _ => {
            let reasons = ["PER_KEY_MISSING", "UNPRICED", "BUDGET_EXCEEDED", "DOWNGRADE_UNAVAILABLE", "CLOSED"];
            Verdict::Denied(reasons.into_iter().find(|reason| *reason == answer.reason).unwrap())
        }
    };
    Ok(Answer::Checked(Judgement {
        verdict,
        affordable: answer.affordable_output_tokens.map(|tokens| u64::try_from(tokens).unwrap()),
        never_fits: answer.never_fits,
        holds: answer.reservation.map(held).unwrap_or_default(),
        counters: views(answer.budgets),
    }))
}

fn estimate(input: u64, output: u64) -> v1::Estimate {
    v1::Estimate { input_tokens: Some(count(input)), max_output_tokens: Some(count(output)), ..Default::default() }
}

fn count(value: u64) -> i64 {
    i64::try_from(value).unwrap()
}

async fn extend(server: &TestServer, extension: &Extension) -> Result<Answer, Status> {
    let raise = extension.raise.as_ref();
    let request = v1::ExtendReservationRequest {
        reservation_id: extension.id.to_string(),
        ttl: extension.seconds.map(|seconds| prost_types::Duration { seconds, nanos: 0 }),
        sequence: extension.sequence,
        running_usage: extension.running.map(|(input, output)| tokens(count(input), count(output))),
        raise_to: raise.map(|(_, input, output)| estimate(*input, *output)),
        model: raise.map(|(name, _, _)| model_of(name)),
    };
    let answer = server.budgets.clone().extend_reservation(request).await?.into_inner();
    Ok(Answer::Extended {
        granted: answer.decision() == v1::Decision::Allowed,
        holds: held(answer.reservation.unwrap()),
        counters: views(answer.budgets),
    })
}

/// An event for the wire.
pub(super) fn event_of(event: &Event) -> v1::UsageEvent {
    let mut used = tokens(count(event.input), count(event.output));
    if event.reasoning > 0 {
        used.parts = vec![v1::TokenPart {
            token_class: v1::TokenClass::Reasoning.into(),
            tokens: count(event.reasoning),
            ..Default::default()
        }];
    }
    v1::UsageEvent {
        key: Some(v1::usage_event::Key::EventId(event.id.to_string())),
        start_time: Some(to_wire(event.start)),
        attempt: i32::try_from(event.attempt).unwrap(),
        call_id: "call".to_owned(),
        request_model: Some(model_of(&event.model)),
        usage: Some(v1::usage_event::Usage::Tokens(used)),
        reservation: event
            .reservation
            .map(|(id, keep_open)| v1::ReservationUse { reservation_id: id.to_string(), keep_open }),
        ..crate::harness::build::event(dimensions(&event.who), 0, 0)
    }
}

async fn send_event(server: &TestServer, event: &Event) -> Result<Answer, Status> {
    let answer = server.usage.clone().record_usage(record(event_of(event))).await?.into_inner();
    Ok(Answer::Recorded(receipt(answer)))
}

/// The answer to an event; a duplicate's tells nothing of counters.
pub(super) fn receipt(answer: v1::RecordUsageResponse) -> Receipt {
    const NOTICES: [&str; 5] = ["CLOSED_WINDOW", "LATE", "NOT_HELD", "OVERRUN", "UNRESERVED"];
    let duplicate = answer.result() == v1::RecordResult::Duplicate;
    let known = |notice: &String| NOTICES.into_iter().find(|known| known == notice).unwrap();
    let mut notices: Vec<&'static str> = answer.notices.iter().map(known).collect();
    notices.sort_unstable();
    Receipt {
        duplicate,
        usd: decimal(&answer.cost.unwrap().usd),
        charge_time: from_wire(&answer.charge_time.unwrap()),
        notices,
        counters: if duplicate { Vec::new() } else { views(answer.budgets) },
    }
}

async fn amend(server: &TestServer, correction: &Correction) -> Result<Answer, Status> {
    use v1::amend_usage_request::Change;
    let change = match &correction.change {
        Amendment::Cancel => Change::Cancel(true),
        Amendment::Reattribute(who) => Change::Reattribute(dimensions(who)),
        Amendment::Replace { .. } => {
            let request =
                v1::GetUsageRequest { key: Some(v1::get_usage_request::Key::EventId(correction.event.to_string())) };
            let known = server.usage.clone().get_usage(request).await?.into_inner().record.unwrap();
            Change::Replacement(replacement(correction, known.event.unwrap()))
        }
    };
    let request = v1::AmendUsageRequest {
        request_id: id(),
        event_id: correction.event.to_string(),
        expected_revision: correction.expected,
        change: Some(change),
        reason: "the caller got it wrong".to_owned(),
        validate_only: false,
    };
    let answer = server.usage.clone().amend_usage(request).await?.into_inner();
    Ok(Answer::Amended { revision: answer.revision, usd_delta: decimal(&answer.usd_delta) })
}

/// What an event should have said: for whom, on which model and of what size; the rest as it was told first, which never changes.
fn replacement(correction: &Correction, known: v1::UsageEvent) -> v1::UsageEvent {
    let Amendment::Replace { who, model, input, output } = &correction.change else { panic!("{correction:?}") };
    v1::UsageEvent {
        dimensions: Some(dimensions(who)),
        request_model: Some(model_of(model)),
        usage: Some(v1::usage_event::Usage::Tokens(tokens(count(*input), count(*output)))),
        ..known
    }
}

fn decimal(text: &str) -> Decimal {
    text.parse().unwrap()
}

fn held(reservation: v1::Reservation) -> Vec<HeldView> {
    let part = |part: v1::reservation::Part| HeldView {
        budget: part.budget_id,
        held: decimal(&part.held),
        charged: decimal(&part.charged),
        presumed: decimal(&part.presumed),
    };
    reservation.parts.into_iter().map(part).collect()
}

/// Where a reservation stands, with what it holds.
pub(super) async fn standing(server: &TestServer, id: uuid::Uuid) -> (Phase, Vec<HeldView>) {
    let request = v1::GetReservationRequest { reservation_id: id.to_string() };
    let found = server.budgets.clone().get_reservation(request).await.unwrap().into_inner().reservation.unwrap();
    (phase(found.state()), held(found))
}

fn phase(state: v1::reservation::State) -> Phase {
    match state {
        v1::reservation::State::Pending => Phase::Pending,
        v1::reservation::State::Settled => Phase::Settled,
        v1::reservation::State::Released => Phase::Released,
        v1::reservation::State::Expired => Phase::Expired,
        v1::reservation::State::SettledLate => Phase::SettledLate,
        v1::reservation::State::Void => Phase::Void,
        v1::reservation::State::Unspecified => panic!("a reservation without a state"),
    }
}

fn views(states: Vec<v1::BudgetState>) -> Vec<CounterView> {
    let view = |state: v1::BudgetState| CounterView {
        fired: match state.fired() {
            v1::Action::Unspecified => None,
            v1::Action::Alert => Some(Action::Alert),
            v1::Action::Downgrade => Some(Action::Downgrade),
            v1::Action::Throttle => Some(Action::Throttle),
            v1::Action::Block => Some(Action::Block),
        },
        scope: state.per_values.get("user_id").cloned(),
        spent: decimal(&state.spent),
        held: decimal(&state.held),
        presumed: decimal(&state.presumed),
        overrun: decimal(&state.overrun),
        limit: decimal(&state.effective_limit),
        available: decimal(&state.available),
        refused: state.refused,
        budget: state.budget_id,
    };
    states.into_iter().map(view).collect()
}
