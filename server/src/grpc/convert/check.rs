//! Checks and extensions.

use std::fmt::Display;
use std::time::Duration;

use jiff::Timestamp;
use tollgate_domain::budget::Decision;
use tollgate_domain::dimensions::Dimensions;
use tollgate_domain::price::Estimate;
use tollgate_domain::tokens::{CHARACTERS_LIMIT, tokens_of_characters};
use tollgate_domain::violation::Violations;
use tollgate_proto::v1;

use super::budget::{to_choice, to_state};
use super::cost::to_cost;
use super::dimensions::{model, required_model, stamped, to_model};
use super::tokens::{units, usage};
use super::values::{count, decimal, duration, known, remaining, to_timestamp, uuid_v7};
use crate::app::AppError;
use crate::app::check::{CheckMode, CheckRequest, ExtendRequest};
use crate::ledger::{CheckAnswer, check_budgets_view, explain};

const FALLBACKS_LIMIT: usize = 8;
const SHORTEST_TTL: Duration = Duration::from_secs(1);
const DEFAULT_TTL: Duration = Duration::from_secs(300);
const LONGEST_TTL: Duration = Duration::from_secs(7 * 86_400);
/// How long a caller may go by `when_unreachable` without having heard from Tollgate.
const WHEN_UNREACHABLE_TTL: Duration = Duration::from_secs(600);

/// A validated check, its dimensions stamped by the server.
///
/// # Errors
/// [`AppError::Invalid`] with every violation.
pub fn check(message: v1::CheckBudgetRequest, stamp: &Dimensions) -> Result<CheckRequest, AppError> {
    let v1::CheckBudgetRequest {
        mode,
        reservation_id,
        dimensions: dimensions_message,
        model: model_message,
        fallbacks,
        estimate: estimate_message,
        ttl,
        view: _,
    } = message;
    let mut found = Violations::new();
    let mode = known::<v1::CheckMode>(&mut found, "mode", mode, false);
    let holds = matches!(mode, Some(v1::CheckMode::Reserve | v1::CheckMode::ReserveHeadroom));
    let id = holds.then(|| uuid_v7(&mut found, "reservation_id", &reservation_id)).flatten();
    found.add_if(!holds && !reservation_id.is_empty(), "reservation_id", "may be set only with a mode that reserves");
    let dimensions = stamped(&mut found, "dimensions", dimensions_message, stamp);
    let (estimate, input_estimated) = estimate(&mut found, "estimate", estimate_message);
    let model_message = match (model_message, estimate.amount_usd) {
        (None, Some(_)) => Default::default(),
        (message, _) => required_model(&mut found, "model", message),
    };
    found.add_if(
        fallbacks.len() > FALLBACKS_LIMIT,
        "fallbacks",
        format_args!("must have at most {FALLBACKS_LIMIT} entries"),
    );
    let fallbacks = fallbacks
        .into_iter()
        .enumerate()
        .map(|(position, message)| required_model(&mut found, format_args!("fallbacks[{position}]"), Some(message)))
        .collect();
    let ttl = lead(&mut found, ttl).unwrap_or(DEFAULT_TTL);
    let mode = match (mode, id) {
        (Some(v1::CheckMode::Peek), _) => Some(CheckMode::Peek),
        (Some(v1::CheckMode::Reserve), Some(id)) => Some(CheckMode::Reserve { id, ttl, headroom: false }),
        (Some(v1::CheckMode::ReserveHeadroom), Some(id)) => Some(CheckMode::Reserve { id, ttl, headroom: true }),
        _ => None,
    };
    let Some(mode) = mode else { return Err(found.into_result(()).err().unwrap_or_default().into()) };
    found
        .into_result(CheckRequest { dimensions, model: model_message, fallbacks, estimate, input_estimated, mode })
        .map_err(AppError::from)
}

fn lead(found: &mut Violations, ttl: Option<prost_types::Duration>) -> Option<Duration> {
    let ttl = duration(found, "ttl", ttl, LONGEST_TTL)?;
    found.add_if(ttl < SHORTEST_TTL, "ttl", "must be at least 1 s");
    Some(ttl)
}

