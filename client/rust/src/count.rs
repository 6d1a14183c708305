//! Conversions of counts, times and amounts between Rust's types and those of the wire.

use std::time::{Duration, SystemTime};

use rust_decimal::Decimal;

/// A count for the wire, where counts are signed. What does not fit is far over every bound and becomes the largest count, so
/// that the server refuses it instead of a smaller one being billed.
pub(crate) fn count(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// A small count for the wire; see [`count`].
pub(crate) fn small_count(number: u32) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}

/// A span for the wire. One that is too long for it becomes the longest, which every bound of the server refuses.
pub(crate) fn wire_duration(span: Duration) -> prost_types::Duration {
    prost_types::Duration::try_from(span).unwrap_or(prost_types::Duration { seconds: i64::MAX, nanos: 0 })
}

/// A span from the wire. Negative ones, which the contract forbids, count as none.
pub(crate) fn local_duration(span: &prost_types::Duration) -> Duration {
    Duration::try_from(*span).unwrap_or(Duration::ZERO)
}

/// A moment for the wire.
pub(crate) fn wire_time(moment: SystemTime) -> prost_types::Timestamp {
    prost_types::Timestamp::from(moment)
}

/// A moment from the wire, unless the platform cannot express it.
pub(crate) fn local_time(moment: &prost_types::Timestamp) -> Option<SystemTime> {
    SystemTime::try_from(*moment).ok()
}

/// An amount from the wire. Empty means that it was not sent.
pub(crate) fn local_amount(amount: &str) -> Option<Decimal> {
    Decimal::from_str_exact(amount).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_never_shrink_to_something_billable() {
        assert_eq!(count(7), 7);
        assert_eq!(count(u64::MAX), i64::MAX);
        assert_eq!(small_count(u32::MAX), i32::MAX);
    }

    #[test]
    fn amounts_keep_every_digit() {
        assert_eq!(
            local_amount("1234567890123456.123456789012").map(|usd| usd.to_string()).as_deref(),
            Some("1234567890123456.123456789012")
        );
        assert_eq!(local_amount(""), None);
    }
}
