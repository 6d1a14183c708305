use jiff::{SignedDuration, ToSpan};
use proptest::prelude::*;

use super::*;

const KINDS: [WindowKind; 8] = [
    WindowKind::Lifetime,
    WindowKind::Minute,
    WindowKind::Hour,
    WindowKind::Day,
    WindowKind::Week,
    WindowKind::Month,
    WindowKind::Quarter,
    WindowKind::Year,
];

/// Zones whose clocks do something unusual: skip or repeat midnight, skip a day, change by half an hour or more than
/// one, move to a neighbour's time, stand at a quarter, never change.
const ZONES: [&str; 19] = [
    "UTC",
    "Europe/Berlin",
    "America/New_York",
    "America/Sao_Paulo",
    "America/Havana",
    "America/Indiana/Winamac",
    "America/St_Johns",
    "America/Toronto",
    "America/Juneau",
    "Asia/Beirut",
    "Asia/Gaza",
    "Asia/Kathmandu",
    "Asia/Manila",
    "Africa/Casablanca",
    "Africa/Monrovia",
    "Antarctica/Troll",
    "Australia/Lord_Howe",
    "Pacific/Apia",
    "Pacific/Kwajalein",
];

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn window(kind: WindowKind, count: u32, zone: &str, anchor: Option<&str>) -> Window {
    Window::new(kind, count, Some(zone.into()), anchor.map(at), "window").unwrap()
}

#[track_caller]
fn assert_window(window: &Window, instant: &str, start: &str, end: &str) {
    let bounds = window.bounds(at(instant)).unwrap();
    assert_eq!(bounds, Bounds { start: at(start), end: at(end) }, "{window:?} at {instant}");
}

fn hours(window: &Window, instant: &str) -> i64 {
    let bounds = window.bounds(at(instant)).unwrap();
    bounds.end.duration_since(bounds.start).as_hours()
}

#[test]
fn windows_align_with_the_local_calendar() {
    let cases = [
        (WindowKind::Minute, "2026-05-15T10:37:00Z", "2026-05-15T10:38:00Z"),
        (WindowKind::Hour, "2026-05-15T10:00:00Z", "2026-05-15T11:00:00Z"),
        (WindowKind::Day, "2026-05-14T22:00:00Z", "2026-05-15T22:00:00Z"),
        (WindowKind::Week, "2026-05-10T22:00:00Z", "2026-05-17T22:00:00Z"),
        (WindowKind::Month, "2026-04-30T22:00:00Z", "2026-05-31T22:00:00Z"),
        (WindowKind::Quarter, "2026-03-31T22:00:00Z", "2026-06-30T22:00:00Z"),
        (WindowKind::Year, "2025-12-31T23:00:00Z", "2026-12-31T23:00:00Z"),
    ];
    for (kind, start, end) in cases {
        assert_window(&window(kind, 1, "Europe/Berlin", None), "2026-05-15T10:37:12.5Z", start, end);
    }
}

#[test]
fn a_day_has_23_or_25_hours_where_the_clock_changes() {
    let day = window(WindowKind::Day, 1, "America/New_York", None);
    assert_window(&day, "2026-03-08T12:00:00Z", "2026-03-08T05:00:00Z", "2026-03-09T04:00:00Z");
    assert_window(&day, "2026-11-01T12:00:00Z", "2026-11-01T04:00:00Z", "2026-11-02T05:00:00Z");
    assert_eq!(hours(&day, "2026-03-08T12:00:00Z"), 23);
    assert_eq!(hours(&day, "2026-11-01T12:00:00Z"), 25);
    assert_eq!(hours(&day, "2026-11-02T12:00:00Z"), 24);
}

#[test]
fn a_day_without_midnight_begins_when_the_clock_moves() {
    let day = window(WindowKind::Day, 1, "America/Sao_Paulo", None);
    assert_window(&day, "2018-11-04T02:59:59.999999Z", "2018-11-03T03:00:00Z", "2018-11-04T03:00:00Z");
    assert_window(&day, "2018-11-04T03:00:00Z", "2018-11-04T03:00:00Z", "2018-11-05T02:00:00Z");
    let day = window(WindowKind::Day, 1, "Asia/Beirut", None);
    assert_window(&day, "2022-03-27T12:00:00Z", "2022-03-26T22:00:00Z", "2022-03-27T21:00:00Z");
    // From 23:30 to 00:30: midnight is in the middle of what is skipped.
    let day = window(WindowKind::Day, 1, "America/Toronto", None);
    assert_window(&day, "1919-03-31T04:30:00Z", "1919-03-31T04:30:00Z", "1919-04-01T04:00:00Z");
}

