//! A reader that checks the invariants of budgets in one snapshot after another, while everything around it breaks.
//!
//! What a counter must have spent, held and presumed is computed here from events and reservations, by a statement of its
//! own that shares nothing with the server's audit.

use std::time::{Duration, Instant};

use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions as _, Connection as _, PgConnection, Row as _};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// Time from one reading to the next.
const PERIOD: Duration = Duration::from_millis(100);
/// Most violations that are kept: one tells as much as a thousand.
const KEPT: usize = 5;

/// I1: held and presumed are the sums of the reservations' parts. I2: spent is the sum of the events of the window. I3 and
/// I4: what is committed is at most the highest limit of the window and what was lifted above it; `$1` says that nothing
/// may have been.
const STATEMENT: &str = "
    WITH counter AS (
        SELECT budget_window.*, budget.budget_id, budget.counted_from, per_values ->> 0 AS user_id
        FROM budget_window JOIN budget USING (tenant_id, budget_number)
        WHERE tenant_id = 1 AND delete_time IS NULL
    ), parts AS (
        SELECT
            part.budget AS budget_number, part.scope, part.window_start,
            sum(part.held) FILTER (WHERE state = 1) AS held, sum(part.presumed) AS presumed
        FROM reservation CROSS JOIN LATERAL jsonb_to_recordset(parts)
            AS part (budget bigint, scope uuid, window_start timestamptz, held numeric, presumed numeric)
        WHERE tenant_id = 1 AND state IN (1, 4)
        GROUP BY 1, 2, 3
    ), charged AS (
        SELECT counter.budget_number, counter.scope, counter.window_start, sum(input_tokens) AS tokens
        FROM counter
        JOIN symbol ON symbol.tenant_id = 1 AND symbol.value = counter.user_id
        JOIN usage_event_wide AS event ON event.tenant_id = 1 AND event.user_id = symbol.symbol_id
            AND charge_time >= greatest(counter.window_start, counter.counted_from)
            AND charge_time < counter.window_end
        GROUP BY 1, 2, 3
    )
    SELECT
        format(
            'budget %s, user %s, window from %s: spent %s, events %s; held %s, open parts %s; presumed %s, parts %s; '
            'highest limit %s, overrun %s',
            budget_id, user_id, window_start, spent, coalesce(charged.tokens, 0), counter.held, coalesce(parts.held, 0),
            counter.presumed, coalesce(parts.presumed, 0), highest_limit, overrun
        ) AS shown,
        CASE
            WHEN counter.held <> coalesce(parts.held, 0) OR counter.presumed <> coalesce(parts.presumed, 0) THEN 'I1'
            WHEN spent <> coalesce(charged.tokens, 0) THEN 'I2'
            WHEN $1 AND overrun <> 0 THEN 'I3'
            WHEN spent + counter.held + counter.presumed > highest_limit + overrun THEN 'I4'
        END AS broken
    FROM counter
    LEFT JOIN parts USING (budget_number, scope, window_start)
    LEFT JOIN charged USING (budget_number, scope, window_start)";

/// What the reader saw.
#[derive(Debug, Default)]
pub(crate) struct Reading {
    /// Snapshots that were read.
    pub(crate) snapshots: u64,
    /// Invariants that did not hold.
    pub(crate) violations: Vec<String>,
}

/// A reader under way.
pub(crate) struct Reader {
    stop: CancellationToken,
    task: JoinHandle<Reading>,
}

impl Reader {
    /// Starts reading. `exact` = no overrun is expected: no call costs more than was held for it.
    pub(crate) fn start(options: PgConnectOptions, exact: bool) -> Self {
        let stop = CancellationToken::new();
        let task = tokio::spawn(read_on(options, exact, stop.clone()));
        Self { stop, task }
    }

    /// Ends it.
    pub(crate) async fn stop(self) -> anyhow::Result<Reading> {
        self.stop.cancel();
        Ok(self.task.await?)
    }
}

async fn read_on(options: PgConnectOptions, exact: bool, stop: CancellationToken) -> Reading {
    let mut reading = Reading::default();
    let mut connection = None;
    while !stop.is_cancelled() {
        let start = Instant::now();
        // While the database is away there is nothing to see.
        if let Ok(found) = snapshot(&mut connection, &options, exact).await {
            reading.snapshots += 1;
            let room = KEPT.saturating_sub(reading.violations.len());
            reading.violations.extend(found.into_iter().take(room));
        } else {
            connection = None;
        }
        // A large ledger takes longer to read: at most half of the time goes into it.
        let pause = PERIOD.saturating_sub(start.elapsed()).max(start.elapsed());
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = stop.cancelled() => {}
        }
    }
    reading
}

async fn snapshot(
    connection: &mut Option<PgConnection>,
    options: &PgConnectOptions,
    exact: bool,
) -> sqlx::Result<Vec<String>> {
    if connection.is_none() {
        *connection = Some(options.connect().await?);
    }
    match connection {
        Some(connection) => violations(connection, exact).await,
        None => Ok(Vec::new()),
    }
}

/// Reads one snapshot: every invariant that does not hold in it.
pub(crate) async fn violations(connection: &mut PgConnection, exact: bool) -> sqlx::Result<Vec<String>> {
    let mut transaction = connection.begin_with("BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY").await?;
    let rows = sqlx::query(STATEMENT).bind(exact).fetch_all(&mut *transaction).await?;
    transaction.rollback().await?;
    let mut found = Vec::new();
    for row in rows {
        if let Some(broken) = row.try_get::<Option<String>, _>("broken")? {
            found.push(format!("{broken} does not hold: {}", row.try_get::<String, _>("shown")?));
        }
    }
    Ok(found)
}
