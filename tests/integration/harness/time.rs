//! Instants.

use prost_types::Timestamp;
use uuid::{NoContext, Uuid};

/// An instant in RFC 3339.
pub(crate) fn at(text: &str) -> Timestamp {
    to_wire(text.parse().unwrap())
}

/// For the wire.
pub(crate) fn to_wire(at: jiff::Timestamp) -> Timestamp {
    Timestamp { seconds: at.as_second(), nanos: at.subsec_nanosecond() }
}

/// From the wire.
pub(crate) fn from_wire(at: &Timestamp) -> jiff::Timestamp {
    jiff::Timestamp::new(at.seconds, at.nanos).unwrap()
}

/// So many seconds from now; before it where negative.
pub(crate) fn seconds_from_now(seconds: i64) -> Timestamp {
    to_wire(jiff::Timestamp::now() + jiff::SignedDuration::from_secs(seconds))
}

/// The id of an event, as if it had been minted then.
pub(crate) fn id_at(at: &Timestamp) -> String {
    let seconds = u64::try_from(at.seconds).unwrap();
    let nanos = u32::try_from(at.nanos).unwrap();
    Uuid::new_v7(uuid::Timestamp::from_unix(NoContext, seconds, nanos)).to_string()
}

/// A duration of whole milliseconds.
pub(crate) fn milliseconds(count: i64) -> prost_types::Duration {
    let nanos = i32::try_from(count % 1_000).unwrap() * 1_000_000;
    prost_types::Duration { seconds: count / 1_000, nanos }
}
