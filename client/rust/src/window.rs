//! Windows of budgets and totals.

use tollgate_proto::v1;
use tollgate_proto::v1::window::Kind;

/// A repeating stretch of calendar time. Days and longer follow the wall clock of the time zone, given by its IANA name.
#[derive(Debug, Clone, PartialEq)]
#[must_use = "a window does nothing until it is put into a budget or a scope"]
pub struct Window {
    message: v1::Window,
}

impl Window {
    fn new(kind: Kind, time_zone: impl Into<String>) -> Self {
        Self { message: v1::Window { kind: kind.into(), count: 1, time_zone: time_zone.into(), anchor: None } }
    }

    /// One window that never ends.
    pub fn lifetime() -> Self {
        Self { message: v1::Window { kind: Kind::Lifetime.into(), ..Default::default() } }
    }

    /// A minute.
    pub fn minute(time_zone: impl Into<String>) -> Self {
        Self::new(Kind::Minute, time_zone)
    }

    /// An hour.
    pub fn hour(time_zone: impl Into<String>) -> Self {
        Self::new(Kind::Hour, time_zone)
    }

    /// A calendar day.
    pub fn day(time_zone: impl Into<String>) -> Self {
        Self::new(Kind::Day, time_zone)
    }

    /// A week from Monday.
    pub fn week(time_zone: impl Into<String>) -> Self {
        Self::new(Kind::Week, time_zone)
    }

    /// A calendar month.
    pub fn month(time_zone: impl Into<String>) -> Self {
        Self::new(Kind::Month, time_zone)
    }

    /// A calendar quarter.
    pub fn quarter(time_zone: impl Into<String>) -> Self {
        Self::new(Kind::Quarter, time_zone)
    }

    /// A calendar year.
    pub fn year(time_zone: impl Into<String>) -> Self {
        Self::new(Kind::Year, time_zone)
    }
}

impl From<Window> for v1::Window {
    fn from(window: Window) -> Self {
        window.message
    }
}

impl From<v1::Window> for Window {
    fn from(message: v1::Window) -> Self {
        Self { message }
    }
}
