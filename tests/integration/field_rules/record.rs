//! RecordUsage.

use tollgate_proto::v1;
use tonic::Code;

use super::{
    Case, MODEL, Text, assert_refused, assert_taken, case, count, dimensions, labels, longest, texts, units, within,
};
use crate::harness::TestServer;
use crate::harness::build::{event, id, model, record, session, tokens};
use crate::harness::time::{at, milliseconds};

const TEXTS: [Text<v1::UsageEvent>; 7] = [
    ("call_id", 256, |event| &mut event.call_id),
    ("operation_name", 64, |event| &mut event.operation_name),
    ("response_id", 256, |event| &mut event.response_id),
    ("batch_id", 256, |event| &mut event.batch_id),
    ("error_type", 128, |event| &mut event.error_type),
    ("trace_id", 64, |event| &mut event.trace_id),
    ("span_id", 64, |event| &mut event.span_id),
];

#[tokio::test]
async fn every_rule_of_record_usage_is_told_by_its_field_and_nothing_is_recorded() {
    let server = TestServer::start().await;
    let good = record(event(session("s1"), 1_000, 1_000));
    let mut cases = within(cases(), |request: &mut v1::RecordUsageRequest| request.event.as_mut().unwrap());
    cases.extend([
        case("no event", &["event"], |request: &mut v1::RecordUsageRequest| request.event = None),
        case("an unknown view", &["view"], |request: &mut v1::RecordUsageRequest| request.view = 99),
    ]);
    assert_refused(&good, cases, |request| {
        let mut usage = server.usage.clone();
        async move { usage.record_usage(request).await }
    })
    .await;
    assert_nothing_was_recorded(&server).await;
}

#[tokio::test]
async fn all_broken_rules_are_told_at_once() {
    let server = TestServer::start().await;
    let good = record(event(session("s1"), 1_000, 1_000));
    let everything = case(
        "many",
        &[
            "event.event_id",
            "event.start_time",
            "event.attempt",
            "event.tokens.total_input_tokens",
            "event.metadata_json",
            "event.reported_currency",
            "event.dimensions.user_id",
            "event.dimensions.labels[tier]",
            "event.request_model.model",
            "event.reservation.reservation_id",
            "event.units[0].quantity",
            "event.outcome",
            "event.accounting",
            "event.trace_id",
        ],
        |request: &mut v1::RecordUsageRequest| {
            let event = request.event.as_mut().unwrap();
            event.key = Some(v1::usage_event::Key::EventId("17".to_owned()));
            event.start_time = None;
            event.attempt = -1;
            event.usage = Some(v1::usage_event::Usage::Tokens(tokens(-1, 1)));
            event.metadata_json = "{".to_owned();
            event.reported_cost = "1".to_owned();
            let dimensions = event.dimensions.as_mut().unwrap();
            dimensions.user_id = "x".repeat(257);
            super::label(dimensions, "tier", "\0");
            event.request_model = None;
            event.reservation = Some(v1::ReservationUse::default());
            event.units = vec![count("page", "-1")];
            event.outcome = 99;
            event.accounting = 99;
            event.trace_id = "x".repeat(65);
        },
    );
    assert_refused(&good, vec![everything], |request| {
        let mut usage = server.usage.clone();
        async move { usage.record_usage(request).await }
    })
    .await;
    assert_nothing_was_recorded(&server).await;
}

