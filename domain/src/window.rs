//! Windows of time that budgets count in.
//!
//! A window repeats: its [`Bounds`] tile time without gap or overlap, so that every instant lies in exactly one.
//!
//! They follow the local clock. A day has 23 or 25 hours where the clock changes; where midnight comes twice, it begins
//! at the first; where midnight is skipped, it begins at the change. A repeated hour is a window of its own.

use std::fmt;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::violation::{Violation, Violations};

mod grid;
mod periods;

pub(crate) use grid::Grid;
pub use periods::Periods;

/// Start of a lifetime, 0001-01-01T00:00:00Z: the first instant that a protobuf timestamp holds.
pub const LIFETIME_START: Timestamp = Timestamp::constant(-62_135_596_800, 0);

/// End of a lifetime, 9999-12-30T00:00:00Z: the last midnight that [`Timestamp`] holds.
pub const LIFETIME_END: Timestamp = Timestamp::constant(253_402_128_000, 0);

/// Most units that one window may span.
pub const COUNT_LIMIT: u32 = 366;

/// What a window spans.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WindowKind {
    /// All time.
    Lifetime,
    /// Minutes.
    Minute,
    /// Hours.
    Hour,
    /// Calendar days.
    Day,
    /// Weeks from Monday on, or from the anchor's weekday on.
    Week,
    /// Calendar months, or months from the anchor's day on.
    Month,
    /// Three months.
    Quarter,
    /// Twelve months.
    Year,
}

/// An interval that contains its start but not its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Bounds {
    /// First instant.
    pub start: Timestamp,
    /// First instant after it.
    pub end: Timestamp,
}

impl Bounds {
    /// All time.
    pub const LIFETIME: Self = Self { start: LIFETIME_START, end: LIFETIME_END };

    /// Whether `at` lies in it.
    pub fn contains(&self, at: Timestamp) -> bool {
        self.start <= at && at < self.end
    }

    /// Whether no instant lies in it.
    pub fn is_empty(&self) -> bool {
        self.start >= self.end
    }
}

impl fmt::Display for Bounds {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "[{}, {})", self.start, self.end)
    }
}

/// Why no bounds can be told.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum WindowError {
    /// The time zone is not in the database.
    #[error("unknown time zone {0:?}: use an IANA name such as Europe/Berlin")]
    UnknownTimeZone(String),
    /// The window reaches beyond the years that can be held.
    #[error("the window of {0} reaches beyond the years 1 to 9999")]
    OutOfRange(Timestamp),
}

/// A repeating window.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "Unchecked")]
pub struct Window {
    kind: WindowKind,
    count: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    time_zone: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    anchor: Option<Timestamp>,
}

/// A window as it arrives from outside.
#[derive(Deserialize)]
struct Unchecked {
    kind: WindowKind,
    #[serde(default)]
    count: u32,
    #[serde(default)]
    time_zone: Option<String>,
    #[serde(default)]
    anchor: Option<Timestamp>,
}

impl TryFrom<Unchecked> for Window {
    type Error = String;

    fn try_from(unchecked: Unchecked) -> Result<Self, String> {
        let Unchecked { kind, count, time_zone, anchor } = unchecked;
        Self::new(kind, count, time_zone, anchor, "window")
            .map_err(|violations| violations.iter().map(Violation::to_string).collect::<Vec<_>>().join("; "))
    }
}

