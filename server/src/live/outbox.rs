//! What this replica touched and has not told the others yet.

use std::collections::{BTreeSet, HashSet};
use std::sync::Mutex;

use tokio::sync::Notify;

use super::mailbox::lock;
use super::notice::Touched;
use super::scope::ScopeHash;
use crate::tenant::TenantId;

/// Most scopes that are told apart; beyond, everything counts as touched.
const SCOPES_LIMIT: usize = 8_192;

/// Touched scopes, each once however often it was touched.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    waiting: Mutex<Option<Touched>>,
    filled: Notify,
}

impl Outbox {
    /// Adds what a commit touched.
    pub(super) fn add(&self, touched: HashSet<(TenantId, ScopeHash)>) {
        let mut waiting = lock(&self.waiting);
        let scopes = match waiting.get_or_insert_with(|| Touched::Scopes(BTreeSet::new())) {
            Touched::Everything => return,
            Touched::Scopes(scopes) => scopes,
        };
        scopes.extend(touched);
        if scopes.len() > SCOPES_LIMIT {
            *waiting = Some(Touched::Everything);
        }
        drop(waiting);
        self.filled.notify_one();
    }

    /// What was taken could not be told: the others must take everything for touched.
    pub(super) fn add_everything(&self) {
        *lock(&self.waiting) = Some(Touched::Everything);
        self.filled.notify_one();
    }

    /// Waits for something to tell, and takes it.
    pub(super) async fn take(&self) -> Touched {
        loop {
            if let Some(touched) = lock(&self.waiting).take() {
                return touched;
            }
            self.filled.notified().await;
        }
    }
}
