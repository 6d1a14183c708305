//! Events that Tollgate refused for good.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use tollgate_proto::v1;

use crate::refusal::Refusal;

/// An event that Tollgate refused for good, so that it is not recorded.
#[derive(Debug, Clone, PartialEq)]
pub struct Rejection {
    /// The event.
    pub event: v1::UsageEvent,
    /// Why it was refused.
    pub refusal: Refusal,
}

/// What a recorder calls with every rejection.
pub(super) type OnRejected = Arc<dyn Fn(&Rejection) + Send + Sync>;

/// Hands a rejection to the callback.
pub(super) fn report(rejection: &Rejection, on_rejected: Option<&OnRejected>) {
    if let Some(callback) = on_rejected {
        // The recorder outlives a fault of its caller's code: the events behind this one must still be sent.
        if catch_unwind(AssertUnwindSafe(|| callback(rejection))).is_err() {
            tracing::error!("the callback for rejected events panicked");
        }
    }
}
