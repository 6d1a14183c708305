//! Totals of sessions, users, agents, projects and the tenant, as they are watched: all read in one snapshot.

use std::collections::HashMap;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use sqlx::PgConnection;
use tollgate_domain::amount::AmountError;
use tollgate_domain::calendar::{Bucket, Granularity};
use tollgate_domain::dimensions::{Dimension, DimensionKey, DimensionMatch};
use tollgate_domain::measures::Measures;
use tollgate_domain::summary::{CostBasis, GroupValue, OrderMeasure, TimeBasis};
use tollgate_domain::window::{Bounds, Window};

use super::AppError;
use super::summary::reader::{Question, read};
use super::summary::rows::{parts, totals};
use crate::store::StoreError;
use crate::store::dictionary::Dictionary;
use crate::store::scoped::TenantPool;
use crate::store::sessions::{SessionQuestion, SessionTotal, session_totals};
use crate::store::shape::Shape;
use crate::store::summaries::begin_reading;
use crate::tenant::TenantId;

/// Most events that one scope reads one by one: totals are read again and again.
const EVENTS_LIMIT: i64 = 100_000;
/// Groups of a breakdown among which the dearest are sought.
const GROUPS_LIMIT: usize = 10_000;
/// How long one statement may take.
const STATEMENT_TIMEOUT: Duration = Duration::from_secs(5);

/// A set of events whose totals are wanted.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Scope {
    /// One session, without those that it started.
    Session(String),
    /// A session with the whole tree of sessions below it.
    RootSession(String),
    /// One user.
    User(String),
    /// One agent.
    Agent(String),
    /// One project.
    Project(String),
    /// The whole tenant.
    Tenant,
}

impl Scope {
    /// The session that it is, or is the tree of.
    fn session(&self) -> Option<&str> {
        match self {
            Self::Session(value) | Self::RootSession(value) => Some(value),
            Self::User(_) | Self::Agent(_) | Self::Project(_) | Self::Tenant => None,
        }
    }

    fn condition(&self) -> Option<DimensionMatch> {
        let (dimension, value) = match self {
            Self::Session(value) => (Dimension::SessionId, value),
            Self::RootSession(value) => (Dimension::RootSessionId, value),
            Self::User(value) => (Dimension::UserId, value),
            Self::Agent(value) => (Dimension::AgentId, value),
            Self::Project(value) => (Dimension::ProjectId, value),
            Self::Tenant => return None,
        };
        Some(DimensionMatch::equals(DimensionKey::Dimension(dimension), value))
    }
}

/// What is asked about one scope.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ScopeQuery {
    /// The scope.
    pub scope: Scope,
    /// The window that contains the present; `None` = lifetime, for sessions only.
    pub window: Option<Window>,
    /// A dimension by which the totals are broken down as well.
    pub breakdown: Option<DimensionKey>,
    /// Most parts of the breakdown, dearest first; the rest is folded.
    pub breakdown_limit: usize,
}

/// The totals of one scope.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ScopeReading {
    /// The totals.
    pub totals: Measures,
    /// The breakdown, dearest first, the folded rest last.
    pub parts: Vec<(GroupValue, Measures)>,
    /// Rises with every recorded event, per scope and window, the same on every replica; 0 = never seen.
    pub version: i64,
    /// The window that was read; `None` = lifetime of a session.
    pub window: Option<Bounds>,
}

/// Reads the totals of every scope in one snapshot, in the order of `queries`. Windows are those that contain `now`.
///
/// # Errors
/// [`AppError::Invalid`] where a scope other than a session has no window, [`AppError::QueryTooWide`] where a breakdown
/// would read too many events one by one, and those of the database.
pub async fn read_scopes(
    tenants: &TenantPool,
    dictionary: &Dictionary,
    tenant: TenantId,
    queries: &[ScopeQuery],
    now: Timestamp,
) -> Result<Vec<ScopeReading>, AppError> {
    let mut reading = begin_reading(tenants, tenant, STATEMENT_TIMEOUT).await?;
    let connection = &mut *reading.transaction;
    let mut lifetimes = session_lifetimes(connection, dictionary, tenant, queries).await?;
    let mut readings = Vec::with_capacity(queries.len());
    for (position, query) in (0..).zip(queries) {
        readings.push(match &query.window {
            Some(window) => {
                let bounds = window
                    .bounds(now)
                    .map_err(|error| AppError::invalid(format!("scopes[{position}].window"), error.to_string()))?;
                windowed(connection, dictionary, tenant, query, bounds).await?
            }
            None if query.scope.session().is_some() => {
                let rows = lifetimes.remove(&position).unwrap_or_default();
                lifetime(connection, dictionary, tenant, query, rows).await?
            }
            None => {
                let rule = "must be set: only sessions have totals of their whole lifetime";
                return Err(AppError::invalid(format!("scopes[{position}].window"), rule));
            }
        });
    }
    Ok(readings)
}

