//! The audit's statements: what the events say against what is stored beside them. All of them run in one snapshot.

use jiff::Timestamp;
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sqlx::{PgConnection, PgPool, Postgres, Transaction};
use time::OffsetDateTime;
use tollgate_domain::amount::{Amount, Usd};
use tollgate_domain::budget::{Counter, Inheritance, PerValues};
use tollgate_domain::dimensions::Dimension;
use tollgate_domain::window::Bounds;
use uuid::Uuid;

use super::connect;
use super::error::StoreError;
use super::time::{from_database, to_database};
use crate::tenant::TenantId;

/// Most rows that a comparison names where nobody asks for more.
pub const EXAMPLES_LIMIT: u16 = 5;

/// Which rows an audit looks at.
#[derive(Debug, Clone)]
pub struct Selection {
    /// Events that start in it, and what is derived from them; absent = all. It begins and ends at quarter hours, so that
    /// it holds whole buckets of rollups.
    pub range: Option<Bounds>,
    /// Sessions by number; absent = all.
    pub sessions: Option<Vec<i64>>,
    /// Most rows that a comparison names.
    pub examples: u16,
}

impl Default for Selection {
    fn default() -> Self {
        Self { range: None, sessions: None, examples: EXAMPLES_LIMIT }
    }
}

impl Selection {
    fn start(&self) -> Option<OffsetDateTime> {
        self.range.map(|range| to_database(range.start))
    }

    fn end(&self) -> Option<OffsetDateTime> {
        self.range.map(|range| to_database(range.end))
    }

    fn limit(&self) -> i64 {
        i64::from(self.examples)
    }
}

/// A figure of one row on which the two sides differ.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Difference {
    /// Which figure.
    pub figure: String,
    /// What the events, or the reservations, say; absent = nothing.
    pub ledger: Option<String>,
    /// What is stored beside them; absent = nothing.
    pub stored: Option<String>,
}

/// A row that drifts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Example {
    /// Which row.
    pub id: String,
    /// In what it drifts.
    pub differences: Vec<Difference>,
}

/// One figure over all rows of a comparison, on both sides. Amounts are decimal strings.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Figure {
    /// Which figure.
    pub name: &'static str,
    /// What the events, or the reservations, say.
    pub ledger: String,
    /// What is stored beside them.
    pub stored: String,
}

impl Figure {
    /// A figure of two decimals.
    pub fn amounts(name: &'static str, ledger: Decimal, stored: Decimal) -> Self {
        Self { name, ledger: ledger.normalize().to_string(), stored: stored.normalize().to_string() }
    }

    /// A figure of two counts.
    pub fn counts(name: &'static str, ledger: i64, stored: i64) -> Self {
        Self { name, ledger: ledger.to_string(), stored: stored.to_string() }
    }
}

/// What one comparison found.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Comparison {
    /// Rows compared.
    pub rows: u64,
    /// Rows whose two sides differ.
    pub drifting: u64,
    /// Sums over all rows.
    pub figures: Vec<Figure>,
    /// Sum of the differences in dollars, row by row and without sign, where dollars are compared.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub usd_drift: Option<Usd>,
    /// The first rows that drift, at most [`Selection::examples`].
    pub examples: Vec<Example>,
}

/// What the ledger holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LedgerTotals {
    /// Instant of the snapshot, by the database's clock.
    pub as_of: Timestamp,
    /// Attempts: events.
    pub attempts: u64,
    /// Calls: first attempts.
    pub calls: u64,
    /// Input tokens, all classes.
    pub input_tokens: u64,
    /// Output tokens, all classes.
    pub output_tokens: u64,
    /// Charged.
    pub usd: Usd,
    /// Priced, but shown only: memo accounting.
    pub memo_usd: Usd,
}

/// A counter as far as its spend is audited.
#[derive(Debug, Clone)]
pub struct AuditedCounter {
    /// The budget's number.
    pub budget: i64,
    /// Digest of the values of its `per` keys.
    pub scope: Uuid,
    /// Its window.
    pub window: Bounds,
    /// Values of the budget's `per` keys.
    pub per_values: PerValues,
    /// What it counted.
    pub spent: Amount,
}

