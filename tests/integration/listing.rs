//! ListUsage: order, filters, pages.

use std::collections::{BTreeSet, HashMap, HashSet};

use tollgate_proto::v1;
use tollgate_proto::v1::batch_record_usage_response::item::Item;

use crate::harness::TestServer;
use crate::harness::build::{event, id, key, model, reserve, session, settling};
use crate::harness::time::{at, from_wire, to_wire};

/// Records all of them and gives their ids, in their order.
async fn record_all(server: &TestServer, events: Vec<v1::UsageEvent>) -> Vec<String> {
    let mut ids = Vec::new();
    for events in events.chunks(500) {
        let batch = v1::BatchRecordUsageRequest { events: events.to_vec(), view: v1::ResponseView::Ack.into() };
        let answer = server.usage.clone().batch_record_usage(batch).await.unwrap().into_inner();
        for item in answer.items {
            let Some(Item::Ok(recorded)) = item.item else { panic!("{item:?}") };
            ids.push(recorded.event_id);
        }
    }
    ids
}

async fn list(server: &TestServer, request: v1::ListUsageRequest) -> v1::ListUsageResponse {
    server.usage.clone().list_usage(request).await.unwrap().into_inner()
}

fn id_of(record: &v1::UsageRecord) -> String {
    match record.event.as_ref().unwrap().key.as_ref().unwrap() {
        v1::usage_event::Key::EventId(id) => id.clone(),
        v1::usage_event::Key::ExternalKey(key) => panic!("{key:?} is no id"),
    }
}

fn later(start: &str, seconds: i64) -> prost_types::Timestamp {
    to_wire(start.parse::<jiff::Timestamp>().unwrap() + jiff::SignedDuration::from_secs(seconds))
}

#[tokio::test]
async fn events_come_newest_start_first() {
    let server = TestServer::start().await;
    let start = "2026-05-01T10:00:00Z";
    // In no order, over hours and days, some at the same instant.
    let events: Vec<v1::UsageEvent> = (0..120_i64)
        .map(|number| {
            let mut event = event(session("s1"), 1, 1);
            event.start_time = Some(later(start, number * 7_919 % 60 * 1_733));
            event
        })
        .collect();
    let mut expected: Vec<(jiff::Timestamp, String)> = Vec::new();
    let starts: Vec<jiff::Timestamp> = events.iter().map(|event| from_wire(&event.start_time.unwrap())).collect();
    for (start, id) in starts.into_iter().zip(record_all(&server, events).await) {
        expected.push((start, id));
    }
    expected.sort_unstable_by(|left, right| right.cmp(left));
    let listed = list(&server, v1::ListUsageRequest { page_size: 1_000, ..Default::default() }).await;
    let found: Vec<String> = listed.records.iter().map(id_of).collect();
    assert_eq!(found, expected.into_iter().map(|(_, id)| id).collect::<Vec<_>>());
    assert_eq!(listed.next_page_token, "");
    let listed = list(&server, v1::ListUsageRequest::default()).await;
    assert_eq!(listed.records.len(), 100, "the default page");
    server.assert_audit_holds().await;
}

/// One of 24 events, no two alike in all of what filters look at.
fn varied(number: usize) -> v1::UsageEvent {
    let mut dimensions = session(&format!("s{}", number % 3));
    dimensions.user_id = if number % 4 == 3 { String::new() } else { format!("u{}", number % 4) };
    dimensions.agent_name = if number % 5 == 4 { String::new() } else { format!("a{}", number % 2) };
    dimensions.workflow_step = (number % 6 != 5).then_some(i32::try_from(number % 6).unwrap());
    if number.is_multiple_of(2) {
        let tier = if number.is_multiple_of(4) { "gold" } else { "tin" };
        dimensions.labels = HashMap::from([("tier".to_owned(), tier.to_owned())]);
    }
    let mut event = event(dimensions, 1, 1);
    event.start_time = Some(later("2026-05-01T10:00:00Z", i64::try_from(number).unwrap() * 600));
    if number % 3 == 1 {
        event.response_model = Some(model("openai", "gpt-4o-mini"));
    }
    event
}

fn condition(key: v1::DimensionKey, values: &[&str]) -> v1::DimensionMatch {
    let values = values.iter().map(|value| (*value).to_owned()).collect();
    v1::DimensionMatch { key: Some(key), values, ..Default::default() }
}

fn label(label: &str) -> v1::DimensionKey {
    v1::DimensionKey { name: "label".to_owned(), label: label.to_owned() }
}