/// The rows of all sessions without a window, by the position of their query.
async fn session_lifetimes(
    connection: &mut PgConnection,
    dictionary: &Dictionary,
    tenant: TenantId,
    queries: &[ScopeQuery],
) -> Result<HashMap<i32, Vec<SessionTotal>>, StoreError> {
    let mut questions = Vec::new();
    for (position, query) in (0..).zip(queries) {
        let Some(value) = query.scope.session().filter(|_| query.window.is_none()) else { continue };
        let Some(session) = dictionary.find_symbol(connection, tenant, Dimension::SessionId, value).await? else {
            continue;
        };
        questions.push(SessionQuestion { session, descendants: false, position });
        if matches!(query.scope, Scope::RootSession(_)) {
            questions.push(SessionQuestion { session, descendants: true, position });
        }
    }
    let mut by_position: HashMap<i32, Vec<SessionTotal>> = HashMap::new();
    for row in session_totals(connection, tenant, &questions).await? {
        by_position.entry(row.position).or_default().push(row);
    }
    Ok(by_position)
}

/// The totals of a session, or of its tree, from the rows that are kept for it.
async fn lifetime(
    connection: &mut PgConnection,
    dictionary: &Dictionary,
    tenant: TenantId,
    query: &ScopeQuery,
    rows: Vec<SessionTotal>,
) -> Result<ScopeReading, AppError> {
    let mut reading = ScopeReading::default();
    for row in &rows {
        reading.totals.add(&row.measures).map_err(too_large)?;
        reading.version = reading.version.saturating_add(row.version);
    }
    if reading.totals.attempts == 0 {
        // Everything was taken back: no event is left whose times could be told.
        reading.totals = Measures::default();
    }
    let Some(key) = &query.breakdown else { return Ok(reading) };
    reading.parts = match key {
        DimensionKey::Dimension(dimension) if dimension.is_in_shape() => {
            let shapes = dictionary.shapes(connection, tenant, rows.iter().map(|row| row.shape)).await?;
            let value = |shape: &Shape| shape.values.get(dimension).cloned();
            let mut by_value: HashMap<Option<String>, Measures> = HashMap::new();
            for row in &rows {
                let shape = shapes.get(&row.shape).ok_or(StoreError::Unreadable { what: "shape" })?;
                by_value.entry(value(shape)).or_default().add(&row.measures).map_err(too_large)?;
            }
            by_value.retain(|_, measures| measures.attempts != 0);
            dearest(by_value, query.breakdown_limit).map_err(too_large)?
        }
        DimensionKey::Dimension(_) | DimensionKey::Label(_) => {
            let Some(range) = lived(&reading.totals) else { return Ok(reading) };
            let answer = read(connection, dictionary, tenant, &question(query, range)).await?;
            parts(connection, dictionary, tenant, &answer).await?
        }
    };
    Ok(reading)
}

/// The totals of a scope in a window, as a summary of it tells them.
async fn windowed(
    connection: &mut PgConnection,
    dictionary: &Dictionary,
    tenant: TenantId,
    query: &ScopeQuery,
    window: Bounds,
) -> Result<ScopeReading, AppError> {
    let answer = read(connection, dictionary, tenant, &question(query, window)).await?;
    let (totals, version) = totals(&answer)?;
    let parts = match query.breakdown {
        Some(_) => parts(connection, dictionary, tenant, &answer).await?,
        None => Vec::new(),
    };
    Ok(ScopeReading { totals, parts, version, window: Some(window) })
}

fn question(query: &ScopeQuery, range: Bounds) -> Question {
    Question {
        buckets: vec![Bucket { start: range.start, clipped: range, partial: false }],
        granularity: Granularity::None,
        time_basis: TimeBasis::Start,
        // Live totals follow corrections.
        cost_basis: CostBasis::Current,
        current: false,
        group_by: query.breakdown.iter().cloned().collect(),
        filter: query.scope.condition().into_iter().collect(),
        latency: false,
        measure: OrderMeasure::Usd,
        top: Some(query.breakdown_limit),
        cells_limit: GROUPS_LIMIT,
        events_limit: EVENTS_LIMIT,
    }
}

/// The time in which a session has used anything.
fn lived(totals: &Measures) -> Option<Bounds> {
    let end = totals.last_time?.checked_add(SignedDuration::from_micros(1)).ok()?;
    Some(Bounds { start: totals.first_time?, end })
}

/// The `limit` dearest parts, and the rest as one.
fn dearest(
    by_value: HashMap<Option<String>, Measures>,
    limit: usize,
) -> Result<Vec<(GroupValue, Measures)>, AmountError> {
    let group = |value: Option<String>| value.map_or(GroupValue::Absent, GroupValue::Value);
    let mut parts: Vec<(GroupValue, Measures)> =
        by_value.into_iter().map(|(value, measures)| (group(value), measures)).collect();
    parts.sort_unstable_by(|(left, cheap), (right, dear)| dear.usd.cmp(&cheap.usd).then_with(|| left.cmp(right)));
    let rest = parts.split_off(limit.min(parts.len()));
    if !rest.is_empty() {
        let mut other = Measures::default();
        for (_, measures) in &rest {
            other.add(measures)?;
        }
        parts.push((GroupValue::Other, other));
    }
    Ok(parts)
}

fn too_large(_: AmountError) -> AppError {
    AppError::QueryTooWide("the totals have more digits than can be held; ask for a window".to_owned())
}
