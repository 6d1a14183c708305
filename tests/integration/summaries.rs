//! GetSummary: where the tokens and the money went.

use std::collections::{BTreeMap, HashMap};

use tollgate_proto::v1;
use tollgate_proto::v1::batch_record_usage_response::item::Item;
use tollgate_proto::v1::get_summary_response::Row;
use tollgate_proto::v1::group_value::Kind;
use tonic::Code;

use crate::harness::TestServer;
use crate::harness::build::{budget, create, event, key, model, record, reserve, session, settling, tokens, user};
use crate::harness::refusal::{Refusal, reason};
use crate::harness::time::{at, from_wire, milliseconds, to_wire};

async fn record_all(server: &TestServer, events: Vec<v1::UsageEvent>) {
    for events in events.chunks(500) {
        let batch = v1::BatchRecordUsageRequest { events: events.to_vec(), view: v1::ResponseView::Ack.into() };
        let answer = server.usage.clone().batch_record_usage(batch).await.unwrap().into_inner();
        let refused: Vec<_> = answer.items.iter().filter(|item| !matches!(item.item, Some(Item::Ok(_)))).collect();
        assert!(refused.is_empty(), "{refused:?}");
    }
}

async fn summarise(server: &TestServer, request: v1::GetSummaryRequest) -> v1::GetSummaryResponse {
    server.usage.clone().get_summary(request).await.unwrap().into_inner()
}

fn starting(mut event: v1::UsageEvent, start: &str) -> v1::UsageEvent {
    event.start_time = Some(at(start));
    event
}

/// Everything between two instants, grouped.
fn between(start: &str, end: &str, group_by: &[&str]) -> v1::GetSummaryRequest {
    v1::GetSummaryRequest {
        start_time: Some(at(start)),
        end_time: Some(at(end)),
        group_by: group_by.iter().map(|name| key(name)).collect(),
        ..Default::default()
    }
}

/// May 2026, grouped.
fn may(group_by: &[&str]) -> v1::GetSummaryRequest {
    between("2026-05-01T00:00:00Z", "2026-06-01T00:00:00Z", group_by)
}

fn totals(measures: &Option<v1::Measures>) -> &v1::UsageTotals {
    measures.as_ref().unwrap().totals.as_ref().unwrap()
}

/// Attempts, input tokens, output tokens, cost.
fn figures(measures: &Option<v1::Measures>) -> (i64, i64, i64, &str) {
    let totals = totals(measures);
    let tokens = totals.tokens.as_ref().unwrap();
    (totals.attempts, tokens.total_input_tokens, tokens.total_output_tokens, &totals.usd)
}

fn value(text: &str) -> Kind {
    Kind::Value(text.to_owned())
}

fn groups(row: &Row) -> Vec<Kind> {
    row.groups.iter().map(|group| group.kind.clone().unwrap()).collect()
}

/// The groups of rows with their costs, in their order.
fn costs(answer: &v1::GetSummaryResponse) -> Vec<(Vec<Kind>, &str)> {
    answer.rows.iter().map(|row| (groups(row), totals(&row.measures).usd.as_str())).collect()
}

/// Each row once, and together the total.
fn assert_rows_make_the_total(answer: &v1::GetSummaryResponse) {
    let sum =
        |read: fn(&v1::UsageTotals) -> i64| answer.rows.iter().map(|row| read(totals(&row.measures))).sum::<i64>();
    let total = totals(&answer.total);
    assert_eq!(sum(|totals| totals.attempts), total.attempts);
    assert_eq!(sum(|totals| totals.calls), total.calls);
    assert_eq!(
        sum(|totals| totals.tokens.as_ref().unwrap().total_input_tokens),
        total.tokens.as_ref().unwrap().total_input_tokens
    );
    let usd = |totals: &v1::UsageTotals| totals.usd.parse::<tollgate_domain::amount::Usd>().unwrap();
    let rows = answer.rows.iter().map(|row| usd(totals(&row.measures)));
    let rows = rows.fold(tollgate_domain::amount::Usd::ZERO, |sum, next| sum.plus(next).unwrap());
    assert_eq!(rows, usd(total));
}

