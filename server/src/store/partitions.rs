//! Monthly partitions of the events, made ahead, and dropped when they are empty.

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use sqlx::{AssertSqlSafe, PgPool};
use uuid::Uuid;

use super::error::StoreError;

/// First key of the advisory lock under which partitions are made, one replica at a time.
const PARTITIONS_LOCK: i64 = 0x746f_6c6c_7061_7274;

/// Makes the partitions of every month from `oldest` to `newest` that are missing.
///
/// # Errors
/// [`StoreError`].
pub async fn ensure(pool: &PgPool, oldest: Timestamp, newest: Timestamp) -> Result<(), StoreError> {
    let mut transaction = pool.begin().await?;
    sqlx::query_file!("sql/tasks/lock_partitions.sql", PARTITIONS_LOCK).execute(&mut *transaction).await?;
    let known = sqlx::query_file!("sql/tasks/partitions.sql").fetch_all(&mut *transaction).await?;
    let known: std::collections::HashSet<String> = known.into_iter().map(|row| row.name).collect();
    let mut month = first_of_month(oldest);
    let last = first_of_month(newest);
    while month <= last {
        let next = following(month)?;
        let name = name_of(month);
        if !known.contains(&name) {
            let (from, to) = (first_id(month)?, first_id(next)?);
            // Made apart and attached, which does not lock out writers. Names and bounds are computed here.
            for statement in [
                format!("CREATE TABLE {name} (LIKE usage_event INCLUDING DEFAULTS INCLUDING CONSTRAINTS)"),
                format!("SELECT confine_to_tenant('{name}')"),
                format!("ALTER TABLE usage_event ATTACH PARTITION {name} FOR VALUES FROM ('{from}') TO ('{to}')"),
            ] {
                sqlx::raw_sql(AssertSqlSafe(statement)).execute(&mut *transaction).await?;
            }
        }
        month = next;
    }
    transaction.commit().await?;
    Ok(())
}

/// Whether there is a partition for events of that time.
///
/// # Errors
/// [`StoreError`].
pub async fn covers(pool: &PgPool, at: Timestamp) -> Result<bool, StoreError> {
    let known = sqlx::query_file!("sql/tasks/partitions.sql").fetch_all(pool).await?;
    let name = name_of(first_of_month(at));
    Ok(known.iter().any(|row| row.name == name))
}

fn name_of(month: Date) -> String {
    format!("usage_event_{:04}_{:02}", month.year(), month.month())
}

/// Drops the partitions of months before the one that holds `oldest_kept`, as far as no event is left in them; says how many.
///
/// # Errors
/// [`StoreError::TimedOut`] where others use the table for longer than a moment: later is early enough.
pub async fn drop_empty(pool: &PgPool, oldest_kept: Timestamp) -> Result<usize, StoreError> {
    let mut transaction = pool.begin().await?;
    sqlx::query_file!("sql/tasks/lock_partitions.sql", PARTITIONS_LOCK).execute(&mut *transaction).await?;
    let known = sqlx::query_file!("sql/tasks/partitions.sql").fetch_all(&mut *transaction).await?;
    let first_kept = name_of(first_of_month(oldest_kept));
    let mut dropped = 0;
    for name in known.into_iter().map(|row| row.name).filter(|name| *name < first_kept) {
        // Names were computed here.
        let question = format!("SELECT EXISTS (SELECT FROM {name})");
        let in_use: bool = sqlx::query_scalar(AssertSqlSafe(question)).fetch_one(&mut *transaction).await?;
        if in_use {
            continue;
        }
        // Who waits for this lock makes everybody else wait: not for long.
        for statement in [
            "SET LOCAL lock_timeout = '200ms'".to_owned(),
            format!("ALTER TABLE usage_event DETACH PARTITION {name}"),
            format!("DROP TABLE {name}"),
        ] {
            sqlx::raw_sql(AssertSqlSafe(statement)).execute(&mut *transaction).await?;
        }
        dropped += 1;
    }
    transaction.commit().await?;
    Ok(dropped)
}

/// The start of the month that holds `at`, and the smallest event id of it.
///
/// # Errors
/// [`StoreError`].
pub fn month_of(at: Timestamp) -> Result<(Timestamp, Uuid), StoreError> {
    let month = first_of_month(at);
    let start = month.to_zoned(TimeZone::UTC).map_err(|_| StoreError::Unreadable { what: "month" })?.timestamp();
    Ok((start, first_id(month)?))
}

fn first_of_month(at: Timestamp) -> Date {
    at.to_zoned(TimeZone::UTC).date().first_of_month()
}

fn following(month: Date) -> Result<Date, StoreError> {
    month.last_of_month().tomorrow().map_err(|_| StoreError::Unreadable { what: "month" })
}

/// The smallest UUID whose leading 48 bits are this month's first millisecond.
fn first_id(month: Date) -> Result<Uuid, StoreError> {
    let unreadable = || StoreError::Unreadable { what: "month" };
    let start = month.to_zoned(TimeZone::UTC).map_err(|_| unreadable())?.timestamp();
    let milliseconds = u128::try_from(start.as_millisecond()).map_err(|_| unreadable())?;
    Ok(Uuid::from_u128(milliseconds << 80))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_are_the_first_ids_of_their_months() {
        let month = Date::constant(2026, 11, 1);
        let id = first_id(month).unwrap();
        let start: Timestamp = "2026-11-01T00:00:00Z".parse().unwrap();
        let first = Uuid::new_v7(uuid::Timestamp::from_unix(uuid::NoContext, start.as_second().unsigned_abs(), 0));
        assert!(id <= first && first < first_id(following(month).unwrap()).unwrap());
    }
}
