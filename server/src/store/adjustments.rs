//! Corrections: the legs that are appended beside an event's first row, how an event stands after them, and the requests
//! that made them.

use std::collections::HashMap;

use jiff::Timestamp;
use sqlx::PgConnection;
use tracing::Instrument as _;
use uuid::Uuid;

use super::dictionary::Dictionary;
use super::error::StoreError;
use super::event_row::EventRow;
use super::time::to_database;
use super::usage::{StoredEvent, decode};
use crate::tenant::TenantId;
use crate::trace::statement;

/// What a correction did. The number is its code in the database.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(i16)]
pub enum AdjustmentKind {
    /// The event never happened.
    Cancelled = 1,
    /// The event should have said something else.
    Replaced = 2,
    /// The event should have been charged to somebody else.
    Reattributed = 3,
    /// The event was priced again.
    Repriced = 4,
}

/// Which way a leg counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(i16)]
pub enum Sign {
    /// Takes back the facts as they stood.
    Reversed = -1,
    /// Adds the facts as they should be.
    Added = 1,
}

/// One leg of a correction.
#[derive(Debug, Clone)]
pub struct Leg {
    /// The facts, column by column as on the event.
    pub row: EventRow,
    /// The revision that the correction makes; the first row is revision 1.
    pub revision: i64,
    /// Which way it counts.
    pub sign: Sign,
    /// What the correction does.
    pub kind: AdjustmentKind,
    /// The request that asked for it.
    pub request_id: Uuid,
    /// Why.
    pub reason: String,
}

/// An event as it stands after every correction.
#[derive(Debug, Clone)]
pub struct Standing {
    /// As it was first recorded.
    pub first: StoredEvent,
    /// As the newest correction puts it; of a cancelled event, as it stood before. `None` = there was no correction.
    pub corrected: Option<StoredEvent>,
    /// The row behind it, with numbers instead of texts: the newest leg, else the first row.
    pub row: EventRow,
    /// 1, and one more for every correction.
    pub revision: i64,
    /// Whether it counts no more.
    pub cancelled: bool,
}

impl Standing {
    /// The event as it stands; of a cancelled one, as it stood before.
    pub fn current(&self) -> &StoredEvent {
        self.corrected.as_ref().unwrap_or(&self.first)
    }
}

/// Locks the first rows of these events, in the order of their ids.
///
/// # Errors
/// [`StoreError`].
pub async fn lock_events(connection: &mut PgConnection, tenant: TenantId, ids: &[Uuid]) -> Result<(), StoreError> {
    sqlx::query_file!("sql/ledger/lock_events.sql", tenant.0, ids)
        .fetch_all(connection)
        .instrument(statement("ledger/lock_events", "SELECT"))
        .await?;
    Ok(())
}

/// How the events of these first rows stand, in the order of the rows.
///
/// # Errors
/// [`StoreError`].
pub async fn standing(
    connection: &mut PgConnection,
    dictionary: &Dictionary,
    tenant: TenantId,
    rows: Vec<EventRow>,
) -> Result<Vec<Standing>, StoreError> {
    let ids: Vec<Uuid> = rows.iter().map(|row| row.event_id).collect();
    let newest = sqlx::query_file!("sql/usage/newest_adjustments.sql", tenant.0, &ids)
        .fetch_all(&mut *connection)
        .instrument(statement("usage/newest_adjustments", "SELECT"))
        .await?;
    let corrected_rows = newest.iter().map(|leg| leg.event.clone()).collect();
    let corrected = decode(&mut *connection, dictionary, tenant, corrected_rows).await?;
    let mut corrections: HashMap<Uuid, _> = newest
        .into_iter()
        .zip(corrected)
        .map(|(leg, event)| (leg.event.event_id, (leg.event, event, leg.revision, leg.cancelled)))
        .collect();
    let firsts = decode(connection, dictionary, tenant, rows.clone()).await?;
    let standings = rows.into_iter().zip(firsts).map(|(row, first)| match corrections.remove(&row.event_id) {
        Some((row, corrected, revision, cancelled)) => {
            Standing { first, corrected: Some(corrected), row, revision, cancelled }
        }
        None => Standing { first, corrected: None, row, revision: 1, cancelled: false },
    });
    Ok(standings.collect())
}

