//! Room for requests that are being received: of all together, and of one tenant, so that none has all of it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use crate::tenant::TenantId;

/// Whose request is received. It is known before the first byte of its message is read.
#[derive(Debug, Clone, Default)]
pub struct Sender(Arc<OnceLock<TenantId>>);

impl Sender {
    /// Whoever sends has been found out.
    pub fn is(&self, tenant: TenantId) {
        // The first one counts: a request has one sender.
        let _ = self.0.set(tenant);
    }

    pub(super) fn tenant(&self) -> TenantId {
        self.0.get().copied().unwrap_or(TenantId::NOBODY)
    }
}

/// The room. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Room {
    limit: usize,
    held: Arc<Mutex<Held>>,
}

#[derive(Debug, Default)]
struct Held {
    all: usize,
    tenants: HashMap<TenantId, usize>,
}

impl Room {
    /// For so many bytes.
    pub(super) fn new(limit: usize) -> Self {
        Self { limit, held: Arc::default() }
    }

    /// Takes room for bytes that have come, unless there is none.
    pub(super) fn take(&self, tenant: TenantId, bytes: usize) -> bool {
        let mut held = self.held();
        let of_tenant = held.tenants.get(&tenant).copied().unwrap_or(0);
        let fits =
            held.all.saturating_add(bytes) <= self.limit && of_tenant.saturating_add(bytes) <= self.share(tenant);
        if fits {
            held.all += bytes;
            held.tenants.insert(tenant, of_tenant + bytes);
        }
        fits
    }

    /// Most of what one tenant holds. Who is nobody asks for the server's health, in a few bytes.
    fn share(&self, tenant: TenantId) -> usize {
        if tenant == TenantId::NOBODY { self.limit / 16 } else { self.limit - self.limit / 4 }
    }

    /// Gives back what was taken.
    pub(super) fn give_back(&self, tenant: TenantId, bytes: usize) {
        let mut held = self.held();
        held.all = held.all.saturating_sub(bytes);
        let Some(of_tenant) = held.tenants.get_mut(&tenant) else { return };
        *of_tenant = of_tenant.saturating_sub(bytes);
        if *of_tenant == 0 {
            held.tenants.remove(&tenant);
        }
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_has_little() {
        let room = Room::new(1_600);
        assert!(room.take(TenantId::NOBODY, 100));
        assert!(!room.take(TenantId::NOBODY, 1));
        assert!(room.take(TenantId(1), 1_200));
    }

    #[test]
    fn a_tenant_has_three_quarters_and_all_have_the_whole() {
        let room = Room::new(1_000);
        let (one, other, third) = (TenantId(1), TenantId(2), TenantId(3));
        assert!(room.take(one, 700) && room.take(one, 50));
        assert!(!room.take(one, 1), "the rest is for others");
        assert!(room.take(other, 250));
        assert!(!room.take(third, 1), "there is no more");
        room.give_back(one, 700);
        assert!(room.take(third, 700));
        for (tenant, bytes) in [(one, 50), (other, 250), (third, 700)] {
            room.give_back(tenant, bytes);
        }
        assert!(room.held().tenants.is_empty() && room.held().all == 0, "who is gone leaves nothing behind");
    }
}
