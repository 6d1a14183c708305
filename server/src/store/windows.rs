//! The counters of budgets, one for each window: read, made, locked and written back.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::Value;
use sqlx::PgConnection;
use sqlx::types::Json;
use tollgate_domain::amount::Amount;
use tollgate_domain::budget::{Budget, Counter, Inheritance, OverrunCause, PerValues};
use tollgate_domain::window::Bounds;
use tracing::Instrument as _;
use uuid::Uuid;

use super::budgets::parsed;
use super::error::StoreError;
use super::time::{from_database, to_database};
use crate::tenant::TenantId;
use crate::trace::statement;

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

fn amount(value: rust_decimal::Decimal) -> Result<Amount, StoreError> {
    Amount::new(value).map_err(|_| StoreError::Unreadable { what: "amount" })
}

/// Adds the counters that are missing, keys sorted; says which of them are new.
///
/// # Errors
/// [`StoreError`].
pub async fn add(
    connection: &mut PgConnection,
    tenant: TenantId,
    windows: &BTreeMap<WindowKey, NewWindow>,
) -> Result<Vec<WindowKey>, StoreError> {
    let numbers: Vec<i64> = windows.keys().map(|key| key.budget).collect();
    let scopes: Vec<Uuid> = windows.keys().map(|key| key.scope).collect();
    let starts: Vec<_> = windows.keys().map(|key| to_database(key.start)).collect();
    let ends: Vec<_> = windows.values().map(|window| to_database(window.end)).collect();
    let per_values: Vec<_> = windows.values().map(|window| Json(&window.per_values)).collect();
    let limits: Vec<_> = windows.values().map(|window| window.limit.decimal()).collect();
    let added = sqlx::query_file!(
        "sql/ledger/add_windows.sql",
        tenant.0,
        &numbers,
        &scopes,
        &starts,
        &ends,
        &per_values as _,
        &limits
    )
    .fetch_all(connection)
    .instrument(statement("ledger/add_windows", "INSERT"))
    .await?;
    added
        .into_iter()
        .map(|row| {
            let start = from_database(row.window_start)?;
            Ok(WindowKey { budget: row.budget_number, scope: row.scope, start })
        })
        .collect()
}

/// A counter as its row has it.
pub(super) struct WindowRow {
    pub(super) budget_number: i64,
    pub(super) scope: Uuid,
    pub(super) window_start: time::OffsetDateTime,
    pub(super) window_end: time::OffsetDateTime,
    pub(super) per_values: Value,
    pub(super) spent: rust_decimal::Decimal,
    pub(super) held: rust_decimal::Decimal,
    pub(super) presumed: rust_decimal::Decimal,
    pub(super) overrun: rust_decimal::Decimal,
    pub(super) highest_limit: rust_decimal::Decimal,
    pub(super) version: i64,
    pub(super) overrun_causes: Value,
    pub(super) carried: rust_decimal::Decimal,
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
                carried: amount(row.carried)?,
            },
            version: row.version,
        })
    }
}

/// Locks counters, in the one global order.
///
/// # Errors
/// [`StoreError`].
pub async fn lock(
    connection: &mut PgConnection,
    tenant: TenantId,
    keys: impl Iterator<Item = WindowKey>,
) -> Result<Vec<StoredWindow>, StoreError> {
    let (numbers, scopes, starts) = columns(keys);
    let rows = sqlx::query_file_as!(WindowRow, "sql/ledger/lock_windows.sql", tenant.0, &numbers, &scopes, &starts)
        .fetch_all(connection)
        .instrument(statement("ledger/lock_windows", "SELECT"))
        .await?;
    rows.into_iter().map(StoredWindow::try_from).collect()
}

/// Reads counters in one snapshot, without a lock.
///
/// # Errors
/// [`StoreError`].
pub async fn read(
    connection: &mut PgConnection,
    tenant: TenantId,
    keys: impl Iterator<Item = WindowKey>,
) -> Result<Vec<StoredWindow>, StoreError> {
    let (numbers, scopes, starts) = columns(keys);
    let rows = sqlx::query_file_as!(WindowRow, "sql/budget/read_windows.sql", tenant.0, &numbers, &scopes, &starts)
        .fetch_all(connection)
        .await?;
    rows.into_iter().map(StoredWindow::try_from).collect()
}

/// The last window of the same counter before each of these, where there is one.
///
/// # Errors
/// [`StoreError`].
pub async fn before(
    connection: &mut PgConnection,
    tenant: TenantId,
    keys: &[WindowKey],
) -> Result<Vec<(WindowKey, StoredWindow)>, StoreError> {
    let (numbers, scopes, starts) = columns(keys.iter().copied());
    let rows = sqlx::query_file!("sql/budget/windows_before.sql", tenant.0, &numbers, &scopes, &starts)
        .fetch_all(connection)
        .instrument(statement("budget/windows_before", "SELECT"))
        .await?;
    rows.into_iter()
        .map(|row| {
            let start = from_database(row.wanted_start)?;
            let before = StoredWindow::try_from(WindowRow {
                budget_number: row.budget_number,
                scope: row.scope,
                window_start: row.window_start,
                window_end: row.window_end,
                per_values: row.per_values,
                spent: row.spent,
                held: row.held,
                presumed: row.presumed,
                overrun: row.overrun,
                highest_limit: row.highest_limit,
                version: row.version,
                overrun_causes: row.overrun_causes,
                carried: row.carried,
            })?;
            Ok((WindowKey { start, ..before.key }, before))
        })
        .collect()
}

