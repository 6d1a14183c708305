//! Budgets and their counters.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use serde_json::Value;
use sqlx::PgConnection;
use sqlx::types::Json;
use tollgate_domain::amount::Amount;
use tollgate_domain::budget::{Budget, Counter, OverrunCause, PerValues};
use tollgate_domain::window::Bounds;
use uuid::Uuid;

use super::error::StoreError;
use super::time::{from_database, to_database};
use crate::tenant::TenantId;

/// A budget that decides and counts, with its number.
#[derive(Debug, Clone)]
pub struct ActiveBudget {
    /// Its number.
    pub number: i64,
    /// Its definition.
    pub budget: Budget,
    /// Spend of earlier times is not counted.
    pub counted_from: Timestamp,
}

/// All active budgets of a tenant at one version.
#[derive(Debug, Clone)]
pub struct BudgetSet {
    /// The version.
    pub version: i64,
    /// Sorted by number.
    pub budgets: Vec<Arc<ActiveBudget>>,
}

impl BudgetSet {
    /// The budget of this number, where it is active.
    pub fn by_number(&self, number: i64) -> Option<&Arc<ActiveBudget>> {
        let position = self.budgets.binary_search_by_key(&number, |budget| budget.number).ok()?;
        self.budgets.get(position)
    }
}

/// Which counter in which window.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct WindowKey {
    /// The budget's number.
    pub budget: i64,
    /// Digest of the counter's `per` values.
    pub scope: Uuid,
    /// Start of the window.
    pub start: Timestamp,
}

/// A counter as it is stored.
#[derive(Debug, Clone)]
pub struct StoredWindow {
    /// Which one.
    pub key: WindowKey,
    /// End of the window.
    pub end: Timestamp,
    /// Values of the budget's `per` keys.
    pub per_values: PerValues,
    /// Its sums.
    pub counter: Counter,
    /// Rises with every change.
    pub version: i64,
}

impl StoredWindow {
    /// Its window.
    pub fn bounds(&self) -> Bounds {
        Bounds { start: self.key.start, end: self.end }
    }
}

/// A counter to add where it is missing.
#[derive(Debug, Clone)]
pub struct NewWindow {
    /// End of the window.
    pub end: Timestamp,
    /// Values of the budget's `per` keys.
    pub per_values: PerValues,
    /// The limit in force.
    pub limit: Amount,
}

fn parsed<T: serde::de::DeserializeOwned>(value: Value, what: &'static str) -> Result<T, StoreError> {
    serde_json::from_value(value).map_err(|error| {
        tracing::error!(%error, what, "a stored value cannot be read");
        StoreError::Unreadable { what }
    })
}

fn amount(value: rust_decimal::Decimal) -> Result<Amount, StoreError> {
    Amount::new(value).map_err(|_| StoreError::Unreadable { what: "amount" })
}

/// Reads the tenant's active budgets.
///
/// # Errors
/// [`StoreError`].
pub async fn active(connection: &mut PgConnection, tenant: TenantId, version: i64) -> Result<BudgetSet, StoreError> {
    let rows = sqlx::query_file!("sql/budget/active.sql", tenant.0).fetch_all(connection).await?;
    let mut budgets = Vec::with_capacity(rows.len());
    for row in rows {
        budgets.push(Arc::new(ActiveBudget {
            number: row.budget_number,
            budget: parsed(row.definition, "budget")?,
            counted_from: from_database(row.counted_from)?,
        }));
    }
    Ok(BudgetSet { version, budgets })
}

/// Adds the counters that are missing, keys sorted.
///
/// # Errors
/// [`StoreError`].
pub async fn add_windows(
    connection: &mut PgConnection,
    tenant: TenantId,
    windows: &BTreeMap<WindowKey, NewWindow>,
) -> Result<(), StoreError> {
    let numbers: Vec<i64> = windows.keys().map(|key| key.budget).collect();
    let scopes: Vec<Uuid> = windows.keys().map(|key| key.scope).collect();
    let starts: Vec<_> = windows.keys().map(|key| to_database(key.start)).collect();
    let ends: Vec<_> = windows.values().map(|window| to_database(window.end)).collect();
    let per_values: Vec<_> = windows.values().map(|window| Json(&window.per_values)).collect();
    let limits: Vec<_> = windows.values().map(|window| window.limit.decimal()).collect();
    sqlx::query_file!(
        "sql/ledger/add_windows.sql",
        tenant.0,
        &numbers,
        &scopes,
        &starts,
        &ends,
        &per_values as _,
        &limits
    )
    .execute(connection)
    .await?;
    Ok(())
}

