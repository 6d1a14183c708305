//! What a counter takes over from the window before it, decided once, when it is made.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use sqlx::PgConnection;
use thiserror::Error;
use tollgate_domain::amount::AmountError;
use tollgate_domain::budget::{Carry, Inheritance, effective_limit, empty_windows};
use tollgate_domain::window::WindowError;

use super::batch::BatchError;
use crate::store::StoreError;
use crate::store::budgets::ActiveBudget;
use crate::store::windows::{self, StoredWindow, WindowKey};
use crate::tenant::TenantId;

/// Why it cannot be told what a counter takes over.
#[derive(Debug, Error)]
pub enum InheritanceError {
    /// A sum cannot be held.
    #[error("an amount cannot be held: {0}")]
    Amount(#[from] AmountError),
    /// A window cannot be told.
    #[error(transparent)]
    Window(#[from] WindowError),
}

impl From<InheritanceError> for BatchError {
    fn from(error: InheritanceError) -> Self {
        match error {
            InheritanceError::Amount(error) => Self::Amount(error),
            InheritanceError::Window(_) => Self::Command("the window before it cannot be told"),
        }
    }
}

/// Lets a counter that nothing moved yet take over from `last`, the one of the last window before it.
///
/// # Errors
/// [`InheritanceError`].
pub fn inherit(
    heir: &mut StoredWindow,
    active: &ActiveBudget,
    last: &StoredWindow,
    now: Timestamp,
) -> Result<Inheritance, InheritanceError> {
    let limit = active.limit(heir.key.scope, heir.end, now);
    let from = Inheritance {
        rule: active.budget.carry,
        limit,
        window_start: last.key.start,
        version: last.version,
        empty_windows: empty_windows(&active.budget.window, last.end, heir.key.start)?,
    };
    heir.counter.carried = from.amount(&last.counter)?;
    heir.counter.highest_limit = effective_limit(limit, heir.counter.carried)?;
    Ok(from)
}

/// Counters of budgets that carry, which a batch may have to make.
#[derive(Debug, Default)]
pub(super) struct Heirs {
    budgets: BTreeMap<WindowKey, Arc<ActiveBudget>>,
    last: BTreeMap<WindowKey, WindowKey>,
}

impl Heirs {
    /// Notes a counter whose budget carries.
    pub(super) fn note(&mut self, key: WindowKey, budget: &Arc<ActiveBudget>) {
        if budget.budget.carry != Carry::None {
            self.budgets.entry(key).or_insert_with(|| budget.clone());
        }
    }

    /// Of the counters that were just made, those that carry, with the windows that they take over from: these have to be
    /// locked with the others, so that what another batch books there counts or comes too late, but is never missed half way.
    pub(super) async fn find_last(
        &mut self,
        connection: &mut PgConnection,
        tenant: TenantId,
        added: &[WindowKey],
    ) -> Result<impl Iterator<Item = WindowKey>, StoreError> {
        let wanted: Vec<WindowKey> = added.iter().filter(|key| self.budgets.contains_key(*key)).copied().collect();
        if !wanted.is_empty() {
            let found = windows::before(connection, tenant, &wanted).await?;
            self.last = found.into_iter().map(|(key, last)| (key, last.key)).collect();
        }
        Ok(self.last.values().copied())
    }

    /// Lets the new counters take over, in the order of their windows, and writes it down.
    pub(super) async fn take_over(
        &self,
        connection: &mut PgConnection,
        tenant: TenantId,
        now: Timestamp,
        stored: impl Fn(&WindowKey) -> Option<StoredWindow>,
    ) -> Result<Vec<StoredWindow>, BatchError> {
        let mut written = Vec::new();
        let mut heirs: BTreeMap<WindowKey, StoredWindow> = BTreeMap::new();
        for (key, last_key) in &self.last {
            let last = heirs.get(last_key).cloned().or_else(|| stored(last_key));
            let (Some(budget), Some(mut heir), Some(last)) = (self.budgets.get(key), stored(key), last) else {
                return Err(BatchError::Command("a counter is missing"));
            };
            let from = inherit(&mut heir, budget, &last, now)?;
            written.push((heir.clone(), from));
            heirs.insert(*key, heir);
        }
        if !written.is_empty() {
            windows::set_carried(connection, tenant, &written).await?;
        }
        Ok(heirs.into_values().collect())
    }
}
