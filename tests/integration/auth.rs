//! Who may call, and what: keys, permissions, pins, gateways and view tokens.

mod away;
mod commands;
mod gateways;
mod keys;
mod look_ups;
mod others;
mod permissions;
mod pins;
mod view_tokens;

use tollgate_proto::v1;
use tonic::{Code, Status};

use crate::harness::build::{event, record, session};
use crate::harness::keys::Clients;
use crate::harness::refusal::{metadata, reason};

/// One call that needs RECORD.
async fn record_once(clients: &Clients) -> Result<v1::RecordUsageResponse, Status> {
    clients.usage.clone().record_usage(record(event(session("s"), 10, 10))).await.map(tonic::Response::into_inner)
}

/// The credential does not work, for this reason.
fn assert_unauthenticated(refused: &Status, fault: &str) {
    assert_eq!((refused.code(), reason(refused).as_str()), (Code::Unauthenticated, "UNAUTHENTICATED"), "{refused:?}");
    assert_eq!(metadata(refused, "fault").as_deref(), Some(fault), "{refused:?}");
}

/// The caller may not do this.
fn assert_denied(refused: &Status) {
    assert_eq!(
        (refused.code(), reason(refused).as_str()),
        (Code::PermissionDenied, "PERMISSION_DENIED"),
        "{refused:?}"
    );
}
