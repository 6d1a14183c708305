//! Budgets: those that decide, and their definitions.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;
use sqlx::PgConnection;
use sqlx::types::Json;
use tollgate_domain::amount::{Amount, AmountError};
use tollgate_domain::budget::{Budget, LimitOverride, PerValues, Reach, effective_limit};
use tollgate_domain::dimensions::Dimensions;
use tollgate_domain::erasure::Eraser;
use tollgate_domain::model::ModelRef;
use tracing::Instrument as _;
use uuid::Uuid;

use super::error::StoreError;
use super::time::{from_database, to_database};
use super::windows::StoredWindow;
use super::{erasures, overrides};
use crate::tenant::TenantId;
use crate::trace::statement;

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
    /// Erasures that run: reservations from before them may still tell names.
    pub erasers: Vec<Eraser>,
}

impl BudgetSet {
    /// The budgets and counters that an event of these dimensions is charged to: every budget that selects it and counts its model
    /// and its time, whether it decides or not.
    pub fn charged<'a>(
        &'a self,
        dimensions: &'a Dimensions,
        model: &'a ModelRef,
        charge_time: Timestamp,
    ) -> impl Iterator<Item = (&'a Arc<ActiveBudget>, PerValues)> {
        let counting =
            move |active: &&Arc<ActiveBudget>| active.counted_from <= charge_time && active.budget.counts_model(model);
        self.budgets.iter().filter(counting).filter_map(|active| match active.budget.reach(dimensions) {
            Reach::Counter(per_values) => Some((active, per_values)),
            Reach::Outside | Reach::MissingKey(_) => None,
        })
    }

    /// The budget of this number, where it is active.
    pub fn by_number(&self, number: i64) -> Option<&Arc<ActiveBudget>> {
        let position = self.budgets.binary_search_by_key(&number, |budget| budget.number).ok()?;
        self.budgets.get(position)
    }
}

pub(super) fn parsed<T: serde::de::DeserializeOwned>(value: Value, what: &'static str) -> Result<T, StoreError> {
    serde_json::from_value(value).map_err(|error| {
        tracing::error!(%error, what, "a stored value cannot be read");
        StoreError::Unreadable { what }
    })
}

/// Reads the tenant's active budgets.
///
/// # Errors
/// [`StoreError`].
pub async fn active(connection: &mut PgConnection, tenant: TenantId, version: i64) -> Result<BudgetSet, StoreError> {
    let rows = sqlx::query_file!("sql/budget/active.sql", tenant.0)
        .fetch_all(&mut *connection)
        .instrument(statement("budget/active", "SELECT"))
        .await?;
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
    Ok(BudgetSet { version, budgets, erasers: erasures::running(connection, tenant).await? })
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
/// every limit as overrun. Counters with an override in force go by that instead of `limit`. With `ended_too`, windows that have
/// ended are looked at as well, under the highest limit that they had.
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
    ended_too: bool,
) -> Result<(), StoreError> {
    sqlx::query_file!(
        "sql/budget/book_overrun.sql",
        tenant.0,
        number,
        limit.decimal(),
        to_database(now),
        scope,
        ended_too
    )
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