#[tokio::test]
async fn a_known_call_is_found_to_the_token_and_the_last_digit_in_every_summary() {
    let server = TestServer::start().await;
    let known =
        v1::Dimensions { task_name: "presentation_generate".to_owned(), user_id: "ada".to_owned(), ..session("s1") };
    let noise = |task: &str, user_id: &str| v1::Dimensions { task_name: task.to_owned(), ..user(user_id) };
    let mut mini = starting(event(noise("summarise", "bob"), 100, 100), "2026-05-04T10:59:59.999999Z");
    mini.request_model = Some(model("openai", "gpt-4o-mini"));
    record_all(
        &server,
        vec![
            starting(event(known, 1_500, 3_500), "2026-05-04T11:07:13.000001Z"),
            mini,
            starting(event(noise("summarise", "bob"), 100, 100), "2026-05-04T12:00:00Z"),
        ],
    )
    .await;
    let expected = (1, 1_500, 3_500, "0.03875");
    let row_of = |answer: &v1::GetSummaryResponse, wanted: &[Kind]| {
        answer.rows.iter().find(|row| groups(row) == wanted).cloned().unwrap_or_else(|| panic!("{answer:#?}"))
    };
    for (dimension, group) in [("user_id", "ada"), ("task_name", "presentation_generate"), ("session_id", "s1")] {
        let answer = summarise(&server, may(&[dimension])).await;
        assert_eq!(figures(&row_of(&answer, &[value(group)]).measures), expected, "{dimension}");
        assert_rows_make_the_total(&answer);
        let filter =
            v1::DimensionMatch { key: Some(key(dimension)), values: vec![group.to_owned()], ..Default::default() };
        let filtered = summarise(&server, v1::GetSummaryRequest { filter: vec![filter], ..may(&["model"]) }).await;
        assert_eq!(figures(&filtered.total), expected, "{dimension}");
        assert_eq!(costs(&filtered), [(vec![value("gpt-4o")], "0.03875")]);
    }
    let models = summarise(&server, may(&["model"])).await;
    assert_eq!(figures(&row_of(&models, &[value("gpt-4o")]).measures), (2, 1_600, 3_600, "0.04"));
    assert_eq!(figures(&row_of(&models, &[value("gpt-4o-mini")]).measures), (1, 100, 100, "0.000075"));
    let one = v1::GetSummaryRequest { models: vec!["gpt-4o-mini".to_owned()], ..may(&[]) };
    assert_eq!(figures(&summarise(&server, one).await.total), (1, 100, 100, "0.000075"));

    let hourly = v1::GetSummaryRequest { granularity: v1::Granularity::Hour.into(), ..may(&[]) };
    let answer = summarise(&server, hourly).await;
    let hours: Vec<_> = answer.rows.iter().map(|row| (row.bucket_start.unwrap(), figures(&row.measures))).collect();
    assert_eq!(
        hours,
        [
            (at("2026-05-04T10:00:00Z"), (1, 100, 100, "0.000075")),
            (at("2026-05-04T11:00:00Z"), expected),
            (at("2026-05-04T12:00:00Z"), (1, 100, 100, "0.00125")),
        ]
    );
    assert!(answer.rows.iter().all(|row| !row.partial_bucket));
    assert_rows_make_the_total(&answer);
    server.assert_audit_holds().await;
}

#[tokio::test]
async fn a_summary_contains_every_write_that_was_answered_before_on_any_replica() {
    let server = TestServer::start().await;
    let replica = server.replica().await;
    for number in 1..=20 {
        let one = starting(event(user("ada"), 1_000, 1_000), "2026-05-04T11:07:00Z");
        server.usage.clone().record_usage(record(one)).await.unwrap();
        for group_by in [&[][..], &["user_id"], &["session_id"]] {
            let answer = summarise(&replica, may(group_by)).await;
            assert_eq!(totals(&answer.total).attempts, number);
        }
    }
    server.assert_audit_holds().await;
}

