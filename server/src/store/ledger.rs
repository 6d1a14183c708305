//! The statements of the ledger's transaction, in the order in which it runs them.

use jiff::Timestamp;
use sqlx::types::Json;
use sqlx::{AssertSqlSafe, PgConnection, PgPool, Postgres, Row as _, Transaction};
use tollgate_domain::amount::Amount;
use tollgate_domain::budget::Counter;
use tollgate_domain::measures::Measures;
use tracing::Instrument as _;
use uuid::Uuid;

use super::connect::begin;
use super::error::StoreError;
use super::event_row::EventRow;
use super::measures_row::MeasuresRow;
use super::reservations::Reservation;
use super::scoped::{Scoped, TenantPool};
use super::time::{from_database, to_database};
use super::windows::StoredWindow;
use crate::tenant::TenantId;
use crate::trace::statement;

/// First key of the advisory locks that order budget changes against batches; the second is the tenant.
pub const BUDGETS_LOCK: i32 = 0x746f_6c6c;

/// How every transaction begins that locks what others wait for. A replica that stands still inside of one, or whose host is
/// gone without a word, loses it after that time, so that its peers go on; should it come back, it tries again. The limit is
/// part of the transaction, because poolers drop settings of a connection. It is well above the round trip of a slow network,
/// and short enough for two writers in a row to lose theirs within ten seconds.
pub(super) const BEGIN: &str =
    "BEGIN ISOLATION LEVEL READ COMMITTED; SET LOCAL idle_in_transaction_session_timeout = '3s'";

/// Rollup grain of 15 minutes: fine enough for a day in every time zone.
pub const GRAIN_QUARTER: i16 = 1;
/// Rollup grain of UTC days.
pub const GRAIN_DAY: i16 = 2;

/// Starts a batch: from here to its end, the tenant's budgets do not change. Any number of batches run at once. Reads the clock
/// and the versions, too, all in one round trip.
///
/// The lock is taken in a statement of its own, so that the snapshots of all later ones come after it. Where anything fails from here
/// on, the connection must be closed: the transaction is open behind it.
///
/// # Errors
/// [`StoreError`].
pub async fn begin_batch(connection: &mut PgConnection, tenant: TenantId) -> Result<Clock, StoreError> {
    // Nothing but the tenant's number is put into the text. The clock is read as a number: such answers come as texts, and there are
    // several ways to write an instant.
    let begin = format!(
        "{BEGIN}; SELECT pg_advisory_xact_lock_shared({BUDGETS_LOCK}, {tenant}); \
         SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint AS microsecond, budgets_version, prices_version, erasures_version \
         FROM tenant WHERE tenant_id = {tenant}",
        tenant = tenant.0
    );
    let rows =
        sqlx::raw_sql(AssertSqlSafe(begin)).fetch_all(connection).instrument(statement("begin", "BEGIN")).await?;
    let clock = rows.last().ok_or(StoreError::Unreadable { what: "clock" })?;
    let now = Timestamp::from_microsecond(clock.try_get("microsecond")?);
    Ok(Clock {
        now: now.map_err(|_| StoreError::Unreadable { what: "clock" })?,
        budgets_version: clock.try_get("budgets_version")?,
        prices_version: clock.try_get("prices_version")?,
        erasures_version: clock.try_get("erasures_version")?,
    })
}

/// Commits what [`begin_batch`] began.
///
/// # Errors
/// [`StoreError`]: the outcome is unknown.
pub async fn commit(connection: &mut PgConnection) -> Result<(), StoreError> {
    sqlx::raw_sql("COMMIT").execute(connection).instrument(statement("commit", "COMMIT")).await?;
    Ok(())
}

/// Undoes what was done since [`begin_batch`].
///
/// # Errors
/// [`StoreError`].
pub async fn roll_back(connection: &mut PgConnection) -> Result<(), StoreError> {
    sqlx::raw_sql("ROLLBACK").execute(connection).instrument(statement("roll back", "ROLLBACK")).await?;
    Ok(())
}