/// A counter as far as what it carries is audited.
#[derive(Debug, Clone)]
pub struct CarriedCounter {
    /// Its budget's id.
    pub budget_id: String,
    /// Values of the budget's `per` keys, as they are stored.
    pub per_values: Value,
    /// Start of its window.
    pub window_start: Timestamp,
    /// What it carries.
    pub carried: Amount,
    /// From what.
    pub from: Option<Inheritance>,
    /// The window that it took it over from, with its version, as it stands now.
    pub last: Option<(i64, Counter)>,
}

/// Starts the one snapshot of an audit, in which nothing can be written.
///
/// # Errors
/// [`StoreError`].
pub async fn begin(pool: &PgPool) -> Result<Transaction<'static, Postgres>, StoreError> {
    connect::begin(pool, "BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY").await
}

/// Ends a snapshot, in which nothing was written.
///
/// # Errors
/// [`StoreError`].
pub async fn end(snapshot: Transaction<'static, Postgres>) -> Result<(), StoreError> {
    Ok(snapshot.rollback().await?)
}

/// Every tenant with its name, by number.
///
/// # Errors
/// [`StoreError`].
pub async fn tenants(pool: &PgPool) -> Result<Vec<(TenantId, String)>, StoreError> {
    let rows = sqlx::query_file!("sql/audit/tenants.sql").fetch_all(pool).await?;
    Ok(rows.into_iter().map(|row| (TenantId(row.tenant_id), row.name)).collect())
}

/// Totals of the tenant's events.
///
/// # Errors
/// [`StoreError`].
pub async fn events(
    connection: &mut PgConnection,
    tenant: TenantId,
    selection: &Selection,
) -> Result<LedgerTotals, StoreError> {
    let row = sqlx::query_file!("sql/audit/events.sql", tenant.0, selection.start(), selection.end())
        .fetch_one(connection)
        .await?;
    Ok(LedgerTotals {
        as_of: from_database(row.as_of)?,
        attempts: count(row.attempts)?,
        calls: count(row.calls)?,
        input_tokens: count(row.input_tokens)?,
        output_tokens: count(row.output_tokens)?,
        usd: usd(row.usd)?,
        memo_usd: usd(row.memo_usd)?,
    })
}

/// Events against the totals of their own sessions.
///
/// # Errors
/// [`StoreError`].
pub async fn session_totals(
    connection: &mut PgConnection,
    tenant: TenantId,
    selection: &Selection,
) -> Result<Comparison, StoreError> {
    sqlx::query_file_as!(
        SumsRow,
        "sql/audit/session_totals.sql",
        tenant.0,
        selection.sessions.as_deref(),
        selection.limit()
    )
    .fetch_one(connection)
    .await?
    .try_into()
}

/// Events of descendants against the totals of their root sessions.
///
/// # Errors
/// [`StoreError`].
pub async fn root_totals(
    connection: &mut PgConnection,
    tenant: TenantId,
    selection: &Selection,
) -> Result<Comparison, StoreError> {
    sqlx::query_file_as!(
        SumsRow,
        "sql/audit/root_totals.sql",
        tenant.0,
        Dimension::RootSessionId.code(),
        Dimension::SessionId.code(),
        selection.limit()
    )
    .fetch_one(connection)
    .await?
    .try_into()
}

/// Events against the rollup of one grain.
///
/// # Errors
/// [`StoreError`].
pub async fn usage_rollup(
    connection: &mut PgConnection,
    tenant: TenantId,
    selection: &Selection,
    grain: i16,
) -> Result<Comparison, StoreError> {
    sqlx::query_file_as!(
        SumsRow,
        "sql/audit/usage_rollup.sql",
        tenant.0,
        grain,
        selection.start(),
        selection.end(),
        selection.limit()
    )
    .fetch_one(connection)
    .await?
    .try_into()
}

/// Events of users against their rollup of one grain.
///
/// # Errors
/// [`StoreError`].
pub async fn user_rollup(
    connection: &mut PgConnection,
    tenant: TenantId,
    selection: &Selection,
    grain: i16,
) -> Result<Comparison, StoreError> {
    sqlx::query_file_as!(
        SumsRow,
        "sql/audit/user_rollup.sql",
        tenant.0,
        grain,
        selection.start(),
        selection.end(),
        selection.limit()
    )
    .fetch_one(connection)
    .await?
    .try_into()
}

