//! Readings of watched scopes from the database.

use std::sync::Arc;

use futures::FutureExt;
use futures::future::BoxFuture;
use jiff::Timestamp;
use tollgate_domain::budget::BudgetState;

use crate::app::AppError;
use crate::app::budgets::states_for_scopes;
use crate::app::totals::{Scope, ScopeQuery, read_scopes};
use crate::live::{LiveError, Reading, ScopeSource, WatchedScope};
use crate::store::dictionary::Dictionary;
use crate::store::scoped::TenantPool;
use crate::tenant::TenantId;

/// Reads totals and budget states from the database.
#[derive(Debug, Clone)]
pub struct DatabaseSource {
    tenants: TenantPool,
    dictionary: Dictionary,
}

impl DatabaseSource {
    /// Reads through `tenants`, which must lead to the primary: a standby would tell of the past.
    pub fn new(tenants: TenantPool, dictionary: Dictionary) -> Self {
        Self { tenants, dictionary }
    }

    async fn read_all(&self, tenant: TenantId, scopes: &[Arc<WatchedScope>]) -> Result<Vec<Reading>, AppError> {
        let as_of = Timestamp::now();
        let queries: Vec<ScopeQuery> = scopes.iter().map(|scope| scope.query.clone()).collect();
        let totals = read_scopes(&self.tenants, &self.dictionary, tenant, &queries, as_of).await?;
        let budgets = self.read_budgets(tenant, scopes, as_of).await?;
        let readings = totals.into_iter().zip(budgets);
        Ok(readings.map(|(totals, budgets)| Reading { totals, budgets, as_of }).collect())
    }

    /// The budget states of the scopes that ask for them; empty for the others.
    async fn read_budgets(
        &self,
        tenant: TenantId,
        scopes: &[Arc<WatchedScope>],
        now: Timestamp,
    ) -> Result<Vec<Vec<BudgetState>>, AppError> {
        let asking: Vec<Scope> =
            scopes.iter().filter(|scope| scope.budgets).map(|scope| scope.query.scope.clone()).collect();
        if asking.is_empty() {
            return Ok(vec![Vec::new(); scopes.len()]);
        }
        let mut states = states_for_scopes(&self.tenants, tenant, &asking, now).await?.into_iter();
        let of_scope = |scope: &Arc<WatchedScope>| if scope.budgets { states.next() } else { Some(Vec::new()) };
        scopes.iter().map(of_scope).collect::<Option<_>>().ok_or(AppError::Internal)
    }
}

impl ScopeSource for DatabaseSource {
    fn read<'a>(
        &'a self,
        tenant: TenantId,
        scopes: &'a [Arc<WatchedScope>],
    ) -> BoxFuture<'a, Result<Vec<Reading>, LiveError>> {
        self.read_all(tenant, scopes).map(|readings| readings.map_err(live_error)).boxed()
    }
}

fn live_error(error: AppError) -> LiveError {
    match error {
        AppError::Invalid(violations) => LiveError::Invalid(violations),
        AppError::QueryTooWide(why) => LiveError::TooWide(why),
        AppError::Unavailable | AppError::Full { .. } | AppError::ShuttingDown => LiveError::Unavailable,
        _ => LiveError::Internal,
    }
}
