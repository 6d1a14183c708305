use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};
use tollgate_domain::dimensions::{Dimension, Dimensions};

use super::scripted::{ScriptedSource, TENANT, session, tenant_by_minute};
use super::*;
use crate::app::totals::Scope;
use crate::tenant::TenantId;

/// Settings under which nothing is read unless it is touched.
fn quiet() -> HubSettings {
    HubSettings { poll_interval: Duration::from_secs(100_000), ..HubSettings::default() }
}

fn versions(seen: &[Seen]) -> Vec<(usize, i64)> {
    seen.iter().map(|seen| (seen.position, seen.reading.totals.version)).collect()
}

#[tokio::test(start_paused = true)]
async fn the_snapshot_has_every_scope_and_is_never_an_old_reading() {
    let source = ScriptedSource::new();
    let hub = source.hub(quiet());
    let (a, b) = (session("a"), session("b"));
    source.set(&a.query.scope, 3);
    let mut first = hub.watch(TENANT, vec![a.clone(), b.clone()]).unwrap();
    assert_eq!(versions(&first.snapshot().await.unwrap()), [(0, 3), (1, 0)]);
    // Another writer's commit that nobody told of: the second subscriber joins the same entry, yet sees it.
    source.set(&a.query.scope, 4);
    let mut second = hub.watch(TENANT, vec![a, b.clone(), b]).unwrap();
    assert_eq!(versions(&second.snapshot().await.unwrap()), [(0, 4), (1, 0), (2, 0)]);
    assert_eq!(hub.watched_scopes(), 2);
    // The first one learns of it on the way.
    first.changed().await.unwrap();
    assert_eq!(versions(&first.take_changed()), [(0, 4)]);
}