/// Starts a change of the tenant's budgets that the tenant asked for: it waits for the batches under way and holds off new ones.
///
/// # Errors
/// [`StoreError`]; [`StoreError::Unavailable`] where the lock is not to be had in time.
pub async fn begin_budget_change(tenants: &TenantPool, tenant: TenantId) -> Result<Scoped, StoreError> {
    let mut transaction = tenants.begin(tenant, BEGIN).await?;
    lock_budgets(&mut transaction, tenant).await?;
    Ok(transaction)
}

/// The same for upkeep, which writes what no tenant may.
///
/// # Errors
/// [`StoreError`]; [`StoreError::Unavailable`] where the lock is not to be had in time.
pub async fn begin_budget_upkeep(
    all_tenants: &PgPool,
    tenant: TenantId,
) -> Result<Transaction<'static, Postgres>, StoreError> {
    let mut transaction = begin(all_tenants, BEGIN).await?;
    lock_budgets(&mut transaction, tenant).await?;
    Ok(transaction)
}

async fn lock_budgets(connection: &mut PgConnection, tenant: TenantId) -> Result<(), StoreError> {
    let locked = sqlx::query_file!("sql/ledger/lock_budgets.sql", BUDGETS_LOCK, tenant.0).execute(connection).await;
    match locked.map_err(StoreError::from) {
        Ok(_) => Ok(()),
        Err(StoreError::TimedOut(error)) => Err(StoreError::Unavailable(error)),
        Err(error) => Err(error),
    }
}

/// What a batch starts from.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    /// The database's clock.
    pub now: Timestamp,
    /// The version of the tenant's budgets.
    pub budgets_version: i64,
    /// The version of the tenant's prices.
    pub prices_version: i64,
    /// The version of the tenant's erasures.
    pub erasures_version: i64,
}

/// Reads the database's clock and the versions of the tenant's budgets and prices.
///
/// # Errors
/// [`StoreError`].
pub async fn clock(connection: &mut PgConnection, tenant: TenantId) -> Result<Clock, StoreError> {
    let row = sqlx::query_file!("sql/ledger/clock.sql", tenant.0).fetch_one(connection).await?;
    Ok(Clock {
        now: from_database(row.now)?,
        budgets_version: row.budgets_version,
        prices_version: row.prices_version,
        erasures_version: row.erasures_version,
    })
}

/// Maps keys of other systems to event ids: a key that is there already keeps the id of its first telling.
///
/// # Errors
/// [`StoreError`].
pub async fn claim_external_keys(
    connection: &mut PgConnection,
    tenant: TenantId,
    sources: &[String],
    keys: &[String],
    ids: &[Uuid],
) -> Result<Vec<(String, String, Uuid)>, StoreError> {
    sqlx::query_file!("sql/ledger/add_external_keys.sql", tenant.0, sources, keys, ids)
        .execute(&mut *connection)
        .instrument(statement("ledger/add_external_keys", "INSERT"))
        .await?;
    find_external_keys(connection, tenant, sources, keys).await
}

/// The event ids behind keys of other systems; unknown keys are left out.
///
/// # Errors
/// [`StoreError`].
pub async fn find_external_keys(
    connection: &mut PgConnection,
    tenant: TenantId,
    sources: &[String],
    keys: &[String],
) -> Result<Vec<(String, String, Uuid)>, StoreError> {
    let rows = sqlx::query_file!("sql/ledger/find_external_keys.sql", tenant.0, sources, keys)
        .fetch_all(connection)
        .instrument(statement("ledger/find_external_keys", "SELECT"))
        .await?;
    Ok(rows.into_iter().map(|row| (row.source, row.key, row.event_id)).collect())
}

