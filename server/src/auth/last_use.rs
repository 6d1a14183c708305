//! Which keys were used since this was asked last.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use moka::sync::Cache;
use uuid::Uuid;

use crate::tenant::TenantId;

/// A key is noted at most once in this time.
const PERIOD: Duration = Duration::from_secs(60);
/// Most keys that are remembered.
const KEYS: usize = 10_000;

/// Keys that were used. Cheap to clone; clones share the notes.
#[derive(Debug, Clone)]
pub struct LastUses {
    recent: Cache<(TenantId, Uuid), ()>,
    pending: Arc<Mutex<HashSet<(TenantId, Uuid)>>>,
}

impl Default for LastUses {
    fn default() -> Self {
        let recent = Cache::builder().max_capacity(KEYS as u64).time_to_live(PERIOD).build();
        Self { recent, pending: Arc::default() }
    }
}

impl LastUses {
    /// The key was used. One note too many is dropped: the time of last use is a hint, and no call waits for it.
    pub(super) fn note(&self, tenant: TenantId, api_key_id: Uuid) {
        let key = (tenant, api_key_id);
        if self.recent.contains_key(&key) {
            return;
        }
        self.recent.insert(key, ());
        let mut pending = self.pending.lock().unwrap_or_else(PoisonError::into_inner);
        if pending.len() < KEYS {
            pending.insert(key);
        }
    }

    /// Takes what was noted.
    pub fn take(&self) -> Vec<(TenantId, Uuid)> {
        let mut pending = self.pending.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut *pending).into_iter().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_noted_once_in_a_while() {
        let uses = LastUses::default();
        let (one, two) = (Uuid::from_u128(1), Uuid::from_u128(2));
        for _ in 0..3 {
            uses.note(TenantId::LOCAL, one);
        }
        uses.note(TenantId::LOCAL, two);
        assert_eq!(uses.take().len(), 2);
        uses.note(TenantId::LOCAL, one);
        assert_eq!(uses.take(), []);
    }

    #[test]
    fn notes_are_bounded() {
        let uses = LastUses::default();
        for number in 0..KEYS as u128 + 10 {
            uses.note(TenantId::LOCAL, Uuid::from_u128(number));
        }
        assert_eq!(uses.take().len(), KEYS);
    }
}
