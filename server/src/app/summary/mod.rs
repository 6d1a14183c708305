//! GetSummary: where the tokens and the money went.
//!
//! A summary is read in one snapshot: whole days and whole quarters of an hour from rollups, the edges and whatever the
//! rollups do not hold from single events (`reader`). It is exact in every time zone, and refused rather than slow.

mod cells;
mod class_cost;
mod condition;
mod event;
mod failure;
mod key;
mod page;
pub(crate) mod reader;
mod remainder;
pub(crate) mod rows;
mod segment;
#[cfg(test)]
mod tests;

use std::time::Duration;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use tollgate_domain::calendar::{Bucket, CalendarError, buckets};
use tollgate_domain::dimensions::{Dimension, DimensionKey, DimensionMatch};
use tollgate_domain::summary::{ROWS_LIMIT, Summary, SummaryRequest};
use tollgate_domain::window::{Bounds, zone};

use self::reader::{Question, read};
use super::AppError;
use crate::store::dictionary::Dictionary;
use crate::store::dictionary::ErasuresVersion;
use crate::store::scoped::TenantPool;
use crate::store::summaries::begin_reading;
use crate::tenant::TenantId;

pub use self::page::{SummaryPage, summarize_page};

/// Most events that one summary reads one by one.
const EVENTS_LIMIT: i64 = 2_000_000;
/// How long one statement of a summary may take.
const STATEMENT_TIMEOUT: Duration = Duration::from_secs(20);

/// A summary, and the erasures that it knew of.
#[derive(Debug)]
struct Summarized {
    summary: Summary,
    erasures_version: ErasuresVersion,
}

/// The whole summary, as of one moment.
///
/// # Errors
/// [`AppError::Invalid`], [`AppError::QueryTooWide`] where a bound is passed, and those of the database.
async fn summarize(
    tenants: &TenantPool,
    dictionary: &Dictionary,
    tenant: TenantId,
    request: &SummaryRequest,
) -> Result<Summarized, AppError> {
    request.validate()?;
    let question = question(request)?;
    let mut reading = begin_reading(tenants, tenant, STATEMENT_TIMEOUT).await?;
    // Names that are gone by now are not taken from memory.
    dictionary.noticed(tenant, reading.erasures_version);
    let connection = &mut *reading.transaction;
    let answer = read(connection, dictionary, tenant, &question).await?;
    let summary = rows::summary(connection, dictionary, tenant, request, &question, answer, reading.as_of).await?;
    Ok(Summarized { summary, erasures_version: reading.erasures_version })
}

fn question(request: &SummaryRequest) -> Result<Question, AppError> {
    let mut filter = request.filter.clone();
    if !request.models.is_empty() {
        filter.push(DimensionMatch {
            key: DimensionKey::Dimension(Dimension::Model),
            values: request.models.clone(),
            absent: false,
            negate: false,
        });
    }
    Ok(Question {
        buckets: output_buckets(request)?,
        granularity: request.granularity,
        time_basis: request.time_basis,
        cost_basis: request.cost_basis,
        current: request.current,
        group_by: request.group_by.clone(),
        filter,
        latency: request.latency,
        measure: request.order_by.measure,
        top: request.top.and_then(|top| usize::try_from(top).ok()),
        cells_limit: ROWS_LIMIT,
        events_limit: EVENTS_LIMIT,
    })
}

fn output_buckets(request: &SummaryRequest) -> Result<Vec<Bucket>, AppError> {
    let zone = if request.time_zone.is_empty() {
        TimeZone::UTC
    } else {
        zone(&request.time_zone).map_err(|error| AppError::invalid("time_zone", error.to_string()))?
    };
    let range = Bounds { start: to_microsecond(request.range.start), end: to_microsecond(request.range.end) };
    buckets(range, request.granularity, &zone, ROWS_LIMIT).map_err(|error| match error {
        CalendarError::TooMany(_) => AppError::QueryTooWide(error.to_string()),
        CalendarError::OutOfRange(_) => AppError::invalid("start_time", error.to_string()),
    })
}

/// Events are kept to the microsecond, and ranges mean what they mean there.
fn to_microsecond(at: Timestamp) -> Timestamp {
    Timestamp::from_microsecond(at.as_microsecond()).unwrap_or(at)
}