/// An estimate, and whether its input was estimated from characters.
pub fn estimate(found: &mut Violations, path: impl Display + Copy, message: Option<v1::Estimate>) -> (Estimate, bool) {
    let Some(message) = message else { return Default::default() };
    let v1::Estimate {
        input_tokens,
        cache_read_tokens,
        max_output_tokens,
        choices,
        calls,
        units: unit_messages,
        amount_usd,
        input_characters,
    } = message;
    let mut tokens =
        |name: &str, value: Option<i64>| value.map(|value| count(found, format_args!("{path}.{name}"), value));
    let counted = tokens("input_tokens", input_tokens);
    let characters = tokens("input_characters", input_characters);
    let cache_read_tokens = tokens("cache_read_tokens", cache_read_tokens);
    let max_output_tokens = tokens("max_output_tokens", max_output_tokens);
    let too_long = characters.is_some_and(|characters| characters > CHARACTERS_LIMIT);
    let rule = format_args!("must be at most {CHARACTERS_LIMIT}");
    found.add_if(too_long, format_args!("{path}.input_characters"), rule);
    let input_estimated = counted.is_none() && characters.is_some();
    let input_tokens = counted.or(characters.map(|length| tokens_of_characters(length.min(CHARACTERS_LIMIT))));
    let mut repeats = |name: &str, value: i32| {
        u32::try_from(value).unwrap_or_else(|_| {
            found.add(format_args!("{path}.{name}"), "must not be negative");
            0
        })
    };
    let choices = repeats("choices", choices);
    let calls = repeats("calls", calls);
    let units = units(found, format_args!("{path}.units"), unit_messages);
    let amount_usd: Option<tollgate_domain::amount::Usd> =
        decimal(found, format_args!("{path}.amount_usd"), &amount_usd);
    found.add_if(
        amount_usd.is_some_and(tollgate_domain::amount::Usd::is_negative),
        format_args!("{path}.amount_usd"),
        "must not be negative",
    );
    let estimate = Estimate { input_tokens, cache_read_tokens, max_output_tokens, choices, calls, units, amount_usd };
    match estimate.validated(path) {
        Ok(estimate) => (estimate, input_estimated),
        Err(violations) => {
            found.extend(violations);
            Default::default()
        }
    }
}

/// A validated extension.
///
/// # Errors
/// [`AppError::Invalid`] with every violation.
pub fn extension(message: v1::ExtendReservationRequest) -> Result<ExtendRequest, AppError> {
    let v1::ExtendReservationRequest { reservation_id, ttl, sequence, running_usage, raise_to, model: model_message } =
        message;
    let mut found = Violations::new();
    let id = uuid_v7(&mut found, "reservation_id", &reservation_id);
    let ttl = lead(&mut found, ttl);
    found.add_if(sequence < 1, "sequence", "must be at least 1 and rise with every extension");
    let running = running_usage.and_then(|message| usage(&mut found, "running_usage", message));
    let model =
        model_message.map(|message| model(&mut found, "model", message)).filter(|model| !model.model.is_empty());
    found.add_if(model.is_some() && raise_to.is_none(), "model", "may be set only with raise_to");
    let raise = raise_to.map(|message| (model, estimate(&mut found, "raise_to", Some(message)).0));
    let Some(id) = id else { return Err(found.into_result(()).err().unwrap_or_default().into()) };
    found.into_result(ExtendRequest { id, ttl, sequence, running, raise }).map_err(AppError::from)
}

/// A decision for the wire.
pub fn to_decision(decision: &Decision) -> v1::Decision {
    match decision {
        Decision::Allowed => v1::Decision::Allowed,
        Decision::Downgraded(_) => v1::Decision::Downgraded,
        Decision::Throttled { .. } => v1::Decision::Throttled,
        Decision::Denied(_) => v1::Decision::Denied,
    }
}

/// An answer for the wire.
pub fn to_answer(
    answer: CheckAnswer,
    all_budgets: bool,
    input_estimated: bool,
    to_reservation: impl Fn(&crate::store::reservations::Reservation, Timestamp) -> v1::Reservation,
) -> v1::CheckBudgetResponse {
    let explanation = explain(&answer);
    let CheckAnswer {
        decision,
        reason,
        reservation,
        affordable_output_tokens,
        never_fits,
        estimate,
        model: _,
        budgets,
        when_unreachable,
        now,
        degraded,
    } = answer;
    v1::CheckBudgetResponse {
        decision: to_decision(&decision).into(),
        reason: reason.to_owned(),
        reservation: reservation.as_ref().map(|reservation| to_reservation(reservation, now)),
        use_model: match &decision {
            Decision::Downgraded(model) => Some(to_model(model)),
            _ => None,
        },
        retry_after: match &decision {
            Decision::Throttled { until } => Some(remaining(now, *until)),
            _ => None,
        },
        affordable_output_tokens: affordable_output_tokens.map(|tokens| i64::try_from(tokens).unwrap_or(i64::MAX)),
        never_fits,
        estimate: Some(to_cost(&estimate)),
        budgets: check_budgets_view(budgets, all_budgets).iter().map(|state| to_state(state, now)).collect(),
        degraded,
        when_unreachable: to_choice(when_unreachable).into(),
        when_unreachable_ttl: Some(prost_types::Duration {
            seconds: i64::try_from(WHEN_UNREACHABLE_TTL.as_secs()).unwrap_or_default(),
            nanos: 0,
        }),
        explanation,
        server_time: Some(to_timestamp(now)),
        input_estimated,
    }
}