#[tokio::test]
async fn days_begin_at_local_midnight() {
    let server = TestServer::start().await;
    // Kathmandu is 5:45 h ahead: its midnight is 18:15 UTC.
    record_all(
        &server,
        vec![
            starting(event(session("s1"), 1_000, 0), "2026-05-10T18:14:59.999999Z"),
            starting(event(session("s1"), 2_000, 0), "2026-05-10T18:15:00Z"),
            starting(event(session("s1"), 4_000, 0), "2026-05-11T18:14:59.999999Z"),
            starting(event(session("s1"), 8_000, 0), "2026-05-11T18:15:00Z"),
        ],
    )
    .await;
    let daily = |time_zone: &str| v1::GetSummaryRequest {
        time_zone: time_zone.to_owned(),
        granularity: v1::Granularity::Day.into(),
        ..may(&[])
    };
    let days = |answer: &v1::GetSummaryResponse| -> Vec<(prost_types::Timestamp, i64)> {
        answer.rows.iter().map(|row| (row.bucket_start.unwrap(), figures(&row.measures).1)).collect()
    };
    assert_eq!(
        days(&summarise(&server, daily("Asia/Kathmandu")).await),
        [(at("2026-05-09T18:15:00Z"), 1_000), (at("2026-05-10T18:15:00Z"), 6_000), (at("2026-05-11T18:15:00Z"), 8_000),]
    );
    let utc = [(at("2026-05-10T00:00:00Z"), 3_000), (at("2026-05-11T00:00:00Z"), 12_000)];
    assert_eq!(days(&summarise(&server, daily("UTC")).await), utc);
    assert_eq!(days(&summarise(&server, daily("")).await), utc);
    let weekly = v1::GetSummaryRequest { granularity: v1::Granularity::Week.into(), ..daily("UTC") };
    assert_eq!(
        days(&summarise(&server, weekly).await),
        [(at("2026-05-04T00:00:00Z"), 3_000), (at("2026-05-11T00:00:00Z"), 12_000)]
    );
    let monthly = v1::GetSummaryRequest { granularity: v1::Granularity::Month.into(), ..daily("Asia/Kathmandu") };
    let answer = summarise(&server, monthly).await;
    assert_eq!(days(&answer), [(at("2026-04-30T18:15:00Z"), 15_000)]);
    assert!(answer.rows[0].partial_bucket, "the month in Kathmandu begins before the range");
    // Ranges are half-open, to the microsecond.
    let edge = between("2026-05-10T18:14:59.999999Z", "2026-05-11T18:14:59.999999Z", &[]);
    assert_eq!(figures(&summarise(&server, edge).await.total).1, 3_000);
    let minutes = v1::GetSummaryRequest {
        granularity: v1::Granularity::Minute.into(),
        ..between("2026-05-10T18:00:00Z", "2026-05-10T19:00:00Z", &[])
    };
    assert_eq!(
        days(&summarise(&server, minutes).await),
        [(at("2026-05-10T18:14:00Z"), 1_000), (at("2026-05-10T18:15:00Z"), 2_000)]
    );
    server.assert_audit_holds().await;
}

