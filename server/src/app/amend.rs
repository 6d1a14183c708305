//! AmendUsage: cancel an event, replace it, or charge it to somebody else.

use tollgate_domain::digest::Digester;
use tollgate_domain::dimensions::Dimensions;
use tollgate_domain::event::UsageEvent;
use tollgate_domain::tokens::UsageQuality;
use uuid::Uuid;

use super::record::priced;
use super::{App, AppError};
use crate::ledger::{Adjust, AdjustAnswer, Change, Correction, Pins};
use crate::store::adjustments::RequestKey;
use crate::tenant::TenantId;

/// What an amendment changes.
#[derive(Debug, Clone)]
pub enum Amendment {
    /// The event never happened.
    Cancel,
    /// What the event should have said.
    Replace(Box<UsageEvent>),
    /// To whom the event should have been charged.
    Reattribute(Box<Dimensions>),
}

/// A validated amendment.
#[derive(Debug, Clone)]
pub struct AmendRequest {
    /// The caller's id for it: the same one again gets the first answer.
    pub request_id: Uuid,
    /// Which event.
    pub event_id: Uuid,
    /// The revision that the caller saw.
    pub expected_revision: i64,
    /// What is changed.
    pub amendment: Amendment,
    /// Why.
    pub reason: String,
    /// Whether nothing is to be changed.
    pub validate_only: bool,
}

impl App {
    /// Amends one event, as far as the pins of the caller's key let it: answered only after its transaction committed.
    ///
    /// # Errors
    /// [`AppError::NotFound`], [`AppError::RevisionMismatch`], [`AppError::EventCancelled`],
    /// [`AppError::RequestIdReused`] and others.
    pub async fn amend(&self, tenant: TenantId, pins: Pins, request: AmendRequest) -> Result<AdjustAnswer, AppError> {
        let digest = digest(&request);
        let AmendRequest { request_id, event_id, expected_revision, amendment, reason, validate_only } = request;
        let change = match amendment {
            Amendment::Cancel => Change::Cancel,
            Amendment::Replace(event) => {
                let unknown = event.usage.as_ref().is_some_and(|usage| usage.quality == UsageQuality::Unknown);
                if unknown {
                    let rule = "must not be UNKNOWN: a replacement says what was used";
                    return Err(AppError::invalid("replacement.tokens.quality", rule));
                }
                let book = self.prices.book(tenant).await?;
                Change::Replace(Box::new(priced(*event, &book)?))
            }
            Amendment::Reattribute(dimensions) => Change::Reattribute(dimensions),
        };
        let corrections = vec![Correction { event_id, expected_revision, change }];
        let key = RequestKey { request_id, step: String::new() };
        let adjust = Adjust { key, digest, reason, corrections, validate_only, pins, told: None };
        self.ledger.adjust(tenant, adjust).await
    }
}

/// Tells amendments apart, so that a request id serves only the one that it was first used for. Trying one out is no part
/// of what it says.
fn digest(request: &AmendRequest) -> Uuid {
    let AmendRequest { request_id: _, event_id, expected_revision, amendment, reason, validate_only: _ } = request;
    let mut digester = Digester::new();
    digester.field("amend").field(event_id.as_bytes()).field(expected_revision.to_be_bytes()).field(reason);
    match amendment {
        Amendment::Cancel => digester.field("cancel"),
        Amendment::Replace(event) => digester.field("replace").field(format!("{event:?}")),
        Amendment::Reattribute(dimensions) => digester.field("reattribute").field(format!("{dimensions:?}")),
    };
    digester.finish()
}