#[test]
fn a_day_with_two_midnights_begins_at_the_first() {
    let day = window(WindowKind::Day, 1, "America/Havana", None);
    assert_window(&day, "2022-11-06T04:30:00Z", "2022-11-06T04:00:00Z", "2022-11-07T05:00:00Z");
    assert_window(&day, "2022-11-06T05:30:00Z", "2022-11-06T04:00:00Z", "2022-11-07T05:00:00Z");
    // The last hour of the day before is repeated, midnight comes once.
    let day = window(WindowKind::Day, 1, "Asia/Beirut", None);
    assert_window(&day, "2022-10-29T21:30:00Z", "2022-10-28T21:00:00Z", "2022-10-29T22:00:00Z");
    // At 00:01 back to 23:01: the new day has begun and goes on.
    let day = window(WindowKind::Day, 1, "America/St_Johns", None);
    assert_window(&day, "2006-10-29T02:45:00Z", "2006-10-29T02:30:00Z", "2006-10-30T03:30:00Z");
}

#[test]
fn a_day_that_the_calendar_skips_has_no_window() {
    let day = window(WindowKind::Day, 1, "Pacific/Apia", None);
    assert_window(&day, "2011-12-30T09:59:59Z", "2011-12-29T10:00:00Z", "2011-12-30T10:00:00Z");
    assert_window(&day, "2011-12-30T10:00:00Z", "2011-12-30T10:00:00Z", "2011-12-31T10:00:00Z");
}

#[test]
fn a_repeated_hour_is_an_hour_of_its_own() {
    let hour = window(WindowKind::Hour, 1, "Europe/Berlin", None);
    assert_window(&hour, "2026-10-25T00:30:00Z", "2026-10-25T00:00:00Z", "2026-10-25T01:00:00Z");
    assert_window(&hour, "2026-10-25T01:30:00Z", "2026-10-25T01:00:00Z", "2026-10-25T02:00:00Z");
    let hours_of_six = window(WindowKind::Hour, 6, "Europe/Berlin", None);
    assert_window(&hours_of_six, "2026-10-25T01:30:00Z", "2026-10-24T22:00:00Z", "2026-10-25T05:00:00Z");
    assert_window(&hours_of_six, "2026-03-29T00:30:00Z", "2026-03-28T23:00:00Z", "2026-03-29T04:00:00Z");
}

#[test]
fn hours_follow_clocks_that_are_not_whole_hours_away() {
    let hour = window(WindowKind::Hour, 1, "Asia/Kathmandu", None);
    assert_window(&hour, "2026-05-15T10:37:00Z", "2026-05-15T10:15:00Z", "2026-05-15T11:15:00Z");
    // At 02:00 back to 01:30: the change cuts the hour from 01:00 to 02:00.
    let hour = window(WindowKind::Hour, 1, "Australia/Lord_Howe", None);
    assert_window(&hour, "2026-04-04T14:59:00Z", "2026-04-04T14:00:00Z", "2026-04-04T15:00:00Z");
    assert_window(&hour, "2026-04-04T15:10:00Z", "2026-04-04T15:00:00Z", "2026-04-04T15:30:00Z");
    assert_window(&hour, "2026-04-04T15:30:00Z", "2026-04-04T15:30:00Z", "2026-04-04T16:30:00Z");
}

#[test]
fn a_place_that_moves_to_its_neighbours_time_changes_once() {
    // From UTC-6 to UTC-4 in one step, an hour after its new neighbours changed their clocks.
    let hour = window(WindowKind::Hour, 1, "America/Indiana/Winamac", None);
    assert_window(&hour, "2007-03-11T07:30:00Z", "2007-03-11T07:00:00Z", "2007-03-11T08:00:00Z");
    assert_window(&hour, "2007-03-11T08:30:00Z", "2007-03-11T08:00:00Z", "2007-03-11T09:00:00Z");
    let minutes = window(WindowKind::Minute, 7, "America/Indiana/Winamac", None);
    assert_window(&minutes, "2007-03-11T08:00:01Z", "2007-03-11T08:00:00Z", "2007-03-11T08:04:00Z");
}

