use super::*;
use crate::dimensions::Dimension;

fn range() -> Bounds {
    Bounds { start: "2026-03-01T00:00:00Z".parse().unwrap(), end: "2026-04-01T00:00:00Z".parse().unwrap() }
}

#[test]
fn orders_are_read_with_and_without_direction() {
    let parse = |text| OrderBy::parse(text, "order_by");
    assert_eq!(parse("").unwrap(), OrderBy::default());
    assert_eq!(parse("bucket").unwrap(), OrderBy::default());
    assert!(parse("bucket desc").unwrap().latest_first);
    let calls = parse("calls desc").unwrap();
    assert_eq!((calls.measure, calls.greatest_first), (OrderMeasure::Calls, true));
    let rising = parse("total_input_tokens asc").unwrap();
    assert_eq!((rising.measure, rising.greatest_first), (OrderMeasure::InputTokens, false));
    for bad in ["price", "usd down", "usd desc asc"] {
        assert_eq!(parse(bad).unwrap_err().field, "order_by", "{bad}");
    }
}

#[test]
fn every_broken_bound_is_named() {
    let key = DimensionKey::Dimension(Dimension::AgentId);
    let request = SummaryRequest {
        range: Bounds { start: range().end, end: range().start },
        time_zone: "Mars/Olympus".to_owned(),
        group_by: vec![key.clone(), key.clone()],
        filter: vec![DimensionMatch { key, values: Vec::new(), absent: false, negate: false }],
        models: vec![String::new()],
        top: Some(TOP_LIMIT + 1),
        page_size: PAGE_SIZE_LIMIT + 1,
        ..SummaryRequest::of(range())
    };
    let fields: Vec<_> = request.validate().unwrap_err().into_iter().map(|violation| violation.field).collect();
    let expected = ["end_time", "time_zone", "group_by[1]", "filter[0].values", "models[0]", "top", "page_size"];
    assert_eq!(fields, expected);
    assert!(SummaryRequest::of(range()).validate().is_ok());
}

#[test]
fn percentiles_are_values_that_occur() {
    let mut durations: Vec<i64> = (1..=100).rev().collect();
    assert_eq!(Latency::of(&mut durations), Some(Latency { p50: 50, p95: 95, p99: 99 }));
    assert_eq!(Latency::of(&mut [7]), Some(Latency { p50: 7, p95: 7, p99: 7 }));
    assert_eq!(Latency::of(&mut []), None);
}

#[test]
fn decision_16_two_cache_shares() {
    let mut measures = Measures { calls: 3, response_cache_hits: 1, input_tokens: 1_000, ..Measures::default() };
    assert_eq!(response_cache_hit_share(&measures).as_deref(), Some("0.333333"));
    assert_eq!(prompt_cache_read_share(&measures), None, "never reported is not zero");
    measures.class_tokens[TokenClass::CacheRead.index()] = Some(0);
    assert_eq!(prompt_cache_read_share(&measures).as_deref(), Some("0"));
    measures.class_tokens[TokenClass::CacheReadAudio.index()] = Some(250);
    assert_eq!(prompt_cache_read_share(&measures).as_deref(), Some("0.25"));
    assert_eq!(response_cache_hit_share(&Measures::default()), None);
}

#[test]
fn the_reported_difference_is_of_the_events_that_reported() {
    let usd = |text: &str| Some(text.parse().unwrap());
    let measures = Measures { reported_usd: usd("0.5"), reported_own_usd: usd("0.75"), ..Measures::default() };
    assert_eq!(reported_delta(&measures).unwrap(), usd("-0.25"));
    assert_eq!(reported_delta(&Measures::default()).unwrap(), None);
}

#[test]
fn rows_survive_being_written_down() {
    let mut measures = Measures { calls: 7, usd: "0.000000000001".parse().unwrap(), ..Measures::default() };
    measures.class_tokens[3] = Some(9);
    measures.class_usd[16] = Some("2.5".parse().unwrap());
    measures.first_time = Some(range().start);
    let row = SummaryRow {
        bucket_start: Some(range().start),
        partial_bucket: true,
        groups: vec![GroupValue::Value("a".to_owned()), GroupValue::Absent, GroupValue::Other],
        measures,
        current_usd: Some("0.25".parse().unwrap()),
        latency: Some(Latency { p50: 1, p95: 2, p99: 3 }),
    };
    let json = serde_json::to_string(&row).unwrap();
    assert_eq!(serde_json::from_str::<SummaryRow>(&json).unwrap(), row);
}
