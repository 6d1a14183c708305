//! The prices of one tenant, as this replica knows them.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use arc_swap::ArcSwapOption;
use sqlx::PgConnection;
use tokio::sync::Mutex;
use tollgate_domain::price::{PriceBook, TenantPrice};

use super::Shared;
use crate::store::{StoreError, prices};
use crate::tenant::TenantId;

/// A tenant's prices at one version.
#[derive(Debug)]
pub struct PricesInForce {
    /// Rises with every change.
    pub version: i64,
    /// Every price that the tenant has set, ended ones included, in the order in which they were set.
    pub prices: Vec<Arc<TenantPrice>>,
    /// What calls are priced by.
    pub book: Arc<PriceBook>,
}

/// What was read, and how often everything had been forgotten when the reading began.
#[derive(Debug)]
struct Read {
    forgotten: u64,
    prices: Arc<PricesInForce>,
}

#[derive(Debug)]
pub(super) struct Shelf {
    tenant: TenantId,
    /// The newest version that was heard of.
    newest: AtomicI64,
    current: ArcSwapOption<Read>,
    /// How often what was read was forgotten: since then the same version may mean other prices.
    forgotten: AtomicU64,
    /// Held by who reads or compiles: it is done once, and the last one saw the newest prices and catalog.
    changing: Mutex<()>,
}

impl Shelf {
    pub(super) fn new(tenant: TenantId) -> Self {
        Self {
            tenant,
            newest: AtomicI64::new(0),
            current: ArcSwapOption::empty(),
            forgotten: AtomicU64::new(0),
            changing: Mutex::new(()),
        }
    }

    /// What is in force, unless a newer version was heard of.
    pub(super) fn current(&self) -> Option<Arc<PricesInForce>> {
        let current = self.current.load_full()?;
        let newest = current.prices.version >= self.newest.load(Ordering::Acquire);
        (newest && current.forgotten == self.forgotten.load(Ordering::Acquire)).then(|| current.prices.clone())
    }

    /// What was in force last.
    pub(super) fn remembered(&self) -> Option<Arc<PricesInForce>> {
        Some(self.current.load_full()?.prices.clone())
    }

    pub(super) fn noticed(&self, version: i64) {
        self.newest.fetch_max(version, Ordering::AcqRel);
    }

    /// Reads the prices, unless somebody else just did.
    pub(super) async fn refresh(&self, shared: &Shared) -> Result<Arc<PricesInForce>, StoreError> {
        let _turn = self.changing.lock().await;
        if let Some(current) = self.current() {
            return Ok(current);
        }
        let mut connection = shared.tenants.snapshot(self.tenant).await?;
        // Before reading: if the database goes away meanwhile, what is read is forgotten with the rest.
        let forgotten = self.forgotten.load(Ordering::Acquire);
        self.read(&mut connection, shared, forgotten).await
    }

    async fn read(
        &self,
        connection: &mut PgConnection,
        shared: &Shared,
        forgotten: u64,
    ) -> Result<Arc<PricesInForce>, StoreError> {
        // The version first: prices that a change adds in between are read again when its version is heard of.
        let version = prices::version(connection, self.tenant).await?.unwrap_or_default();
        let read = prices::all(connection, self.tenant).await?.into_iter().map(Arc::new).collect();
        // Also where it is lower than what was heard of: after a failover the database may have lost the last changes.
        self.newest.store(version, Ordering::Release);
        let read = Arc::new(shared.compiled(version, read));
        tracing::debug!(tenant = self.tenant.0, version, prices = read.prices.len(), "prices were read");
        self.put(forgotten, read.clone());
        Ok(read)
    }

    /// Reads the prices anew for the next call; until then they are what is known.
    pub(super) fn forget(&self) {
        self.forgotten.fetch_add(1, Ordering::AcqRel);
        self.newest.store(0, Ordering::Release);
    }

    /// Lays the same prices over another catalog.
    pub(super) async fn recompile(&self, shared: &Shared) {
        let _turn = self.changing.lock().await;
        if let Some(current) = self.current.load_full() {
            let Read { forgotten, prices } = &*current;
            self.put(*forgotten, Arc::new(shared.compiled(prices.version, prices.prices.clone())));
        }
    }

    /// Takes prices that were just committed, unless newer ones are known.
    pub(super) async fn take(&self, shared: &Shared, version: i64, prices: Vec<Arc<TenantPrice>>) {
        self.noticed(version);
        let _turn = self.changing.lock().await;
        let forgotten = self.forgotten.load(Ordering::Acquire);
        let older = |known: &Arc<Read>| known.forgotten != forgotten || known.prices.version < version;
        if self.current.load().as_ref().is_none_or(older) {
            self.put(forgotten, Arc::new(shared.compiled(version, prices)));
        }
    }

    /// Only in turn, so that nothing older comes last.
    fn put(&self, forgotten: u64, prices: Arc<PricesInForce>) {
        self.current.store(Some(Arc::new(Read { forgotten, prices })));
    }
}
