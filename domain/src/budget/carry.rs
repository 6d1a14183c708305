//! What one window hands to the next.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::counter::Counter;
use super::definition::Carry;
use crate::amount::{Amount, AmountError};
use crate::window::{Window, WindowError};

/// Empty windows in a row after which more make no difference: by then a window carries one limit, or nothing.
const EMPTY_WINDOWS_LIMIT: u32 = 3;

/// From what a window inherits. It is kept beside what was inherited, so that this can be computed again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Inheritance {
    /// The rule when the counter was made.
    pub rule: Carry,
    /// The limit of the counter then, without what it carries.
    pub limit: Amount,
    /// Start of the last window before it that has a counter.
    pub window_start: Timestamp,
    /// The version of that counter then.
    pub version: i64,
    /// How many windows in between had none, at most 3.
    pub empty_windows: u32,
}

impl Carry {
    fn hands_on_overrun(self) -> bool {
        matches!(self, Self::Overrun | Self::Both)
    }

    fn hands_on_rest(self) -> bool {
        matches!(self, Self::Rest | Self::Both)
    }
}

impl Inheritance {
    /// What the new window inherits from `last`, the counter of the window at [`Self::window_start`]. What that one holds and
    /// presumes counts as spent.
    ///
    /// What it overran is what lies above every limit of that window, and what it left lies below both that and today's limit:
    /// a limit that changed after the window had ended turns nothing into an overrun, and nothing into a rest.
    ///
    /// # Errors
    /// [`AmountError::TooLarge`].
    pub fn amount(&self, last: &Counter) -> Result<Amount, AmountError> {
        let committed = last.committed()?;
        let effective = effective_limit(self.limit, last.carried)?.min(last.highest_limit);
        let mut carried = if committed > last.highest_limit {
            if self.rule.hands_on_overrun() { last.highest_limit.minus(committed)? } else { Amount::ZERO }
        } else {
            self.rest(effective.minus(committed)?)
        };
        for _ in 0..self.empty_windows.min(EMPTY_WINDOWS_LIMIT) {
            carried = self.rest(effective_limit(self.limit, carried)?);
        }
        Ok(carried)
    }

    /// What a window hands on of what it left: at most one limit.
    fn rest(&self, left: Amount) -> Amount {
        if self.rule.hands_on_rest() { left.min(self.limit).max(Amount::ZERO) } else { Amount::ZERO }
    }
}

/// A limit with what its window carries: never below 0.
///
/// # Errors
/// [`AmountError::TooLarge`].
pub fn effective_limit(limit: Amount, carried: Amount) -> Result<Amount, AmountError> {
    Ok(limit.plus(carried)?.max(Amount::ZERO))
}

/// How many windows lie between the one that ends at `last` and the one that starts at `start`, as far as they matter. Counted from
/// what is stored of both: what is computed may differ by an hour where time zone rules changed.
///
/// # Errors
/// [`WindowError`].
pub fn empty_windows(window: &Window, last: Timestamp, start: Timestamp) -> Result<u32, WindowError> {
    let mut empty = 0;
    let mut before = previous(window, start)?;
    while before >= last && empty < EMPTY_WINDOWS_LIMIT {
        empty += 1;
        before = previous(window, before)?;
    }
    Ok(empty)
}