#[test]
fn a_billing_day_of_31_is_cut_to_short_months_and_comes_back() {
    let month = window(WindowKind::Month, 1, "Europe/Berlin", Some("2026-01-30T23:00:00Z"));
    assert_window(&month, "2026-02-01T00:00:00Z", "2026-01-30T23:00:00Z", "2026-02-27T23:00:00Z");
    assert_window(&month, "2026-02-27T23:00:00Z", "2026-02-27T23:00:00Z", "2026-03-30T22:00:00Z");
    assert_window(&month, "2026-04-01T00:00:00Z", "2026-03-30T22:00:00Z", "2026-04-29T22:00:00Z");
    assert_window(&month, "2025-12-31T12:00:00Z", "2025-12-30T23:00:00Z", "2026-01-30T23:00:00Z");
    let year = window(WindowKind::Year, 1, "UTC", Some("2024-02-29T00:00:00Z"));
    assert_window(&year, "2025-06-01T00:00:00Z", "2025-02-28T00:00:00Z", "2026-02-28T00:00:00Z");
    assert_window(&year, "2028-06-01T00:00:00Z", "2028-02-29T00:00:00Z", "2029-02-28T00:00:00Z");
}

#[test]
fn an_anchor_sets_the_local_time_and_the_weekday() {
    let week = window(WindowKind::Week, 1, "America/New_York", Some("2026-01-01T14:00:00Z"));
    assert_window(&week, "2026-07-20T00:00:00Z", "2026-07-16T13:00:00Z", "2026-07-23T13:00:00Z");
    assert_window(&week, "2025-12-31T00:00:00Z", "2025-12-25T14:00:00Z", "2026-01-01T14:00:00Z");
}

#[test]
fn windows_of_several_units_count_from_a_fixed_origin() {
    let days = window(WindowKind::Day, 3, "UTC", None);
    assert_window(&days, "1970-01-03T12:00:00Z", "1970-01-01T00:00:00Z", "1970-01-04T00:00:00Z");
    assert_window(&days, "1969-12-31T12:00:00Z", "1969-12-29T00:00:00Z", "1970-01-01T00:00:00Z");
    let weeks = window(WindowKind::Week, 2, "UTC", None);
    assert_window(&weeks, "1970-01-10T00:00:00Z", "1969-12-29T00:00:00Z", "1970-01-12T00:00:00Z");
    let quarters = window(WindowKind::Quarter, 2, "UTC", None);
    assert_window(&quarters, "2026-08-01T00:00:00Z", "2026-07-01T00:00:00Z", "2027-01-01T00:00:00Z");
    let days = window(WindowKind::Day, 2, "UTC", Some("2026-05-01T06:00:00Z"));
    assert_window(&days, "2026-05-04T05:00:00Z", "2026-05-03T06:00:00Z", "2026-05-05T06:00:00Z");
}

#[test]
fn a_lifetime_contains_everything_that_the_product_holds() {
    let bounds = Window::lifetime().bounds(at("2026-01-01T00:00:00Z")).unwrap();
    assert_eq!(bounds, Bounds { start: at("0001-01-01T00:00:00Z"), end: at("9999-12-30T00:00:00Z") });
    assert!(Window::lifetime().bounds(Timestamp::MAX).is_err());
}

#[test]
fn the_ends_of_time_are_an_error_not_a_panic() {
    for kind in KINDS.into_iter().skip(1) {
        for instant in [Timestamp::MIN, Timestamp::MAX] {
            for count in [1, COUNT_LIMIT] {
                let window = window(kind, count, "Pacific/Kiritimati", None);
                let bounds = window.bounds(instant);
                assert!(bounds.is_err() || bounds.is_ok_and(|bounds| bounds.contains(instant)), "{window:?}");
            }
        }
    }
}

