//! Instants between the domain and the database: microseconds on both sides.

use jiff::Timestamp;
use time::OffsetDateTime;

use super::error::StoreError;

/// For the database. Every valid instant of the domain (years 1 to 9999) has one.
pub fn to_database(at: Timestamp) -> OffsetDateTime {
    let nanoseconds = i128::from(at.as_microsecond()) * 1_000;
    OffsetDateTime::from_unix_timestamp_nanos(nanoseconds).unwrap_or(OffsetDateTime::UNIX_EPOCH)
}

/// From the database.
///
/// # Errors
/// [`StoreError::Unreadable`] outside the years that the domain knows.
pub fn from_database(at: OffsetDateTime) -> Result<Timestamp, StoreError> {
    i64::try_from(at.unix_timestamp_nanos() / 1_000)
        .ok()
        .and_then(|microseconds| Timestamp::from_microsecond(microseconds).ok())
        .ok_or(StoreError::Unreadable { what: "time" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instants_survive_to_the_microsecond() {
        for text in ["0001-01-01T00:00:00Z", "1969-12-31T23:59:59.999999Z", "9999-12-30T00:00:00.000001Z"] {
            let at: Timestamp = text.parse().unwrap();
            let back = from_database(to_database(at));
            assert_eq!(back.ok(), Some(at), "{text}");
        }
    }
}