#[tokio::test]
async fn what_just_meets_the_rules_is_recorded() {
    let server = TestServer::start().await;
    let mut requests: Vec<(String, v1::RecordUsageRequest)> = Vec::new();
    let mut take = |what: &str, change: &dyn Fn(&mut v1::UsageEvent)| {
        let mut event = event(session("s1"), 1_000, 1_000);
        change(&mut event);
        requests.push((what.to_owned(), record(event)));
    };
    for (what, change) in longest(&TEXTS) {
        take(&what, &change);
    }
    for (what, change) in longest(&super::DIMENSIONS) {
        take(&what, &|event: &mut v1::UsageEvent| change(event.dimensions.as_mut().unwrap()));
    }
    for (what, change) in longest(&MODEL) {
        take(&what, &|event: &mut v1::UsageEvent| change(event.request_model.as_mut().unwrap()));
        take(&what, &|event: &mut v1::UsageEvent| change(event.response_model.get_or_insert_default()));
    }
    take("no dimensions", &|event: &mut v1::UsageEvent| event.dimensions = None);
    take("no usage", &|event: &mut v1::UsageEvent| event.usage = None);
    take("no outcome", &|event: &mut v1::UsageEvent| event.outcome = 0);
    take("attempt 0", &|event: &mut v1::UsageEvent| event.attempt = 0);
    take("the last attempt", &|event: &mut v1::UsageEvent| event.attempt = 32_767);
    take("16 labels", &|event: &mut v1::UsageEvent| event.dimensions.as_mut().unwrap().labels = labels(16));
    take("a label's key of 64 bytes", &|event: &mut v1::UsageEvent| {
        super::label(event.dimensions.as_mut().unwrap(), &"x".repeat(64), &"é".repeat(128));
    });
    take("position 0", &|event: &mut v1::UsageEvent| event.dimensions.as_mut().unwrap().panel_position = Some(0));
    take("no tokens at all", &|event: &mut v1::UsageEvent| event.usage = usage(tokens(0, 0)));
    take("the most tokens", &|event: &mut v1::UsageEvent| event.usage = usage(tokens(1_000_000_000, 1_000_000_000)));
    take("parts that are all of their side", &|event: &mut v1::UsageEvent| {
        event.usage = parts(10, 5, &[(1, 10), (32, 5)]);
    });
    take("one class with two times to live", &|event: &mut v1::UsageEvent| {
        event.usage = with_parts(10, 5, vec![part(2, 4, Some(300)), part(2, 4, Some(3_600)), part(2, 2, None)]);
    });
    take("32 units", &|event: &mut v1::UsageEvent| {
        event.units = (0..32).map(|one| count(&format!("unit_{one}"), "0.5")).collect();
    });
    take("a cost of 12 decimals", &|event: &mut v1::UsageEvent| cost(event, "0.000000000001", "EUR"));
    take("a cost of a billion", &|event: &mut v1::UsageEvent| cost(event, "1000000000", "IDR"));
    take("4 KiB of metadata", &|event: &mut v1::UsageEvent| event.metadata_json = format!("\"{}\"", "x".repeat(4_094)));
    take("an escaped NUL in metadata", &|event: &mut v1::UsageEvent| {
        event.metadata_json = r#"{"a":"\u0000"}"#.to_owned();
    });
    take("an end with the start", &|event: &mut v1::UsageEvent| event.end_time = event.start_time);
    take("30 days", &|event: &mut v1::UsageEvent| {
        let start = event.start_time.unwrap();
        event.end_time = Some(prost_types::Timestamp { seconds: start.seconds + 30 * 86_400, ..start });
        event.time_to_first_token = Some(milliseconds(30 * 86_400_000));
    });
    take("the first second", &|event: &mut v1::UsageEvent| event.start_time = Some(at("1970-01-01T00:00:00Z")));
    take("the last second", &|event: &mut v1::UsageEvent| event.start_time = Some(at("9998-12-31T23:59:59Z")));
    take("a long external key", &|event: &mut v1::UsageEvent| external(event, &"s".repeat(64), &"k".repeat(256)));
    let count = requests.len();
    assert_taken(requests, |request| {
        let mut usage = server.usage.clone();
        async move { usage.record_usage(request).await }
    })
    .await;
    let list = v1::ListUsageRequest { page_size: 1_000, ..Default::default() };
    let listed = server.usage.clone().list_usage(list).await.unwrap().into_inner();
    assert_eq!(listed.records.len(), count);
    server.assert_audit_holds().await;
}

/// Asserts that the ledger is empty.
pub(super) async fn assert_nothing_was_recorded(server: &TestServer) {
    let listed = server.usage.clone().list_usage(v1::ListUsageRequest::default()).await.unwrap().into_inner();
    assert_eq!(listed, v1::ListUsageResponse::default());
    server.assert_audit_holds().await;
}