/// Writes what new counters inherited, and from what.
///
/// # Errors
/// [`StoreError`].
pub async fn set_carried(
    connection: &mut PgConnection,
    tenant: TenantId,
    heirs: &[(StoredWindow, Inheritance)],
) -> Result<(), StoreError> {
    let (numbers, scopes, starts) = columns(heirs.iter().map(|(heir, _)| heir.key));
    let carried: Vec<_> = heirs.iter().map(|(heir, _)| heir.counter.carried.decimal()).collect();
    let limits: Vec<_> = heirs.iter().map(|(heir, _)| heir.counter.highest_limit.decimal()).collect();
    let from: Vec<_> = heirs.iter().map(|(_, from)| Json(from)).collect();
    sqlx::query_file!(
        "sql/budget/set_carried.sql",
        tenant.0,
        &numbers,
        &scopes,
        &starts,
        &carried,
        &from as _,
        &limits
    )
    .execute(connection)
    .instrument(statement("budget/set_carried", "UPDATE"))
    .await?;
    Ok(())
}

/// Writes back counters that are there and locked.
///
/// # Errors
/// [`StoreError`].
pub async fn write(
    connection: &mut PgConnection,
    tenant: TenantId,
    windows: &[StoredWindow],
) -> Result<(), StoreError> {
    let (numbers, scopes, starts) = columns(windows.iter().map(|window| window.key));
    let sums = |read: fn(&Counter) -> Amount| -> Vec<rust_decimal::Decimal> {
        windows.iter().map(|window| read(&window.counter).decimal()).collect()
    };
    let causes: Vec<_> = windows.iter().map(|window| Json(&window.counter.overrun_causes)).collect();
    sqlx::query_file!(
        "sql/budget/write_windows.sql",
        tenant.0,
        &numbers,
        &scopes,
        &starts,
        &sums(|counter| counter.spent),
        &sums(|counter| counter.held),
        &sums(|counter| counter.presumed),
        &sums(|counter| counter.overrun),
        &sums(|counter| counter.highest_limit),
        &causes as _
    )
    .execute(connection)
    .await?;
    Ok(())
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

/// What a list of counters is narrowed to.
#[derive(Debug, Clone)]
pub struct WindowFilter {
    /// Of these budgets.
    pub budgets: Vec<i64>,
    /// Whose window holds this instant.
    pub at: Timestamp,
    /// With this value among those of the `per` keys; an index prefilter, as its place is not compared.
    pub value: Option<String>,
    /// After this one: where the page before ended.
    pub after: (i64, Uuid),
}

/// Reads up to `limit` counters, in the order of budget number and scope.
///
/// # Errors
/// [`StoreError`].
pub async fn list(
    connection: &mut PgConnection,
    tenant: TenantId,
    filter: &WindowFilter,
    limit: i64,
) -> Result<Vec<StoredWindow>, StoreError> {
    let value = filter.value.as_ref().map(|value| serde_json::json!([value]));
    let rows = sqlx::query_file_as!(
        WindowRow,
        "sql/budget/list_windows.sql",
        tenant.0,
        &filter.budgets,
        to_database(filter.at),
        value,
        filter.after.0,
        filter.after.1,
        limit
    )
    .fetch_all(connection)
    .await?;
    rows.into_iter().map(StoredWindow::try_from).collect()
}

/// Reads up to `limit` counters of a budget, or the one of `scope`, whose window holds `now` and that stand at `amount` or above it, or over their limit:
/// the fullest first.
///
/// # Errors
/// [`StoreError`].
pub async fn reached(
    connection: &mut PgConnection,
    tenant: TenantId,
    number: i64,
    scope: Option<Uuid>,
    amount: Amount,
    now: Timestamp,
    limit: i64,
) -> Result<Vec<StoredWindow>, StoreError> {
    let rows = sqlx::query_file_as!(
        WindowRow,
        "sql/budget/list_reached.sql",
        tenant.0,
        number,
        to_database(now),
        amount.decimal(),
        limit,
        scope
    )
    .fetch_all(connection)
    .await?;
    rows.into_iter().map(StoredWindow::try_from).collect()
}

/// A counter's budget and `per` values, whatever its window, of deleted budgets too.
///
/// # Errors
/// [`StoreError`].
pub async fn scopes(
    connection: &mut PgConnection,
    tenant: TenantId,
    keys: &[(i64, Uuid)],
) -> Result<Vec<((i64, Uuid), Budget, PerValues)>, StoreError> {
    let (numbers, scopes): (Vec<i64>, Vec<Uuid>) = keys.iter().copied().unzip();
    let rows =
        sqlx::query_file!("sql/budget/part_names.sql", tenant.0, &numbers, &scopes).fetch_all(connection).await?;
    rows.into_iter()
        .map(|row| {
            let key = (row.budget_number, row.scope);
            Ok((key, parsed(row.definition, "budget")?, parsed(row.per_values, "counter")?))
        })
        .collect()
}
