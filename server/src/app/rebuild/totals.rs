//! Session totals and rollups from the events and the legs of their corrections, as batches add them up, and from what is
//! sealed of events that are gone.

use std::collections::BTreeMap;

use futures::TryStreamExt as _;
use sqlx::{PgConnection, PgPool};
use tollgate_domain::measures::Measures;

use super::RebuildError;
use super::report::{Kind, KindReport, differences};
use crate::ledger::totals::Totals;
use crate::store::dictionary::Dictionary;
use crate::store::ledger::{RollupKey, SessionKey};
use crate::store::rebuild::{self as store, StoredSums, entries};
use crate::store::{StoreError, retention, usage};
use crate::tenant::TenantId;

/// Entries that are decoded, and rows that are written, together.
const CHUNK: usize = 1_000;

pub(super) async fn rebuild(
    pool: &PgPool,
    connection: &mut PgConnection,
    dictionary: &Dictionary,
    tenant: TenantId,
    kind: Kind,
    dry_run: bool,
) -> Result<KindReport, RebuildError> {
    let totals = added_up(pool, connection, dictionary, tenant).await?;
    let (report, plan) = match kind {
        Kind::SessionTotals => {
            let stored = store::session_usage(connection, tenant).await?;
            let (report, put, delete) = compare(kind, totals.sessions(), stored, session_row);
            (report, Plan::Sessions(put, delete))
        }
        Kind::UsageRollup => {
            let stored = store::usage_rollup(connection, tenant).await?;
            let (report, put, delete) = compare(kind, totals.shapes(), stored, rollup_row);
            (report, Plan::Shapes(put, delete))
        }
        Kind::UserRollup | Kind::BudgetCounters => {
            let stored = store::user_rollup(connection, tenant).await?;
            let (report, put, delete) = compare(kind, totals.users(), stored, rollup_row);
            (report, Plan::Users(put, delete))
        }
    };
    if !dry_run {
        plan.write(connection, tenant).await?;
    }
    Ok(report)
}

/// Every entry is read through a connection of its own: batches are kept out, so that it sees what the transaction sees.
async fn added_up(
    pool: &PgPool,
    connection: &mut PgConnection,
    dictionary: &Dictionary,
    tenant: TenantId,
) -> Result<Totals, RebuildError> {
    let mut reading = pool.acquire().await.map_err(StoreError::from)?;
    let mut chunks = std::pin::pin!(entries(&mut reading, tenant, None).try_chunks(CHUNK));
    let mut totals = Totals::default();
    for (key, sums) in retention::sealed_sessions(connection, tenant).await? {
        totals.add_session(key, &sums)?;
    }
    for (key, sums) in retention::sealed_rollups(connection, tenant).await? {
        totals.add_rollup(key, &sums)?;
    }
    while let Some(chunk) = chunks.try_next().await.map_err(|failed| failed.1)? {
        let rows = chunk.iter().map(|entry| entry.event.clone()).collect();
        let events = usage::decode(connection, dictionary, tenant, rows).await?;
        for (entry, event) in chunk.iter().zip(events) {
            let measures = Measures::of(&event.event, &event.charge)?;
            let measures = if entry.reversed { measures.negated()? } else { measures };
            totals.add_row(&entry.event, event.event.start_time, &measures, entry.adjustment)?;
        }
    }
    Ok(totals)
}

type Compared<K> = (KindReport, Vec<StoredSums<K>>, Vec<K>);

/// What differs, the rows to put and the keys to delete, sorted.
fn compare<'a, K: Ord + Copy + 'a>(
    kind: Kind,
    ledger: impl Iterator<Item = (&'a K, &'a Measures)>,
    stored: Vec<StoredSums<K>>,
    name: impl Fn(&K) -> String,
) -> Compared<K> {
    let mut report = KindReport::new(kind);
    let mut stored: BTreeMap<K, StoredSums<K>> = stored.into_iter().map(|row| (row.key, row)).collect();
    let mut put = Vec::new();
    for (key, measures) in ledger {
        report.rows += 1;
        let before = stored.remove(key);
        if before.as_ref().is_some_and(|before| before.measures == *measures) {
            continue;
        }
        report.differs(|| name(key), differences(Some(measures), before.as_ref().map(|before| &before.measures)));
        let version = before.map_or(0, |before| before.version) + 1;
        put.push(StoredSums { key: *key, version, measures: measures.clone() });
    }
    // What is left is of no event. Versions of a scope are the sum of its rows': where rows go, others rise.
    let gone: i64 = stored.values().map(|row| row.version).sum();
    put.iter_mut().for_each(|row| row.version = row.version.saturating_add(gone));
    for row in stored.values() {
        report.rows += 1;
        report.differs(|| name(&row.key), differences(None, Some(&row.measures)));
    }
    (report, put, stored.into_keys().collect())
}

fn session_row(key: &SessionKey) -> String {
    let SessionKey { session, descendants, shape, adjustment } = key;
    let of = if *descendants { "descendants of session" } else { "session" };
    format!("{of} number {session}, shape {shape}{}", corrections(*adjustment))
}

fn rollup_row(key: &RollupKey) -> String {
    let RollupKey { grain, bucket, user, shape, adjustment } = key;
    let user = if *user == 0 { String::new() } else { format!(", user number {user}") };
    format!("grain {grain}, bucket {bucket}{user}, shape {shape}{}", corrections(*adjustment))
}

fn corrections(adjustment: bool) -> &'static str {
    if adjustment { ", corrections" } else { "" }
}

/// What is to be written.
enum Plan {
    Sessions(Vec<StoredSums<SessionKey>>, Vec<SessionKey>),
    Shapes(Vec<StoredSums<RollupKey>>, Vec<RollupKey>),
    Users(Vec<StoredSums<RollupKey>>, Vec<RollupKey>),
}

impl Plan {
    async fn write(&self, connection: &mut PgConnection, tenant: TenantId) -> Result<(), StoreError> {
        match self {
            Self::Sessions(put, delete) => {
                store::delete_session_usage(connection, tenant, delete).await?;
                for rows in put.chunks(CHUNK) {
                    store::put_session_usage(connection, tenant, rows).await?;
                }
            }
            Self::Shapes(put, delete) => {
                store::delete_usage_rollup(connection, tenant, delete).await?;
                for rows in put.chunks(CHUNK) {
                    store::put_usage_rollup(connection, tenant, rows).await?;
                }
            }
            Self::Users(put, delete) => {
                store::delete_user_rollup(connection, tenant, delete).await?;
                for rows in put.chunks(CHUNK) {
                    store::put_user_rollup(connection, tenant, rows).await?;
                }
            }
        }
        Ok(())
    }
}
