//! The requests of every scenario: budgets count input tokens per user, so that whole numbers are held and charged, and
//! a plain SQL statement can tell what a counter must have spent.

use std::time::Duration;

use tollgate_client::v1::usage_event::Key;
use tollgate_client::{BudgetBuilder, CheckRequest, Event, Window, dimension, is_one_of, v1};
use uuid::Uuid;

const MODEL: (&str, &str) = ("openai", "gpt-4o");

/// A hard budget of input tokens with one counter per user.
pub(crate) fn budget(budget_id: &str, limit: u64, window: Window) -> BudgetBuilder {
    BudgetBuilder::new(budget_id, v1::Unit::InputTokens, limit, window).per(dimension("user_id")).hard()
}

/// The same for one user only.
pub(crate) fn budget_of(user: &str, budget_id: &str, limit: u64, window: Window) -> BudgetBuilder {
    budget(budget_id, limit, window).only(is_one_of(dimension("user_id"), [user]))
}

/// A check that holds so many tokens.
pub(crate) fn check(user: &str, tokens: u64, ttl: Duration) -> v1::CheckBudgetRequest {
    CheckRequest::reserve(MODEL).user(user).input_tokens(tokens).max_output_tokens(1).ttl(ttl).into_proto()
}

/// An event of so many input tokens.
pub(crate) fn event(user: Option<&str>, session: &str, tokens: u64) -> v1::UsageEvent {
    let event = Event::chat(MODEL.0, MODEL.1).session(session).tokens(tokens, 1);
    match user {
        Some(user) => event.user(user).into_proto(),
        None => event.into_proto(),
    }
}

/// The event ends this reservation.
pub(crate) fn settling(mut event: v1::UsageEvent, reservation_id: &str) -> v1::UsageEvent {
    event.reservation = Some(v1::ReservationUse { reservation_id: reservation_id.to_owned(), keep_open: false });
    event
}

/// The event's id.
pub(crate) fn id_of(event: &v1::UsageEvent) -> Option<Uuid> {
    match &event.key {
        Some(Key::EventId(id)) => Uuid::parse_str(id).ok(),
        Some(Key::ExternalKey(_)) | None => None,
    }
}

/// The event's input tokens.
pub(crate) fn tokens_of(event: &v1::UsageEvent) -> i64 {
    match &event.usage {
        Some(v1::usage_event::Usage::Tokens(tokens)) => tokens.total_input_tokens.unwrap_or(0),
        Some(v1::usage_event::Usage::ProviderUsage(_)) | None => 0,
    }
}
