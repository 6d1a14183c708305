//! Prices of tenants.

use std::collections::HashMap;

use jiff::Timestamp;
use serde_json::Value;
use sqlx::{PgConnection, PgPool};
use tollgate_domain::model::ModelRef;
use tollgate_domain::price::{Coverage, PriceTerms, TenantPrice};
use uuid::Uuid;

use super::error::StoreError;
use super::scoped::{Scoped, TenantPool};
use super::time::{from_database, to_database};
use crate::tenant::TenantId;

/// Most prices of a tenant, ended ones included: every replica holds them all.
pub const PRICES_LIMIT: usize = 20_000;

const COVERAGE_MODEL: i16 = 1;
const COVERAGE_LINES: i16 = 2;

/// A change of a tenant's prices under way: it waits for the one before it and holds off the next.
#[derive(Debug)]
pub struct PriceChange {
    /// The transaction.
    pub transaction: Scoped,
    /// The version that the prices will have.
    pub version: i64,
    /// The database's clock.
    pub now: Timestamp,
}

/// The request that set a price.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PriceRequest {
    /// Its id.
    pub id: Uuid,
    /// Digest of what it asked for.
    pub digest: Uuid,
}

/// Starts a change of the tenant's prices.
///
/// # Errors
/// [`StoreError`].
pub async fn begin_change(tenants: &TenantPool, tenant: TenantId) -> Result<PriceChange, StoreError> {
    let mut transaction = tenants.change(tenant).await?;
    let row = sqlx::query_file!("sql/price/lock.sql", tenant.0).fetch_one(&mut *transaction).await?;
    Ok(PriceChange { transaction, version: row.prices_version, now: from_database(row.now)? })
}

/// The version of the tenant's prices; `None` where there is no such tenant.
///
/// # Errors
/// [`StoreError`].
pub async fn version(connection: &mut PgConnection, tenant: TenantId) -> Result<Option<i64>, StoreError> {
    Ok(sqlx::query_file_scalar!("sql/price/version.sql", tenant.0).fetch_optional(connection).await?)
}

/// The versions of the prices of several tenants.
///
/// # Errors
/// [`StoreError`].
pub async fn versions(all_tenants: &PgPool, tenants: &[TenantId]) -> Result<HashMap<TenantId, i64>, StoreError> {
    let numbers: Vec<i32> = tenants.iter().map(|tenant| tenant.0).collect();
    let rows = sqlx::query_file!("sql/price/versions.sql", &numbers).fetch_all(all_tenants).await?;
    Ok(rows.into_iter().map(|row| (TenantId(row.tenant_id), row.prices_version)).collect())
}

/// Every price of the tenant, in the order in which they were set.
///
/// # Errors
/// [`StoreError::TooManyRows`] above [`PRICES_LIMIT`], and others.
pub async fn all(connection: &mut PgConnection, tenant: TenantId) -> Result<Vec<TenantPrice>, StoreError> {
    let limit = i64::try_from(PRICES_LIMIT).unwrap_or(i64::MAX);
    let rows = sqlx::query_file_as!(PriceRow, "sql/price/all.sql", tenant.0, limit + 1).fetch_all(connection).await?;
    if rows.len() > PRICES_LIMIT {
        return Err(StoreError::TooManyRows { limit });
    }
    rows.into_iter().map(TenantPrice::try_from).collect()
}

/// The price that a request set, with the digest of what it asked for.
///
/// # Errors
/// [`StoreError`].
pub async fn set_by(
    connection: &mut PgConnection,
    tenant: TenantId,
    request_id: Uuid,
) -> Result<Option<(Uuid, Option<Uuid>)>, StoreError> {
    let row = sqlx::query_file!("sql/price/find_request.sql", tenant.0, request_id).fetch_optional(connection).await?;
    Ok(row.map(|row| (row.price_id, row.request_digest)))
}

/// The prices that a price superseded.
///
/// # Errors
/// [`StoreError`].
pub async fn superseded_by(
    connection: &mut PgConnection,
    tenant: TenantId,
    price_id: Uuid,
) -> Result<Vec<Uuid>, StoreError> {
    Ok(sqlx::query_file_scalar!("sql/price/superseded.sql", tenant.0, price_id).fetch_all(connection).await?)
}

/// Adds a price.
///
/// # Errors
/// [`StoreError`].
pub async fn insert(
    connection: &mut PgConnection,
    tenant: TenantId,
    price: &TenantPrice,
    request: Option<PriceRequest>,
) -> Result<(), StoreError> {
    let TenantPrice { price_id, terms, create_time } = price;
    let PriceTerms { target, coverage, rates, multiplier, start_time, end_time, note } = terms;
    let ModelRef { provider_name, model, provider_tier, region } = target;
    let rates = serde_json::to_value(rates).map_err(|_| StoreError::Unreadable { what: "price" })?;
    let coverage = match coverage {
        Coverage::Model => COVERAGE_MODEL,
        Coverage::Lines => COVERAGE_LINES,
    };
    sqlx::query_file!(
        "sql/price/insert.sql",
        tenant.0,
        price_id,
        provider_name,
        model,
        provider_tier,
        region,
        coverage,
        rates,
        *multiplier,
        to_database(*start_time),
        end_time.map(to_database),
        note,
        to_database(*create_time),
        request.map(|request| request.id),
        request.map(|request| request.digest)
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Ends prices at an instant, perhaps because another one supersedes them.
///
/// # Errors
/// [`StoreError`].
pub async fn end(
    connection: &mut PgConnection,
    tenant: TenantId,
    price_ids: &[Uuid],
    at: Timestamp,
    superseded_by: Option<Uuid>,
) -> Result<(), StoreError> {
    sqlx::query_file!("sql/price/end.sql", tenant.0, price_ids, to_database(at), superseded_by)
        .execute(connection)
        .await?;
    Ok(())
}

struct PriceRow {
    price_id: Uuid,
    provider_name: String,
    model: String,
    provider_tier: String,
    region: String,
    coverage: i16,
    rates: Value,
    multiplier: Option<rust_decimal::Decimal>,
    start_time: time::OffsetDateTime,
    end_time: Option<time::OffsetDateTime>,
    note: String,
    create_time: time::OffsetDateTime,
}

impl TryFrom<PriceRow> for TenantPrice {
    type Error = StoreError;

    fn try_from(row: PriceRow) -> Result<Self, StoreError> {
        let unreadable = || StoreError::Unreadable { what: "price" };
        let coverage = match row.coverage {
            COVERAGE_MODEL => Coverage::Model,
            COVERAGE_LINES => Coverage::Lines,
            _ => return Err(unreadable()),
        };
        let rates = serde_json::from_value(row.rates).map_err(|error| {
            tracing::error!(%error, price_id = %row.price_id, "a stored price cannot be read");
            unreadable()
        })?;
        let terms = PriceTerms {
            target: ModelRef {
                provider_name: row.provider_name,
                model: row.model,
                provider_tier: row.provider_tier,
                region: row.region,
            },
            coverage,
            rates,
            multiplier: row.multiplier.map(|multiplier| multiplier.normalize()),
            start_time: from_database(row.start_time)?,
            end_time: row.end_time.map(from_database).transpose()?,
            note: row.note,
        };
        Ok(Self { price_id: row.price_id, terms, create_time: from_database(row.create_time)? })
    }
}
