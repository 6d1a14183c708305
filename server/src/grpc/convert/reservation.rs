//! Reservations.

use jiff::Timestamp;
use tollgate_domain::dimensions::Dimension;
use tollgate_domain::reservation::{Part, State};
use tollgate_proto::v1;

use super::budget::to_unit;
use super::dimensions::{to_dimensions, to_model};
use super::tokens::to_usage;
use super::values::{remaining, to_timestamp};
use crate::app::budgets::PartBudget;
use crate::store::reservations::{Progress, Reservation};

/// For the wire; `name` says which budget a part's number is.
pub fn to_reservation(
    reservation: &Reservation,
    now: Timestamp,
    name: impl Fn(&Part) -> Option<PartBudget>,
) -> v1::Reservation {
    let Reservation {
        id,
        state,
        create_time,
        expire_time,
        end_time,
        sequence: _,
        fingerprint: _,
        context,
        parts,
        progress,
    } = reservation;
    let Progress {
        running,
        running_quantities: _,
        told_time: _,
        charged_input: _,
        charged_output: _,
        charged_usd: _,
        event_ids,
        end_reason,
    } = progress;
    let worst = context.as_ref().map(|context| &context.worst);
    let pending = *state == State::Pending;
    v1::Reservation {
        reservation_id: id.to_string(),
        state: to_state(*state).into(),
        dimensions: context.as_ref().map(|context| to_dimensions(&context.dimensions)),
        model: context.as_ref().map(|context| to_model(&context.model)),
        api_key_id: context
            .as_ref()
            .and_then(|context| context.dimensions.get(Dimension::ApiKeyId))
            .unwrap_or_default()
            .to_owned(),
        create_time: Some(to_timestamp(*create_time)),
        expire_time: Some(to_timestamp(*expire_time)),
        remaining_ttl: pending.then(|| remaining(now, *expire_time)),
        parts: parts.iter().filter_map(|part| Some(to_part(part, name(part)?))).collect(),
        running: running.as_ref().map(to_usage),
        event_ids: event_ids.iter().map(ToString::to_string).collect(),
        end_reason: end_reason.clone(),
        end_time: end_time.map(to_timestamp),
        worst_input_tokens: worst.map(|worst| i64::try_from(worst.input_tokens).unwrap_or(i64::MAX)),
        worst_output_tokens: worst.map(|worst| i64::try_from(worst.output_tokens).unwrap_or(i64::MAX)),
        worst_usd: worst.filter(|worst| !worst.usd.is_zero()).map(|worst| worst.usd.to_string()).unwrap_or_default(),
    }
}

fn to_part(part: &Part, budget: PartBudget) -> v1::reservation::Part {
    let Part { budget: _, scope: _, window_start, held, charged, presumed } = part;
    let PartBudget { budget_id, unit, per_values } = budget;
    v1::reservation::Part {
        budget_id,
        per_values: per_values.into_iter().collect(),
        window_start: Some(to_timestamp(*window_start)),
        unit: to_unit(unit).into(),
        held: held.to_string(),
        charged: charged.to_string(),
        presumed: presumed.to_string(),
    }
}

fn to_state(state: State) -> v1::reservation::State {
    match state {
        State::Pending => v1::reservation::State::Pending,
        State::Settled => v1::reservation::State::Settled,
        State::Released => v1::reservation::State::Released,
        State::Expired => v1::reservation::State::Expired,
        State::SettledLate => v1::reservation::State::SettledLate,
        State::Void => v1::reservation::State::Void,
    }
}

/// A state that a list is narrowed to.
pub fn state(state: v1::reservation::State) -> Option<State> {
    match state {
        v1::reservation::State::Unspecified => None,
        v1::reservation::State::Pending => Some(State::Pending),
        v1::reservation::State::Settled => Some(State::Settled),
        v1::reservation::State::Released => Some(State::Released),
        v1::reservation::State::Expired => Some(State::Expired),
        v1::reservation::State::SettledLate => Some(State::SettledLate),
        v1::reservation::State::Void => Some(State::Void),
    }
}
