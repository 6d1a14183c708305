use proptest::prelude::*;

use super::*;
use crate::window::zone;

fn range(start: &str, end: &str) -> Bounds {
    Bounds { start: start.parse().unwrap(), end: end.parse().unwrap() }
}

fn starts(found: &[Bucket]) -> Vec<String> {
    found.iter().map(|bucket| bucket.start.to_string()).collect()
}

#[test]
fn buckets_are_whole_but_where_the_range_cuts_them() {
    let berlin = zone("Europe/Berlin").unwrap();
    let cut = range("2026-05-01T10:00:00Z", "2026-05-03T22:00:00Z");
    let found = buckets(cut, Granularity::Day, &berlin, 10).unwrap();
    assert_eq!(starts(&found), ["2026-04-30T22:00:00Z", "2026-05-01T22:00:00Z", "2026-05-02T22:00:00Z"]);
    assert_eq!(found.iter().map(|bucket| bucket.partial).collect::<Vec<_>>(), [true, false, false]);
    assert_eq!(found.first().unwrap().clipped, range("2026-05-01T10:00:00Z", "2026-05-01T22:00:00Z"));

    let months =
        buckets(range("2026-01-31T23:00:00Z", "2026-03-15T00:00:00Z"), Granularity::Month, &berlin, 10).unwrap();
    assert_eq!(starts(&months), ["2026-01-31T23:00:00Z", "2026-02-28T23:00:00Z"]);
    assert_eq!(months.iter().map(|bucket| bucket.partial).collect::<Vec<_>>(), [false, true]);
}

#[test]
fn weeks_begin_on_monday() {
    let found = buckets(range("2026-05-15T00:00:00Z", "2026-05-19T00:00:00Z"), Granularity::Week, &TimeZone::UTC, 10);
    assert_eq!(starts(&found.unwrap()), ["2026-05-11T00:00:00Z", "2026-05-18T00:00:00Z"]);
}

#[test]
fn a_day_of_25_hours_has_25_buckets() {
    let berlin = zone("Europe/Berlin").unwrap();
    let hours = |day: Bounds| buckets(day, Granularity::Hour, &berlin, 100).unwrap().len();
    assert_eq!(hours(range("2026-10-24T22:00:00Z", "2026-10-25T23:00:00Z")), 25);
    assert_eq!(hours(range("2026-03-28T23:00:00Z", "2026-03-29T22:00:00Z")), 23);
}

#[test]
fn without_granularity_the_range_is_the_bucket() {
    let whole = range("2026-05-01T10:00:00Z", "2026-05-03T22:00:00Z");
    let bucket = Bucket { start: whole.start, clipped: whole, partial: false };
    assert_eq!(buckets(whole, Granularity::None, &TimeZone::UTC, 1), Ok(vec![bucket]));
    assert_eq!(buckets(Bounds::LIFETIME, Granularity::None, &TimeZone::UTC, 1).unwrap().len(), 1);
}

#[test]
fn an_empty_range_has_no_bucket() {
    for granularity in [Granularity::None, Granularity::Day] {
        let empty = range("2026-05-01T00:00:00Z", "2026-05-01T00:00:00Z");
        assert_eq!(buckets(empty, granularity, &TimeZone::UTC, 1), Ok(Vec::new()));
    }
}

#[test]
fn more_buckets_than_the_limit_are_refused() {
    let days = range("2026-05-01T00:00:00Z", "2026-05-04T00:00:00Z");
    assert_eq!(buckets(days, Granularity::Day, &TimeZone::UTC, 3).unwrap().len(), 3);
    assert_eq!(buckets(days, Granularity::Day, &TimeZone::UTC, 2), Err(CalendarError::TooMany(2)));
    assert_eq!(buckets(Bounds::LIFETIME, Granularity::Minute, &TimeZone::UTC, 5), Err(CalendarError::TooMany(5)));
}

proptest! {
    #[test]
    fn buckets_tile_the_range(
        start in 0_i64..4_000_000_000, length in 1_i64..10_000_000,
        granularity in proptest::sample::select([Granularity::None, Granularity::Hour, Granularity::Day, Granularity::Week, Granularity::Month].as_slice()),
        name in proptest::sample::select(["UTC", "America/Sao_Paulo", "Asia/Kathmandu", "Pacific/Apia", "Australia/Lord_Howe"].as_slice()),
    ) {
        let whole = Bounds {
            start: Timestamp::from_second(start).unwrap(),
            end: Timestamp::from_second(start + length).unwrap(),
        };
        let found = buckets(whole, granularity, &zone(name).unwrap(), 10_000).unwrap();
        prop_assert_eq!(found.first().unwrap().clipped.start, whole.start);
        prop_assert_eq!(found.last().unwrap().clipped.end, whole.end);
        for pair in found.windows(2) {
            prop_assert_eq!(pair[0].clipped.end, pair[1].clipped.start);
            prop_assert_eq!(pair[1].start, pair[1].clipped.start);
        }
        for bucket in &found {
            prop_assert!(!bucket.clipped.is_empty());
            prop_assert!(bucket.start <= bucket.clipped.start);
        }
    }
}
