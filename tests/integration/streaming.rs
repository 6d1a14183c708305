//! StreamUsage and GetTotals: totals as they move.

use std::collections::HashMap;

use tollgate_proto::v1;
use tollgate_proto::v1::usage_service_client::UsageServiceClient;
use tollgate_proto::v1::watch_scope::Scope;
use tonic::transport::Channel;
use tonic::{Code, Status, Streaming};

use crate::harness::TestServer;
use crate::harness::build::{budget, create, day, event, key, record, reserve, session, settling, user};
use crate::harness::refusal::reason;
use crate::harness::time::{from_wire, milliseconds};
use crate::harness::wait::{bounded, until};

/// One subscriber and what it knows.
struct Feed {
    stream: Streaming<v1::StreamUsageResponse>,
    known: HashMap<String, v1::ScopeTotals>,
    messages: usize,
}

impl Feed {
    /// Subscribes, and takes the snapshot.
    async fn open(server: &TestServer, scopes: Vec<v1::WatchScope>) -> Self {
        Self::with(server.usage.clone(), scopes, None).await
    }

    async fn with(
        mut usage: UsageServiceClient<Channel>,
        scopes: Vec<v1::WatchScope>,
        heartbeat: Option<prost_types::Duration>,
    ) -> Self {
        let keys: Vec<String> = scopes.iter().map(|scope| scope.key.clone()).collect();
        let request = v1::StreamUsageRequest { scopes, min_interval: Some(milliseconds(50)), heartbeat };
        let stream = bounded("the subscription", usage.stream_usage(request)).await.unwrap().into_inner();
        let mut feed = Self { stream, known: HashMap::new(), messages: 0 };
        let first = feed.next().await.unwrap();
        assert!(first.snapshot);
        assert_eq!(first.scopes.iter().map(|scope| scope.key.clone()).collect::<Vec<_>>(), keys);
        feed
    }

    /// The next message; versions must rise and totals must never fall.
    async fn next(&mut self) -> Result<v1::StreamUsageResponse, Status> {
        let message = bounded("the next message", self.stream.message()).await?.unwrap();
        self.messages += 1;
        for scope in &message.scopes {
            if let Some(before) = self.known.insert(scope.key.clone(), scope.clone()) {
                assert!(scope.version >= before.version, "{scope:?} after {before:?}");
                let calls = |scope: &v1::ScopeTotals| scope.totals.as_ref().map(|totals| totals.calls);
                assert!(calls(scope) >= calls(&before), "{scope:?} after {before:?}");
            }
        }
        Ok(message)
    }

    /// Reads until all of these scopes have these calls and costs.
    async fn until(&mut self, wanted: &[(&str, i64, &str)]) {
        while !wanted.iter().all(|(key, calls, usd)| self.shows(key, *calls, usd)) {
            let message = self.next().await.unwrap();
            assert!(!message.snapshot, "only the first message is a snapshot");
        }
    }

    fn shows(&self, key: &str, calls: i64, usd: &str) -> bool {
        let totals = self.totals(key);
        totals.calls == calls && totals.usd == usd
    }

    fn totals(&self, key: &str) -> &v1::UsageTotals {
        self.known[key].totals.as_ref().unwrap()
    }
}

fn watch(key: &str, scope: Scope) -> v1::WatchScope {
    v1::WatchScope { key: key.to_owned(), scope: Some(scope), ..Default::default() }
}

fn watch_session(id: &str) -> v1::WatchScope {
    watch(id, Scope::SessionId(id.to_owned()))
}

/// A day that does not end while a test runs.
fn long_day() -> v1::Window {
    let hour = jiff::Timestamp::now().as_second() / 3_600 % 24;
    let time_zone = if (2..22).contains(&hour) { "UTC" } else { "Asia/Tokyo" };
    v1::Window { time_zone: time_zone.to_owned(), ..day() }
}

fn lasting(mut scope: v1::WatchScope) -> v1::WatchScope {
    scope.window = Some(long_day());
    scope
}

async fn send(server: &TestServer, event: v1::UsageEvent) {
    server.usage.clone().record_usage(record(event)).await.unwrap();
}

fn by_agent(session_id: &str, agent_name: &str) -> v1::Dimensions {
    v1::Dimensions { agent_name: agent_name.to_owned(), ..session(session_id) }
}

