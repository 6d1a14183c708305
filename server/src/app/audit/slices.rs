//! The audit in the background: each time the newest slice and one that is older than the one before, so that everything
//! is visited again and again at a bounded cost. A ledger that is no larger than a slice is audited as a whole.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use sqlx::{PgConnection, PgPool};
use tollgate_domain::window::Bounds;

use super::checks::{self, PartBounds};
use super::report::AuditReport;
use super::{AppError, AuditSettings};
use crate::store::audit::{self as store, EXAMPLES_LIMIT};
use crate::store::audit_range::{self as range_store, HoursBefore};
use crate::store::dictionary::Dictionary;
use crate::store::ledger;
use crate::tenant::TenantId;

/// The bucket of the finer rollup: no slice is cut finer.
pub(super) const QUARTER: SignedDuration = SignedDuration::from_mins(15);
const HOUR: SignedDuration = SignedDuration::from_hours(1);
/// How far ahead an event may start, with room: ids are accepted 48 hours ahead.
const AHEAD: SignedDuration = SignedDuration::from_hours(72);
/// Sessions of a slice are compared over all of their events, so not every session of a slice is.
const EVENTS_PER_SESSION: i64 = 4;
const FEWEST_SESSIONS: i64 = 100;
/// Windows of budgets are longer than slices: this many times the events of a slice are read for them.
const CHARGED_EVENTS: i64 = 10;
/// No slice that ran out of time is halved below this.
const FEWEST_EVENTS: i64 = 500;

/// How far the older slices of one tenant have come.
#[derive(Debug, Clone, Default)]
pub struct Rotation {
    /// Where the next older slice ends; absent = at the start of the newest one.
    until: Option<Timestamp>,
    /// How often a slice was halved because it ran out of time.
    halvings: u32,
    /// What older slices of this turn drift by, by check.
    found: BTreeMap<&'static str, u64>,
    /// What all older slices of the turn before drifted by.
    found_before: BTreeMap<&'static str, u64>,
}

impl Rotation {
    /// Rows that drift: those of a newest slice, and those that older slices showed in this turn or, where more, in the one
    /// before, so that a drift does not seem mended while other slices are looked at.
    pub fn drifting(&self, round: &Round) -> BTreeMap<&'static str, u64> {
        let mut drifting: BTreeMap<&'static str, u64> = round.newest.drifting().collect();
        for (check, rows) in &mut drifting {
            let [now, before] = [&self.found, &self.found_before].map(|found| found.get(check).copied().unwrap_or(0));
            *rows += now.max(before);
        }
        drifting
    }

    /// Notes that a statement ran out of time: the next slices are smaller.
    pub fn too_slow(&mut self) {
        self.halvings = (self.halvings + 1).min(16);
    }

    fn events(&self, settings: &AuditSettings) -> i64 {
        let events = i64::from(settings.slice_events);
        (events >> self.halvings).max(events.min(FEWEST_EVENTS))
    }

    fn begin_turn(&mut self) {
        self.until = None;
        self.found_before = std::mem::take(&mut self.found);
    }
}

/// What one round looked at.
#[derive(Debug, Clone)]
pub struct Round {
    /// The newest slice, or everything.
    pub newest: AuditReport,
    /// One that is older.
    pub older: Option<AuditReport>,
}

impl Round {
    /// Its reports.
    pub fn reports(&self) -> impl Iterator<Item = &AuditReport> {
        std::iter::once(&self.newest).chain(&self.older)
    }
}

/// Audits the tenant's newest slice and the next older one in one snapshot, one replica at a time; `None` = another one is
/// at it.
///
/// # Errors
/// [`AppError::QueryTooWide`] where a statement ran out of time, and others.
pub async fn audit_slices(
    pool: &PgPool,
    dictionary: &Dictionary,
    tenant: TenantId,
    settings: &AuditSettings,
    rotation: &mut Rotation,
) -> Result<Option<Round>, AppError> {
    let mut snapshot = store::begin(pool).await?;
    let round = match range_store::lock(&mut snapshot, tenant).await? {
        true => Some(round(&mut snapshot, dictionary, tenant, settings, rotation).await?),
        false => None,
    };
    // Ended here and not when its connection is used next: the lock is free for the next one.
    store::end(snapshot).await?;
    Ok(round)
}

async fn round(
    connection: &mut PgConnection,
    dictionary: &Dictionary,
    tenant: TenantId,
    settings: &AuditSettings,
    rotation: &mut Rotation,
) -> Result<Round, AppError> {
    range_store::bound_time(connection, settings.statement_timeout).await?;
    let now = ledger::clock(connection, tenant).await?.now;
    let events = rotation.events(settings);
    let bounds = PartBounds {
        sessions: (events / EVENTS_PER_SESSION).max(FEWEST_SESSIONS),
        salt: now.as_microsecond(),
        charged_events: events * CHARGED_EVENTS,
        examples: EXAMPLES_LIMIT,
    };
    let everything = range_store::count_range(connection, tenant, None, events.saturating_add(1)).await?;
    let newest = slice_before(connection, tenant, quarter_of(now) + AHEAD, events).await?;
    let Some(newest) = newest.filter(|_| i64::try_from(everything).unwrap_or(i64::MAX) > events) else {
        rotation.begin_turn();
        rotation.found_before.clear();
        let newest = checks::whole(connection, dictionary, tenant, EXAMPLES_LIMIT).await?;
        rotation.halvings = rotation.halvings.saturating_sub(1);
        return Ok(Round { newest, older: None });
    };
    let until = rotation.until.unwrap_or(newest.start).min(newest.start);
    let older = slice_before(connection, tenant, until, events).await?;
    let newest = checks::part(connection, dictionary, tenant, newest, bounds).await?;
    let older = match older {
        Some(range) => Some((range, checks::part(connection, dictionary, tenant, range, bounds).await?)),
        None => None,
    };
    rotation.halvings = rotation.halvings.saturating_sub(1);
    let Some((range, older)) = older else {
        // The oldest event was seen: the next round begins at the newest again.
        rotation.begin_turn();
        return Ok(Round { newest, older: None });
    };
    rotation.until = Some(range.start);
    for (check, rows) in older.drifting() {
        *rotation.found.entry(check).or_default() += rows;
    }
    Ok(Round { newest, older: Some(older) })
}

/// The slice of at most about `events` events that ends at `until`: whole hours, or a quarter of an hour that holds more.
/// `None` = there is no older event.
async fn slice_before(
    connection: &mut PgConnection,
    tenant: TenantId,
    until: Timestamp,
    events: i64,
) -> Result<Option<Bounds>, AppError> {
    let HoursBefore { events: seen, hours } = range_store::hours_before(connection, tenant, until, events).await?;
    let Some((oldest, newest)) = hours else { return Ok(None) };
    if i64::try_from(seen).unwrap_or(i64::MAX) < events {
        return Ok(Some(Bounds { start: oldest, end: until }));
    }
    if oldest < newest {
        return Ok(Some(Bounds { start: oldest + HOUR, end: until }));
    }
    let quarter = range_store::newest_of_hour(connection, tenant, newest, until).await?;
    Ok(quarter.map(|start| Bounds { start, end: until.min(start + QUARTER) }))
}

/// The start of the quarter hour that holds `at`.
fn quarter_of(at: Timestamp) -> Timestamp {
    let past = at.as_microsecond().rem_euclid(QUARTER.as_secs() * 1_000_000);
    at - SignedDuration::from_micros(past)
}