/// Adds notices to events of this batch.
///
/// # Errors
/// [`StoreError`].
pub async fn add_notices(
    connection: &mut PgConnection,
    tenant: TenantId,
    ids: &[Uuid],
    notices: &[i16],
) -> Result<(), StoreError> {
    sqlx::query_file!("sql/ledger/add_notices.sql", tenant.0, ids, notices)
        .execute(connection)
        .instrument(statement("ledger/add_notices", "UPDATE"))
        .await?;
    Ok(())
}

/// One row of session totals to add to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SessionKey {
    /// The session's number.
    pub session: i64,
    /// Whether its descendants used this.
    pub descendants: bool,
    /// The shape.
    pub shape: i64,
    /// Whether it holds what corrections changed, instead of what was first charged.
    pub adjustment: bool,
}

/// One row of rollups to add to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RollupKey {
    /// The grain.
    pub grain: i16,
    /// Start of the bucket.
    pub bucket: Timestamp,
    /// The user's number, for rollups by user; else 0.
    pub user: i64,
    /// The shape.
    pub shape: i64,
    /// Whether it holds what corrections changed, instead of what was first charged.
    pub adjustment: bool,
}

/// Records events and adds to the totals of sessions and users, keys sorted; says how many events were not there yet. Where that is
/// not all of them, the transaction has to be undone: what is added belongs to all.
///
/// # Errors
/// [`StoreError`].
pub async fn record<'a>(
    connection: &mut PgConnection,
    tenant: TenantId,
    events: &[EventRow],
    sessions: impl Iterator<Item = (&'a SessionKey, &'a Measures)>,
    users: impl Iterator<Item = (&'a RollupKey, &'a Measures)>,
) -> Result<usize, StoreError> {
    let (sessions, session_sums): (Vec<&SessionKey>, Vec<MeasuresRow>) = columns(sessions);
    let (users, user_sums): (Vec<&RollupKey>, Vec<MeasuresRow>) = columns(users);
    if events.is_empty() && sessions.is_empty() && users.is_empty() {
        return Ok(0);
    }
    let recorded = sqlx::query_file_scalar!(
        "sql/ledger/record.sql",
        tenant.0,
        events as _,
        &sessions.iter().map(|key| key.session).collect::<Vec<_>>(),
        &sessions.iter().map(|key| key.descendants).collect::<Vec<_>>(),
        &sessions.iter().map(|key| key.shape).collect::<Vec<_>>(),
        &sessions.iter().map(|key| key.adjustment).collect::<Vec<_>>(),
        &session_sums as _,
        &users.iter().map(|key| key.grain).collect::<Vec<_>>(),
        &users.iter().map(|key| to_database(key.bucket)).collect::<Vec<_>>(),
        &users.iter().map(|key| key.user).collect::<Vec<_>>(),
        &users.iter().map(|key| key.shape).collect::<Vec<_>>(),
        &users.iter().map(|key| key.adjustment).collect::<Vec<_>>(),
        &user_sums as _
    )
    .fetch_one(connection)
    .instrument(statement("ledger/record", "INSERT"))
    .await?;
    Ok(usize::try_from(recorded).unwrap_or_default())
}

fn columns<'a, Key>(sums: impl Iterator<Item = (&'a Key, &'a Measures)>) -> (Vec<&'a Key>, Vec<MeasuresRow>) {
    sums.map(|(key, measures)| (key, MeasuresRow::from(measures))).unzip()
}

/// What ends a batch.
#[derive(Debug, Default)]
pub struct Conclusion<'a> {
    /// Reservations to add, ids sorted.
    pub added: Vec<&'a Reservation>,
    /// Reservations to write back.
    pub changed: Vec<&'a Reservation>,
    /// Counters to write back, keys sorted.
    pub counters: Vec<&'a StoredWindow>,
    /// What to add to the rollups by shape, keys sorted.
    pub rollups: Vec<(&'a RollupKey, &'a Measures)>,
}

impl Conclusion<'_> {
    fn is_empty(&self) -> bool {
        self.added.is_empty() && self.changed.is_empty() && self.counters.is_empty() && self.rollups.is_empty()
    }
}

