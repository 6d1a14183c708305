//! Budgets and their counters.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;
use sqlx::PgConnection;
use sqlx::types::Json;
use tollgate_domain::amount::{Amount, AmountError};
use tollgate_domain::budget::{Budget, Counter, Inheritance, LimitOverride, OverrunCause, PerValues, effective_limit};
use tollgate_domain::window::Bounds;
use uuid::Uuid;

use super::error::StoreError;
use super::overrides;
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
    /// Whether earlier charges are still being counted: it counts what comes, and decides nothing.
    pub backfilling: bool,
    /// Other limits of single counters, by the digest of their `per` values.
    pub overrides: HashMap<Uuid, LimitOverride>,
}

impl ActiveBudget {
    /// The limit of a counter whose window ends at `end`: that of its override, where one is in force, else the budget's. A
    /// window that has ended keeps the limit that it ended with.
    pub fn limit(&self, scope: Uuid, end: Timestamp, now: Timestamp) -> Amount {
        let last = end.checked_sub(SignedDuration::from_micros(1)).unwrap_or(end);
        let found = self.overrides.get(&scope).filter(|other| other.is_in_force(now.min(last)));
        found.map_or(self.budget.limit, |other| other.limit)
    }

    /// The limit that rules compare a counter with.
    ///
    /// # Errors
    /// [`AmountError::TooLarge`].
    pub fn effective_limit(&self, stored: &StoredWindow, now: Timestamp) -> Result<Amount, AmountError> {
        effective_limit(self.limit(stored.key.scope, stored.end, now), stored.counter.carried)
    }
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

pub(super) fn parsed<T: serde::de::DeserializeOwned>(value: Value, what: &'static str) -> Result<T, StoreError> {
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
    let rows = sqlx::query_file!("sql/budget/active.sql", tenant.0).fetch_all(&mut *connection).await?;
    let mut limits: HashMap<i64, HashMap<Uuid, LimitOverride>> = HashMap::new();
    for (number, scope, content) in overrides::active(connection, tenant).await? {
        limits.entry(number).or_default().insert(scope, content);
    }
    let mut budgets = Vec::with_capacity(rows.len());
    for row in rows {
        budgets.push(Arc::new(ActiveBudget {
            number: row.budget_number,
            budget: parsed(row.definition, "budget")?,
            counted_from: from_database(row.counted_from)?,
            backfilling: row.backfilling,
            overrides: limits.remove(&row.budget_number).unwrap_or_default(),
        }));
    }
    Ok(BudgetSet { version, budgets })
}

/// Adds the counters that are missing, keys sorted; says which of them are new.
///
/// # Errors
/// [`StoreError`].
pub async fn add_windows(
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
pub async fn lock_windows(
    connection: &mut PgConnection,
    tenant: TenantId,
    keys: impl Iterator<Item = WindowKey>,
) -> Result<Vec<StoredWindow>, StoreError> {
    let (numbers, scopes, starts) = columns(keys);
    let rows = sqlx::query_file_as!(WindowRow, "sql/ledger/lock_windows.sql", tenant.0, &numbers, &scopes, &starts)
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
    let rows = sqlx::query_file_as!(WindowRow, "sql/budget/read_windows.sql", tenant.0, &numbers, &scopes, &starts)
        .fetch_all(connection)
        .await?;
    rows.into_iter().map(StoredWindow::try_from).collect()
}

/// The last window of the same counter before each of these, where there is one.
///
/// # Errors
/// [`StoreError`].
pub async fn windows_before(
    connection: &mut PgConnection,
    tenant: TenantId,
    keys: &[WindowKey],
) -> Result<Vec<(WindowKey, StoredWindow)>, StoreError> {
    let (numbers, scopes, starts) = columns(keys.iter().copied());
    let rows = sqlx::query_file!("sql/budget/windows_before.sql", tenant.0, &numbers, &scopes, &starts)
        .fetch_all(connection)
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

/// A budget as it is stored, deleted ones included.
#[derive(Debug, Clone)]
pub struct StoredBudget {
    /// Its number.
    pub number: i64,
    /// Its definition.
    pub budget: Budget,
    /// Spend of earlier times is not counted.
    pub counted_from: Timestamp,
    /// The request that created it.
    pub request_id: String,
    /// Changes with every change.
    pub etag: String,
    /// When it was created.
    pub create_time: Timestamp,
    /// When it was changed last.
    pub update_time: Timestamp,
    /// When it was deleted.
    pub delete_time: Option<Timestamp>,
    /// When its selector matched last.
    pub last_match_time: Option<Timestamp>,
    /// Whether earlier charges are still being counted.
    pub backfilling: bool,
}

struct BudgetRow {
    budget_number: i64,
    budget_id: String,
    definition: Value,
    counted_from: time::OffsetDateTime,
    request_id: String,
    etag: String,
    create_time: time::OffsetDateTime,
    update_time: time::OffsetDateTime,
    delete_time: Option<time::OffsetDateTime>,
    last_match_time: Option<time::OffsetDateTime>,
    backfilling: bool,
}

impl TryFrom<BudgetRow> for StoredBudget {
    type Error = StoreError;

    fn try_from(row: BudgetRow) -> Result<Self, StoreError> {
        let budget: Budget = parsed(row.definition, "budget")?;
        if budget.budget_id != row.budget_id {
            return Err(StoreError::Unreadable { what: "budget" });
        }
        Ok(Self {
            number: row.budget_number,
            budget,
            counted_from: from_database(row.counted_from)?,
            request_id: row.request_id,
            etag: row.etag,
            create_time: from_database(row.create_time)?,
            update_time: from_database(row.update_time)?,
            delete_time: row.delete_time.map(from_database).transpose()?,
            last_match_time: row.last_match_time.map(from_database).transpose()?,
            backfilling: row.backfilling,
        })
    }
}

/// Reads one budget, deleted or not.
///
/// # Errors
/// [`StoreError`].
pub async fn find(
    connection: &mut PgConnection,
    tenant: TenantId,
    budget_id: &str,
) -> Result<Option<StoredBudget>, StoreError> {
    let row =
        sqlx::query_file_as!(BudgetRow, "sql/budget/find.sql", tenant.0, budget_id).fetch_optional(connection).await?;
    row.map(StoredBudget::try_from).transpose()
}

/// Reads up to `limit` budgets whose ids follow `after`.
///
/// # Errors
/// [`StoreError`].
pub async fn list(
    connection: &mut PgConnection,
    tenant: TenantId,
    after: &str,
    deleted_too: bool,
    limit: i64,
) -> Result<Vec<StoredBudget>, StoreError> {
    let rows = sqlx::query_file_as!(BudgetRow, "sql/budget/list.sql", tenant.0, after, deleted_too, limit)
        .fetch_all(connection)
        .await?;
    rows.into_iter().map(StoredBudget::try_from).collect()
}

/// Adds a budget; returns its number.
///
/// # Errors
/// [`StoreError`].
pub async fn insert(
    connection: &mut PgConnection,
    tenant: TenantId,
    budget: &Budget,
    counted_from: Timestamp,
    request_id: &str,
    etag: &str,
    now: Timestamp,
) -> Result<i64, StoreError> {
    let row = sqlx::query_file!(
        "sql/budget/insert.sql",
        tenant.0,
        budget.budget_id,
        Json(budget) as _,
        to_database(counted_from),
        request_id,
        etag,
        to_database(now)
    )
    .fetch_one(&mut *connection)
    .await?;
    bump_version(connection, tenant).await?;
    Ok(row.budget_number)
}

/// Writes a changed definition.
///
/// # Errors
/// [`StoreError`].
pub async fn update(
    connection: &mut PgConnection,
    tenant: TenantId,
    number: i64,
    budget: &Budget,
    etag: &str,
    now: Timestamp,
) -> Result<(), StoreError> {
    sqlx::query_file!("sql/budget/update.sql", tenant.0, number, Json(budget) as _, etag, to_database(now))
        .execute(&mut *connection)
        .await?;
    bump_version(connection, tenant).await
}

/// Notes a changed limit in the counters of open windows, or in the one of `scope`, and books what the change leaves above
/// every limit as overrun. Counters with an override in force go by that instead of `limit`.
///
/// # Errors
/// [`StoreError`].
pub async fn book_overrun(
    connection: &mut PgConnection,
    tenant: TenantId,
    number: i64,
    scope: Option<Uuid>,
    limit: Amount,
    now: Timestamp,
) -> Result<(), StoreError> {
    sqlx::query_file!("sql/budget/book_overrun.sql", tenant.0, number, limit.decimal(), to_database(now), scope)
        .execute(connection)
        .await?;
    Ok(())
}

/// Marks a budget deleted: it decides and counts no more.
///
/// # Errors
/// [`StoreError`].
pub async fn delete(
    connection: &mut PgConnection,
    tenant: TenantId,
    number: i64,
    etag: &str,
    now: Timestamp,
) -> Result<(), StoreError> {
    sqlx::query_file!("sql/budget/delete.sql", tenant.0, number, to_database(now), etag)
        .execute(&mut *connection)
        .await?;
    bump_version(connection, tenant).await
}

/// Tells every replica to read the tenant's budgets again, in the transaction that changes them.
///
/// # Errors
/// [`StoreError`].
pub async fn bump_version(connection: &mut PgConnection, tenant: TenantId) -> Result<(), StoreError> {
    sqlx::query_file!("sql/budget/bump_version.sql", tenant.0).execute(connection).await?;
    Ok(())
}

/// Notes when selectors matched last.
///
/// # Errors
/// [`StoreError`].
pub async fn note_matches(
    connection: &mut PgConnection,
    tenant: TenantId,
    matches: &BTreeMap<i64, Timestamp>,
) -> Result<(), StoreError> {
    let numbers: Vec<i64> = matches.keys().copied().collect();
    let times: Vec<_> = matches.values().map(|time| to_database(*time)).collect();
    sqlx::query_file!("sql/budget/matched.sql", tenant.0, &numbers, &times).execute(connection).await?;
    Ok(())
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
pub async fn list_windows(
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

/// Reads up to `limit` counters of a budget whose window holds `now` and that stand at `amount` or above it, or over their limit:
/// the fullest first.
///
/// # Errors
/// [`StoreError`].
pub async fn reached_windows(
    connection: &mut PgConnection,
    tenant: TenantId,
    number: i64,
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
        limit
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