fn cases() -> Vec<Case<v1::UsageEvent>> {
    let mut cases = texts("event.", &TEXTS);
    cases.extend(within(dimensions("event.dimensions"), |event: &mut v1::UsageEvent| {
        event.dimensions.get_or_insert_default()
    }));
    cases.extend(within(texts("event.request_model.", &MODEL), |event: &mut v1::UsageEvent| {
        event.request_model.get_or_insert_default()
    }));
    cases.extend(within(texts("event.response_model.", &MODEL), |event: &mut v1::UsageEvent| {
        event.response_model.get_or_insert_default()
    }));
    cases.extend(units("event.units", |event: &mut v1::UsageEvent| &mut event.units));
    cases.extend(keys());
    cases.extend(times());
    cases.extend(counts());
    cases.extend(others());
    cases
}

fn keys() -> Vec<Case<v1::UsageEvent>> {
    let id_of = |what: &str, key: &'static str| {
        case(what, &["event.event_id"], move |event: &mut v1::UsageEvent| {
            event.key = Some(v1::usage_event::Key::EventId(key.to_owned()));
        })
    };
    let source = |what: &str, source: String| {
        case(what, &["event.external_key.source"], move |event: &mut v1::UsageEvent| external(event, &source, "key"))
    };
    let key = |what: &str, key: String| {
        case(what, &["event.external_key.key"], move |event: &mut v1::UsageEvent| external(event, "otlp", &key))
    };
    vec![
        case("no key", &["event.event_id"], |event: &mut v1::UsageEvent| event.key = None),
        id_of("an empty id", ""),
        id_of("no UUID", "event-17"),
        id_of("a UUIDv4", "0b0e8e4c-7a4b-4c52-9d53-1f2a4f3e1c11"),
        source("no source", String::new()),
        source("a source of 65 bytes", "x".repeat(65)),
        source("a source with a NUL", "\0".to_owned()),
        key("no external key", String::new()),
        key("an external key of 257 bytes", "x".repeat(257)),
        key("an external key with a NUL", "\0".to_owned()),
        case("no reservation id", &["event.reservation.reservation_id"], |event: &mut v1::UsageEvent| {
            event.reservation = Some(v1::ReservationUse::default());
        }),
        case("a reservation id of version 4", &["event.reservation.reservation_id"], |event: &mut v1::UsageEvent| {
            let reservation_id = "0b0e8e4c-7a4b-4c52-9d53-1f2a4f3e1c11".to_owned();
            event.reservation = Some(v1::ReservationUse { reservation_id, keep_open: false });
        }),
    ]
}

fn times() -> Vec<Case<v1::UsageEvent>> {
    let start = |what: &str, seconds: i64, nanos: i32| {
        case(what, &["event.start_time"], move |event: &mut v1::UsageEvent| {
            event.start_time = Some(prost_types::Timestamp { seconds, nanos });
        })
    };
    let first_token = |what: &str, seconds: i64, nanos: i32| {
        case(what, &["event.time_to_first_token"], move |event: &mut v1::UsageEvent| {
            event.time_to_first_token = Some(prost_types::Duration { seconds, nanos });
        })
    };
    vec![
        case("no start", &["event.start_time"], |event: &mut v1::UsageEvent| event.start_time = None),
        start("a start before 1970", -1, 0),
        start("a start after 9998", 253_370_764_800, 0),
        start("too many nanoseconds", 1, 1_000_000_000),
        start("negative nanoseconds", 1, -1),
        case("an impossible end", &["event.end_time"], |event: &mut v1::UsageEvent| {
            event.end_time = super::no_instant();
        }),
        case("an end before the start", &["event.end_time"], |event: &mut v1::UsageEvent| {
            let start = event.start_time.unwrap();
            event.end_time = Some(prost_types::Timestamp { seconds: start.seconds - 1, ..start });
        }),
        case("an end 30 days and a second later", &["event.end_time"], |event: &mut v1::UsageEvent| {
            let start = event.start_time.unwrap();
            event.end_time = Some(prost_types::Timestamp { seconds: start.seconds + 30 * 86_400 + 1, ..start });
        }),
        first_token("a negative first token", -1, 0),
        first_token("a first token after negative nanoseconds", 0, -1),
        first_token("a first token after more than 30 days", 30 * 86_400, 1),
    ]
}

