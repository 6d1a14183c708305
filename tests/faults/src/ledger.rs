//! What the database holds, read past every server.

use std::time::Duration;

use sqlx::{PgConnection, Row as _};
use uuid::Uuid;

/// Sums of one counter in one window, in tokens.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Counter {
    pub(crate) spent: i64,
    pub(crate) held: i64,
    pub(crate) presumed: i64,
    pub(crate) overrun: i64,
}

impl Counter {
    /// What is no longer available.
    pub(crate) fn committed(&self) -> i64 {
        self.spent.saturating_add(self.held).saturating_add(self.presumed)
    }
}

/// Every event with its input tokens.
pub(crate) async fn events(connection: &mut PgConnection) -> sqlx::Result<Vec<(Uuid, i64)>> {
    sqlx::query_as("SELECT event_id, coalesce(input_tokens, 0) FROM usage_event_wide WHERE tenant_id = 1")
        .fetch_all(connection)
        .await
}

/// The counters of a budget for a user, by window.
pub(crate) async fn counters(connection: &mut PgConnection, budget_id: &str, user: &str) -> sqlx::Result<Vec<Counter>> {
    let rows = sqlx::query(
        "SELECT spent::bigint AS spent, held::bigint AS held, presumed::bigint AS presumed, overrun::bigint AS overrun
         FROM budget_window JOIN budget USING (tenant_id, budget_number)
         WHERE tenant_id = 1 AND budget_id = $1 AND per_values ->> 0 = $2
         ORDER BY window_start",
    )
    .bind(budget_id)
    .bind(user)
    .fetch_all(connection)
    .await?;
    rows.iter()
        .map(|row| {
            Ok(Counter {
                spent: row.try_get("spent")?,
                held: row.try_get("held")?,
                presumed: row.try_get("presumed")?,
                overrun: row.try_get("overrun")?,
            })
        })
        .collect()
}

/// Reservations that hold.
pub(crate) async fn open_holds(connection: &mut PgConnection) -> sqlx::Result<i64> {
    sqlx::query_scalar("SELECT count(*) FROM reservation WHERE tenant_id = 1 AND state = 1").fetch_one(connection).await
}

/// Reservations that hold although they have expired so many seconds ago.
pub(crate) async fn overdue_holds(connection: &mut PgConnection, seconds: i32) -> sqlx::Result<i64> {
    sqlx::query_scalar(
        "SELECT count(*) FROM reservation
         WHERE tenant_id = 1 AND state = 1 AND expire_time < clock_timestamp() - make_interval(secs => $1)",
    )
    .bind(f64::from(seconds))
    .fetch_one(connection)
    .await
}

/// Which of these reservations are not there.
pub(crate) async fn missing_holds(connection: &mut PgConnection, ids: &[Uuid]) -> sqlx::Result<i64> {
    sqlx::query_scalar(
        "SELECT count(*) FROM unnest($1::uuid[]) AS wanted (id)
         WHERE NOT EXISTS (SELECT FROM reservation WHERE tenant_id = 1 AND reservation_id = wanted.id)",
    )
    .bind(ids)
    .fetch_one(connection)
    .await
}

/// For how long each connection of a server has stood still inside a transaction.
pub(crate) async fn standing_transactions(connection: &mut PgConnection) -> sqlx::Result<Vec<Duration>> {
    let milliseconds: Vec<i64> = sqlx::query_scalar(
        "SELECT greatest(0, extract(epoch FROM clock_timestamp() - state_change) * 1000)::bigint FROM pg_stat_activity
         WHERE datname = current_database() AND application_name = 'tollgate' AND state LIKE 'idle in transaction%'",
    )
    .fetch_all(connection)
    .await?;
    Ok(milliseconds.into_iter().map(|milliseconds| Duration::from_millis(milliseconds.unsigned_abs())).collect())
}

/// Waits of an expired hold for the sweeper.
pub(crate) const SWEEPING_SECONDS: i32 = 5;

/// Whether the reservation has expired.
pub(crate) async fn has_expired(connection: &mut PgConnection, id: Uuid) -> sqlx::Result<bool> {
    sqlx::query_scalar(
        "SELECT EXISTS (SELECT FROM reservation WHERE tenant_id = 1 AND reservation_id = $1 AND state = 4)",
    )
    .bind(id)
    .fetch_one(connection)
    .await
}

/// The database's clock, in microseconds since 1970.
pub(crate) async fn clock_micros(connection: &mut PgConnection) -> sqlx::Result<i64> {
    sqlx::query_scalar("SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint").fetch_one(connection).await
}

/// How many windows have counted something, by budget.
pub(crate) async fn windows_used(connection: &mut PgConnection) -> sqlx::Result<Vec<(String, i64)>> {
    sqlx::query_as(
        "SELECT budget_id, count(DISTINCT window_start)
         FROM budget_window JOIN budget USING (tenant_id, budget_number)
         WHERE tenant_id = 1 AND spent > 0
         GROUP BY budget_id",
    )
    .fetch_all(connection)
    .await
}