fn previous(window: &Window, start: Timestamp) -> Result<Timestamp, WindowError> {
    let last_instant =
        start.checked_sub(jiff::SignedDuration::from_nanos(1)).map_err(|_| WindowError::OutOfRange(start))?;
    Ok(window.bounds(last_instant)?.start)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::budget::OverrunCause;
    use crate::window::WindowKind;

    fn amount(text: &str) -> Amount {
        text.parse().unwrap()
    }

    /// What is carried by each rule after a window of the limit 10 that carried this, spent this, and this many empty ones.
    fn carried(before: &str, spent: &str, empty_windows: u32) -> [String; 4] {
        let limit = amount("10");
        let mut last = Counter { carried: amount(before), ..Counter::default() };
        let effective = effective_limit(limit, last.carried).unwrap();
        last.charge(amount(spent), effective, OverrunCause::NotReserved).unwrap();
        [Carry::None, Carry::Overrun, Carry::Rest, Carry::Both].map(|rule| {
            let from = Inheritance { rule, limit, window_start: Timestamp::UNIX_EPOCH, version: 1, empty_windows };
            from.amount(&last).unwrap().to_string()
        })
    }

    #[test]
    fn overruns_are_taken_off_and_rests_are_added_up_to_one_limit() {
        assert_eq!(carried("0", "4", 0), ["0", "0", "6", "6"]);
        assert_eq!(carried("0", "13", 0), ["0", "-3", "0", "-3"]);
        assert_eq!(carried("0", "10", 0), ["0", "0", "0", "0"]);
        assert_eq!(carried("8", "2", 0), ["0", "0", "10", "10"], "16 are left, one limit is handed on");
        assert_eq!(carried("-3", "9", 0), ["0", "-2", "0", "-2"]);
        assert_eq!(carried("-25", "0", 0), ["0", "0", "0", "0"], "a limit never falls below nothing");
    }

    #[test]
    fn empty_windows_hand_on_their_rest_once() {
        assert_eq!(carried("0", "10", 1), ["0", "0", "10", "10"]);
        assert_eq!(carried("0", "13", 1), ["0", "0", "10", "7"], "the empty window had the overrun taken off");
        assert_eq!(carried("0", "13", 2), ["0", "0", "10", "10"]);
        assert_eq!(carried("0", "4", 3), ["0", "0", "10", "10"]);
        assert_eq!(carried("0", "4", 40), ["0", "0", "10", "10"]);
    }

    #[test]
    fn what_is_held_or_presumed_counts_as_spent() {
        let mut last = Counter { highest_limit: amount("10"), ..Counter::default() };
        last.hold(amount("7")).unwrap();
        last.presume(amount("3")).unwrap();
        let from = Inheritance {
            rule: Carry::Both,
            limit: amount("10"),
            window_start: Timestamp::UNIX_EPOCH,
            version: 1,
            empty_windows: 0,
        };
        assert_eq!(from.amount(&last).unwrap(), amount("3"));
        last.charge(amount("5"), amount("10"), OverrunCause::Late).unwrap();
        assert_eq!(from.amount(&last).unwrap(), amount("-2"));
    }

    #[test]
    fn a_limit_that_changes_after_the_window_turns_nothing_around() {
        let mut last = Counter::default();
        last.charge(amount("8"), amount("10"), OverrunCause::NotReserved).unwrap();
        let by = |limit: &str| Inheritance {
            rule: Carry::Both,
            limit: amount(limit),
            window_start: Timestamp::UNIX_EPOCH,
            version: 1,
            empty_windows: 0,
        };
        assert_eq!(by("100").amount(&last).unwrap(), amount("2"), "raised");
        assert_eq!(by("5").amount(&last).unwrap(), Amount::ZERO, "lowered");
    }

    #[test]
    fn windows_between_are_counted_as_far_as_they_matter() {
        let day = Window::new(WindowKind::Day, 1, Some("Europe/Berlin".to_owned()), None, "window").unwrap();
        let start = |text: &str| day.bounds(text.parse().unwrap()).unwrap().start;
        let last = day.bounds("2026-03-28T12:00:00Z".parse().unwrap()).unwrap().end;
        let hour = jiff::SignedDuration::from_hours(1);
        // Also where the last window was stored an hour shorter than it is computed now.
        for last in [last - hour, last] {
            let found = ["2026-03-29", "2026-03-30", "2026-03-31", "2026-04-01", "2026-05-01"]
                .map(|date| empty_windows(&day, last, start(&format!("{date}T12:00:00Z"))).unwrap());
            assert_eq!(found, [0, 1, 2, 3, 3]);
        }
        let longer = empty_windows(&day, last + hour, last + hour).unwrap();
        assert_eq!(longer, 0, "what follows begins where it ends");
    }
}
