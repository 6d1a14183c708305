//! One correction of one event: what is asked, and the facts that it makes of the facts as they stand.

use std::sync::Arc;

use jiff::Timestamp;
use tollgate_domain::budget::OverrunCause;
use tollgate_domain::dimensions::{Dimension, Dimensions};
use tollgate_domain::event::{EventKey, UsageEvent};
use tollgate_domain::measures::Charge;
use tollgate_domain::price::PriceSheet;
use uuid::Uuid;

use super::command::Record;
use crate::app::AppError;
use crate::app::error::Named;
use crate::store::adjustments::{AdjustmentKind, Standing};

/// Most events that one command corrects.
pub const CORRECTIONS_LIMIT: usize = 200;

/// What an event should become.
#[derive(Debug, Clone)]
pub enum Change {
    /// Nothing: it never happened.
    Cancel,
    /// What it should have said, validated and priced.
    Replace(Box<Record>),
    /// To whom it should have been charged. Models and usage stay.
    Reattribute(Box<Dimensions>),
    /// The same at another price.
    Reprice {
        /// The prices in force; `None` = unpriced.
        sheet: Option<Arc<PriceSheet>>,
        /// What it is charged by them.
        charge: Charge,
    },
}

impl Change {
    pub(super) fn kind(&self) -> AdjustmentKind {
        match self {
            Self::Cancel => AdjustmentKind::Cancelled,
            Self::Replace(_) => AdjustmentKind::Replaced,
            Self::Reattribute(_) => AdjustmentKind::Reattributed,
            Self::Reprice { .. } => AdjustmentKind::Repriced,
        }
    }

    /// The cause of what it lifts above a limit.
    pub(super) fn cause(&self) -> OverrunCause {
        match self {
            Self::Cancel | Self::Replace(_) => OverrunCause::Amended,
            Self::Reattribute(_) => OverrunCause::Reattributed,
            Self::Reprice { .. } => OverrunCause::Repriced,
        }
    }
}

/// A change of one event, asked for on what its caller saw.
#[derive(Debug, Clone)]
pub struct Correction {
    /// Which event.
    pub event_id: Uuid,
    /// The revision that the caller saw: another one refuses the change.
    pub expected_revision: i64,
    /// The change.
    pub change: Change,
}

/// What an event should be.
#[derive(Debug, Clone)]
pub(super) struct NewFacts {
    pub(super) event: UsageEvent,
    pub(super) charge: Charge,
    pub(super) charge_time: Timestamp,
    pub(super) fingerprint: Uuid,
    pub(super) priced: Priced,
}

/// Which price sheet the new facts refer to.
#[derive(Debug, Clone)]
pub(super) enum Priced {
    /// That of the facts before.
    AsBefore,
    /// This one; `None` = unpriced.
    By(Option<Arc<PriceSheet>>),
}

impl Priced {
    /// The sheet as it applies to the event.
    fn by(sheet: Option<&Arc<PriceSheet>>, event: &UsageEvent) -> Self {
        Self::By(sheet.map(|sheet| sheet.applied_to(event.used().own().as_ref())))
    }
}

/// The facts that the change makes of an event as it stands; `None` where it cancels it.
///
/// # Errors
/// What refuses the change: [`AppError::RevisionMismatch`], [`AppError::EventCancelled`], [`AppError::Invalid`].
pub(super) fn facts(correction: &Correction, standing: &Standing) -> Result<Option<NewFacts>, AppError> {
    let event_id = correction.event_id;
    if standing.revision != correction.expected_revision {
        return Err(AppError::RevisionMismatch { event_id: event_id.to_string(), revision: standing.revision });
    }
    if standing.cancelled && !matches!(correction.change, Change::Replace(_)) {
        return Err(AppError::EventCancelled(event_id.to_string()));
    }
    let current = standing.current();
    let as_before = || NewFacts {
        event: current.event.clone(),
        charge: current.charge.clone(),
        charge_time: current.charge_time,
        fingerprint: current.fingerprint,
        priced: Priced::AsBefore,
    };
    Ok(match &correction.change {
        Change::Cancel => None,
        Change::Replace(record) => Some(replacement(record, standing, event_id)?),
        Change::Reattribute(dimensions) => {
            let mut facts = as_before();
            facts.event.dimensions = reattributed(&current.event.dimensions, dimensions);
            Some(facts)
        }
        Change::Reprice { sheet, charge } => {
            let priced = Priced::by(sheet.as_ref(), &current.event);
            Some(NewFacts { charge: charge.clone(), priced, ..as_before() })
        }
    })
}

/// The answer where there is no event to correct.
pub(super) fn unknown(event_id: Uuid) -> AppError {
    AppError::NotFound { what: Named::Event, id: event_id.to_string() }
}

/// Dimensions replace all that the caller may say; the key that made the call stays.
fn reattributed(before: &Dimensions, wanted: &Dimensions) -> Dimensions {
    let mut dimensions = wanted.without_api_key().into_owned();
    dimensions.set(Dimension::ApiKeyId, before.get(Dimension::ApiKeyId).unwrap_or_default());
    dimensions
}

/// The facts of a replacement. Identity and reservation stay, and, where a reservation paid, what came from it: the
/// dimensions and the time that places it in budget windows (contract, decisions 1 and 2).
fn replacement(record: &Record, standing: &Standing, event_id: Uuid) -> Result<NewFacts, AppError> {
    let (first, current) = (&standing.first, standing.current());
    let mut event = record.event.clone();
    if event.key != EventKey::Id(event_id) && event.key != first.event.key {
        return Err(AppError::invalid("replacement.event_id", "must be that of the event, or unset"));
    }
    event.key = first.event.key.clone();
    if event
        .reservation
        .is_some_and(|used| first.event.reservation.is_none_or(|paying| paying.reservation_id != used.reservation_id))
    {
        return Err(AppError::invalid("replacement.reservation", "must be that of the event, or unset"));
    }
    if !current.event.additional.is_empty() && event.usage_api.is_none() {
        let rule = "cannot say which tokens were billed as other models: send the provider_usage of the answer";
        return Err(AppError::invalid("replacement.tokens", rule));
    }
    event.reservation = first.event.reservation;
    let charge_time = match event.reservation {
        Some(_) => {
            event.dimensions = current.event.dimensions.clone();
            first.charge_time
        }
        None => {
            event.dimensions = reattributed(&first.event.dimensions, &event.dimensions);
            match event.start_time == first.event.start_time {
                true => first.charge_time,
                false => event.start_time.min(first.record_time),
            }
        }
    };
    Ok(NewFacts {
        charge: record.charge.clone(),
        charge_time,
        fingerprint: event.fingerprint(),
        priced: Priced::by(record.sheet.as_ref(), &event),
        event,
    })
}