#[tokio::test]
async fn the_first_message_is_the_snapshot_and_every_recorded_total_arrives() {
    let server = TestServer::start().await;
    send(&server, event(session("s1"), 1_000, 1_000)).await;
    let mut feed = Feed::open(&server, vec![watch_session("s1"), watch_session("s2")]).await;
    assert!(feed.shows("s1", 1, "0.0125") && feed.shows("s2", 0, "0"));
    assert_eq!(feed.known["s2"].version, 0, "never seen");
    for number in 0..60 {
        send(&server, event(session(if number % 3 == 0 { "s2" } else { "s1" }), 1_000, 1_000)).await;
    }
    feed.until(&[("s1", 41, "0.5125"), ("s2", 20, "0.25")]).await;
    let tokens = feed.totals("s1").tokens.clone().unwrap();
    assert_eq!((tokens.total_input_tokens, tokens.total_output_tokens), (41_000, 41_000));
    server.assert_audit_holds().await;
}

#[tokio::test]
async fn a_session_is_broken_down_by_agent() {
    let server = TestServer::start().await;
    let breakdown = v1::WatchScope { breakdown: Some(key("agent_name")), ..watch_session("s1") };
    let narrow = v1::WatchScope { key: "narrow".to_owned(), breakdown_limit: 1, ..breakdown.clone() };
    let mut feed = Feed::open(&server, vec![breakdown, narrow]).await;
    send(&server, event(by_agent("s1", "planner"), 1_000, 1_000)).await;
    send(&server, event(by_agent("s1", "writer"), 2_000, 2_000)).await;
    send(&server, event(by_agent("s1", "writer"), 1_000, 1_000)).await;
    send(&server, event(session("s1"), 100, 100)).await;
    feed.until(&[("s1", 4, "0.05125"), ("narrow", 4, "0.05125")]).await;
    let parts = |key: &str| -> Vec<(v1::group_value::Kind, i64, String)> {
        let part = |part: &v1::scope_totals::Part| {
            let totals = part.totals.as_ref().unwrap();
            (part.group.as_ref().unwrap().kind.clone().unwrap(), totals.calls, totals.usd.clone())
        };
        feed.known[key].parts.iter().map(part).collect()
    };
    let value = |value: &str| v1::group_value::Kind::Value(value.to_owned());
    assert_eq!(
        parts("s1"),
        [
            (value("writer"), 2, "0.0375".to_owned()),
            (value("planner"), 1, "0.0125".to_owned()),
            (v1::group_value::Kind::Absent(true), 1, "0.00125".to_owned()),
        ]
    );
    assert_eq!(
        parts("narrow"),
        [(value("writer"), 2, "0.0375".to_owned()), (v1::group_value::Kind::Other(true), 2, "0.01375".to_owned())]
    );
    server.assert_audit_holds().await;
}

#[tokio::test]
async fn a_root_session_counts_its_whole_tree_and_a_session_itself_alone() {
    let server = TestServer::start().await;
    let root =
        v1::WatchScope { breakdown: Some(key("agent_name")), ..watch("tree", Scope::RootSessionId("root".to_owned())) };
    let mut feed = Feed::open(&server, vec![root, watch_session("root"), watch_session("leaf")]).await;
    let below = |session_id: &str, parent: &str| v1::Dimensions {
        parent_session_id: parent.to_owned(),
        root_session_id: "root".to_owned(),
        ..by_agent(session_id, "worker")
    };
    send(&server, event(by_agent("root", "planner"), 1_000, 1_000)).await;
    send(&server, event(below("child", "root"), 1_000, 1_000)).await;
    send(&server, event(below("leaf", "child"), 1_000, 1_000)).await;
    send(&server, event(session("elsewhere"), 1_000, 1_000)).await;
    feed.until(&[("tree", 3, "0.0375"), ("root", 1, "0.0125"), ("leaf", 1, "0.0125")]).await;
    assert_eq!(feed.known["tree"].parts.len(), 2);
    server.assert_audit_holds().await;
}

