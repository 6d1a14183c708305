//! Who may read much at once: summaries take turns, so that the connections for small reads are never all taken by them.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::AppError;
use crate::tenant::TenantId;

/// When to try again where too many wait: a summary takes about so long.
const RETRY_AFTER: Duration = Duration::from_millis(500);

/// Bounds of what reads much.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReaderSettings {
    /// Most at once on this replica.
    pub at_once: usize,
    /// Most at once of one tenant.
    pub per_tenant: usize,
    /// Most of one tenant that wait.
    pub waiting_per_tenant: usize,
}

impl Default for ReaderSettings {
    fn default() -> Self {
        Self { at_once: 12, per_tenant: 4, waiting_per_tenant: 32 }
    }
}

/// The turns of a replica. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Readers {
    settings: ReaderSettings,
    all: Arc<Semaphore>,
    tenants: Arc<Mutex<HashMap<TenantId, OfTenant>>>,
}

#[derive(Debug)]
struct OfTenant {
    turns: Arc<Semaphore>,
    /// Those that read and those that wait.
    inside: usize,
}

/// A turn, until it is dropped.
#[derive(Debug)]
pub(super) struct Reading {
    _of_all: OwnedSemaphorePermit,
    _of_tenant: OwnedSemaphorePermit,
    _place: Place,
}

/// A place among those of a tenant.
#[derive(Debug)]
struct Place {
    tenant: TenantId,
    readers: Readers,
}

impl Readers {
    pub(super) fn new(settings: ReaderSettings) -> Self {
        let all = Arc::new(Semaphore::new(settings.at_once.max(1)));
        Self { settings, all, tenants: Arc::default() }
    }

    /// Waits for a turn, unless as many wait as may.
    pub(super) async fn enter(&self, tenant: TenantId) -> Result<Reading, AppError> {
        let (turns, place) = self.take_place(tenant)?;
        // The tenant's turn first: who waits for it keeps no other tenant waiting.
        let of_tenant = turns.acquire_owned().await.map_err(|_| AppError::ShuttingDown)?;
        let of_all = self.all.clone().acquire_owned().await.map_err(|_| AppError::ShuttingDown)?;
        Ok(Reading { _of_all: of_all, _of_tenant: of_tenant, _place: place })
    }

    fn take_place(&self, tenant: TenantId) -> Result<(Arc<Semaphore>, Place), AppError> {
        let ReaderSettings { per_tenant, waiting_per_tenant, .. } = self.settings;
        let mut tenants = self.tenants();
        let of_tenant = tenants
            .entry(tenant)
            .or_insert_with(|| OfTenant { turns: Arc::new(Semaphore::new(per_tenant.max(1))), inside: 0 });
        if of_tenant.inside >= per_tenant.max(1).saturating_add(waiting_per_tenant) {
            return Err(AppError::Full { what: "the queue of summaries", retry_after: RETRY_AFTER });
        }
        of_tenant.inside += 1;
        Ok((of_tenant.turns.clone(), Place { tenant, readers: self.clone() }))
    }

    fn tenants(&self) -> MutexGuard<'_, HashMap<TenantId, OfTenant>> {
        self.tenants.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut tenants = self.readers.tenants();
        let Some(of_tenant) = tenants.get_mut(&self.tenant) else { return };
        of_tenant.inside -= 1;
        if of_tenant.inside == 0 {
            tenants.remove(&self.tenant);
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;

    use super::*;

    #[tokio::test]
    async fn a_tenant_takes_its_turns_and_leaves_the_others() {
        let readers = Readers::new(ReaderSettings { at_once: 3, per_tenant: 2, waiting_per_tenant: 1 });
        let (one, other) = (TenantId(1), TenantId(2));
        let first = readers.enter(one).await.unwrap();
        let _second = readers.enter(one).await.unwrap();
        let mut third = Box::pin(readers.enter(one));
        assert!(third.as_mut().now_or_never().is_none(), "it waits");
        assert!(matches!(readers.enter(one).await, Err(AppError::Full { .. })));
        let others = readers.enter(other).await.unwrap();
        drop(first);
        let third = third.await.unwrap();
        drop((others, third));
        assert_eq!(readers.tenants().len(), 1, "who is gone leaves nothing behind");
    }

    #[tokio::test]
    async fn who_gives_up_while_it_waits_leaves_its_place() {
        let readers = Readers::new(ReaderSettings { at_once: 1, per_tenant: 1, waiting_per_tenant: 1 });
        let reading = readers.enter(TenantId(1)).await.unwrap();
        let mut waiting = Box::pin(readers.enter(TenantId(1)));
        assert!(waiting.as_mut().now_or_never().is_none());
        drop(waiting);
        let mut next = Box::pin(readers.enter(TenantId(1)));
        assert!(next.as_mut().now_or_never().is_none(), "it found the place");
        drop(reading);
        next.await.unwrap();
    }
}