#[tokio::test]
async fn two_dimensions_are_told_apart_also_where_one_is_absent() {
    let server = TestServer::start().await;
    let of = |user_id: &str, agent: &str, input: i64| {
        let dimensions = v1::Dimensions { agent_name: agent.to_owned(), ..user(user_id) };
        starting(event(dimensions, input, 0), "2026-05-04T11:07:00Z")
    };
    let events = vec![
        of("ada", "planner", 1_000),
        of("ada", "writer", 2_000),
        of("bob", "planner", 4_000),
        of("bob", "planner", 4_000),
        of("", "planner", 16_000),
        of("ada", "", 32_000),
        of("", "", 64_000),
    ];
    record_all(&server, events).await;
    let expected = [
        (vec![Kind::Absent(true), Kind::Absent(true)], "0.16"),
        (vec![value("ada"), Kind::Absent(true)], "0.08"),
        (vec![Kind::Absent(true), value("planner")], "0.04"),
        (vec![value("bob"), value("planner")], "0.02"),
        (vec![value("ada"), value("writer")], "0.005"),
        (vec![value("ada"), value("planner")], "0.0025"),
    ];
    let answer = summarise(&server, may(&["user_id", "agent_name"])).await;
    assert_eq!(costs(&answer), expected, "dearest first");
    assert_rows_make_the_total(&answer);
    let turned = summarise(&server, may(&["agent_name", "user_id"])).await;
    let turned_expected: Vec<_> =
        expected.iter().map(|(groups, usd)| (groups.iter().rev().cloned().collect::<Vec<_>>(), *usd)).collect();
    assert_eq!(costs(&turned), turned_expected);
    // The same by way of single events.
    let ragged = between("2026-05-04T11:06:59Z", "2026-05-04T11:07:01Z", &["user_id", "agent_name"]);
    assert_eq!(costs(&summarise(&server, ragged).await), expected);
    server.assert_audit_holds().await;
}

#[tokio::test]
async fn a_label_filters_and_groups() {
    let server = TestServer::start().await;
    let labelled = |tier: Option<&str>, input: i64| {
        let labels: HashMap<String, String> =
            tier.into_iter().map(|tier| ("tier".to_owned(), tier.to_owned())).collect();
        let dimensions = v1::Dimensions { labels, ..session("s1") };
        starting(event(dimensions, input, 0), "2026-05-04T11:07:00Z")
    };
    record_all(
        &server,
        vec![
            labelled(Some("gold"), 1_000),
            labelled(Some("gold"), 1_000),
            labelled(Some("tin"), 4_000),
            labelled(None, 400),
        ],
    )
    .await;
    let tier = v1::DimensionKey { name: "label".to_owned(), label: "tier".to_owned() };
    let grouped = v1::GetSummaryRequest { group_by: vec![tier.clone()], ..may(&[]) };
    let answer = summarise(&server, grouped.clone()).await;
    assert_eq!(
        costs(&answer),
        [(vec![value("tin")], "0.01"), (vec![value("gold")], "0.005"), (vec![Kind::Absent(true)], "0.001")]
    );
    assert_rows_make_the_total(&answer);
    let matching = |values: &[&str], absent: bool, negate: bool| v1::DimensionMatch {
        key: Some(tier.clone()),
        values: values.iter().map(|value| (*value).to_owned()).collect(),
        absent,
        negate,
    };
    for (condition, expected) in [
        (matching(&["gold"], false, false), (2, 2_000, 0, "0.005")),
        (matching(&["gold"], false, true), (2, 4_400, 0, "0.011")),
        (matching(&[], true, false), (1, 400, 0, "0.001")),
        (matching(&["tin"], true, false), (2, 4_400, 0, "0.011")),
        (matching(&["lead"], false, false), (0, 0, 0, "0")),
    ] {
        let request = v1::GetSummaryRequest { filter: vec![condition], ..may(&[]) };
        assert_eq!(figures(&summarise(&server, request).await.total), expected);
    }
    server.assert_audit_holds().await;
}

