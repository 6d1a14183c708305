//! Windows as they were stored, which stand above what is computed.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::{Bounds, Window, WindowError};

/// Windows of one budget that were stored before: disjoint, perhaps with gaps.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Periods {
    ends: BTreeMap<Timestamp, Timestamp>,
}

impl Periods {
    /// The stored window that holds `at`.
    pub fn holding(&self, at: Timestamp) -> Option<Bounds> {
        let (start, end) = self.ends.range(..=at).next_back()?;
        Some(Bounds { start: *start, end: *end }).filter(|bounds| bounds.contains(at))
    }

    /// The window that holds `at`: as it is stored or, where none is, as `window` computes it, cut where stored ones begin and end.
    ///
    /// # Errors
    /// [`WindowError`], as for [`Window::bounds`].
    pub fn bounds(&self, window: &Window, at: Timestamp) -> Result<Bounds, WindowError> {
        if let Some(stored) = self.holding(at) {
            return Ok(stored);
        }
        let computed = window.bounds(at)?;
        let before = self.ends.range(..=at).next_back().map_or(computed.start, |(_, end)| *end);
        let after = self.ends.range(at..).next().map_or(computed.end, |(start, _)| *start);
        Ok(Bounds { start: computed.start.max(before), end: computed.end.min(after) })
    }

    /// Adds a window that was stored.
    pub fn add(&mut self, bounds: Bounds) {
        self.ends.insert(bounds.start, bounds.end);
    }

    /// Takes over all windows of `other`, and keeps the latest `limit`.
    pub fn merge(&mut self, other: &Self, limit: usize) {
        self.ends.extend(&other.ends);
        while self.ends.len() > limit {
            self.ends.pop_first();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::window::WindowKind;

    fn at(text: &str) -> Timestamp {
        format!("2026-11-{text}:00Z").parse().unwrap()
    }

    fn bounds(start: &str, end: &str) -> Bounds {
        Bounds { start: at(start), end: at(end) }
    }

    fn day() -> Window {
        Window::new(WindowKind::Day, 1, Some("UTC".to_owned()), None, "window").unwrap()
    }

    fn stored(windows: &[Bounds]) -> Periods {
        let mut periods = Periods::default();
        windows.iter().for_each(|bounds| periods.add(*bounds));
        periods
    }

    #[test]
    fn what_is_stored_wins_and_what_is_computed_is_cut_around_it() {
        let periods = stored(&[bounds("10T01:00", "11T01:00")]);
        let told = |instant: &str| periods.bounds(&day(), at(instant)).unwrap();
        assert_eq!(told("10T01:00"), bounds("10T01:00", "11T01:00"));
        assert_eq!(told("11T00:59"), bounds("10T01:00", "11T01:00"));
        assert_eq!(told("10T00:59"), bounds("10T00:00", "10T01:00"), "what is left of the day before it");
        assert_eq!(told("11T01:00"), bounds("11T01:00", "12T00:00"), "the day after it begins where it ends");
        assert_eq!(told("12T00:00"), bounds("12T00:00", "13T00:00"));
    }

    #[test]
    fn windows_that_are_added_as_they_are_told_tile_time() {
        let mut periods = stored(&[bounds("10T01:00", "11T01:00"), bounds("12T05:00", "12T23:00")]);
        for hour in (0..96).rev() {
            let instant = at("09T00:30") + jiff::SignedDuration::from_hours(hour);
            let told = periods.bounds(&day(), instant).unwrap();
            assert!(told.contains(instant), "{told} {instant}");
            periods.add(told);
        }
        let mut last: Option<Timestamp> = None;
        for (start, end) in &periods.ends {
            assert!(last.is_none_or(|last| last == *start) && start < end);
            last = Some(*end);
        }
    }

    #[test]
    fn the_latest_are_kept() {
        let mut periods = stored(&[bounds("10T00:00", "11T00:00")]);
        periods.merge(&stored(&[bounds("11T00:00", "12T00:00"), bounds("12T00:00", "13T00:00")]), 2);
        assert_eq!(periods.ends.keys().copied().collect::<Vec<_>>(), [at("11T00:00"), at("12T00:00")]);
    }
}
