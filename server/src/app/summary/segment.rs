//! Cuts time into what the rollups hold whole, and edges that only events can tell.

use jiff::Timestamp;
use tollgate_domain::calendar::Bucket;
use tollgate_domain::window::Bounds;

use crate::store::ledger::{GRAIN_DAY, GRAIN_QUARTER};
use crate::store::summaries::Segments;

const QUARTER: i64 = 15 * 60 * 1_000_000;
const DAY: i64 = 24 * 60 * 60 * 1_000_000;

/// How a range is read.
#[derive(Debug, Default)]
pub(super) struct Cut {
    /// From rollups: whole UTC days, else whole quarters of an hour.
    pub(super) segments: Segments,
    /// From events: what is left.
    pub(super) edges: Vec<Bounds>,
}

impl Cut {
    /// Cuts every bucket by itself, so that each piece belongs to one bucket.
    pub(super) fn of(buckets: &[Bucket]) -> Self {
        let mut cut = Self::default();
        for (output, bucket) in (0..).zip(buckets) {
            cut.add_days(bucket.clipped, output);
        }
        cut
    }

    /// The segments that contain all of `spans`, and up to a quarter of an hour more at both ends of each.
    pub(super) fn around(spans: &[Bounds]) -> Segments {
        let mut cut = Self::default();
        for span in spans {
            cut.add_days(Bounds { start: floor(span.start, QUARTER), end: ceiling(span.end, QUARTER) }, 0);
        }
        cut.segments
    }

    fn add_days(&mut self, span: Bounds, output: i32) {
        let days = Bounds { start: ceiling(span.start, DAY), end: floor(span.end, DAY) };
        if days.is_empty() {
            return self.add_quarters(span, output);
        }
        self.add_quarters(Bounds { start: span.start, end: days.start }, output);
        self.segments.add(days, GRAIN_DAY, output);
        self.add_quarters(Bounds { start: days.end, end: span.end }, output);
    }

    fn add_quarters(&mut self, span: Bounds, output: i32) {
        let quarters = Bounds { start: ceiling(span.start, QUARTER), end: floor(span.end, QUARTER) };
        if quarters.is_empty() {
            return self.add_edge(span);
        }
        self.add_edge(Bounds { start: span.start, end: quarters.start });
        self.segments.add(quarters, GRAIN_QUARTER, output);
        self.add_edge(Bounds { start: quarters.end, end: span.end });
    }

    fn add_edge(&mut self, span: Bounds) {
        if !span.is_empty() {
            self.edges.push(span);
        }
    }
}

/// The last multiple of `step` microseconds at or before `at`.
fn floor(at: Timestamp, step: i64) -> Timestamp {
    let micros = at.as_microsecond();
    Timestamp::from_microsecond(micros - micros.rem_euclid(step)).unwrap_or(Timestamp::MIN)
}

/// The first multiple of `step` microseconds at or after `at`.
fn ceiling(at: Timestamp, step: i64) -> Timestamp {
    let micros = at.as_microsecond();
    Timestamp::from_microsecond(micros + (-micros).rem_euclid(step)).unwrap_or(Timestamp::MAX)
}
