use std::pin::pin;

use futures::StreamExt;
use tokio::time::sleep;

use super::*;
use crate::app::totals::{Scope, ScopeQuery};
use crate::live::scripted::{ScriptedSource, TENANT, session};
use crate::live::{HubSettings, WatchedScope};

fn named_scopes(keys: &[&str]) -> Vec<NamedScope> {
    keys.iter().map(|key| NamedScope { key: (*key).into(), scope: session(key) }).collect()
}

fn request(keys: &[&str]) -> StreamRequest {
    StreamRequest { scopes: named_scopes(keys), min_interval: None, heartbeat: None }
}

fn scope(id: &str) -> Scope {
    Scope::Session(id.to_owned())
}

fn versions(scopes: &[NamedReading]) -> Vec<(&str, i64)> {
    scopes.iter().map(|named| (named.key.as_ref(), named.reading.totals.version)).collect()
}

#[tokio::test(start_paused = true)]
async fn snapshot_then_changes_at_intervals_then_heartbeats_then_the_drain() {
    let source = ScriptedSource::new();
    let hub = source.hub(HubSettings::default());
    source.set(&scope("a"), 1);
    let mut stream = pin!(subscribe(&hub, TENANT, request(&["a", "b"])).await.unwrap());
    let snapshot = stream.next().await.unwrap().unwrap();
    assert!(snapshot.snapshot);
    assert_eq!(versions(&snapshot.scopes), [("a", 1), ("b", 0)]);

    // Many changes within one interval: one message, the newest figures, the changed scope alone.
    let began = Instant::now();
    for version in 2..=10 {
        source.commit(&hub, &scope("a"), version);
        sleep(Duration::from_millis(20)).await;
    }
    let change = stream.next().await.unwrap().unwrap();
    assert!(!change.snapshot);
    assert_eq!(versions(&change.scopes), [("a", 10)]);
    assert!((250..300).contains(&began.elapsed().as_millis()), "{:?}", began.elapsed());

    // Silence: heartbeats, whose as_of says that the figures still hold.
    let began = Instant::now();
    let beat = stream.next().await.unwrap().unwrap();
    assert!(beat.scopes.is_empty() && !beat.snapshot);
    assert!((15_000..15_010).contains(&began.elapsed().as_millis()), "{:?}", began.elapsed());
    assert!(beat.as_of > change.as_of);
    assert!(stream.next().await.unwrap().unwrap().scopes.is_empty());

    // A change after silence waits for nothing.
    sleep(Duration::from_secs(1)).await;
    let began = Instant::now();
    source.commit(&hub, &scope("b"), 1);
    assert_eq!(versions(&stream.next().await.unwrap().unwrap().scopes), [("b", 1)]);
    assert!(began.elapsed() < Duration::from_millis(5));

    hub.draining().cancel();
    assert!(matches!(stream.next().await, Some(Err(AppError::ShuttingDown))));
    assert!(stream.next().await.is_none());
    assert!(matches!(subscribe(&hub, TENANT, request(&["a"])).await, Err(AppError::ShuttingDown)));
}