fn counts() -> Vec<Case<v1::UsageEvent>> {
    let of = |what: &str, fields: &[&str], usage: Option<v1::usage_event::Usage>| {
        case(what, fields, move |event: &mut v1::UsageEvent| event.usage = usage.clone())
    };
    let input = "event.tokens.total_input_tokens";
    let output = "event.tokens.total_output_tokens";
    let quality = |quality: i32| usage(v1::TokenUsage { quality, ..tokens(1, 1) });
    let reported = |total: i64| usage(v1::TokenUsage { reported_total: Some(total), ..tokens(1, 1) });
    let unknown = |what: &str, class: i32| {
        of(what, &["event.tokens.parts[0].token_class"], parts(10, 10, &[(class, 1)]))
            .because(Code::InvalidArgument, "UNKNOWN_TOKEN_CLASS")
    };
    let lives = |what: &str, class: i32, ttl: prost_types::Duration| {
        let part = v1::TokenPart { cache_ttl: Some(ttl), ..part(class, 1, None) };
        of(what, &["event.tokens.parts[0].cache_ttl"], with_parts(10, 10, vec![part]))
    };
    let second = prost_types::Duration { seconds: 1, nanos: 0 };
    let many = (0..33).map(|ttl| part(2, 0, Some(ttl + 1))).collect();
    vec![
        of("negative input", &[input], usage(tokens(-1, 1))),
        of("too much input", &[input], usage(tokens(1_000_000_001, 1))),
        of("negative output", &[output], usage(tokens(1, -1))),
        of("too much output", &[output], usage(tokens(1, i64::MAX))),
        of("a negative total", &["event.tokens.reported_total"], reported(-1)),
        of("too large a total", &["event.tokens.reported_total"], reported(1_000_000_001)),
        of("no quality", &["event.tokens.quality"], quality(0)),
        of("an unknown quality", &["event.tokens.quality"], quality(99)),
        unknown("no class", 0),
        unknown("decision 13: a class that is newer than this version", 99),
        of("a negative part", &["event.tokens.parts[0].tokens"], parts(10, 10, &[(1, -1)])),
        of("too large a part", &["event.tokens.parts[0].tokens", input], parts(10, 10, &[(1, 1_000_000_001)])),
        of("33 parts", &["event.tokens.parts"], with_parts(10, 10, many)),
        of("a class twice", &["event.tokens.parts[1]"], parts(10, 10, &[(1, 1), (1, 2)])),
        of("decision 13: more cached than read", &[input], parts(10, 10, &[(1, 6), (3, 5)])),
        of("decision 13: more reasoning than written", &[output], parts(10, 10, &[(32, 11)])),
        of(
            "input parts without their total",
            &[input],
            usage(v1::TokenUsage { total_input_tokens: None, parts: vec![part(1, 1, None)], ..tokens(0, 1) }),
        ),
        of(
            "output parts without their total",
            &[output],
            usage(v1::TokenUsage { total_output_tokens: None, parts: vec![part(32, 1, None)], ..tokens(1, 0) }),
        ),
        lives("a cached read that lives", 1, second),
        lives("a cache that lives not at all", 2, prost_types::Duration { seconds: 0, nanos: 0 }),
        lives("a cache that lives less than not at all", 2, prost_types::Duration { seconds: -1, nanos: 0 }),
        lives("a cache that lives parts of seconds", 2, prost_types::Duration { seconds: 1, nanos: 1 }),
        of(
            "a provider's own counts of no API",
            &["event.provider_usage.api"],
            Some(v1::usage_event::Usage::ProviderUsage(v1::ProviderUsage::default())),
        ),
    ]
}

