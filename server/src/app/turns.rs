//! Whose turn it is: what reads much, and what changes budgets, take turns, so that the connections for small reads are never all
//! taken by them.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::AppError;
use crate::tenant::TenantId;

/// When to try again where too many wait: a summary takes about so long, and so does a change that waits for a batch.
const RETRY_AFTER: Duration = Duration::from_millis(500);

/// Most changes of one tenant's budgets that wait. They wait for each other in any case.
const CHANGES_WAITING: usize = 64;

/// Bounds of what takes turns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TurnBounds {
    /// Most at once on this replica.
    pub at_once: usize,
    /// Most at once of one tenant.
    pub per_tenant: usize,
    /// Most of one tenant that wait.
    pub waiting_per_tenant: usize,
}

/// Bounds of everything that takes turns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TurnSettings {
    /// Of what reads much.
    pub reads: TurnBounds,
    /// Of what changes budgets.
    pub changes: TurnBounds,
}

impl TurnSettings {
    /// Shares `connections` among what reads much, with three quarters at most, what changes budgets, and small reads, for which at
    /// least one is left where there are three.
    pub fn of(connections: usize, reads_per_tenant: usize, reads_waiting_per_tenant: usize) -> Self {
        let kept = connections.div_ceil(4);
        let changes = (kept / 2).max(1);
        let reads = connections.saturating_sub(kept.max(changes + 1)).max(1);
        Self {
            reads: TurnBounds {
                at_once: reads,
                per_tenant: reads_per_tenant,
                waiting_per_tenant: reads_waiting_per_tenant,
            },
            // The second of a tenant would hold a connection to wait for the first.
            changes: TurnBounds { at_once: changes, per_tenant: 1, waiting_per_tenant: CHANGES_WAITING },
        }
    }
}

impl Default for TurnSettings {
    fn default() -> Self {
        Self::of(16, 4, 32)
    }
}

/// The turns of a replica, of one kind. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Turns {
    /// Where others wait, as they are told.
    queue: &'static str,
    bounds: TurnBounds,
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
pub(super) struct Turn {
    _of_all: OwnedSemaphorePermit,
    _of_tenant: OwnedSemaphorePermit,
    _place: Place,
}

/// A place among those of a tenant.
#[derive(Debug)]
struct Place {
    tenant: TenantId,
    all_turns: Turns,
}

impl Turns {
    pub(super) fn new(queue: &'static str, bounds: TurnBounds) -> Self {
        let all = Arc::new(Semaphore::new(bounds.at_once.max(1)));
        Self { queue, bounds, all, tenants: Arc::default() }
    }

    /// Waits for a turn, unless as many wait as may.
    pub(super) async fn enter(&self, tenant: TenantId) -> Result<Turn, AppError> {
        let (turns, place) = self.take_place(tenant)?;
        // The tenant's turn first: who waits for it keeps no other tenant waiting.
        let of_tenant = turns.acquire_owned().await.map_err(|_| AppError::ShuttingDown)?;
        let of_all = self.all.clone().acquire_owned().await.map_err(|_| AppError::ShuttingDown)?;
        Ok(Turn { _of_all: of_all, _of_tenant: of_tenant, _place: place })
    }

    fn take_place(&self, tenant: TenantId) -> Result<(Arc<Semaphore>, Place), AppError> {
        let TurnBounds { per_tenant, waiting_per_tenant, .. } = self.bounds;
        let mut tenants = self.tenants();
        let of_tenant = tenants
            .entry(tenant)
            .or_insert_with(|| OfTenant { turns: Arc::new(Semaphore::new(per_tenant.max(1))), inside: 0 });
        if of_tenant.inside >= per_tenant.max(1).saturating_add(waiting_per_tenant) {
            return Err(AppError::Full { what: self.queue, retry_after: RETRY_AFTER });
        }
        of_tenant.inside += 1;
        Ok((of_tenant.turns.clone(), Place { tenant, all_turns: self.clone() }))
    }

    fn tenants(&self) -> MutexGuard<'_, HashMap<TenantId, OfTenant>> {
        self.tenants.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut tenants = self.all_turns.tenants();
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

    #[test]
    fn small_reads_always_have_a_connection_left() {
        for connections in 3..200 {
            let TurnSettings { reads, changes } = TurnSettings::of(connections, 4, 32);
            assert!(reads.at_once + changes.at_once < connections, "{connections}: {reads:?} {changes:?}");
            assert!(4 * reads.at_once <= 3 * connections, "{connections}: {reads:?}");
        }
        for connections in 0..3 {
            let TurnSettings { reads, changes } = TurnSettings::of(connections, 4, 32);
            assert_eq!((reads.at_once, changes.at_once), (1, 1), "each has its turn in the end");
        }
    }

    #[tokio::test]
    async fn a_tenant_takes_its_turns_and_leaves_the_others() {
        let turns = Turns::new("the queue", TurnBounds { at_once: 3, per_tenant: 2, waiting_per_tenant: 1 });
        let (one, other) = (TenantId(1), TenantId(2));
        let first = turns.enter(one).await.unwrap();
        let _second = turns.enter(one).await.unwrap();
        let mut third = Box::pin(turns.enter(one));
        assert!(third.as_mut().now_or_never().is_none(), "it waits");
        assert!(matches!(turns.enter(one).await, Err(AppError::Full { .. })));
        let others = turns.enter(other).await.unwrap();
        drop(first);
        let third = third.await.unwrap();
        drop((others, third));
        assert_eq!(turns.tenants().len(), 1, "who is gone leaves nothing behind");
    }

    #[tokio::test]
    async fn who_gives_up_while_it_waits_leaves_its_place() {
        let turns = Turns::new("the queue", TurnBounds { at_once: 1, per_tenant: 1, waiting_per_tenant: 1 });
        let reading = turns.enter(TenantId(1)).await.unwrap();
        let mut waiting = Box::pin(turns.enter(TenantId(1)));
        assert!(waiting.as_mut().now_or_never().is_none());
        drop(waiting);
        let mut next = Box::pin(turns.enter(TenantId(1)));
        assert!(next.as_mut().now_or_never().is_none(), "it found the place");
        drop(reading);
        next.await.unwrap();
    }
}