#[tokio::test(start_paused = true)]
async fn a_dropped_stream_frees_its_place() {
    let source = ScriptedSource::new();
    let hub = source.hub(HubSettings { subscribers_limit: 1, ..HubSettings::default() });
    let stream = subscribe(&hub, TENANT, request(&["a"])).await.unwrap();
    assert!(matches!(subscribe(&hub, TENANT, request(&["a"])).await, Err(AppError::Full { .. })));
    drop(stream);
    drop(subscribe(&hub, TENANT, request(&["a"])).await.unwrap());
    assert_eq!((hub.subscribers(), hub.watched_scopes()), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_long_poll_answers_on_another_version_or_at_its_end() {
    let source = ScriptedSource::new();
    let hub = source.hub(HubSettings::default());
    source.set(&scope("a"), 3);
    let poll = async |known: &[(&str, i64)], wait: u64| {
        let after_versions = known.iter().map(|(key, version)| ((*key).to_owned(), *version)).collect();
        let wait = Duration::from_secs(wait);
        let began = Instant::now();
        let request = TotalsRequest { scopes: named_scopes(&["a", "b"]), after_versions, wait };
        let totals = get_totals(&hub, TENANT, request).await.unwrap();
        (totals.scopes.iter().map(|named| named.reading.totals.version).collect::<Vec<_>>(), began.elapsed())
    };
    let at_once = Duration::from_millis(50);
    for (known, wait) in [(&[("a", 3), ("b", 0)][..], 0), (&[("a", 2), ("b", 0)], 30), (&[("a", 3)], 30), (&[], 30)] {
        let (versions, took) = poll(known, wait).await;
        assert!(versions == [3, 0] && took < at_once, "{known:?}, {wait} s: {versions:?} after {took:?}");
    }
    // A lower version is another window's.
    assert!(poll(&[("a", 4), ("b", 0)], 30).await.1 < at_once);
    let (versions, took) = poll(&[("a", 3), ("b", 0)], 30).await;
    assert!(versions == [3, 0] && took >= Duration::from_secs(30));
    let commit = async {
        sleep(Duration::from_secs(5)).await;
        source.commit(&hub, &scope("b"), 1);
    };
    let ((versions, took), ()) = tokio::join!(poll(&[("a", 3), ("b", 0)], 30), commit);
    assert!(versions == [3, 1] && took < Duration::from_secs(5) + at_once, "{versions:?} after {took:?}");
    assert_eq!(hub.watched_scopes(), 0);
}

#[tokio::test(start_paused = true)]
async fn an_outage_is_told_to_newcomers_only() {
    let source = ScriptedSource::new();
    let hub = source.hub(HubSettings::default());
    let mut stream = pin!(subscribe(&hub, TENANT, request(&["a"])).await.unwrap());
    stream.next().await.unwrap().unwrap();
    source.set_away(true);
    assert!(matches!(subscribe(&hub, TENANT, request(&["a"])).await, Err(AppError::Unavailable)));
    let (first, second) = (stream.next().await.unwrap().unwrap(), stream.next().await.unwrap().unwrap());
    assert!(first.scopes.is_empty() && second.scopes.is_empty());
    assert_eq!(first.as_of, second.as_of, "nothing is known of the time since");
}

#[test]
fn requests_are_checked_in_every_field() {
    let fields = |violations: Result<(), Vec<_>>| -> Vec<String> {
        let violations: Vec<tollgate_domain::violation::Violation> = violations.err().unwrap_or_default();
        violations.into_iter().map(|violation| violation.field).collect()
    };
    assert!(fields(request(&["a"]).validate()).is_empty());
    assert_eq!(fields(request(&[]).validate()), ["scopes"]);
    let mut wrong = request(&["a", "a", ""]);
    let query = ScopeQuery { scope: Scope::Tenant, window: None, breakdown: None, breakdown_limit: 101 };
    wrong.scopes.push(NamedScope { key: "k".repeat(65).into(), scope: WatchedScope { query, budgets: true } });
    wrong.min_interval = Some(Duration::from_millis(49));
    wrong.heartbeat = Some(Duration::from_secs(61));
    assert_eq!(
        fields(wrong.validate()),
        [
            "scopes[1].key",
            "scopes[2].key",
            "scopes[3].key",
            "scopes[3].window",
            "scopes[3].breakdown_limit",
            "min_interval",
            "heartbeat"
        ]
    );
    let totals = TotalsRequest {
        scopes: named_scopes(&["a"]),
        after_versions: (0..65).map(|number| (number.to_string(), 1)).collect(),
        wait: Duration::from_millis(30_001),
    };
    assert_eq!(fields(totals.validate()), ["after_versions", "wait"]);
}
