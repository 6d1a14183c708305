//! Instants, durations, decimals, ids and counts.

use std::fmt::Display;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tollgate_domain::amount::AmountError;
use tollgate_domain::violation::Violations;
use uuid::Uuid;

/// Earliest instant accepted: 1 January 1970. Nothing that Tollgate meters is older.
const EARLIEST_SECOND: i64 = 0;
/// Latest instant accepted: the last second of the year 9998, so that every window around it has an end.
const LATEST_SECOND: i64 = 253_370_764_799;

/// Cuts an instant to microseconds and checks its range.
pub fn timestamp(
    violations: &mut Violations,
    field: impl Display + Copy,
    at: Option<prost_types::Timestamp>,
) -> Option<Timestamp> {
    let prost_types::Timestamp { seconds, nanos } = at?;
    let in_range = (EARLIEST_SECOND..=LATEST_SECOND).contains(&seconds) && (0..1_000_000_000).contains(&nanos);
    let parsed = in_range.then(|| Timestamp::new(seconds, nanos / 1_000 * 1_000).ok()).flatten();
    violations.add_if(parsed.is_none(), field, "must be a valid instant between the years 1970 and 9998");
    parsed
}

/// The same for a field that must be set.
pub fn required_timestamp(
    violations: &mut Violations,
    field: impl Display + Copy,
    at: Option<prost_types::Timestamp>,
) -> Option<Timestamp> {
    violations.add_if(at.is_none(), field, "must be set");
    timestamp(violations, field, at)
}

/// For the wire.
pub fn to_timestamp(at: Timestamp) -> prost_types::Timestamp {
    let nanoseconds = at.as_nanosecond();
    prost_types::Timestamp {
        seconds: i64::try_from(nanoseconds.div_euclid(1_000_000_000)).unwrap_or_default(),
        nanos: i32::try_from(nanoseconds.rem_euclid(1_000_000_000)).unwrap_or_default(),
    }
}

/// A duration of zero or more, at most `longest`.
pub fn duration(
    violations: &mut Violations,
    field: impl Display + Copy,
    duration: Option<prost_types::Duration>,
    longest: Duration,
) -> Option<Duration> {
    let prost_types::Duration { seconds, nanos } = duration?;
    let parsed = u64::try_from(seconds).ok().zip(u32::try_from(nanos).ok().filter(|nanos| *nanos < 1_000_000_000));
    let parsed = parsed.map(|(seconds, nanos)| Duration::new(seconds, nanos)).filter(|parsed| *parsed <= longest);
    violations.add_if(parsed.is_none(), field, format_args!("must be between 0 and {} s", longest.as_secs()));
    parsed
}

/// For the wire.
pub fn to_duration(duration: SignedDuration) -> prost_types::Duration {
    prost_types::Duration { seconds: duration.as_secs(), nanos: duration.subsec_nanos() }
}

/// The time from `now` until `then`, never below zero.
pub fn remaining(now: Timestamp, then: Timestamp) -> prost_types::Duration {
    to_duration(then.duration_since(now).max(SignedDuration::ZERO))
}

/// A decimal string; empty = absent.
pub fn decimal<T: std::str::FromStr<Err = AmountError>>(
    violations: &mut Violations,
    field: impl Display + Copy,
    text: &str,
) -> Option<T> {
    if text.is_empty() {
        return None;
    }
    match text.parse() {
        Ok(value) => Some(value),
        Err(error) => {
            violations.add(field, error);
            None
        }
    }
}

/// A UUIDv7.
pub fn uuid_v7(violations: &mut Violations, field: impl Display + Copy, text: &str) -> Option<Uuid> {
    let parsed = Uuid::try_parse(text).ok().filter(|id| id.get_version_num() == 7);
    violations.add_if(parsed.is_none(), field, "must be a UUIDv7, minted before the first send");
    parsed
}

/// Any UUID, for look-ups.
pub fn uuid(violations: &mut Violations, field: impl Display + Copy, text: &str) -> Option<Uuid> {
    let parsed = Uuid::try_parse(text).ok();
    violations.add_if(parsed.is_none(), field, "must be a UUID");
    parsed
}

/// A count of zero or more.
pub fn count(violations: &mut Violations, field: impl Display + Copy, value: i64) -> u64 {
    u64::try_from(value).unwrap_or_else(|_| {
        violations.add(field, "must not be negative");
        0
    })
}

/// A text that may be empty = absent.
pub fn text(
    violations: &mut Violations,
    field: impl Display + Copy,
    value: String,
    bytes_limit: usize,
) -> Option<String> {
    tollgate_domain::dimensions::check_text(violations, field, &value, bytes_limit);
    (!value.is_empty()).then_some(value)
}

/// A page size: 0 = `default`, at most `limit`.
pub fn page_size(violations: &mut Violations, value: i32, default: u32, limit: u32) -> u32 {
    let parsed = u32::try_from(value).ok().filter(|size| *size <= limit);
    violations.add_if(parsed.is_none(), "page_size", format_args!("must be between 0 and {limit}"));
    parsed.filter(|size| *size > 0).unwrap_or(default)
}

/// A known value of an enum; the unspecified one only where it is `optional`.
pub fn known<E: TryFrom<i32>>(
    violations: &mut Violations,
    field: impl Display + Copy,
    value: i32,
    optional: bool,
) -> Option<E> {
    if value == 0 && optional {
        return None;
    }
    let parsed = (value != 0).then(|| E::try_from(value).ok()).flatten();
    violations.add_if(parsed.is_none(), field, "must be a value that this version knows");
    parsed
}