#[test]
fn broken_windows_are_refused_by_field() {
    let fields = |kind, count, zone: Option<&str>, anchor| -> Vec<String> {
        let violations = Window::new(kind, count, zone.map(Into::into), anchor, "budget.window").unwrap_err();
        violations.into_iter().map(|violation| violation.field).collect()
    };
    assert_eq!(fields(WindowKind::Day, 367, None, None), ["budget.window.count", "budget.window.time_zone"]);
    for zone in ["", "Mars/Olympus", "EST5EDT4", "Etc/Unknown"] {
        assert_eq!(fields(WindowKind::Day, 1, Some(zone), None), ["budget.window.time_zone"], "{zone}");
    }
    assert_eq!(
        fields(WindowKind::Lifetime, 2, Some("UTC"), Some(at("2026-01-01T00:00:00Z"))),
        ["budget.window.count", "budget.window.time_zone", "budget.window.anchor"]
    );
    assert_eq!(fields(WindowKind::Day, 1, Some("UTC"), Some(Timestamp::MIN)), ["budget.window.anchor"]);
}

#[test]
fn a_window_survives_its_json_and_a_broken_one_does_not_enter() {
    for window in [
        Window::lifetime(),
        window(WindowKind::Day, 3, "Europe/Berlin", None),
        window(WindowKind::Month, 0, "Asia/Kathmandu", Some("2026-01-31T00:00:00Z")),
    ] {
        let json = serde_json::to_string(&window).unwrap();
        assert_eq!(serde_json::from_str::<Window>(&json).unwrap(), window, "{json}");
    }
    assert_eq!(window(WindowKind::Month, 0, "UTC", None).count(), 1);
    assert!(serde_json::from_str::<Window>(r#"{"kind":"day","count":1}"#).is_err());
}

#[test]
fn decision_9_throttling_fits_windows_up_to_a_day() {
    let fits = |kind, count| window(kind, count, "UTC", None).at_most_a_day();
    assert!(fits(WindowKind::Minute, 366) && fits(WindowKind::Hour, 24) && fits(WindowKind::Day, 1));
    assert!(!fits(WindowKind::Hour, 25) && !fits(WindowKind::Day, 2) && !fits(WindowKind::Week, 1));
    assert!(!Window::lifetime().at_most_a_day());
}

/// Checks that the window of `instant` contains it and that its neighbours touch it.
fn assert_tiles(window: &Window, instant: Timestamp) {
    let bounds = window.bounds(instant).unwrap();
    assert!(bounds.contains(instant), "{window:?} at {instant}: {bounds}");
    if window.kind() == WindowKind::Lifetime {
        return;
    }
    assert_eq!(window.bounds(bounds.start).unwrap(), bounds, "{window:?} at {instant}: its start");
    let last = bounds.end.checked_sub(1.nanosecond()).unwrap();
    assert_eq!(window.bounds(last).unwrap(), bounds, "{window:?} at {instant}: its last instant");
    assert_eq!(window.bounds(bounds.end).unwrap().start, bounds.end, "{window:?} at {instant}: the next");
    let before = bounds.start.checked_sub(1.nanosecond()).unwrap();
    assert_eq!(window.bounds(before).unwrap().end, bounds.start, "{window:?} at {instant}: the one before");
}

fn any_window() -> impl Strategy<Value = Window> {
    let anchor = proptest::option::of(-4_000_000_000_i64..8_000_000_000);
    (proptest::sample::select(KINDS.as_slice()), 1..=12_u32, proptest::sample::select(ZONES.as_slice()), anchor)
        .prop_map(|(kind, count, zone, anchor)| {
            if kind == WindowKind::Lifetime {
                return Window::lifetime();
            }
            let anchor = anchor.map(|second| Timestamp::from_second(second).unwrap());
            Window::new(kind, count, Some(zone.into()), anchor, "window").unwrap()
        })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn every_instant_lies_in_exactly_one_window(
        window in any_window(), second in -4_000_000_000_i64..8_000_000_000, nanosecond in 0..1_000_000_000,
    ) {
        assert_tiles(&window, Timestamp::new(second, nanosecond).unwrap());
    }

    #[test]
    fn every_instant_near_a_clock_change_lies_in_exactly_one_window(
        window in any_window(), second in -4_000_000_000_i64..8_000_000_000, away in -100_000_i64..100_000,
    ) {
        let zone = zone(window.time_zone().unwrap_or("UTC")).unwrap();
        let change = zone.following(Timestamp::from_second(second).unwrap()).next();
        let change = change.map_or(Timestamp::UNIX_EPOCH, |change| change.timestamp());
        assert_tiles(&window, change.checked_add(SignedDuration::from_secs(away)).unwrap());
        assert_tiles(&window, change);
    }
}
