//! Other limits for single counters of budgets.

use jiff::Timestamp;
use rust_decimal::Decimal;
use serde_json::Value;
use sqlx::PgConnection;
use sqlx::types::Json;
use tollgate_domain::amount::Amount;
use tollgate_domain::budget::LimitOverride;
use uuid::Uuid;

use super::budgets::bump_version;
use super::error::StoreError;
use super::time::{from_database, to_database};
use crate::tenant::TenantId;

/// An override as it is stored.
#[derive(Debug, Clone)]
pub struct StoredOverride {
    /// Digest of the counter's `per` values.
    pub scope: Uuid,
    /// What it says.
    pub content: LimitOverride,
    /// Changes with every change.
    pub etag: String,
    /// When it was first set.
    pub create_time: Timestamp,
    /// When it was changed last.
    pub update_time: Timestamp,
}

struct Row {
    scope: Uuid,
    per_values: Value,
    limit_amount: Decimal,
    start_time: Option<time::OffsetDateTime>,
    end_time: Option<time::OffsetDateTime>,
    etag: String,
    create_time: time::OffsetDateTime,
    update_time: time::OffsetDateTime,
}

impl TryFrom<Row> for StoredOverride {
    type Error = StoreError;

    fn try_from(row: Row) -> Result<Self, StoreError> {
        Ok(Self {
            scope: row.scope,
            content: content(row.per_values, row.limit_amount, row.start_time, row.end_time)?,
            etag: row.etag,
            create_time: from_database(row.create_time)?,
            update_time: from_database(row.update_time)?,
        })
    }
}

fn content(
    per_values: Value,
    limit: Decimal,
    start_time: Option<time::OffsetDateTime>,
    end_time: Option<time::OffsetDateTime>,
) -> Result<LimitOverride, StoreError> {
    let unreadable = StoreError::Unreadable { what: "override" };
    Ok(LimitOverride {
        per_values: serde_json::from_value(per_values).map_err(|_| unreadable)?,
        limit: Amount::new(limit).map_err(|_| StoreError::Unreadable { what: "amount" })?,
        start_time: start_time.map(from_database).transpose()?,
        end_time: end_time.map(from_database).transpose()?,
    })
}

/// The overrides of all active budgets: number of the budget, digest of the counter's values, content.
///
/// # Errors
/// [`StoreError`].
pub async fn active(
    connection: &mut PgConnection,
    tenant: TenantId,
) -> Result<Vec<(i64, Uuid, LimitOverride)>, StoreError> {
    let rows = sqlx::query_file!("sql/budget_override/active.sql", tenant.0).fetch_all(connection).await?;
    rows.into_iter()
        .map(|row| {
            let content = content(row.per_values, row.limit_amount, row.start_time, row.end_time)?;
            Ok((row.budget_number, row.scope, content))
        })
        .collect()
}

/// How many overrides the tenant's active budgets have.
///
/// # Errors
/// [`StoreError`].
pub async fn count(connection: &mut PgConnection, tenant: TenantId) -> Result<i64, StoreError> {
    Ok(sqlx::query_file!("sql/budget_override/count.sql", tenant.0).fetch_one(connection).await?.count)
}

/// Reads one.
///
/// # Errors
/// [`StoreError`].
pub async fn find(
    connection: &mut PgConnection,
    tenant: TenantId,
    budget: i64,
    scope: Uuid,
) -> Result<Option<StoredOverride>, StoreError> {
    let row = sqlx::query_file_as!(Row, "sql/budget_override/find.sql", tenant.0, budget, scope)
        .fetch_optional(connection)
        .await?;
    row.map(StoredOverride::try_from).transpose()
}

/// Reads up to `limit` of a budget that follow `after`, in the order of their digests.
///
/// # Errors
/// [`StoreError`].
pub async fn list(
    connection: &mut PgConnection,
    tenant: TenantId,
    budget: i64,
    after: Option<Uuid>,
    limit: i64,
) -> Result<Vec<StoredOverride>, StoreError> {
    let rows = sqlx::query_file_as!(Row, "sql/budget_override/list.sql", tenant.0, budget, after, limit)
        .fetch_all(connection)
        .await?;
    rows.into_iter().map(StoredOverride::try_from).collect()
}

/// Adds or replaces one, and tells every replica.
///
/// # Errors
/// [`StoreError`].
pub async fn set(
    connection: &mut PgConnection,
    tenant: TenantId,
    budget: i64,
    stored: &StoredOverride,
) -> Result<(), StoreError> {
    let StoredOverride { scope, content, etag, create_time: _, update_time } = stored;
    sqlx::query_file!(
        "sql/budget_override/set.sql",
        tenant.0,
        budget,
        scope,
        Json(&content.per_values) as _,
        content.limit.decimal(),
        content.start_time.map(to_database),
        content.end_time.map(to_database),
        etag,
        to_database(*update_time)
    )
    .execute(&mut *connection)
    .await?;
    bump_version(connection, tenant).await
}

/// Removes one, and tells every replica.
///
/// # Errors
/// [`StoreError`].
pub async fn delete(
    connection: &mut PgConnection,
    tenant: TenantId,
    budget: i64,
    scope: Uuid,
) -> Result<(), StoreError> {
    sqlx::query_file!("sql/budget_override/delete.sql", tenant.0, budget, scope).execute(&mut *connection).await?;
    bump_version(connection, tenant).await
}
