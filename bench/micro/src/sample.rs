//! The call that every routine is about: an answer of a chat model with a cached prompt, in a session of an agent.

use anyhow::Context as _;
use jiff::Timestamp;
use tollgate_domain::dimensions::Dimensions;
use tollgate_domain::event::UsageEvent;
use tollgate_domain::measures::Charge;
use tollgate_domain::model::ModelRef;
use tollgate_domain::price::{Catalog, PriceSheet};
use tollgate_proto::v1;
use tollgate_server::grpc::convert;

/// 2026-06-01T12:00:00Z, in seconds: within the catalog's prices, and the same in each run.
const START_SECONDS: i64 = 1_780_315_200;
/// A UUIDv7 of that instant.
const EVENT_ID: &str = "019e830e-1a00-7abc-8def-0123456789ab";

/// The event, as it arrives.
pub(crate) fn message() -> v1::UsageEvent {
    let text = str::to_owned;
    v1::UsageEvent {
        key: Some(v1::usage_event::Key::EventId(text(EVENT_ID))),
        call_id: text("call-7f3a9c"),
        start_time: Some(prost_types::Timestamp { seconds: START_SECONDS, nanos: 123_456_000 }),
        end_time: Some(prost_types::Timestamp { seconds: START_SECONDS + 2, nanos: 654_321_000 }),
        time_to_first_token: Some(prost_types::Duration { seconds: 0, nanos: 412_000_000 }),
        dimensions: Some(v1::Dimensions {
            workspace_id: text("workspace-1"),
            project_id: text("project-alpha"),
            team_id: text("team-search"),
            customer_id: text("customer-4711"),
            user_id: text("user-8f14e45f"),
            environment: text("production"),
            session_id: text("session-c9f0f895fb98ab91"),
            root_session_id: text("session-45c48cce2e2d7fbd"),
            service_name: text("assistant"),
            agent_id: text("agent-researcher"),
            agent_name: text("Researcher"),
            workflow_id: text("workflow-17"),
            workflow_step: Some(3),
            task_name: text("presentation_generate"),
            labels: [("release", "2026-05"), ("cell", "eu-1")].map(|(key, value)| (text(key), text(value))).into(),
            ..Default::default()
        }),
        operation_name: text("chat"),
        request_model: Some(model("gpt-4o")),
        response_model: Some(model("gpt-4o-2024-08-06")),
        response_id: text("chatcmpl-9XyZ0123456789abcdef"),
        usage: Some(v1::usage_event::Usage::Tokens(v1::TokenUsage {
            total_input_tokens: Some(4_096),
            total_output_tokens: Some(512),
            parts: vec![part(v1::TokenClass::CacheRead, 2_048), part(v1::TokenClass::Reasoning, 128)],
            quality: v1::UsageQuality::Reported.into(),
            ..Default::default()
        })),
        outcome: v1::CallOutcome::Ok.into(),
        trace_id: text("4bf92f3577b34da6a3ce929d0e0e4736"),
        span_id: text("00f067aa0ba902b7"),
        ..Default::default()
    }
}

fn model(name: &str) -> v1::ModelRef {
    v1::ModelRef { provider_name: "openai".to_owned(), model: name.to_owned(), ..Default::default() }
}

fn part(class: v1::TokenClass, tokens: i64) -> v1::TokenPart {
    v1::TokenPart { token_class: class.into(), tokens, cache_ttl: None }
}

/// The event, validated.
pub(crate) fn event() -> anyhow::Result<UsageEvent> {
    Ok(convert::event::event(Some(message()), "event", &Dimensions::default())?)
}

/// When it started.
pub(crate) fn start() -> anyhow::Result<Timestamp> {
    Ok(Timestamp::from_second(START_SECONDS)?)
}

/// The model that was asked for.
pub(crate) fn asked_model() -> ModelRef {
    ModelRef::new("openai", "gpt-4o")
}

/// The unit prices of the model that answered.
pub(crate) fn sheet() -> anyhow::Result<std::sync::Arc<PriceSheet>> {
    let event = event()?;
    Catalog::builtin()?.find(event.model(), event.start_time).context("the catalog does not know the model")
}

/// What it was charged.
pub(crate) fn charge(event: &UsageEvent) -> anyhow::Result<Charge> {
    Ok(Charge::of(event, event.used().bill(Some(&*sheet()?))?))
}