#[tokio::test]
async fn many_scopes_move_on_one_stream_also_by_what_another_replica_records() {
    let server = TestServer::start().await;
    let replica = server.replica().await;
    let scopes = vec![
        watch_session("s1"),
        watch("tree", Scope::RootSessionId("s1".to_owned())),
        lasting(watch("user", Scope::UserId("u1".to_owned()))),
        lasting(watch("agent", Scope::AgentId("a1".to_owned()))),
        lasting(watch("project", Scope::ProjectId("p1".to_owned()))),
        lasting(watch("tenant", Scope::Tenant(true))),
        lasting(v1::WatchScope { key: "today".to_owned(), ..watch_session("s1") }),
    ];
    let mut feed = Feed::open(&server, scopes).await;
    let everything = v1::Dimensions {
        user_id: "u1".to_owned(),
        agent_id: "a1".to_owned(),
        project_id: "p1".to_owned(),
        ..session("s1")
    };
    send(&server, event(everything.clone(), 1_000, 1_000)).await;
    send(&replica, event(everything, 1_000, 1_000)).await;
    send(&replica, event(user("u1"), 1_000, 1_000)).await;
    send(&replica, event(user("u2"), 1_000, 1_000)).await;
    // Yesterday's are not in today's window.
    let mut old = event(user("u1"), 1_000, 1_000);
    old.start_time.as_mut().unwrap().seconds -= 3 * 86_400;
    send(&server, old).await;
    feed.until(&[
        ("s1", 2, "0.025"),
        ("tree", 2, "0.025"),
        ("user", 3, "0.0375"),
        ("agent", 2, "0.025"),
        ("project", 2, "0.025"),
        ("tenant", 4, "0.05"),
        ("today", 2, "0.025"),
    ])
    .await;
    assert!(feed.known["user"].window_start.is_some() && feed.known["s1"].window_start.is_none());
    server.assert_audit_holds().await;
}

#[tokio::test]
async fn a_slow_reader_gets_the_newest_and_no_backlog() {
    let server = TestServer::start().await;
    // A window of a few bytes: what the reader does not take does not leave the server.
    let channel = Channel::from_shared(server.url.clone()).unwrap();
    let channel = channel.initial_stream_window_size(64).connect().await.unwrap();
    let mut slow = Feed::with(UsageServiceClient::new(channel), vec![watch_session("s1")], None).await;
    let mut fast = Feed::open(&server, vec![watch_session("s1")]).await;
    for number in 1..=40 {
        send(&server, event(session("s1"), 1_000, 0)).await;
        // Each is a state of its own, which a fast reader sees.
        while fast.totals("s1").calls < number {
            fast.next().await.unwrap();
        }
    }
    assert!(fast.messages > 40);
    let before = slow.messages;
    slow.until(&[("s1", 40, "0.1")]).await;
    let taken = slow.messages - before;
    assert!(taken <= 4, "{taken} messages for what one says: they were kept for a reader that did not read");
}

#[tokio::test]
async fn an_idle_stream_beats() {
    let server = TestServer::start().await;
    let scopes = vec![watch_session("s1")];
    let mut feed = Feed::with(server.usage.clone(), scopes, Some(milliseconds(5_000))).await;
    let beat = feed.next().await.unwrap();
    assert!(beat.scopes.is_empty() && !beat.snapshot, "{beat:?}");
    let as_of = from_wire(&beat.as_of.unwrap());
    assert!(as_of <= jiff::Timestamp::now());
    send(&server, event(session("s1"), 1_000, 1_000)).await;
    feed.until(&[("s1", 1, "0.0125")]).await;
}

#[tokio::test]
async fn budgets_are_shown_with_what_they_hold_and_what_is_spent() {
    let mut server = TestServer::start().await;
    let per_user = v1::Budget { per: vec![key("user_id")], window: Some(long_day()), ..budget("per-user", "1") };
    server.budgets.create_budget(create(per_user)).await.unwrap();
    let scope = v1::WatchScope { budgets: true, ..lasting(watch("user", Scope::UserId("u1".to_owned()))) };
    let mut feed = Feed::open(&server, vec![scope]).await;
    let check = reserve(user("u1"), 10_000, 10_000);
    let reservation = check.reservation_id.clone();
    server.budgets.check_budget(check).await.unwrap();
    server.budgets.check_budget(reserve(user("u2"), 10_000, 10_000)).await.unwrap();
    let held = |feed: &Feed| -> Vec<(String, String)> {
        feed.known["user"].budgets.iter().map(|state| (state.spent.clone(), state.held.clone())).collect()
    };
    while held(&feed) != [("0".to_owned(), "0.125".to_owned())] {
        feed.next().await.unwrap();
    }
    send(&server, settling(event(user("u1"), 1_000, 1_000), &reservation)).await;
    while held(&feed) != [("0.0125".to_owned(), "0".to_owned())] {
        feed.next().await.unwrap();
    }
    let state = &feed.known["user"].budgets[0];
    assert_eq!((state.budget_id.as_str(), state.per_values["user_id"].as_str()), ("per-user", "u1"));
    assert_eq!((state.limit.as_str(), state.available.as_str()), ("1", "0.9875"));
    server.assert_audit_holds().await;
}

