//! What one subscriber has not seen yet.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use super::reading::LiveError;

/// Most scopes of one subscriber: the bits of its mailbox.
pub(super) const POSITIONS_LIMIT: usize = 64;

/// The data behind a lock. A panic elsewhere leaves it readable: every change to it is complete at every step.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// One bit for each scope of a subscriber: set = its entry holds a reading that the subscriber has not taken.
#[derive(Debug, Default)]
pub(super) struct Mailbox {
    unseen: AtomicU64,
    failure: Mutex<Option<LiveError>>,
    wake: Notify,
}

impl Mailbox {
    /// The scope at `position` has a newer reading.
    pub(super) fn mark(&self, position: u8) {
        self.unseen.fetch_or(1_u64 << position, Ordering::Release);
        self.wake.notify_one();
    }

    /// A scope cannot be read.
    pub(super) fn fail(&self, error: LiveError) {
        lock(&self.failure).get_or_insert(error);
        self.wake.notify_one();
    }

    /// The bits of the unseen scopes, which are seen from now on.
    pub(super) fn take(&self) -> u64 {
        self.unseen.swap(0, Ordering::Acquire)
    }

    /// Waits until a scope is unseen.
    ///
    /// # Errors
    /// Why a scope cannot be read.
    pub(super) async fn filled(&self) -> Result<(), LiveError> {
        loop {
            if let Some(error) = lock(&self.failure).take() {
                return Err(error);
            }
            if self.unseen.load(Ordering::Acquire) != 0 {
                return Ok(());
            }
            self.wake.notified().await;
        }
    }
}