#[tokio::test]
async fn decision_16_absent_is_not_other() {
    let server = TestServer::start().await;
    let mut events: Vec<v1::UsageEvent> = (1..=9)
        .map(|number| starting(event(user(&format!("u{number}")), number * 1_000, 0), "2026-05-04T11:07:00Z"))
        .collect();
    events.push(starting(event(session("s1"), 8_500, 0), "2026-05-04T11:07:00Z"));
    record_all(&server, events).await;
    let top = v1::GetSummaryRequest { top: 3, ..may(&["user_id"]) };
    let answer = summarise(&server, top.clone()).await;
    let mut found = costs(&answer);
    let other = found.iter().position(|(groups, _)| groups == &[Kind::Other(true)]).unwrap();
    assert_eq!(found.remove(other).1, "0.07", "1 + … + 7 thousand tokens");
    assert_eq!(
        found,
        [(vec![value("u9")], "0.0225"), (vec![Kind::Absent(true)], "0.02125"), (vec![value("u8")], "0.02")]
    );
    assert_rows_make_the_total(&answer);
    // The rest is the same in every bucket, and the greatest by another measure are others.
    let daily = v1::GetSummaryRequest { granularity: v1::Granularity::Day.into(), ..top.clone() };
    assert_eq!(summarise(&server, daily).await.rows.len(), 4);
    let least = v1::GetSummaryRequest { order_by: "usd".to_owned(), ..top };
    let answer = summarise(&server, least).await;
    assert_eq!(answer.rows.len(), 4);
    assert_rows_make_the_total(&answer);
    server.assert_audit_holds().await;
}

#[tokio::test]
async fn rows_come_in_the_order_asked_for() {
    let server = TestServer::start().await;
    let of =
        |user_id: &str, input: i64, output: i64| starting(event(user(user_id), input, output), "2026-05-04T11:07:00Z");
    record_all(&server, vec![of("a", 9_000, 10), of("b", 10, 3_000), of("c", 100, 100), of("c", 100, 100)]).await;
    for (order_by, expected) in [
        ("", "bac"),
        ("usd", "cab"),
        ("usd desc", "bac"),
        ("calls desc", "cab"),
        ("total_input_tokens desc", "acb"),
        ("total_input_tokens", "bca"),
        ("total_output_tokens desc", "bca"),
    ] {
        let request = v1::GetSummaryRequest { order_by: order_by.to_owned(), ..may(&["user_id"]) };
        let answer = summarise(&server, request).await;
        let found: Vec<Vec<Kind>> = answer.rows.iter().map(groups).collect();
        let expected: Vec<Vec<Kind>> = expected.chars().map(|user| vec![value(&user.to_string())]).collect();
        assert_eq!(found, expected, "{order_by:?}");
    }
    server.assert_audit_holds().await;
}

#[tokio::test]
async fn decision_16_there_are_two_cache_shares() {
    let server = TestServer::start().await;
    let mut hit = starting(event(session("s1"), 1_000, 1_000), "2026-05-04T11:07:00Z");
    hit.response_cache_hit = true;
    let mut cached = starting(event(session("s1"), 0, 0), "2026-05-04T11:07:00Z");
    let part = v1::TokenPart { token_class: v1::TokenClass::CacheRead.into(), tokens: 6_000, cache_ttl: None };
    cached.usage = Some(v1::usage_event::Usage::Tokens(v1::TokenUsage { parts: vec![part], ..tokens(7_000, 100) }));
    let plain = || starting(event(session("s1"), 1_000, 0), "2026-05-04T11:07:00Z");
    let empty = summarise(&server, may(&[])).await.total.unwrap();
    assert_eq!((empty.response_cache_hit_share, empty.prompt_cache_read_share), (None, None));
    record_all(&server, vec![hit, cached, plain(), plain()]).await;
    let total = summarise(&server, may(&[])).await.total.unwrap();
    assert_eq!(total.response_cache_hit_share.as_deref(), Some("0.25"), "of calls");
    assert_eq!(total.prompt_cache_read_share.as_deref(), Some("0.666667"), "of input tokens");
    assert_eq!(total.saved_usd, "0.0125");
    let classes: BTreeMap<String, String> =
        total.cost_by_class.iter().map(|line| (line.line.clone(), line.usd.clone())).collect();
    // 3,000 plain tokens at 2.50, 6,000 cached ones at 1.25, 100 written ones at 10 a million.
    let expected = [("cache_read", "0.0075"), ("input", "0.0075"), ("output", "0.001")];
    assert_eq!(classes, expected.map(|(line, usd)| (line.to_owned(), usd.to_owned())).into());
    assert_eq!(total.totals.unwrap().usd, "0.016");
    server.assert_audit_holds().await;
}

