//! Calendar buckets that summaries are told in.

use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::window::{Bounds, Grid, WindowKind};

/// How finely a summary divides time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Granularity {
    /// Not at all: one bucket, the range itself.
    None,
    /// Minutes.
    Minute,
    /// Hours.
    Hour,
    /// Calendar days.
    Day,
    /// Weeks from Monday on.
    Week,
    /// Calendar months.
    Month,
}

impl Granularity {
    /// The window that one bucket is; `None` where it is the range itself.
    pub const fn window_kind(self) -> Option<WindowKind> {
        match self {
            Self::None => None,
            Self::Minute => Some(WindowKind::Minute),
            Self::Hour => Some(WindowKind::Hour),
            Self::Day => Some(WindowKind::Day),
            Self::Week => Some(WindowKind::Week),
            Self::Month => Some(WindowKind::Month),
        }
    }
}

/// One calendar bucket of a range.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Bucket {
    /// Where the calendar begins it, possibly before the range.
    pub start: Timestamp,
    /// What of it lies in the range.
    pub clipped: Bounds,
    /// Whether the range cuts it.
    pub partial: bool,
}

/// Why a range is not divided.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum CalendarError {
    /// More buckets than asked for.
    #[error("the range has more than {0} buckets: ask for a shorter range or a coarser granularity")]
    TooMany(usize),
    /// The range reaches beyond the years that can be held.
    #[error("the bucket of {0} reaches beyond the years 1 to 9999")]
    OutOfRange(Timestamp),
}

/// The calendar buckets of `zone` that cover `range`, in order: what of them lies in the range tiles it.
///
/// An empty range has none. A repeated hour has a bucket of its own.
///
/// # Errors
/// [`CalendarError::TooMany`] where there are more than `limit`, [`CalendarError::OutOfRange`] at the ends of time.
pub fn buckets(
    range: Bounds,
    granularity: Granularity,
    zone: &TimeZone,
    limit: usize,
) -> Result<Vec<Bucket>, CalendarError> {
    let grid = granularity.window_kind().map(|kind| Grid::new(kind, 1, None));
    let mut found = Vec::new();
    let mut at = range.start;
    while at < range.end {
        if found.len() == limit {
            return Err(CalendarError::TooMany(limit));
        }
        let whole = match grid {
            None => range,
            Some(grid) => grid.bounds(zone, at).ok_or(CalendarError::OutOfRange(at))?,
        };
        let clipped = Bounds { start: whole.start.max(range.start), end: whole.end.min(range.end) };
        found.push(Bucket { start: whole.start, clipped, partial: clipped != whole });
        at = whole.end;
    }
    Ok(found)
}

#[cfg(test)]
mod tests;