#[tokio::test]
async fn a_released_hold_is_seen_too() {
    let mut server = TestServer::start().await;
    let whole = v1::Budget { window: Some(long_day()), ..budget("whole", "1") };
    server.budgets.create_budget(create(whole)).await.unwrap();
    let scope = v1::WatchScope { budgets: true, ..lasting(watch("tenant", Scope::Tenant(true))) };
    let mut feed = Feed::open(&server, vec![scope]).await;
    let check = reserve(session("s1"), 10_000, 10_000);
    let reservation_id = check.reservation_id.clone();
    server.budgets.check_budget(check).await.unwrap();
    let held = |feed: &Feed| feed.known["tenant"].budgets.first().map(|state| state.held.clone()).unwrap_or_default();
    while held(&feed) != "0.125" {
        feed.next().await.unwrap();
    }
    let release = v1::ReleaseReservationRequest { reservation_id, reason: "not needed".to_owned() };
    server.budgets.release_reservation(release).await.unwrap();
    while held(&feed) != "0" {
        feed.next().await.unwrap();
    }
}

#[tokio::test]
async fn a_stream_ends_as_unavailable_when_the_server_drains() {
    let mut server = TestServer::start().await;
    let replica = server.replica().await;
    let mut feed = Feed::open(&server, vec![watch_session("s1")]).await;
    let running = server.running.take().unwrap();
    running.stop();
    let end = loop {
        match feed.next().await {
            Ok(message) => assert!(!message.snapshot),
            Err(end) => break end,
        }
    };
    assert_eq!((end.code(), reason(&end).as_str()), (Code::Unavailable, "SHUTTING_DOWN"));
    bounded("the end of the server", running.stopped()).await;
    // Elsewhere it goes on, with everything.
    send(&replica, event(session("s1"), 1_000, 1_000)).await;
    let mut feed = Feed::open(&replica, vec![watch_session("s1")]).await;
    feed.until(&[("s1", 1, "0.0125")]).await;
}

#[tokio::test]
async fn a_long_poll_returns_on_a_change_and_else_with_what_is_known() {
    let server = TestServer::start().await;
    let replica = server.replica().await;
    send(&server, event(session("s1"), 1_000, 1_000)).await;
    let ask = async |versions: HashMap<String, i64>, wait: i64| {
        let request = v1::GetTotalsRequest {
            scopes: vec![watch_session("s1"), watch_session("s2")],
            after_versions: versions,
            wait: Some(milliseconds(wait)),
        };
        bounded("the long poll", server.usage.clone().get_totals(request)).await.unwrap().into_inner()
    };
    let versions = |answer: &v1::GetTotalsResponse| -> HashMap<String, i64> {
        answer.scopes.iter().map(|scope| (scope.key.clone(), scope.version)).collect()
    };
    let calls = |answer: &v1::GetTotalsResponse| -> Vec<i64> {
        answer.scopes.iter().map(|scope| scope.totals.as_ref().unwrap().calls).collect()
    };
    let first = ask(HashMap::new(), 30_000).await;
    assert_eq!(calls(&first), [1, 0], "it waits only for what is newer than something");
    let unchanged = ask(versions(&first), 100).await;
    assert_eq!((calls(&unchanged), versions(&unchanged)), (vec![1, 0], versions(&first)));
    // Whether the change comes before or after the wait began, it is told.
    for (number, recorder) in [&server, &replica].into_iter().enumerate() {
        let known = ask(HashMap::new(), 0).await;
        let (changed, ()) =
            tokio::join!(ask(versions(&known), 30_000), send(recorder, event(session("s2"), 1_000, 1_000)));
        assert_eq!(calls(&changed), [1, i64::try_from(number).unwrap() + 1]);
        assert!(changed.scopes[1].version > known.scopes[1].version);
    }
    server.assert_audit_holds().await;
}

#[tokio::test]
async fn totals_asked_for_after_an_answer_contain_it_on_every_replica() {
    let server = TestServer::start().await;
    let replica = server.replica().await;
    for number in 1..=10 {
        send(&server, event(session("s1"), 1_000, 1_000)).await;
        let request = v1::GetTotalsRequest { scopes: vec![watch_session("s1")], ..Default::default() };
        let answer = replica.usage.clone().get_totals(request).await.unwrap().into_inner();
        assert_eq!(answer.scopes[0].totals.as_ref().unwrap().calls, number);
    }
    // A subscriber that goes away leaves nothing behind that would keep the server.
    let feed = Feed::open(&server, vec![watch_session("s1")]).await;
    drop(feed);
    until("another subscriber", || async {
        let feed = Feed::open(&server, vec![watch_session("s1")]).await;
        feed.shows("s1", 10, "0.125").then_some(())
    })
    .await;
    server.assert_audit_holds().await;
}
