//! Totals of scopes.

use tollgate_domain::window::{Window, WindowKind};

use super::*;
use crate::app::totals::{Scope, ScopeQuery, ScopeReading, read_scopes};

pub(super) fn query(scope: Scope, window: Option<Window>, breakdown: Option<DimensionKey>) -> ScopeQuery {
    ScopeQuery { scope, window, breakdown, breakdown_limit: 2 }
}

pub(super) fn month() -> Window {
    Window::new(WindowKind::Month, 1, Some("Asia/Kathmandu".to_owned()), None, "window").unwrap()
}

pub(super) fn scopes() -> Vec<(Scope, Option<DimensionKey>)> {
    vec![
        (Scope::Session("session-1".to_owned()), Some(key(Dimension::SessionId))),
        (Scope::RootSession("session-1".to_owned()), Some(key(Dimension::RootSessionId))),
        (Scope::User("user-1".to_owned()), Some(key(Dimension::UserId))),
        (Scope::Agent("agent-1".to_owned()), Some(key(Dimension::AgentId))),
        (Scope::Project("project-1".to_owned()), Some(key(Dimension::ProjectId))),
        (Scope::Tenant, None),
    ]
}

pub(super) fn request(scope: &Scope, key: Option<DimensionKey>, range: Bounds) -> SummaryRequest {
    let value = match scope {
        Scope::Session(value)
        | Scope::RootSession(value)
        | Scope::User(value)
        | Scope::Agent(value)
        | Scope::Project(value) => value.clone(),
        Scope::Tenant => String::new(),
    };
    let filter = key.map(|key| DimensionMatch::equals(key, value)).into_iter().collect();
    SummaryRequest { filter, ..SummaryRequest::of(range) }
}

/// The breakdown is the totals taken apart, dearest first, the rest last.
fn check_parts(reading: &ScopeReading) {
    let mut sum = Measures::default();
    reading.parts.iter().for_each(|(_, measures)| sum.add(measures).unwrap());
    assert_eq!(sum, reading.totals);
    assert!(reading.parts.len() <= 3, "{:?}", reading.parts);
    let own: Vec<_> = reading.parts.iter().filter(|(group, _)| *group != GroupValue::Other).collect();
    assert!(own.is_sorted_by(|left, right| left.1.usd >= right.1.usd));
}

#[tokio::test]
async fn summaries_of_scopes_agree_with_the_events() {
    let database = Database::start().await;
    let dictionary = Dictionary::default();
    let events = events(11, 2_000);
    record(&database.pool, &dictionary, TENANT, &events).await;
    let now: Timestamp = "2024-03-20T12:34:56Z".parse().unwrap();
    let breakdowns = [key(Dimension::Model), key(Dimension::CustomerId), DimensionKey::Label("team".to_owned())];
    for breakdown in breakdowns {
        let queries: Vec<ScopeQuery> = scopes()
            .into_iter()
            .flat_map(|(scope, _)| {
                let lifetime = matches!(scope, Scope::Session(_) | Scope::RootSession(_))
                    .then(|| query(scope.clone(), None, Some(breakdown.clone())));
                lifetime.into_iter().chain([query(scope, Some(month()), Some(breakdown.clone()))])
            })
            .collect();
        let readings = read_scopes(&database.tenants, &dictionary, TENANT, &queries, now).await.unwrap();
        for (query, reading) in queries.iter().zip(&readings) {
            let (scope, key) = scopes().into_iter().find(|(scope, _)| *scope == query.scope).unwrap();
            let range = query.window.as_ref().map(|window| window.bounds(now).unwrap());
            assert_eq!(reading.window, range);
            let (_, total) = expected(&events, &request(&scope, key, range.unwrap_or(all())));
            assert_eq!(reading.totals, total.measures, "{query:?}");
            assert!(reading.version > 0);
            check_parts(reading);
        }
    }
    database.stop().await;
}

#[tokio::test]
async fn summaries_of_scopes_have_versions_that_rise_with_every_event() {
    let database = Database::start().await;
    let dictionary = Dictionary::default();
    let mut queries = Vec::new();
    for (scope, _) in scopes() {
        if matches!(scope, Scope::Session(_) | Scope::RootSession(_)) {
            queries.push(query(scope.clone(), None, None));
        }
        queries.push(query(scope, Some(month()), None));
    }
    let now: Timestamp = "2024-03-20T12:34:56Z".parse().unwrap();
    let mut known = events(12, 1).remove(0);
    known.event.start_time = now;
    let values = [
        (Dimension::SessionId, "session-1"),
        (Dimension::RootSessionId, "session-1"),
        (Dimension::UserId, "user-1"),
        (Dimension::AgentId, "agent-1"),
        (Dimension::ProjectId, "project-1"),
    ];
    for (dimension, value) in values {
        known.event.dimensions.set(dimension, value);
    }
    let mut last = vec![-1; queries.len()];
    for number in 0_u128..4 {
        let readings = read_scopes(&database.tenants, &Dictionary::default(), TENANT, &queries, now).await.unwrap();
        for ((reading, last), query) in readings.iter().zip(&mut last).zip(&queries) {
            assert!(reading.version > *last, "{query:?}: {} after {last}", reading.version);
            assert_eq!(reading.version == 0, number == 0, "never seen = 0");
            *last = reading.version;
        }
        known.event.key = tollgate_domain::event::EventKey::Id(uuid::Uuid::from_u128(number));
        record(&database.pool, &dictionary, TENANT, std::slice::from_ref(&known)).await;
    }
    let unbounded = [query(Scope::Tenant, None, None)];
    let refused = read_scopes(&database.tenants, &dictionary, TENANT, &unbounded, now).await.unwrap_err();
    assert!(matches!(refused, AppError::Invalid(_)), "{refused}");
    database.stop().await;
}