#[tokio::test(start_paused = true)]
async fn nothing_falls_between_the_snapshot_and_the_first_change() {
    let source = ScriptedSource::new();
    let hub = source.hub(quiet());
    let scope = session("a");
    for delay in [0, 1, 19, 20, 21, 200] {
        source.set_delay(Duration::from_millis(delay));
        source.set(&scope.query.scope, 1);
        let mut subscription = hub.watch(TENANT, vec![scope.clone()]).unwrap();
        // Commits while the reading behind the snapshot is under way.
        sleep(Duration::from_millis(delay / 2)).await;
        source.commit(&hub, &scope.query.scope, 2);
        let snapshot = versions(&subscription.snapshot().await.unwrap());
        if snapshot != [(0, 2)] {
            assert_eq!(snapshot, [(0, 1)]);
            timeout(Duration::from_secs(1), subscription.changed()).await.unwrap().unwrap();
            assert_eq!(versions(&subscription.take_changed()), [(0, 2)]);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn who_joins_while_a_reading_is_under_way_waits_for_the_next_one() {
    let source = ScriptedSource::new();
    let hub = source.hub(quiet());
    let scope = session("a");
    source.set_delay(Duration::from_millis(200));
    source.set(&scope.query.scope, 1);
    let mut early = hub.watch(TENANT, vec![scope.clone()]).unwrap();
    sleep(Duration::from_millis(100)).await;
    source.set(&scope.query.scope, 2);
    let mut late = hub.watch(TENANT, vec![scope]).unwrap();
    let (early, late) = tokio::join!(early.snapshot(), late.snapshot());
    assert_eq!(versions(&early.unwrap()), [(0, 1)]);
    assert_eq!(versions(&late.unwrap()), [(0, 2)]);
}

#[tokio::test(start_paused = true)]
async fn a_slow_reader_gets_the_newest_only() {
    let source = ScriptedSource::new();
    let hub = source.hub(quiet());
    let scope = session("a");
    let mut subscription = hub.watch(TENANT, vec![scope.clone()]).unwrap();
    subscription.snapshot().await.unwrap();
    for version in 1..=100 {
        source.commit(&hub, &scope.query.scope, version);
        sleep(Duration::from_millis(25)).await;
    }
    subscription.changed().await.unwrap();
    assert_eq!(versions(&subscription.take_changed()), [(0, 100)]);
    assert!(timeout(Duration::from_secs(60), subscription.changed()).await.is_err(), "it was told all");
}

#[tokio::test(start_paused = true)]
async fn a_version_never_goes_back() {
    let source = ScriptedSource::new();
    let hub = source.hub(quiet());
    let scope = session("a");
    source.set(&scope.query.scope, 5);
    let mut subscription = hub.watch(TENANT, vec![scope.clone()]).unwrap();
    subscription.snapshot().await.unwrap();
    source.commit(&hub, &scope.query.scope, 4);
    assert!(timeout(Duration::from_secs(1), subscription.changed()).await.is_err());
    assert_eq!(versions(&subscription.take_all()), [(0, 5)]);
    source.commit(&hub, &scope.query.scope, 6);
    subscription.changed().await.unwrap();
    assert_eq!(versions(&subscription.take_changed()), [(0, 6)]);
}

#[tokio::test(start_paused = true)]
async fn a_window_rolls_over_at_its_end_and_begins_at_zero() {
    let source = ScriptedSource::new();
    let hub = source.hub(quiet());
    let scope = tenant_by_minute();
    source.set(&scope.query.scope, 9);
    let mut subscription = hub.watch(TENANT, vec![scope.clone()]).unwrap();
    let snapshot = subscription.snapshot().await.unwrap();
    let window = snapshot[0].reading.totals.window.unwrap();
    assert_eq!(window.start.to_string(), "2026-03-01T12:00:00Z");
    source.set(&scope.query.scope, 0);
    let began = Instant::now();
    subscription.changed().await.unwrap();
    // The script begins 10 s into the minute.
    assert!((50_000..50_100).contains(&began.elapsed().as_millis()), "{:?}", began.elapsed());
    let seen = subscription.take_changed();
    assert_eq!(versions(&seen), [(0, 0)]);
    assert_eq!(seen[0].reading.totals.window.unwrap().start, window.end);
    // And again.
    subscription.changed().await.unwrap();
    assert!((110_000..110_100).contains(&began.elapsed().as_millis()), "{:?}", began.elapsed());
}

#[tokio::test(start_paused = true)]
async fn the_last_subscriber_takes_the_entry_along() {
    let source = ScriptedSource::new();
    let hub = source.hub(quiet());
    let scopes = vec![session("a"), session("a"), tenant_by_minute()];
    let mut first = hub.watch(TENANT, scopes.clone()).unwrap();
    let second = hub.watch(TENANT, scopes).unwrap();
    first.snapshot().await.unwrap();
    assert_eq!((hub.subscribers(), hub.watched_scopes()), (2, 2));
    drop(first);
    assert_eq!((hub.subscribers(), hub.watched_scopes()), (1, 2));
    drop(second);
    assert_eq!((hub.subscribers(), hub.watched_scopes()), (0, 0));
    let reads = source.reads();
    source.commit(&hub, &Scope::Tenant, 1);
    sleep(Duration::from_secs(3_600)).await;
    assert_eq!(source.reads(), reads, "nobody watches, nobody reads");
    assert_eq!(hub.shared.table.lock().unwrap().next_rollover(), None);
}

#[tokio::test(start_paused = true)]
async fn touches_share_readings_and_readings_share_scopes() {
    let source = ScriptedSource::new();
    let hub = source.hub(quiet());
    let mut subscriptions = Vec::new();
    for number in 0..1_000 {
        subscriptions.push(hub.watch(TENANT, vec![session(&number.to_string())]).unwrap());
    }
    for subscription in &mut subscriptions {
        subscription.snapshot().await.unwrap();
    }
    assert_eq!(source.reads(), 4, "1,000 scopes in batches of 256");
    for round in 0..1_000 {
        source.commit(&hub, &Scope::Session((round % 10).to_string()), round);
        sleep(Duration::from_millis(1)).await;
    }
    assert!((50..=56).contains(&source.reads()), "one reading per 20 ms for 1 s, not {}", source.reads());
    let lone = source.reads();
    sleep(Duration::from_secs(1)).await;
    let before = Instant::now();
    source.commit(&hub, &Scope::Session("500".to_owned()), 1);
    subscriptions[500].changed().await.unwrap();
    assert!(before.elapsed() < Duration::from_millis(2), "a lone change waits for nothing");
    assert!(source.reads() <= lone + 2);
}

#[tokio::test(start_paused = true)]
async fn what_no_notice_told_of_arrives_by_polling() {
    let source = ScriptedSource::new();
    let hub = source.hub(HubSettings { notify: false, ..HubSettings::default() });
    let scope = session("a");
    let mut subscription = hub.watch(TENANT, vec![scope.clone()]).unwrap();
    subscription.snapshot().await.unwrap();
    let as_of = subscription.as_of().unwrap();
    source.set(&scope.query.scope, 1);
    timeout(Duration::from_millis(2_001), subscription.changed()).await.unwrap().unwrap();
    assert_eq!(versions(&subscription.take_changed()), [(0, 1)]);
    assert!(subscription.as_of().unwrap() > as_of);
}

#[tokio::test(start_paused = true)]
async fn an_outage_keeps_the_last_reading_and_ends_by_itself() {
    let source = ScriptedSource::new();
    let hub = source.hub(quiet());
    let scope = session("a");
    source.set(&scope.query.scope, 1);
    let mut subscription = hub.watch(TENANT, vec![scope.clone()]).unwrap();
    subscription.snapshot().await.unwrap();
    source.set_away(true);
    source.commit(&hub, &scope.query.scope, 2);
    assert!(timeout(Duration::from_secs(60), subscription.changed()).await.is_err());
    assert_eq!(versions(&subscription.take_all()), [(0, 1)]);
    assert!(source.reads() < 25, "it waits longer and longer, {} readings", source.reads());
    let mut newcomer = hub.watch(TENANT, vec![session("b")]).unwrap();
    assert!(matches!(newcomer.snapshot().await, Err(LiveError::Unavailable)));
    source.set_away(false);
    timeout(Duration::from_secs(7), subscription.changed()).await.unwrap().unwrap();
    assert_eq!(versions(&subscription.take_changed()), [(0, 2)]);
}

#[tokio::test(start_paused = true)]
async fn a_scope_that_cannot_be_read_fails_alone() {
    let source = ScriptedSource::new();
    let hub = source.hub(quiet());
    source.refuse(&Scope::Session("13".to_owned()));
    let mut subscriptions: Vec<_> =
        (0..30).map(|number| hub.watch(TENANT, vec![session(&number.to_string())]).unwrap()).collect();
    for (number, subscription) in subscriptions.iter_mut().enumerate() {
        let snapshot = subscription.snapshot().await;
        assert_eq!(matches!(snapshot, Err(LiveError::TooWide(_))), number == 13, "{number}: {snapshot:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn subscribers_and_scopes_are_bounded() {
    let source = ScriptedSource::new();
    let hub = source.hub(HubSettings { subscribers_limit: 2, ..quiet() });
    let many = |count: usize| (0..count).map(|number| session(&number.to_string())).collect::<Vec<_>>();
    assert!(matches!(hub.watch(TENANT, many(65)), Err(LiveError::Invalid(_))));
    assert!(matches!(hub.watch(TENANT, Vec::new()), Err(LiveError::Invalid(_))));
    let mut widest = hub.watch(TENANT, many(64)).unwrap();
    assert_eq!(widest.snapshot().await.unwrap().len(), 64);
    let second = hub.watch(TENANT, many(1)).unwrap();
    assert!(matches!(hub.watch(TENANT, many(1)), Err(LiveError::Full)));
    drop(second);
    hub.watch(TENANT, many(1)).unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_tenant_has_its_own_bound_of_subscribers() {
    let source = ScriptedSource::new();
    let hub = source.hub(HubSettings { subscribers_limit: 3, subscribers_limit_per_tenant: 2, ..quiet() });
    let other = TenantId(TENANT.0 + 1);
    let first = hub.watch(TENANT, vec![session("a")]).unwrap();
    let _second = hub.watch(TENANT, vec![session("a")]).unwrap();
    assert!(matches!(hub.watch(TENANT, vec![session("a")]), Err(LiveError::Full)));
    let _others = hub.watch(other, vec![session("a")]).unwrap();
    assert!(matches!(hub.watch(other, vec![session("a")]), Err(LiveError::Full)), "the replica's bound");
    drop(first);
    hub.watch(TENANT, vec![session("a")]).unwrap();
}

#[tokio::test(start_paused = true)]
async fn draining_ends_everything() {
    let source = ScriptedSource::new();
    let hub = Hub::new(quiet(), source.clone(), tokio_util::sync::CancellationToken::new());
    let refresher = tokio::spawn(hub.clone().run());
    let mut subscription = hub.watch(TENANT, vec![session("a")]).unwrap();
    subscription.snapshot().await.unwrap();
    hub.draining().cancel();
    refresher.await.unwrap();
    assert!(matches!(subscription.changed().await, Err(LiveError::ShuttingDown)));
    assert!(matches!(hub.watch(TENANT, vec![session("a")]), Err(LiveError::ShuttingDown)));
}

#[test]
fn a_touch_names_what_its_dimensions_name() {
    let dimensions = Dimensions::default()
        .with(Dimension::SessionId, "s")
        .with(Dimension::UserId, "u")
        .with(Dimension::AgentId, "a")
        .with(Dimension::ProjectId, "p");
    let named = |dimensions: &Dimensions| Touch::of(TenantId(1), dimensions).hashes().collect::<Vec<_>>();
    let hashes = |scopes: &[Scope]| scopes.iter().map(ScopeHash::of).collect::<Vec<_>>();
    let text = str::to_owned;
    let rest = [Scope::User(text("u")), Scope::Agent(text("a")), Scope::Project(text("p")), Scope::Tenant];
    let own_root = [&[Scope::Session(text("s")), Scope::RootSession(text("s"))][..], &rest].concat();
    assert_eq!(named(&dimensions), hashes(&own_root));
    let other_root = [&[Scope::Session(text("s")), Scope::RootSession(text("r"))][..], &rest].concat();
    assert_eq!(named(&dimensions.with(Dimension::RootSessionId, "r")), hashes(&other_root));
    assert_eq!(named(&Dimensions::default()), hashes(&[Scope::Tenant]));
    // Part of what replicas tell each other: it must not change.
    assert_eq!(ScopeHash::of(&Scope::Session(text("a"))), ScopeHash(0x082f_4307_b4e8_c4d7));
}

#[test]
fn a_subscriber_is_small() {
    let bytes = std::mem::size_of::<Subscription>() + std::mem::size_of::<mailbox::Mailbox>();
    assert!(bytes < 512, "{bytes}");
}
