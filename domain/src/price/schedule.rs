//! When a price is in force.

use std::fmt;

use jiff::civil::{Time, Weekday};
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan as _};

/// A stretch of time, of every day or of some, in which a price is in force.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Schedule {
    /// From then on; absent = since ever.
    pub(super) from: Option<Timestamp>,
    /// Until then, exclusive; absent = for ever.
    pub(super) until: Option<Timestamp>,
    /// Only then on a day.
    pub(super) daily: Option<Daily>,
}

/// A time of day, as providers publish it for peak and off-peak hours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Daily {
    /// Inclusive.
    pub(super) from: Time,
    /// Exclusive; at or before `from`, it is that of the next day.
    pub(super) to: Time,
    /// Where the day is counted.
    pub(super) zone: TimeZone,
    /// The days on which it begins; empty = every day.
    pub(super) weekdays: Vec<Weekday>,
}

impl Schedule {
    /// Whether the price is in force at `at`.
    pub(super) fn contains(&self, at: Timestamp) -> bool {
        self.from.is_none_or(|from| from <= at)
            && self.until.is_none_or(|until| at < until)
            && self.daily.as_ref().is_none_or(|daily| daily.contains(at))
    }
}

impl Daily {
    fn contains(&self, at: Timestamp) -> bool {
        let local = self.zone.to_datetime(at);
        let (date, time) = (local.date(), local.time());
        let begun = if self.from < self.to {
            (self.from <= time && time < self.to).then_some(date)
        } else if time >= self.from {
            Some(date)
        } else if time < self.to {
            date.checked_sub(1.day()).ok()
        } else {
            None
        };
        begun.is_some_and(|date| self.weekdays.is_empty() || self.weekdays.contains(&date.weekday()))
    }
}

impl fmt::Display for Daily {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let zone = self.zone.iana_name().unwrap_or("UTC");
        write!(formatter, "{} to {} {zone}", self.from.strftime("%H:%M"), self.to.strftime("%H:%M"))?;
        for (position, day) in self.weekdays.iter().enumerate() {
            let separator = if position == 0 { " on " } else { ", " };
            write!(formatter, "{separator}{day:?}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use jiff::civil::time;

    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn schedule(from: Time, to: Time, weekdays: &[Weekday]) -> Schedule {
        let daily = Daily { from, to, zone: TimeZone::UTC, weekdays: weekdays.to_vec() };
        Schedule { daily: Some(daily), ..Schedule::default() }
    }

    #[test]
    fn the_start_is_inside_and_the_end_is_not() {
        let spans =
            Schedule { from: Some(at("2026-01-01T00:00:00Z")), until: Some(at("2026-02-01T00:00:00Z")), daily: None };
        assert!(!spans.contains(at("2025-12-31T23:59:59.999999Z")));
        assert!(spans.contains(at("2026-01-01T00:00:00Z")));
        assert!(spans.contains(at("2026-01-31T23:59:59.999999Z")));
        assert!(!spans.contains(at("2026-02-01T00:00:00Z")));
        let peak = schedule(time(1, 0, 0, 0), time(4, 0, 0, 0), &[]);
        assert!(peak.contains(at("2026-01-01T01:00:00Z")));
        assert!(!peak.contains(at("2026-01-01T04:00:00Z")));
    }

    #[test]
    fn a_span_over_midnight_belongs_to_the_day_on_which_it_began() {
        let night = schedule(time(22, 0, 0, 0), time(2, 0, 0, 0), &[Weekday::Friday]);
        assert!(night.contains(at("2026-11-20T22:00:00Z")), "Friday evening");
        assert!(night.contains(at("2026-11-21T01:59:59Z")), "the same night");
        assert!(!night.contains(at("2026-11-21T02:00:00Z")));
        assert!(!night.contains(at("2026-11-21T23:00:00Z")), "Saturday evening");
        assert!(!night.contains(at("2026-11-20T01:00:00Z")), "the night from Thursday");
    }

    #[test]
    fn the_zone_decides_which_day_it_is() {
        let mut peak = schedule(time(9, 0, 0, 0), time(12, 0, 0, 0), &[Weekday::Monday]);
        let zone = TimeZone::get("Asia/Shanghai").unwrap();
        peak.daily = peak.daily.map(|daily| Daily { zone, ..daily });
        assert!(peak.contains(at("2026-11-23T01:00:00Z")), "Monday 09:00 in Shanghai");
        assert!(!peak.contains(at("2026-11-23T09:00:00Z")), "Monday 17:00 in Shanghai");
    }
}