#[tokio::test]
async fn latencies_are_told_when_they_are_asked_for() {
    let server = TestServer::start().await;
    let events = (1..=100)
        .map(|seconds| {
            let mut one = starting(event(user("ada"), 1, 1), "2026-05-04T11:07:00Z");
            let end = from_wire(&one.start_time.unwrap()) + jiff::SignedDuration::from_secs(seconds);
            one.end_time = Some(to_wire(end));
            one
        })
        .chain([starting(event(user("bob"), 1, 1), "2026-05-04T11:07:00Z")])
        .collect();
    record_all(&server, events).await;
    let unasked = summarise(&server, may(&[])).await.total.unwrap();
    assert_eq!((unasked.latency_p50, unasked.latency_p95, unasked.latency_p99), (None, None, None));
    let paths = ["latency_p50", "latency_p95", "latency_p99"].map(str::to_owned).to_vec();
    let asked = v1::GetSummaryRequest { measures: Some(prost_types::FieldMask { paths }), ..may(&["user_id"]) };
    let answer = summarise(&server, asked).await;
    let latencies = |measures: &Option<v1::Measures>| {
        let measures = measures.as_ref().unwrap();
        assert!(measures.totals.is_none() && measures.cost_by_class.is_empty(), "only what is asked for");
        [measures.latency_p50, measures.latency_p95, measures.latency_p99]
    };
    let expected = [50_000, 95_000, 99_000].map(|latency| Some(milliseconds(latency)));
    assert_eq!(latencies(&answer.total), expected);
    let by_user: HashMap<String, _> =
        answer.rows.iter().map(|row| (format!("{:?}", groups(row)), latencies(&row.measures))).collect();
    assert_eq!(by_user[&format!("{:?}", [value("ada")])], expected);
    assert_eq!(by_user[&format!("{:?}", [value("bob")])], [None, None, None], "no end is known");
}

#[tokio::test]
async fn pages_share_one_as_of_while_new_events_arrive_and_any_replica_serves_them() {
    let server = TestServer::start().await;
    let replica = server.replica().await;
    let of = |number: i64| starting(event(user(&format!("u{number:03}")), 1_000 + number, 0), "2026-05-04T11:07:00Z");
    record_all(&server, (0..95).map(of).collect()).await;
    let mut request = v1::GetSummaryRequest { page_size: 20, top: 1_000, ..may(&["user_id"]) };
    let first = summarise(&server, request.clone()).await;
    let mut rows = first.rows.clone();
    let mut token = first.next_page_token.clone();
    let mut pages = 1;
    while !token.is_empty() {
        record_all(&server, (0..95).chain(500..510).map(of).collect()).await;
        request.page_token = token;
        let page = summarise(if pages % 2 == 0 { &server } else { &replica }, request.clone()).await;
        assert_eq!((page.as_of, &page.total), (first.as_of, &first.total));
        rows.extend(page.rows);
        token = page.next_page_token;
        pages += 1;
    }
    assert_eq!((pages, rows.len()), (5, 95));
    let whole = v1::GetSummaryResponse { rows, ..first };
    assert_rows_make_the_total(&whole);
    assert_eq!(totals(&whole.total).attempts, 95);

    let other = v1::GetSummaryRequest { top: 999, ..request.clone() };
    let refused = server.usage.clone().get_summary(other).await.unwrap_err();
    assert_eq!(Refusal::of(&refused), Refusal::new(Code::InvalidArgument, "PAGE_TOKEN_INVALID", &[]));
    server.assert_audit_holds().await;
}