fn others() -> Vec<Case<v1::UsageEvent>> {
    let costs = |what: &str, fields: &[&str], amount: &'static str, currency: &'static str| {
        case(what, fields, move |event: &mut v1::UsageEvent| cost(event, amount, currency))
    };
    let amount = "event.reported_cost";
    let currency = "event.reported_currency";
    vec![
        case("attempt -1", &["event.attempt"], |event: &mut v1::UsageEvent| event.attempt = -1),
        case("attempt 32768", &["event.attempt"], |event: &mut v1::UsageEvent| event.attempt = 32_768),
        case("an unknown outcome", &["event.outcome"], |event: &mut v1::UsageEvent| event.outcome = 99),
        case("an unknown accounting", &["event.accounting"], |event: &mut v1::UsageEvent| event.accounting = 99),
        case("an unknown origin", &["event.origin"], |event: &mut v1::UsageEvent| event.origin = -1),
        case("no model", &["event.request_model.model"], |event: &mut v1::UsageEvent| event.request_model = None),
        case("a model without a name", &["event.request_model.model"], |event: &mut v1::UsageEvent| {
            event.request_model = Some(model("openai", ""));
        }),
        costs("a negative cost", &[amount], "-0.01", "USD"),
        costs("a cost that is no number", &[amount], "1,50", "USD"),
        costs("a cost with an exponent", &[amount], "1e-3", "USD"),
        costs("a cost of 13 decimals", &[amount], "0.0000000000001", "USD"),
        costs("a cost of 17 digits", &[amount], "10000000000000000", "USD"),
        costs("a cost above a billion", &[amount], "1000000000.000000000001", "USD"),
        costs("a cost without a currency", &[currency], "1", ""),
        costs("a currency without a cost", &[currency], "", "USD"),
        costs("a small currency", &[currency], "1", "usd"),
        costs("a long currency", &[currency], "1", "USDT"),
        case("metadata that is no JSON", &["event.metadata_json"], |event: &mut v1::UsageEvent| {
            event.metadata_json = "{".to_owned();
        }),
        case("metadata with a NUL", &["event.metadata_json"], |event: &mut v1::UsageEvent| {
            event.metadata_json = "\"\0\"".to_owned();
        }),
        case("4 KiB and a byte of metadata", &["event.metadata_json"], |event: &mut v1::UsageEvent| {
            event.metadata_json = format!("\"{}\"", "x".repeat(4_095));
        }),
    ]
}

fn external(event: &mut v1::UsageEvent, source: &str, key: &str) {
    let external = v1::ExternalKey { source: source.to_owned(), key: key.to_owned() };
    event.key = Some(v1::usage_event::Key::ExternalKey(external));
}

fn cost(event: &mut v1::UsageEvent, amount: &str, currency: &str) {
    event.reported_cost = amount.to_owned();
    event.reported_currency = currency.to_owned();
}

fn usage(tokens: v1::TokenUsage) -> Option<v1::usage_event::Usage> {
    Some(v1::usage_event::Usage::Tokens(tokens))
}

fn part(class: i32, tokens: i64, ttl_seconds: Option<i64>) -> v1::TokenPart {
    let cache_ttl = ttl_seconds.map(|seconds| prost_types::Duration { seconds, nanos: 0 });
    v1::TokenPart { token_class: class, tokens, cache_ttl }
}

fn parts(input: i64, output: i64, parts: &[(i32, i64)]) -> Option<v1::usage_event::Usage> {
    with_parts(input, output, parts.iter().map(|(class, tokens)| part(*class, *tokens, None)).collect())
}

fn with_parts(input: i64, output: i64, parts: Vec<v1::TokenPart>) -> Option<v1::usage_event::Usage> {
    usage(v1::TokenUsage { parts, ..tokens(input, output) })
}

#[tokio::test]
async fn what_is_asked_for_by_a_broken_name_is_refused_too() {
    let server = TestServer::start().await;
    let good = v1::GetUsageRequest { key: Some(v1::get_usage_request::Key::EventId(id())) };
    let cases = vec![
        case("no key", &["event_id"], |request: &mut v1::GetUsageRequest| request.key = None),
        case("no UUID", &["event_id"], |request: &mut v1::GetUsageRequest| {
            request.key = Some(v1::get_usage_request::Key::EventId("17".to_owned()));
        }),
        case("no external key", &["external_key.source", "external_key.key"], |request: &mut v1::GetUsageRequest| {
            request.key = Some(v1::get_usage_request::Key::ExternalKey(v1::ExternalKey::default()));
        }),
        case("an unknown event", &[], |_: &mut v1::GetUsageRequest| {}).because(Code::NotFound, "EVENT_NOT_FOUND"),
    ];
    assert_refused(&good, cases, |request| {
        let mut usage = server.usage.clone();
        async move { usage.get_usage(request).await }
    })
    .await;
}