impl Window {
    /// `count` units of `kind` in `time_zone`, counted from `anchor`.
    ///
    /// A count of 0 means 1. The time zone is an IANA name, required but for a lifetime. Without an anchor, windows
    /// align with the calendar: see [`Self::bounds`].
    ///
    /// # Errors
    /// Every violation, with field paths below `path`.
    pub fn new(
        kind: WindowKind,
        count: u32,
        time_zone: Option<String>,
        anchor: Option<Timestamp>,
        path: &str,
    ) -> Result<Self, Vec<Violation>> {
        let count = count.max(1);
        let time_zone = time_zone.filter(|name| !name.is_empty());
        let mut violations = Violations::new();
        if kind == WindowKind::Lifetime {
            let rule = "must be unset: a lifetime has one window, which contains everything";
            violations.add_if(count > 1, format!("{path}.count"), rule);
            violations.add_if(time_zone.is_some(), format!("{path}.time_zone"), rule);
            violations.add_if(anchor.is_some(), format!("{path}.anchor"), rule);
            return violations.into_result(Self { kind, count, time_zone, anchor });
        }
        violations.add_if(count > COUNT_LIMIT, format!("{path}.count"), format!("must be at most {COUNT_LIMIT}"));
        let field = format!("{path}.time_zone");
        match &time_zone {
            None => violations.add(field, "must be set to an IANA name such as Europe/Berlin"),
            Some(name) => {
                if let Err(error) = zone(name) {
                    violations.add(field, error.to_string());
                }
            }
        }
        violations.add_if(
            anchor.is_some_and(|anchor| !Bounds::LIFETIME.contains(anchor)),
            format!("{path}.anchor"),
            "must lie in the years 1 to 9999",
        );
        violations.into_result(Self { kind, count, time_zone, anchor })
    }

    /// All time.
    pub const fn lifetime() -> Self {
        Self { kind: WindowKind::Lifetime, count: 1, time_zone: None, anchor: None }
    }

    /// What it spans.
    pub const fn kind(&self) -> WindowKind {
        self.kind
    }

    /// How many units of its kind it spans, 1 to [`COUNT_LIMIT`].
    pub const fn count(&self) -> u32 {
        self.count
    }

    /// The IANA name of its time zone; `None` for a lifetime only.
    pub fn time_zone(&self) -> Option<&str> {
        self.time_zone.as_deref()
    }

    /// The instant whose local date and time begins a window; `None` = the calendar's.
    pub const fn anchor(&self) -> Option<Timestamp> {
        self.anchor
    }

    /// Whether it spans a day or less, as throttling asks for: a caller is never told to wait for longer. A calendar
    /// day counts as one even where a clock change makes it longer.
    pub const fn at_most_a_day(&self) -> bool {
        match self.kind {
            WindowKind::Minute => self.count <= 24 * 60,
            WindowKind::Hour => self.count <= 24,
            WindowKind::Day => self.count <= 1,
            WindowKind::Lifetime | WindowKind::Week | WindowKind::Month | WindowKind::Quarter | WindowKind::Year => {
                false
            }
        }
    }

    /// The one window that contains `at`.
    ///
    /// Windows of several units are counted from the anchor's local date and time; without an anchor, from local
    /// midnight of 1970-01-01, weeks from Monday 1969-12-29. Months are counted from the anchor itself, so that a
    /// billing day of 31 ends short months early and comes back in the long ones.
    ///
    /// # Errors
    /// [`WindowError::OutOfRange`] at the ends of time, [`WindowError::UnknownTimeZone`] where the database lost it.
    pub fn bounds(&self, at: Timestamp) -> Result<Bounds, WindowError> {
        let bounds = match &self.time_zone {
            None => Some(Bounds::LIFETIME).filter(|bounds| bounds.contains(at)),
            Some(name) => {
                let zone = zone(name)?;
                let anchor = self.anchor.map(|anchor| zone.to_datetime(anchor));
                Grid::new(self.kind, self.count, anchor).bounds(&zone, at)
            }
        };
        bounds.ok_or(WindowError::OutOfRange(at))
    }
}

/// The time zone called `name`.
///
/// # Errors
/// [`WindowError::UnknownTimeZone`].
pub fn zone(name: &str) -> Result<TimeZone, WindowError> {
    TimeZone::get(name)
        .ok()
        .filter(|zone| !zone.is_unknown())
        .ok_or_else(|| WindowError::UnknownTimeZone(name.to_owned()))
}

#[cfg(test)]
mod tests;