/// Appends legs.
///
/// # Errors
/// [`StoreError`].
pub async fn insert(
    connection: &mut PgConnection,
    tenant: TenantId,
    legs: &[Leg],
    adjust_time: Timestamp,
) -> Result<(), StoreError> {
    if legs.is_empty() {
        return Ok(());
    }
    let rows: Vec<EventRow> = legs.iter().map(|leg| leg.row.clone()).collect();
    let revisions: Vec<i64> = legs.iter().map(|leg| leg.revision).collect();
    let signs: Vec<i16> = legs.iter().map(|leg| leg.sign as i16).collect();
    let kinds: Vec<i16> = legs.iter().map(|leg| leg.kind as i16).collect();
    let requests: Vec<Uuid> = legs.iter().map(|leg| leg.request_id).collect();
    let reasons: Vec<String> = legs.iter().map(|leg| leg.reason.clone()).collect();
    sqlx::query_file!(
        "sql/ledger/insert_adjustments.sql",
        tenant.0,
        &rows as _,
        &revisions,
        &signs,
        &kinds,
        &requests,
        &reasons,
        to_database(adjust_time)
    )
    .execute(connection)
    .instrument(statement("ledger/insert_adjustments", "INSERT"))
    .await?;
    Ok(())
}

/// A request that corrects, or one step of it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RequestKey {
    /// The caller's id for it.
    pub request_id: Uuid,
    /// Which step; empty for the first, and where there are no steps.
    pub step: String,
}

/// A request that was answered.
#[derive(Debug, Clone)]
pub struct AnsweredRequest {
    /// Which one.
    pub key: RequestKey,
    /// Digest of everything that it said.
    pub digest: Uuid,
    /// Its first answer.
    pub answer: serde_json::Value,
}

/// Those of these requests that were answered before.
///
/// # Errors
/// [`StoreError`].
pub async fn find_requests<'a>(
    connection: &mut PgConnection,
    tenant: TenantId,
    keys: impl Iterator<Item = &'a RequestKey>,
) -> Result<Vec<AnsweredRequest>, StoreError> {
    let (ids, steps): (Vec<Uuid>, Vec<String>) = keys.map(|key| (key.request_id, key.step.clone())).unzip();
    let known = sqlx::query_file!("sql/ledger/find_adjustment_requests.sql", tenant.0, &ids, &steps)
        .fetch_all(connection)
        .instrument(statement("ledger/find_adjustment_requests", "SELECT"))
        .await?;
    Ok(known
        .into_iter()
        .map(|row| AnsweredRequest {
            key: RequestKey { request_id: row.request_id, step: row.step },
            digest: row.digest,
            answer: row.answer,
        })
        .collect())
}

/// Keeps the answers of requests; says how many of them are new.
///
/// # Errors
/// [`StoreError`].
pub async fn add_requests(
    connection: &mut PgConnection,
    tenant: TenantId,
    requests: &[AnsweredRequest],
    now: Timestamp,
) -> Result<usize, StoreError> {
    let ids: Vec<Uuid> = requests.iter().map(|request| request.key.request_id).collect();
    let steps: Vec<String> = requests.iter().map(|request| request.key.step.clone()).collect();
    let digests: Vec<Uuid> = requests.iter().map(|request| request.digest).collect();
    let answers: Vec<serde_json::Value> = requests.iter().map(|request| request.answer.clone()).collect();
    let added = sqlx::query_file!(
        "sql/ledger/add_adjustment_requests.sql",
        tenant.0,
        &ids,
        &steps,
        &digests,
        &answers,
        to_database(now)
    )
    .fetch_all(connection)
    .instrument(statement("ledger/add_adjustment_requests", "INSERT"))
    .await?;
    Ok(added.len())
}
