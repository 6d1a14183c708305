//! The price books of all tenants: swapped as a whole when prices or the catalog change, so that every look-up meets one
//! consistent set.

mod catalog_file;
mod shelf;

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use arc_swap::ArcSwap;
use sqlx::PgPool;
use tokio_util::sync::CancellationToken;
use tollgate_domain::price::{Catalog, FreeProviders, PriceBook, TenantPrice};

pub use catalog_file::{CatalogFile, CatalogFileError, catalog_of};
pub use shelf::PricesInForce;

use self::shelf::Shelf;
use crate::store::scoped::TenantPool;
use crate::store::{StoreError, prices};
use crate::tenant::TenantId;

/// How often the versions of the tenants' prices are asked for.
const PERIOD: Duration = Duration::from_secs(1);

/// Where calls find their prices. Cheap to clone; clones share the books.
#[derive(Debug, Clone)]
pub struct Prices {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    tenants: TenantPool,
    all_tenants: PgPool,
    free_providers: FreeProviders,
    catalog: ArcSwap<Catalog>,
    shelves: RwLock<HashMap<TenantId, Arc<Shelf>>>,
}

impl Prices {
    /// The books over this catalog; those of a tenant are read when they are first asked for.
    pub fn new(tenants: TenantPool, all_tenants: PgPool, catalog: Arc<Catalog>, free_providers: FreeProviders) -> Self {
        let catalog = ArcSwap::new(catalog);
        let shared = Shared { tenants, all_tenants, free_providers, catalog, shelves: RwLock::default() };
        Self { shared: Arc::new(shared) }
    }

    /// The catalog in force.
    pub fn catalog(&self) -> Arc<Catalog> {
        self.shared.catalog.load_full()
    }

    /// The prices of the tenant's calls, at most as old as the last version that this replica has heard of.
    ///
    /// # Errors
    /// [`StoreError`] where they have to be read and cannot be.
    pub async fn book(&self, tenant: TenantId) -> Result<Arc<PriceBook>, StoreError> {
        Ok(self.in_force(tenant).await?.book.clone())
    }

    /// The same with the prices that the tenant has set.
    ///
    /// # Errors
    /// [`StoreError`] where they have to be read and cannot be.
    pub async fn in_force(&self, tenant: TenantId) -> Result<Arc<PricesInForce>, StoreError> {
        let shelf = self.shelf(tenant);
        match shelf.current() {
            Some(current) => Ok(current),
            None => shelf.refresh(&self.shared).await,
        }
    }

    /// What this replica knows of the tenant's prices, however old; absent before they are first read.
    pub fn remembered(&self, tenant: TenantId) -> Option<Arc<PricesInForce>> {
        self.shelf(tenant).remembered()
    }

    /// The tenant's prices as the database has them now.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn newest(&self, tenant: TenantId) -> Result<Arc<PricesInForce>, StoreError> {
        let mut connection = self.shared.tenants.snapshot(tenant).await?;
        if let Some(version) = prices::version(&mut connection, tenant).await? {
            self.noticed(tenant, version);
        }
        drop(connection);
        self.in_force(tenant).await
    }

    /// Prices of this version exist: what is older is not used any more.
    pub fn noticed(&self, tenant: TenantId, version: i64) {
        self.shelf(tenant).noticed(version);
    }

    /// Forgets what was read: the database may have come back as another.
    pub fn forget(&self) {
        self.shelves().into_iter().for_each(|(_, shelf)| shelf.forget());
    }

    /// Puts prices on the shelf that were just committed.
    pub async fn changed(&self, tenant: TenantId, version: i64, prices: Vec<Arc<TenantPrice>>) {
        self.shelf(tenant).take(&self.shared, version, prices).await;
    }

    /// Takes another catalog into force.
    pub async fn take_catalog(&self, catalog: Arc<Catalog>) {
        tracing::info!(catalog_version = catalog.version(), "the price catalog is in force");
        self.shared.catalog.store(catalog);
        let shelves: Vec<Arc<Shelf>> = self.shelves().into_iter().map(|(_, shelf)| shelf).collect();
        for shelf in shelves {
            shelf.recompile(&self.shared).await;
        }
    }

    /// Asks for the versions of the prices in use again and again, until `stop`.
    pub async fn watch(self, stop: CancellationToken) {
        let mut away = false;
        loop {
            tokio::select! {
                () = tokio::time::sleep(PERIOD) => {}
                () = stop.cancelled() => return,
            }
            let tenants: Vec<TenantId> = self.shelves().into_iter().map(|(tenant, _)| tenant).collect();
            if tenants.is_empty() {
                continue;
            }
            match prices::versions(&self.shared.all_tenants, &tenants).await {
                Ok(versions) => {
                    away = false;
                    versions.into_iter().for_each(|(tenant, version)| self.noticed(tenant, version));
                }
                Err(error) => {
                    if !away {
                        tracing::warn!(
                            error = &error as &dyn std::error::Error,
                            "changes of prices cannot be looked for"
                        );
                    }
                    away = true;
                }
            }
        }
    }

    fn shelves(&self) -> Vec<(TenantId, Arc<Shelf>)> {
        let shelves = self.shared.shelves.read().unwrap_or_else(PoisonError::into_inner);
        shelves.iter().map(|(tenant, shelf)| (*tenant, shelf.clone())).collect()
    }

    fn shelf(&self, tenant: TenantId) -> Arc<Shelf> {
        let shelves = self.shared.shelves.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(shelf) = shelves.get(&tenant) {
            return shelf.clone();
        }
        drop(shelves);
        let mut shelves = self.shared.shelves.write().unwrap_or_else(PoisonError::into_inner);
        shelves.entry(tenant).or_insert_with(|| Arc::new(Shelf::new(tenant))).clone()
    }
}

impl Shared {
    fn compiled(&self, version: i64, prices: Vec<Arc<TenantPrice>>) -> PricesInForce {
        let catalog = self.catalog.load_full();
        let book = Arc::new(PriceBook::new(catalog, prices.iter().cloned(), self.free_providers.clone()));
        PricesInForce { version, prices, book }
    }
}