/// Writes what ends a batch; says how many of the added reservations were not there yet.
///
/// # Errors
/// [`StoreError`].
pub async fn conclude(
    connection: &mut PgConnection,
    tenant: TenantId,
    conclusion: &Conclusion<'_>,
) -> Result<usize, StoreError> {
    if conclusion.is_empty() {
        return Ok(0);
    }
    let Conclusion { added, changed, counters, rollups } = conclusion;
    let (rollups, sums) = columns(rollups.iter().copied());
    let counts = |read: fn(&Counter) -> Amount| -> Vec<rust_decimal::Decimal> {
        counters.iter().map(|window| read(&window.counter).decimal()).collect()
    };
    let concluded = sqlx::query_file_scalar!(
        "sql/ledger/conclude.sql",
        tenant.0,
        &added.iter().map(|one| one.id).collect::<Vec<_>>(),
        &added.iter().map(|one| one.state.code()).collect::<Vec<_>>(),
        &added.iter().map(|one| to_database(one.create_time)).collect::<Vec<_>>(),
        &added.iter().map(|one| to_database(one.expire_time)).collect::<Vec<_>>(),
        &added.iter().map(|one| one.end_time.map(to_database)).collect::<Vec<_>>() as _,
        &added.iter().map(|one| one.sequence).collect::<Vec<_>>(),
        &added.iter().map(|one| one.fingerprint).collect::<Vec<_>>() as _,
        &added.iter().map(|one| one.context.as_ref().map(Json)).collect::<Vec<_>>() as _,
        &added.iter().map(|one| Json(&one.parts)).collect::<Vec<_>>() as _,
        &added.iter().map(|one| Json(&one.progress)).collect::<Vec<_>>() as _,
        &changed.iter().map(|one| one.id).collect::<Vec<_>>(),
        &changed.iter().map(|one| one.state.code()).collect::<Vec<_>>(),
        &changed.iter().map(|one| to_database(one.expire_time)).collect::<Vec<_>>(),
        &changed.iter().map(|one| one.end_time.map(to_database)).collect::<Vec<_>>() as _,
        &changed.iter().map(|one| one.sequence).collect::<Vec<_>>(),
        &changed.iter().map(|one| one.context.as_ref().map(Json)).collect::<Vec<_>>() as _,
        &changed.iter().map(|one| Json(&one.parts)).collect::<Vec<_>>() as _,
        &changed.iter().map(|one| Json(&one.progress)).collect::<Vec<_>>() as _,
        &counters.iter().map(|window| window.key.budget).collect::<Vec<_>>(),
        &counters.iter().map(|window| window.key.scope).collect::<Vec<_>>(),
        &counters.iter().map(|window| to_database(window.key.start)).collect::<Vec<_>>(),
        &counters.iter().map(|window| to_database(window.end)).collect::<Vec<_>>(),
        &counters.iter().map(|window| Json(&window.per_values)).collect::<Vec<_>>() as _,
        &counts(|counter| counter.spent),
        &counts(|counter| counter.held),
        &counts(|counter| counter.presumed),
        &counts(|counter| counter.overrun),
        &counts(|counter| counter.highest_limit),
        &counters.iter().map(|window| Json(&window.counter.overrun_causes)).collect::<Vec<_>>() as _,
        &rollups.iter().map(|key| key.grain).collect::<Vec<_>>(),
        &rollups.iter().map(|key| to_database(key.bucket)).collect::<Vec<_>>(),
        &rollups.iter().map(|key| key.shape).collect::<Vec<_>>(),
        &rollups.iter().map(|key| key.adjustment).collect::<Vec<_>>(),
        &sums as _
    )
    .fetch_one(connection)
    .instrument(statement("ledger/conclude", "UPDATE"))
    .await?;
    Ok(usize::try_from(concluded).unwrap_or_default())
}