/// The dollars of every total and rollup against the sum of their classes.
///
/// # Errors
/// [`StoreError`].
pub async fn class_costs(
    connection: &mut PgConnection,
    tenant: TenantId,
    selection: &Selection,
) -> Result<Comparison, StoreError> {
    let row = sqlx::query_file!(
        "sql/audit/class_costs.sql",
        tenant.0,
        selection.sessions.as_deref(),
        selection.start(),
        selection.end(),
        selection.limit()
    )
    .fetch_one(connection)
    .await?;
    Ok(Comparison {
        rows: count(row.rows)?,
        drifting: count(row.drifting)?,
        figures: vec![Figure::amounts("usd", row.classes, row.usd)],
        usd_drift: Some(usd(row.usd_drift)?),
        examples: examples(row.examples)?,
    })
}

/// Parts of reservations against what counters hold and presume.
///
/// # Errors
/// [`StoreError`].
pub async fn budget_holds(
    connection: &mut PgConnection,
    tenant: TenantId,
    selection: &Selection,
) -> Result<Comparison, StoreError> {
    let row =
        sqlx::query_file!("sql/audit/budget_holds.sql", tenant.0, selection.limit()).fetch_one(connection).await?;
    Ok(Comparison {
        rows: count(row.rows)?,
        drifting: count(row.drifting)?,
        figures: vec![
            Figure::amounts("held", row.ledger_held, row.stored_held),
            Figure::amounts("presumed", row.ledger_presumed, row.stored_presumed),
        ],
        usd_drift: None,
        examples: examples(row.examples)?,
    })
}

/// Counters against their bounds. `hard` are the numbers of the budgets whose commitments are bounded.
///
/// # Errors
/// [`StoreError`].
pub async fn budget_bounds(
    connection: &mut PgConnection,
    tenant: TenantId,
    selection: &Selection,
    hard: &[i64],
) -> Result<Comparison, StoreError> {
    let row = sqlx::query_file!(
        "sql/audit/budget_bounds.sql",
        tenant.0,
        hard,
        selection.start(),
        selection.end(),
        selection.limit()
    )
    .fetch_one(connection)
    .await?;
    plain(row.rows, row.drifting, row.examples)
}

/// Reservations against their states.
///
/// # Errors
/// [`StoreError`].
pub async fn reservation_states(
    connection: &mut PgConnection,
    tenant: TenantId,
    selection: &Selection,
) -> Result<Comparison, StoreError> {
    let row = sqlx::query_file!(
        "sql/audit/reservation_states.sql",
        tenant.0,
        selection.start(),
        selection.end(),
        selection.limit()
    )
    .fetch_one(connection)
    .await?;
    plain(row.rows, row.drifting, row.examples)
}

/// Events against the reservations that they name.
///
/// # Errors
/// [`StoreError`].
pub async fn reservation_events(
    connection: &mut PgConnection,
    tenant: TenantId,
    selection: &Selection,
) -> Result<Comparison, StoreError> {
    let row = sqlx::query_file!(
        "sql/audit/reservation_events.sql",
        tenant.0,
        selection.start(),
        selection.end(),
        selection.limit()
    )
    .fetch_one(connection)
    .await?;
    plain(row.rows, row.drifting, row.examples)
}

/// Corrections against the chain that they make, event by event.
///
/// # Errors
/// [`StoreError`].
pub async fn adjustment_chains(
    connection: &mut PgConnection,
    tenant: TenantId,
    selection: &Selection,
) -> Result<Comparison, StoreError> {
    let row = sqlx::query_file!(
        "sql/audit/adjustment_chains.sql",
        tenant.0,
        selection.start(),
        selection.end(),
        selection.limit()
    )
    .fetch_one(connection)
    .await?;
    plain(row.rows, row.drifting, row.examples)
}

/// The counters of these budgets, of those `windows` alone that meet a range where one is given.
///
/// # Errors
/// [`StoreError`].
pub async fn counters(
    connection: &mut PgConnection,
    tenant: TenantId,
    windows: Option<Bounds>,
    budgets: &[i64],
) -> Result<Vec<AuditedCounter>, StoreError> {
    let rows = sqlx::query_file!(
        "sql/audit/counters.sql",
        tenant.0,
        budgets,
        windows.map(|range| to_database(range.start)),
        windows.map(|range| to_database(range.end))
    )
    .fetch_all(connection)
    .await?;
    let mut counters = Vec::with_capacity(rows.len());
    for row in rows {
        counters.push(AuditedCounter {
            budget: row.budget_number,
            scope: row.scope,
            window: Bounds { start: from_database(row.window_start)?, end: from_database(row.window_end)? },
            per_values: serde_json::from_value(row.per_values)
                .map_err(|_| StoreError::Unreadable { what: "counter" })?,
            spent: Amount::new(row.spent).map_err(|_| StoreError::Unreadable { what: "amount" })?,
        });
    }
    Ok(counters)
}