struct WindowRow {
    budget_number: i64,
    scope: Uuid,
    window_start: time::OffsetDateTime,
    window_end: time::OffsetDateTime,
    per_values: Value,
    spent: rust_decimal::Decimal,
    held: rust_decimal::Decimal,
    presumed: rust_decimal::Decimal,
    overrun: rust_decimal::Decimal,
    highest_limit: rust_decimal::Decimal,
    version: i64,
    overrun_causes: Value,
}

impl TryFrom<WindowRow> for StoredWindow {
    type Error = StoreError;

    fn try_from(row: WindowRow) -> Result<Self, StoreError> {
        let causes: BTreeMap<OverrunCause, Amount> = parsed(row.overrun_causes, "overrun")?;
        Ok(Self {
            key: WindowKey { budget: row.budget_number, scope: row.scope, start: from_database(row.window_start)? },
            end: from_database(row.window_end)?,
            per_values: parsed(row.per_values, "counter")?,
            counter: Counter {
                spent: amount(row.spent)?,
                held: amount(row.held)?,
                presumed: amount(row.presumed)?,
                overrun: amount(row.overrun)?,
                overrun_causes: causes,
                highest_limit: amount(row.highest_limit)?,
            },
            version: row.version,
        })
    }
}

/// Locks counters, in the one global order.
///
/// # Errors
/// [`StoreError`].
pub async fn lock_windows(
    connection: &mut PgConnection,
    tenant: TenantId,
    keys: impl Iterator<Item = WindowKey>,
) -> Result<Vec<StoredWindow>, StoreError> {
    let (numbers, scopes, starts) = columns(keys);
    let rows =
        sqlx::query_file_as!(WindowRow, "sql/ledger/lock_windows.sql", tenant.0, &numbers, &scopes, &starts)
            .fetch_all(connection)
            .await?;
    rows.into_iter().map(StoredWindow::try_from).collect()
}

/// Reads counters in one snapshot, without a lock.
///
/// # Errors
/// [`StoreError`].
pub async fn read_windows(
    connection: &mut PgConnection,
    tenant: TenantId,
    keys: impl Iterator<Item = WindowKey>,
) -> Result<Vec<StoredWindow>, StoreError> {
    let (numbers, scopes, starts) = columns(keys);
    let rows =
        sqlx::query_file_as!(WindowRow, "sql/budget/read_windows.sql", tenant.0, &numbers, &scopes, &starts)
            .fetch_all(connection)
            .await?;
    rows.into_iter().map(StoredWindow::try_from).collect()
}

fn columns(keys: impl Iterator<Item = WindowKey>) -> (Vec<i64>, Vec<Uuid>, Vec<time::OffsetDateTime>) {
    let mut columns = (Vec::new(), Vec::new(), Vec::new());
    for key in keys {
        columns.0.push(key.budget);
        columns.1.push(key.scope);
        columns.2.push(to_database(key.start));
    }
    columns
}

/// Writes changed counters back.
///
/// # Errors
/// [`StoreError`].
pub async fn update_windows<'a>(
    connection: &mut PgConnection,
    tenant: TenantId,
    windows: impl Iterator<Item = &'a StoredWindow>,
) -> Result<(), StoreError> {
    let windows: Vec<&StoredWindow> = windows.collect();
    if windows.is_empty() {
        return Ok(());
    }
    let (numbers, scopes, starts) = columns(windows.iter().map(|window| window.key));
    let column = |read: fn(&Counter) -> Amount| -> Vec<rust_decimal::Decimal> {
        windows.iter().map(|window| read(&window.counter).decimal()).collect()
    };
    let causes: Vec<_> = windows.iter().map(|window| Json(&window.counter.overrun_causes)).collect();
    sqlx::query_file!(
        "sql/ledger/update_windows.sql",
        tenant.0,
        &numbers,
        &scopes,
        &starts,
        &column(|counter| counter.spent),
        &column(|counter| counter.held),
        &column(|counter| counter.presumed),
        &column(|counter| counter.overrun),
        &column(|counter| counter.highest_limit),
        &causes as _
    )
    .execute(connection)
    .await?;
    Ok(())
}
