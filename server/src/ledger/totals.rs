//! What a batch adds to session totals and rollups: summed up in memory first, written with sorted keys.

use std::collections::BTreeMap;

use jiff::Timestamp;
use tollgate_domain::amount::AmountError;
use tollgate_domain::measures::Measures;

use crate::store::event_row::EventRow;
use crate::store::ledger::{GRAIN_DAY, GRAIN_QUARTER, RollupKey, SessionKey};

/// Where an event counts, by number.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place {
    /// Its session.
    pub(super) session: Option<i64>,
    /// The root session, where it is not the session itself.
    pub(super) root_apart: Option<i64>,
    /// Its user.
    pub(super) user: Option<i64>,
    /// Its shape.
    pub(super) shape: i64,
    /// When it started.
    pub(super) start_time: Timestamp,
}

impl Place {
    /// Where the event of a row counts.
    pub(super) fn of(row: &EventRow, start_time: Timestamp) -> Self {
        let root_apart = row.root_session_id.filter(|root| Some(*root) != row.session_id);
        Self { session: row.session_id, root_apart, user: row.user_id, shape: row.shape_id, start_time }
    }
}

/// Deltas by row.
#[derive(Debug, Default)]
pub(crate) struct Totals {
    // Boxed: the sums are large, and a tree moves its values about.
    sessions: BTreeMap<SessionKey, Box<Measures>>,
    shapes: BTreeMap<RollupKey, Box<Measures>>,
    users: BTreeMap<RollupKey, Box<Measures>>,
}

impl Totals {
    /// Adds one event, or, as an `adjustment`, one signed leg of a correction.
    pub(super) fn add(&mut self, place: &Place, measures: &Measures, adjustment: bool) -> Result<(), AmountError> {
        let shape = place.shape;
        for (session, descendants) in [(place.session, false), (place.root_apart, true)] {
            if let Some(session) = session {
                let key = SessionKey { session, descendants, shape, adjustment };
                self.sessions.entry(key).or_default().add(measures)?;
            }
        }
        for (grain, bucket) in buckets(place.start_time) {
            let key = RollupKey { grain, bucket, user: 0, shape, adjustment };
            self.shapes.entry(key).or_default().add(measures)?;
            if let Some(user) = place.user {
                self.users.entry(RollupKey { user, ..key }).or_default().add(measures)?;
            }
        }
        Ok(())
    }

    /// Adds to the sums of a session.
    pub(crate) fn add_session(&mut self, key: SessionKey, sums: &Measures) -> Result<(), AmountError> {
        self.sessions.entry(key).or_default().add(sums)
    }

    /// Adds to the sums of a bucket; user 0 = of all users.
    pub(crate) fn add_rollup(&mut self, key: RollupKey, sums: &Measures) -> Result<(), AmountError> {
        let sums_of = if key.user == 0 { &mut self.shapes } else { &mut self.users };
        sums_of.entry(key).or_default().add(sums)
    }

    /// Adds what the row of an event, or of a leg, counts.
    pub(crate) fn add_row(
        &mut self,
        row: &EventRow,
        start_time: Timestamp,
        measures: &Measures,
        adjustment: bool,
    ) -> Result<(), AmountError> {
        self.add(&Place::of(row, start_time), measures, adjustment)
    }

    /// Sums by session and shape.
    pub(crate) fn sessions(&self) -> impl Iterator<Item = (&SessionKey, &Measures)> {
        plain(&self.sessions)
    }

    /// Sums by bucket and shape.
    pub(crate) fn shapes(&self) -> impl Iterator<Item = (&RollupKey, &Measures)> {
        plain(&self.shapes)
    }

    /// Sums by bucket, user and shape.
    pub(crate) fn users(&self) -> impl Iterator<Item = (&RollupKey, &Measures)> {
        plain(&self.users)
    }
}

fn plain<K>(sums: &BTreeMap<K, Box<Measures>>) -> impl Iterator<Item = (&K, &Measures)> {
    sums.iter().map(|(key, sums)| (key, &**sums))
}

/// The two rollup buckets of an instant.
fn buckets(at: Timestamp) -> [(i16, Timestamp); 2] {
    let floor = |seconds: i64| {
        Timestamp::from_second(at.as_microsecond().div_euclid(seconds * 1_000_000) * seconds).unwrap_or(at)
    };
    [(GRAIN_QUARTER, floor(900)), (GRAIN_DAY, floor(86_400))]
}