fn absent(condition: v1::DimensionMatch) -> v1::DimensionMatch {
    v1::DimensionMatch { absent: true, ..condition }
}

fn not(condition: v1::DimensionMatch) -> v1::DimensionMatch {
    v1::DimensionMatch { negate: true, ..condition }
}

fn filtered(filter: Vec<v1::DimensionMatch>) -> v1::ListUsageRequest {
    v1::ListUsageRequest { filter, page_size: 1_000, ..Default::default() }
}

#[tokio::test]
async fn filters_select_exactly_what_they_say() {
    type Selects = fn(usize) -> bool;
    let server = TestServer::start().await;
    let ids = record_all(&server, (0..24).map(varied).collect()).await;
    let of = |key: v1::DimensionKey, values: &[&str]| filtered(vec![condition(key, values)]);
    let models = |models: &[&str]| v1::ListUsageRequest {
        models: models.iter().map(|model| (*model).to_owned()).collect(),
        ..filtered(Vec::new())
    };
    let range = |start: Option<&str>, end: Option<&str>| v1::ListUsageRequest {
        start_time: start.map(at),
        end_time: end.map(at),
        ..filtered(Vec::new())
    };
    let user = || key("user_id");
    let cases: Vec<(&str, v1::ListUsageRequest, Selects)> = vec![
        ("everything", filtered(Vec::new()), |_| true),
        ("one session", of(key("session_id"), &["s1"]), |number| number % 3 == 1),
        ("two sessions", of(key("session_id"), &["s1", "s2"]), |number| number % 3 != 0),
        ("no such session", of(key("session_id"), &["s9"]), |_| false),
        ("one of which is unknown", of(key("session_id"), &["s9", "s1"]), |number| number % 3 == 1),
        ("one user", of(user(), &["u1"]), |number| number % 4 == 1),
        ("no user", filtered(vec![absent(condition(user(), &[]))]), |number| number % 4 == 3),
        ("no user or one", filtered(vec![absent(condition(user(), &["u1"]))]), |number| matches!(number % 4, 1 | 3)),
        ("not one user", filtered(vec![not(condition(user(), &["u1"]))]), |number| number % 4 != 1),
        ("any user", filtered(vec![not(absent(condition(user(), &[])))]), |number| number % 4 != 3),
        ("any user but one", filtered(vec![not(absent(condition(user(), &["u1"])))]), |number| {
            matches!(number % 4, 0 | 2)
        }),
        ("not an unknown user", filtered(vec![not(condition(user(), &["u9"]))]), |_| true),
        ("the name of another dimension", of(user(), &["s1"]), |_| false),
        ("one agent", of(key("agent_name"), &["a1"]), |number| number % 5 != 4 && number % 2 == 1),
        ("no agent", filtered(vec![absent(condition(key("agent_name"), &[]))]), |number| number % 5 == 4),
        ("not one agent", filtered(vec![not(condition(key("agent_name"), &["a1"]))]), |number| {
            number % 5 == 4 || number % 2 == 0
        }),
        ("one step", of(key("workflow_step"), &["0"]), |number| number % 6 == 0),
        ("no step", filtered(vec![absent(condition(key("workflow_step"), &[]))]), |number| number % 6 == 5),
        ("one label", of(label("tier"), &["gold"]), |number| number % 4 == 0),
        ("no label", filtered(vec![absent(condition(label("tier"), &[]))]), |number| number % 2 == 1),
        ("not one label", filtered(vec![not(condition(label("tier"), &["gold"]))]), |number| number % 4 != 0),
        ("an unknown label", of(label("level"), &["gold"]), |_| false),
        ("the model that answered", models(&["gpt-4o-mini"]), |number| number % 3 == 1),
        ("the model that was asked, where none is known to have answered", models(&["gpt-4o"]), |number| {
            number % 3 != 1
        }),
        ("two models", models(&["gpt-4o", "gpt-4o-mini"]), |_| true),
        ("the model as a dimension", of(key("model"), &["gpt-4o-mini"]), |number| number % 3 == 1),
        ("the operation", of(key("operation_name"), &["chat"]), |_| true),
        ("the provider", filtered(vec![not(condition(key("provider_name"), &["openai"]))]), |_| false),
        (
            "all at once",
            filtered(vec![
                condition(key("session_id"), &["s0"]),
                not(condition(user(), &["u1"])),
                condition(label("tier"), &["gold", "tin"]),
            ]),
            |number| number % 3 == 0 && number % 4 != 1 && number % 2 == 0,
        ),
        ("from an instant on", range(Some("2026-05-01T11:00:00Z"), None), |number| number >= 6),
        ("before an instant", range(None, Some("2026-05-01T11:00:00Z")), |number| number < 6),
        ("between", range(Some("2026-05-01T10:10:00Z"), Some("2026-05-01T13:00:00Z")), |number| {
            (1..18).contains(&number)
        }),
        ("just after a start", range(Some("2026-05-01T10:10:00.000001Z"), Some("2026-05-01T10:20:00Z")), |_| false),
        ("an empty range", range(Some("2026-05-01T13:00:00Z"), Some("2026-05-01T10:00:00Z")), |_| false),
    ];
    let mut wrong = Vec::new();
    for (what, request, selects) in cases {
        let listed = list(&server, request.clone()).await;
        let found: Vec<String> = listed.records.iter().map(id_of).collect();
        let mut expected: Vec<String> =
            ids.iter().enumerate().filter(|(number, _)| selects(*number)).map(|(_, id)| id.clone()).collect();
        expected.reverse();
        if found != expected {
            wrong.push(format!("{what}: {} instead of {}", found.len(), expected.len()));
        }
        // The same in pages, which conditions on labels fill from several reads.
        let paged = pages(&server, v1::ListUsageRequest { page_size: 5, ..request }).await;
        if paged != expected {
            wrong.push(format!("{what}, in pages: {} instead of {}", paged.len(), expected.len()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    server.assert_audit_holds().await;
}

async fn pages(server: &TestServer, mut request: v1::ListUsageRequest) -> Vec<String> {
    let mut found = Vec::new();
    loop {
        let listed = list(server, request.clone()).await;
        found.extend(listed.records.iter().map(id_of));
        if listed.next_page_token.is_empty() {
            return found;
        }
        request.page_token = listed.next_page_token;
    }
}

#[tokio::test]
async fn the_events_of_one_reservation_are_found() {
    let mut server = TestServer::start().await;
    let check = reserve(session("s1"), 10_000, 10_000);
    let reservation_id = check.reservation_id.clone();
    server.budgets.check_budget(check).await.unwrap();
    let mut first = settling(event(session("s1"), 1, 1), &reservation_id);
    first.reservation.as_mut().unwrap().keep_open = true;
    let last = settling(event(session("s1"), 1, 1), &reservation_id);
    let ids = record_all(&server, vec![first, last, event(session("s1"), 1, 1)]).await;
    let listed = list(&server, v1::ListUsageRequest { reservation_id, ..Default::default() }).await;
    let found: BTreeSet<String> = listed.records.iter().map(id_of).collect();
    assert_eq!(found, ids[..2].iter().cloned().collect());
    let other = list(&server, v1::ListUsageRequest { reservation_id: id(), ..Default::default() }).await;
    assert!(other.records.is_empty());
    server.assert_audit_holds().await;
}

#[tokio::test]
async fn pages_have_no_gap_and_no_repeat_while_new_events_arrive() {
    let server = TestServer::start().await;
    let start = "2026-05-01T10:00:00Z";
    let at_seconds = |seconds: i64| {
        let mut event = event(session("s1"), 1, 1);
        event.start_time = Some(later(start, seconds));
        event
    };
    // Ten at each instant: pages end in the middle of instants, and instants lie across hours.
    let known = record_all(&server, (0..250).map(|number| at_seconds(number / 10 * 700)).collect()).await;
    let mut request = v1::ListUsageRequest { page_size: 33, ..Default::default() };
    let mut found: Vec<String> = Vec::new();
    let mut page = 0;
    loop {
        let listed = list(&server, request.clone()).await;
        found.extend(listed.records.iter().map(id_of));
        if listed.next_page_token.is_empty() {
            break;
        }
        request.page_token = listed.next_page_token;
        page += 1;
        // Newer ones, older ones, and some at the very instants that are being read.
        let fresh = [100_000 + page, 17_500 - page, page * 700, page * 1_400, -1 - page];
        record_all(&server, fresh.into_iter().map(at_seconds).collect()).await;
    }
    let distinct: HashSet<&String> = found.iter().collect();
    assert_eq!(distinct.len(), found.len(), "no event comes twice");
    let missing: Vec<&String> = known.iter().filter(|id| !distinct.contains(id)).collect();
    assert!(missing.is_empty(), "{} events were left out", missing.len());
    server.assert_audit_holds().await;
}
