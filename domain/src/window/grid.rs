//! How windows follow a local clock.
//!
//! A grid is a rising row of local dates and times, for example every midnight or every sixth hour. Each point of it has
//! one instant, at which a window begins:
//! - A local time that occurs twice, since clocks were put back, means its first occurrence.
//! - A local time that does not occur, since clocks were put forward, means the instant of that change.
//!
//! So a day has 23 or 25 hours where the clock changes, begins at 01:00 where midnight is skipped, and two points can
//! fall on one instant where a whole day is skipped: the window between them is empty and contains nothing.
//!
//! Cells of an hour or less are handled apart. A repeated hour is an hour of its own, not a part of a two-hour one: they
//! follow the local clock as it runs, and a change of the clock that cuts a cell begins a new one.

use jiff::civil::{DateTime, Time, date};
use jiff::tz::{AmbiguousOffset, TimeZone};
use jiff::{SignedDuration, Span, Timestamp, ToSpan};

use super::{Bounds, WindowKind};

const MINUTE: i64 = 60;
const HOUR: i64 = 3_600;
const DAY: i64 = 86_400;
const NANOSECONDS: i128 = 1_000_000_000;

/// Start of the calendar's grid but for weeks.
const ORIGIN: DateTime = date(1970, 1, 1).to_datetime(Time::midnight());

/// Start of the calendar's weeks: the Monday of the week of [`ORIGIN`].
const MONDAY: DateTime = date(1969, 12, 29).to_datetime(Time::midnight());

/// Steps that a first guess may be off by. The largest change of a clock, a day, is 24 of the shortest steps that are
/// guessed, those of 61 minutes; the rest is slack.
const CORRECTIONS_LIMIT: u32 = 100;

/// Local dates and times at equal steps from an origin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Grid {
    origin: DateTime,
    step: Step,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    /// All time is one step.
    Everything,
    /// Seconds of the local clock, days included.
    Seconds(i64),
    /// Calendar months.
    Months(i64),
}

impl Grid {
    /// Steps of `count` × `kind` from `anchor`, else from the calendar's origin.
    pub(crate) fn new(kind: WindowKind, count: u32, anchor: Option<DateTime>) -> Self {
        let count = i64::from(count);
        let step = match kind {
            WindowKind::Lifetime => Step::Everything,
            WindowKind::Minute => Step::Seconds(count * MINUTE),
            WindowKind::Hour => Step::Seconds(count * HOUR),
            WindowKind::Day => Step::Seconds(count * DAY),
            WindowKind::Week => Step::Seconds(count * 7 * DAY),
            WindowKind::Month => Step::Months(count),
            WindowKind::Quarter => Step::Months(count * 3),
            WindowKind::Year => Step::Months(count * 12),
        };
        let calendar = if kind == WindowKind::Week { MONDAY } else { ORIGIN };
        Self { origin: anchor.unwrap_or(calendar), step }
    }

    /// The window that contains `at`; `None` where it reaches beyond what can be held.
    pub(crate) fn bounds(&self, zone: &TimeZone, at: Timestamp) -> Option<Bounds> {
        match self.step {
            Step::Everything => Some(Bounds::LIFETIME).filter(|bounds| bounds.contains(at)),
            Step::Seconds(seconds) if seconds <= HOUR => self.running(zone, at, seconds),
            Step::Seconds(_) | Step::Months(_) => self.between_points(zone, at),
        }
    }

    /// The cell of the clock as it runs at `at`, cut where its offset changes.
    fn running(&self, zone: &TimeZone, at: Timestamp, seconds: i64) -> Option<Bounds> {
        let offset = zone.to_offset(at);
        let since_origin = offset.to_datetime(at).duration_since(self.origin).as_nanos();
        let into_cell = since_origin.rem_euclid(i128::from(seconds) * NANOSECONDS);
        let into_cell = SignedDuration::from_nanos(i64::try_from(into_cell).ok()?);
        let start = at.checked_sub(into_cell).ok()?;
        let end = start.checked_add(SignedDuration::from_secs(seconds)).ok()?;
        let last = end.checked_sub(1.nanosecond()).ok()?;
        Some(Bounds {
            start: if zone.to_offset(start) == offset { start } else { change(zone, start, at)? },
            end: if zone.to_offset(last) == offset { end } else { change(zone, at, last)? },
        })
    }

    /// The interval between the instants of two neighbouring points.
    fn between_points(&self, zone: &TimeZone, at: Timestamp) -> Option<Bounds> {
        let mut index = self.guess(zone.to_datetime(at))?;
        let mut start = self.instant(zone, index)?;
        for _ in 0..CORRECTIONS_LIMIT {
            if start > at {
                index -= 1;
                start = self.instant(zone, index)?;
                continue;
            }
            let end = self.instant(zone, index + 1)?;
            if at < end {
                return Some(Bounds { start, end });
            }
            index += 1;
            start = end;
        }
        None
    }

    /// The point at or before `local`, or one near it.
    fn guess(&self, local: DateTime) -> Option<i64> {
        match self.step {
            Step::Everything => Some(0),
            Step::Seconds(seconds) => {
                let since_origin = local.duration_since(self.origin).as_nanos();
                i64::try_from(since_origin.div_euclid(i128::from(seconds) * NANOSECONDS)).ok()
            }
            Step::Months(months) => {
                let count = |datetime: DateTime| i64::from(datetime.year()) * 12 + i64::from(datetime.month());
                Some((count(local) - count(self.origin)).div_euclid(months))
            }
        }
    }

    /// The instant of the point `index`.
    fn instant(&self, zone: &TimeZone, index: i64) -> Option<Timestamp> {
        let point = match self.step {
            Step::Everything => None,
            Step::Seconds(seconds) => {
                let distance = SignedDuration::from_secs(seconds.checked_mul(index)?);
                self.origin.checked_add(distance).ok()
            }
            // Counted from the origin each time: from the last point, a day cut to a short month would stay cut.
            Step::Months(months) => {
                let distance = Span::new().try_months(months.checked_mul(index)?).ok()?;
                self.origin.checked_add(distance).ok()
            }
        }?;
        instant(zone, point)
    }
}

/// The first instant at which the local clock shows `local` or, where it skips that, the instant of the skip.
fn instant(zone: &TimeZone, local: DateTime) -> Option<Timestamp> {
    let ambiguous = zone.to_ambiguous_timestamp(local);
    let AmbiguousOffset::Gap { before, after } = ambiguous.offset() else {
        return ambiguous.earlier().ok();
    };
    // Read with the offset after the skip, a skipped time lies before the skip; read with the one before it, not before.
    change(zone, after.to_timestamp(local).ok()?, before.to_timestamp(local).ok()?)
}

/// The instant in `(low, high]` at which the clock changes to the offset that it has at `high`.
///
/// Halves the interval instead of listing the zone's changes: a list can name changes of a rule that was not in force
/// yet, where a place took over the rule in mid-year.
fn change(zone: &TimeZone, low: Timestamp, high: Timestamp) -> Option<Timestamp> {
    let offset = zone.to_offset(high);
    let (mut before, mut after) = (low.as_nanosecond(), high.as_nanosecond());
    while after - before > 1 {
        let middle = before + (after - before) / 2;
        if zone.to_offset(Timestamp::from_nanosecond(middle).ok()?) == offset {
            after = middle;
        } else {
            before = middle;
        }
    }
    Timestamp::from_nanosecond(after).ok()
}
