//! Requests, with only what a test is about spelled out.

use std::time::SystemTime;

use tollgate_proto::v1;
use uuid::Uuid;

use super::time::id_at;

/// A new id.
pub(crate) fn id() -> String {
    Uuid::now_v7().to_string()
}

/// Now.
pub(crate) fn now() -> prost_types::Timestamp {
    SystemTime::now().into()
}

/// gpt-4o at OpenAI.
pub(crate) fn gpt_4o() -> v1::ModelRef {
    model("openai", "gpt-4o")
}

/// A model.
pub(crate) fn model(provider_name: &str, model: &str) -> v1::ModelRef {
    v1::ModelRef { provider_name: provider_name.to_owned(), model: model.to_owned(), ..Default::default() }
}

/// Reported tokens.
pub(crate) fn tokens(input: i64, output: i64) -> v1::TokenUsage {
    v1::TokenUsage {
        total_input_tokens: Some(input),
        total_output_tokens: Some(output),
        quality: v1::UsageQuality::Reported.into(),
        ..Default::default()
    }
}

/// A session's dimensions.
pub(crate) fn session(session_id: &str) -> v1::Dimensions {
    v1::Dimensions { session_id: session_id.to_owned(), ..Default::default() }
}

/// A user's dimensions.
pub(crate) fn user(user_id: &str) -> v1::Dimensions {
    v1::Dimensions { user_id: user_id.to_owned(), ..Default::default() }
}

/// An event on gpt-4o, now.
pub(crate) fn event(dimensions: v1::Dimensions, input: i64, output: i64) -> v1::UsageEvent {
    v1::UsageEvent {
        key: Some(v1::usage_event::Key::EventId(id())),
        start_time: Some(now()),
        dimensions: Some(dimensions),
        operation_name: "chat".to_owned(),
        request_model: Some(gpt_4o()),
        usage: Some(v1::usage_event::Usage::Tokens(tokens(input, output))),
        outcome: v1::CallOutcome::Ok.into(),
        ..Default::default()
    }
}

/// An event on gpt-4o that started then, with the id that it had been given then.
pub(crate) fn event_at(
    start: prost_types::Timestamp,
    dimensions: v1::Dimensions,
    input: i64,
    output: i64,
) -> v1::UsageEvent {
    v1::UsageEvent {
        key: Some(v1::usage_event::Key::EventId(id_at(&start))),
        start_time: Some(start),
        ..event(dimensions, input, output)
    }
}

/// To record it.
pub(crate) fn record(event: v1::UsageEvent) -> v1::RecordUsageRequest {
    v1::RecordUsageRequest { event: Some(event), view: v1::ResponseView::Full.into() }
}

/// A dimension's key.
pub(crate) fn key(name: &str) -> v1::DimensionKey {
    v1::DimensionKey { name: name.to_owned(), label: String::new() }
}

/// A day in UTC.
pub(crate) fn day() -> v1::Window {
    v1::Window { kind: v1::window::Kind::Day.into(), time_zone: "UTC".to_owned(), ..Default::default() }
}

/// Refuses at the limit.
pub(crate) fn block() -> v1::Rule {
    rule("1", v1::Action::Block)
}

/// A rule on what is committed.
pub(crate) fn rule(at_fraction: &str, action: v1::Action) -> v1::Rule {
    v1::Rule { at_fraction: at_fraction.to_owned(), action: action.into(), ..Default::default() }
}

/// A hard daily budget in dollars with one counter.
pub(crate) fn budget(budget_id: &str, limit: &str) -> v1::Budget {
    v1::Budget {
        budget_id: budget_id.to_owned(),
        unit: v1::Unit::Usd.into(),
        window: Some(day()),
        limit: limit.to_owned(),
        rules: vec![block()],
        ..Default::default()
    }
}

/// To create it.
pub(crate) fn create(budget: v1::Budget) -> v1::CreateBudgetRequest {
    v1::CreateBudgetRequest { budget: Some(budget), ..Default::default() }
}

/// A check that holds for a call of this size on gpt-4o.
pub(crate) fn reserve(dimensions: v1::Dimensions, input: i64, max_output: i64) -> v1::CheckBudgetRequest {
    v1::CheckBudgetRequest {
        mode: v1::CheckMode::Reserve.into(),
        reservation_id: id(),
        dimensions: Some(dimensions),
        model: Some(gpt_4o()),
        estimate: Some(v1::Estimate {
            input_tokens: Some(input),
            max_output_tokens: Some(max_output),
            ..Default::default()
        }),
        view: v1::ResponseView::Full.into(),
        ..Default::default()
    }
}

/// The event settles this reservation.
pub(crate) fn settling(mut event: v1::UsageEvent, reservation_id: &str) -> v1::UsageEvent {
    event.reservation = Some(v1::ReservationUse { reservation_id: reservation_id.to_owned(), keep_open: false });
    event
}