/// Every counter that carries something, or says from what; of a selection, those whose windows meet its range.
///
/// # Errors
/// [`StoreError`].
pub async fn carried(
    connection: &mut PgConnection,
    tenant: TenantId,
    selection: &Selection,
) -> Result<Vec<CarriedCounter>, StoreError> {
    let rows = sqlx::query_file!("sql/audit/carried.sql", tenant.0, selection.start(), selection.end())
        .fetch_all(connection)
        .await?;
    let amount = |value: Option<Decimal>| {
        Amount::new(value.unwrap_or_default()).map_err(|_| StoreError::Unreadable { what: "amount" })
    };
    let mut counters = Vec::with_capacity(rows.len());
    for row in rows {
        let last = Counter {
            spent: amount(row.before_spent)?,
            held: amount(row.before_held)?,
            presumed: amount(row.before_presumed)?,
            highest_limit: amount(row.before_highest_limit)?,
            carried: amount(row.before_carried)?,
            ..Counter::default()
        };
        let from = row.carried_from.map(serde_json::from_value).transpose();
        counters.push(CarriedCounter {
            budget_id: row.budget_id,
            per_values: row.per_values,
            window_start: from_database(row.window_start)?,
            carried: amount(Some(row.carried))?,
            from: from.map_err(|_| StoreError::Unreadable { what: "counter" })?,
            last: row.before_version.map(|version| (version, last)),
        });
    }
    Ok(counters)
}

/// What a comparison of measures answers.
pub(super) struct SumsRow {
    pub(super) rows: i64,
    pub(super) drifting: i64,
    pub(super) ledger_attempts: i64,
    pub(super) stored_attempts: i64,
    pub(super) ledger_tokens: i64,
    pub(super) stored_tokens: i64,
    pub(super) ledger_usd: Decimal,
    pub(super) stored_usd: Decimal,
    pub(super) usd_drift: Decimal,
    pub(super) examples: Value,
}

impl TryFrom<SumsRow> for Comparison {
    type Error = StoreError;

    fn try_from(row: SumsRow) -> Result<Self, StoreError> {
        Ok(Self {
            rows: count(row.rows)?,
            drifting: count(row.drifting)?,
            figures: vec![
                Figure::counts("attempts", row.ledger_attempts, row.stored_attempts),
                Figure::counts("tokens", row.ledger_tokens, row.stored_tokens),
                Figure::amounts("usd", row.ledger_usd, row.stored_usd),
            ],
            usd_drift: Some(usd(row.usd_drift)?),
            examples: examples(row.examples)?,
        })
    }
}

pub(super) fn plain(rows: i64, drifting: i64, found: Value) -> Result<Comparison, StoreError> {
    Ok(Comparison {
        rows: count(rows)?,
        drifting: count(drifting)?,
        figures: Vec::new(),
        usd_drift: None,
        examples: examples(found)?,
    })
}

pub(super) fn count(value: i64) -> Result<u64, StoreError> {
    u64::try_from(value).map_err(|_| StoreError::Unreadable { what: "count" })
}

fn usd(value: Decimal) -> Result<Usd, StoreError> {
    Usd::new(value).map_err(|_| StoreError::Unreadable { what: "amount" })
}

/// Amounts come as the database prints them: all twelve decimals, zeros included.
pub(super) fn examples(found: Value) -> Result<Vec<Example>, StoreError> {
    let mut found: Vec<Example> =
        serde_json::from_value(found).map_err(|_| StoreError::Unreadable { what: "example" })?;
    for difference in found.iter_mut().flat_map(|example| &mut example.differences) {
        for side in [&mut difference.ledger, &mut difference.stored] {
            if let Some(amount) = side.as_deref().and_then(|text| text.parse::<Decimal>().ok()) {
                *side = Some(amount.normalize().to_string());
            }
        }
    }
    Ok(found)
}
