//! The budgets and counters as this replica saw them last: what answers are made of while the database is away.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use moka::sync::Cache;

use crate::store::budgets::BudgetSet;
use crate::store::windows::{StoredWindow, WindowKey};
use crate::tenant::TenantId;

/// Most counters whose figures are remembered; of more, those not used for longest are forgotten.
const COUNTERS: u64 = 50_000;

#[derive(Debug)]
struct Known {
    set: Arc<BudgetSet>,
    /// Whether the same version still means the same budgets.
    trusted: bool,
}

/// What is known of the budgets of each tenant.
#[derive(Debug, Default)]
pub(super) struct KnownBudgets {
    tenants: RwLock<HashMap<TenantId, Known>>,
}

impl KnownBudgets {
    /// The budgets at this version, where they are known.
    pub(super) fn at(&self, tenant: TenantId, version: i64) -> Option<Arc<BudgetSet>> {
        let tenants = self.tenants.read().unwrap_or_else(PoisonError::into_inner);
        let known = tenants.get(&tenant).filter(|known| known.trusted && known.set.version == version);
        known.map(|known| known.set.clone())
    }

    /// The budgets as they were seen last.
    pub(super) fn last(&self, tenant: TenantId) -> Option<Arc<BudgetSet>> {
        let tenants = self.tenants.read().unwrap_or_else(PoisonError::into_inner);
        tenants.get(&tenant).map(|known| known.set.clone())
    }

    /// Takes what was just read. Who began earlier may finish reading later: the newest version stays.
    pub(super) fn remember(&self, tenant: TenantId, set: Arc<BudgetSet>) {
        let mut tenants = self.tenants.write().unwrap_or_else(PoisonError::into_inner);
        let newer = tenants.get(&tenant).is_none_or(|known| !known.trusted || known.set.version < set.version);
        if newer {
            tenants.insert(tenant, Known { set, trusted: true });
        }
    }

    /// The database may come back with less than it had: what is known still answers while it is away, and is read again after.
    pub(super) fn distrust(&self) {
        let mut tenants = self.tenants.write().unwrap_or_else(PoisonError::into_inner);
        tenants.values_mut().for_each(|known| known.trusted = false);
    }
}

/// What counters stood at when this replica saw them last.
#[derive(Debug, Clone)]
pub(super) struct KnownFigures {
    counters: Cache<(TenantId, WindowKey), Arc<StoredWindow>>,
}

impl KnownFigures {
    pub(super) fn new() -> Self {
        Self { counters: Cache::new(COUNTERS) }
    }

    pub(super) fn get(&self, tenant: TenantId, key: WindowKey) -> Option<Arc<StoredWindow>> {
        self.counters.get(&(tenant, key))
    }

    /// All of them.
    pub(super) fn all(&self) -> impl Iterator<Item = (TenantId, Arc<StoredWindow>)> + '_ {
        self.counters.iter().map(|(key, stored)| (key.0, stored))
    }

    /// Takes a counter as it was committed or read.
    pub(super) fn remember(&self, tenant: TenantId, stored: &StoredWindow) {
        self.counters.insert((tenant, stored.key), Arc::new(stored.clone()));
    }
}