#[tokio::test]
async fn too_many_buckets_are_refused_and_never_slow() {
    let server = TestServer::start().await;
    let by_minute = |end: &str| v1::GetSummaryRequest {
        granularity: v1::Granularity::Minute.into(),
        ..between("2026-05-01T00:00:00Z", end, &[])
    };
    let refused = server.usage.clone().get_summary(by_minute("2026-05-09T00:00:00Z")).await.unwrap_err();
    assert_eq!((refused.code(), reason(&refused).as_str()), (Code::FailedPrecondition, "QUERY_TOO_WIDE"));
    summarise(&server, by_minute("2026-05-07T00:00:00Z")).await;
}

#[tokio::test]
async fn decision_1_by_charge_time_a_summary_agrees_with_budgets_and_by_start_time_with_the_calls() {
    let mut server = TestServer::start().await;
    let lasting = v1::Window { kind: v1::window::Kind::Year.into(), time_zone: "UTC".to_owned(), ..Default::default() };
    let hard = v1::Budget { window: Some(lasting), count_from: Some(at("2025-01-01T00:00:00Z")), ..budget("b", "100") };
    server.budgets.create_budget(create(hard)).await.unwrap();
    // Settled: charged when it was held, although it says that it ran two years before.
    let check = reserve(session("s1"), 10_000, 10_000);
    let reservation = check.reservation_id.clone();
    server.budgets.check_budget(check).await.unwrap();
    let settled = settling(starting(event(session("s1"), 1_000, 1_000), "2025-02-03T04:05:06Z"), &reservation);
    // Not reserved: charged when it ran.
    let late = starting(event(session("s1"), 2_000, 2_000), "2025-02-03T04:05:06Z");
    let mut memo = event(session("s1"), 4_000, 4_000);
    memo.accounting = v1::Accounting::Memo.into();
    record_all(&server, vec![settled, late, event(session("s1"), 8_000, 8_000), memo]).await;

    let spent = async |at: Option<prost_types::Timestamp>| {
        let request = v1::ListBudgetStatesRequest { at, ..Default::default() };
        let states = server.budgets.clone().list_budget_states(request).await.unwrap().into_inner().states;
        assert_eq!(states.len(), 1);
        states.into_iter().next().unwrap()
    };
    let now = spent(None).await;
    let before = spent(Some(at("2025-02-03T04:05:06Z"))).await;
    assert_eq!((now.spent.as_str(), before.spent.as_str()), ("0.1125", "0.025"));
    for state in [now, before] {
        let request = |time_basis: v1::TimeBasis| v1::GetSummaryRequest {
            start_time: state.window_start,
            end_time: state.window_end,
            time_basis: time_basis.into(),
            ..Default::default()
        };
        let charged = summarise(&server, request(v1::TimeBasis::Charge)).await;
        assert_eq!(totals(&charged.total).usd, state.spent);
        let started = summarise(&server, request(v1::TimeBasis::Start)).await;
        let expected = if state.spent == "0.1125" { "0.1" } else { "0.0375" };
        assert_eq!(totals(&started.total).usd, expected);
    }
    server.assert_audit_holds().await;
}

#[tokio::test]
async fn a_reported_cost_is_compared_and_summed_by_its_own_basis() {
    let server = TestServer::start().await;
    let reported = |amount: &str, currency: &str| {
        let mut event = starting(event(session("s1"), 1_000, 1_000), "2026-05-04T11:07:00Z");
        (event.reported_cost, event.reported_currency) = (amount.to_owned(), currency.to_owned());
        event
    };
    let plain = starting(event(session("s1"), 1_000, 1_000), "2026-05-04T11:07:00Z");
    record_all(&server, vec![reported("0.02", "USD"), reported("7", "EUR"), plain]).await;
    let charged = summarise(&server, may(&[])).await.total.unwrap();
    assert_eq!((charged.reported_delta_usd.as_str(), charged.totals.unwrap().usd.as_str()), ("0.0075", "0.0375"));
    let request = v1::GetSummaryRequest { cost_basis: v1::CostBasis::Reported.into(), ..may(&[]) };
    assert_eq!(totals(&summarise(&server, request).await.total).usd, "0.02", "in dollars, never converted");
    server.assert_audit_holds().await;
}
