//! Until when the caller of the call at hand waits.
//!
//! It belongs to a call as its trace does: every command that the call leads to has it, so it travels with the task
//! instead of through each signature.

use std::future::Future;

use tokio::time::Instant;

tokio::task_local! {
    static DEADLINE: Instant;
}

/// Runs a call whose caller waits until `deadline`; `None` = it does not say.
pub async fn within<T>(deadline: Option<Instant>, call: impl Future<Output = T>) -> T {
    match deadline {
        Some(deadline) => DEADLINE.scope(deadline, call).await,
        None => call.await,
    }
}

/// Until when the caller of this task's call waits; `None` = it did not say, or there is none.
pub(crate) fn current() -> Option<Instant> {
    DEADLINE.try_with(|deadline| *deadline).ok()
}
