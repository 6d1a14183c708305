//! Summaries and totals against a database, compared with what the events alone say.

mod corrections;
mod database;
mod ledger;
mod oracle;
mod scopes;

use jiff::{SignedDuration, Timestamp};
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use tollgate_domain::calendar::Granularity;
use tollgate_domain::dimensions::{Dimension, DimensionKey, DimensionMatch};
use tollgate_domain::measures::Measures;
use tollgate_domain::summary::{CostBasis, GroupValue, OrderBy, Summary, SummaryRequest, SummaryRow, TimeBasis};
use tollgate_domain::window::Bounds;

use self::database::Database;
use self::ledger::{DAYS, Known, START, events, record};
use self::oracle::expected;
use super::*;
use crate::app::AppError;
use crate::store::dictionary::Dictionary;
use crate::tenant::TenantId;

const TENANT: TenantId = TenantId(7);

async fn summarize(
    tenants: &TenantPool,
    dictionary: &Dictionary,
    tenant: TenantId,
    request: &SummaryRequest,
) -> Result<Summary, AppError> {
    Ok(super::summarize(tenants, dictionary, tenant, request).await?.summary)
}

fn key(dimension: Dimension) -> DimensionKey {
    DimensionKey::Dimension(dimension)
}

fn range(start: &str, end: &str) -> Bounds {
    Bounds { start: start.parse().unwrap(), end: end.parse().unwrap() }
}

fn all() -> Bounds {
    let start: Timestamp = START.parse().unwrap();
    Bounds { start, end: start + SignedDuration::from_hours(24 * DAYS) }
}

/// Sorts rows as the oracle does.
fn sorted(mut rows: Vec<SummaryRow>) -> Vec<SummaryRow> {
    rows.sort_by(|left, right| (left.bucket_start, &left.groups).cmp(&(right.bucket_start, &right.groups)));
    rows
}

/// A difference of sums cannot tell "zero" from "not reported", nor when it was first and last.
fn without_what_a_difference_cannot_tell(measures: &mut Measures) {
    let zero_is_none =
        |value: &mut Option<_>| *value = value.filter(|usd: &tollgate_domain::amount::Usd| !usd.is_zero());
    measures.class_tokens.iter_mut().for_each(|tokens| *tokens = tokens.filter(|tokens| *tokens != 0));
    measures.class_usd.iter_mut().for_each(zero_is_none);
    [&mut measures.saved_usd, &mut measures.reported_usd, &mut measures.reported_own_usd]
        .into_iter()
        .for_each(zero_is_none);
    (measures.first_time, measures.last_time) = (None, None);
}

fn compare(summary: Summary, events: &[Known], request: &SummaryRequest) {
    let (mut rows, mut total) = expected(events, request);
    let mut summary = Summary { rows: sorted(summary.rows), ..summary };
    let users = request.group_by.iter().chain(request.filter.iter().map(|condition| &condition.key));
    if users.into_iter().any(|named| *named == key(Dimension::UserId)) {
        for row in rows.iter_mut().chain(&mut summary.rows).chain([&mut total, &mut summary.total]) {
            without_what_a_difference_cannot_tell(&mut row.measures);
        }
    }
    assert_eq!(summary.rows.len(), rows.len(), "{request:#?}");
    for (found, wanted) in summary.rows.iter().zip(&rows) {
        assert_eq!(found, wanted, "{request:#?}");
    }
    assert_eq!(summary.total, total, "{request:#?}");
}

fn random_request(random: &mut StdRng) -> SummaryRequest {
    let zones =
        ["", "UTC", "Asia/Kathmandu", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Pacific/Chatham"];
    let granularities = [
        Granularity::None,
        Granularity::Minute,
        Granularity::Hour,
        Granularity::Day,
        Granularity::Week,
        Granularity::Month,
    ];
    let keys = [
        key(Dimension::AgentId),
        key(Dimension::ProjectId),
        key(Dimension::UserId),
        key(Dimension::Model),
        key(Dimension::OperationName),
        key(Dimension::CustomerId),
        key(Dimension::SessionId),
        key(Dimension::RootSessionId),
        key(Dimension::WorkflowStep),
        DimensionKey::Label("team".to_owned()),
    ];
    // Half of the requests stay with what the rollups hold.
    let keys = if random.random_bool(0.5) { &keys[..5] } else { &keys[..] };
    let mut group_by: Vec<DimensionKey> = keys.choose_multiple(random, 2).cloned().collect();
    group_by.truncate(random.random_range(0..=2));
    let mut filter = Vec::new();
    for _ in 0..random.random_range(0..=2) {
        let name = keys.choose(random).unwrap().clone();
        let prefix = match &name {
            DimensionKey::Dimension(Dimension::RootSessionId) => "session-".to_owned(),
            DimensionKey::Dimension(Dimension::WorkflowStep) => String::new(),
            DimensionKey::Dimension(Dimension::Model) => "plain".to_owned(),
            DimensionKey::Dimension(Dimension::OperationName) => "chat".to_owned(),
            DimensionKey::Dimension(dimension) => format!("{}-", dimension.name().trim_end_matches("_id")),
            DimensionKey::Label(label) => format!("{label}-"),
        };
        let named = matches!(name, DimensionKey::Dimension(Dimension::Model | Dimension::OperationName));
        let value = |number: u32| if named { prefix.clone() } else { format!("{prefix}{number}") };
        filter.push(DimensionMatch {
            key: name,
            values: vec![value(random.random_range(0..3)), value(random.random_range(0..20))],
            absent: random.random_bool(0.3),
            negate: random.random_bool(0.3),
        });
    }
    let granularity = *granularities.choose(random).unwrap();
    let length = if granularity == Granularity::Minute { 86_400 } else { DAYS * 86_400 };
    let start = all().start + SignedDuration::from_micros(random.random_range(0..DAYS * 86_400_000_000));
    // Some ranges begin on the minute, the others anywhere.
    let start =
        if random.random_bool(0.5) { Timestamp::from_second(start.as_second() / 60 * 60).unwrap() } else { start };
    let end = start + SignedDuration::from_micros(random.random_range(1..length * 1_000_000));
    SummaryRequest {
        time_zone: (*zones.choose(random).unwrap()).to_owned(),
        time_basis: if random.random_bool(0.15) { TimeBasis::Charge } else { TimeBasis::Start },
        granularity,
        group_by,
        filter,
        models: if random.random_bool(0.2) { vec!["plain".to_owned(), "rich".to_owned()] } else { Vec::new() },
        latency: random.random_bool(0.15),
        ..SummaryRequest::of(Bounds { start, end })
    }
}

#[tokio::test]
async fn summaries_say_what_the_events_say_in_every_zone() {
    let database = Database::start().await;
    let events = events(1, 3_000);
    let dictionary = Dictionary::default();
    for batch in events.chunks(500) {
        record(&database.pool, &dictionary, TENANT, batch).await;
    }
    // Another tenant's events are nobody's business.
    record(&database.pool, &dictionary, TenantId(8), &ledger::events(2, 200)).await;
    let mut random = StdRng::seed_from_u64(3);
    for _ in 0..300 {
        let request = random_request(&mut random);
        let reader = Dictionary::default();
        match summarize(&database.tenants, &reader, TENANT, &request).await {
            Ok(summary) => compare(summary, &events, &request),
            Err(error) => panic!("{error}: {request:#?}"),
        }
    }
    database.stop().await;
}

#[tokio::test]
async fn summaries_fold_what_is_not_at_the_top() {
    let database = Database::start().await;
    let events = events(4, 2_000);
    let dictionary = Dictionary::default();
    record(&database.pool, &dictionary, TENANT, &events).await;
    for group_by in [
        vec![key(Dimension::AgentId)],
        vec![key(Dimension::UserId), key(Dimension::Model)],
        vec![key(Dimension::RootSessionId)],
        vec![DimensionKey::Label("team".to_owned()), key(Dimension::CustomerId)],
    ] {
        let whole = SummaryRequest { granularity: Granularity::Day, group_by, ..SummaryRequest::of(all()) };
        let request = SummaryRequest {
            top: Some(2),
            order_by: OrderBy::parse("input_tokens desc", "order_by").unwrap(),
            ..whole.clone()
        };
        let undivided = SummaryRequest { granularity: Granularity::None, top: None, ..request.clone() };
        let ranked = summarize(&database.tenants, &dictionary, TENANT, &undivided).await.unwrap();
        let chosen: Vec<_> = ranked.rows.iter().take(2).map(|row| row.groups.clone()).collect();
        let (rows, total) = expected(&events, &whole);
        let folded = summarize(&database.tenants, &dictionary, TENANT, &request).await.unwrap();
        assert_eq!(folded.total.measures.usd, total.measures.usd);
        for row in &folded.rows {
            let other = row.groups.iter().all(|group| *group == GroupValue::Other);
            let same = |wanted: &&SummaryRow| {
                wanted.bucket_start == row.bucket_start
                    && if other { !chosen.contains(&wanted.groups) } else { wanted.groups == row.groups }
            };
            let mut sum = Measures::default();
            rows.iter().filter(same).for_each(|wanted| sum.add(&wanted.measures).unwrap());
            let mut found = row.measures.clone();
            without_what_a_difference_cannot_tell(&mut found);
            without_what_a_difference_cannot_tell(&mut sum);
            assert_eq!(found, sum, "{:?} {:?}", row.bucket_start, row.groups);
        }
        let seen: std::collections::HashSet<_> = folded.rows.iter().map(|row| row.groups.clone()).collect();
        assert_eq!(seen.len(), 3, "{seen:?}");
        let tokens: Vec<_> = folded.rows.iter().map(|row| (row.bucket_start, -row.measures.input_tokens)).collect();
        assert!(tokens.is_sorted(), "by bucket, then by tokens");
    }
    database.stop().await;
}

#[tokio::test]
async fn summaries_too_wide_are_refused_or_read_in_two_passes() {
    let database = Database::start().await;
    let dictionary = Dictionary::default();
    let mut events = events(5, 25_000);
    for (number, known) in events.iter_mut().enumerate() {
        known.event.dimensions.set(Dimension::UserId, format!("user-{number}"));
        known.event.dimensions.set(Dimension::TaskId, format!("task-{number}"));
    }
    for batch in events.chunks(2_500) {
        record(&database.pool, &dictionary, TENANT, batch).await;
    }
    for dimension in [Dimension::UserId, Dimension::TaskId] {
        let request = SummaryRequest { group_by: vec![key(dimension)], ..SummaryRequest::of(all()) };
        let refused = summarize(&database.tenants, &dictionary, TENANT, &request).await.unwrap_err();
        assert!(matches!(refused, AppError::QueryTooWide(_)), "{refused}");
        let request = SummaryRequest { top: Some(3), granularity: Granularity::Week, ..request };
        let summary = summarize(&database.tenants, &dictionary, TENANT, &request).await.unwrap();
        let mut dearest: Vec<&Known> = events.iter().collect();
        dearest.sort_by_key(|known| std::cmp::Reverse(known.measures().usd));
        for known in &dearest[..3] {
            let value = known.event.dimensions.get(dimension).unwrap();
            let group = [GroupValue::Value(value.to_owned())];
            let row = summary.rows.iter().find(|row| row.groups == group).unwrap();
            assert_eq!(row.measures, known.measures());
        }
        let (_, total) = expected(&events, &SummaryRequest::of(all()));
        assert_eq!(summary.total.measures, total.measures);
    }
    let minutes = SummaryRequest { granularity: Granularity::Minute, ..SummaryRequest::of(all()) };
    let refused = summarize(&database.tenants, &dictionary, TENANT, &minutes).await.unwrap_err();
    assert!(matches!(refused, AppError::QueryTooWide(_)), "{refused}");
    database.stop().await;
}

#[tokio::test]
async fn summaries_come_in_pages_of_one_reading() {
    let database = Database::start().await;
    let dictionary = Dictionary::default();
    record(&database.pool, &dictionary, TENANT, &events(6, 1_000)).await;
    let request = SummaryRequest {
        granularity: Granularity::Day,
        group_by: vec![key(Dimension::AgentId)],
        page_size: 7,
        ..SummaryRequest::of(all())
    };
    let whole = summarize(&database.tenants, &dictionary, TENANT, &request).await.unwrap();
    let first = summarize_page(&database.tenants, &dictionary, TENANT, &request, "").await.unwrap();
    // What is recorded between two pages is in neither.
    record(&database.pool, &dictionary, TENANT, &events(7, 100)).await;
    let another_replica = Dictionary::default();
    let mut pages = vec![first];
    while let token @ 1.. = pages.last().unwrap().next_page_token.len() {
        assert!(token < 100);
        let token = pages.last().unwrap().next_page_token.clone();
        let page = summarize_page(&database.tenants, &another_replica, TENANT, &request, &token).await.unwrap();
        assert_eq!((page.as_of, &page.total), (pages[0].as_of, &whole.total));
        pages.push(page);
    }
    let rows: Vec<SummaryRow> = pages.iter().flat_map(|page| page.rows.clone()).collect();
    assert_eq!(rows, whole.rows);
    assert!(pages.len() > 10 && pages.iter().all(|page| page.rows.len() <= 7));

    let token = &pages[0].next_page_token;
    let other = SummaryRequest { page_size: 8, ..request.clone() };
    for (tenant, request, token) in
        [(TENANT, &other, token.as_str()), (TenantId(8), &request, token), (TENANT, &request, "nonsense")]
    {
        let refused = summarize_page(&database.tenants, &dictionary, tenant, request, token).await.unwrap_err();
        assert!(matches!(refused, AppError::PageTokenInvalid), "{refused}");
    }
    sqlx::query("UPDATE summary_page SET expire_time = now() - interval '1 second'")
        .execute(&database.pool)
        .await
        .unwrap();
    let refused = summarize_page(&database.tenants, &dictionary, TENANT, &request, token).await.unwrap_err();
    assert!(matches!(refused, AppError::PageTokenInvalid), "{refused}");
    database.stop().await;
}

#[tokio::test]
async fn summaries_of_reported_costs_and_of_the_present() {
    let database = Database::start().await;
    let dictionary = Dictionary::default();
    let events = events(8, 300);
    record(&database.pool, &dictionary, TENANT, &events).await;
    let request = SummaryRequest { cost_basis: CostBasis::Reported, ..SummaryRequest::of(all()) };
    let summary = summarize(&database.tenants, &dictionary, TENANT, &request).await.unwrap();
    let (_, total) = expected(&events, &request);
    assert_eq!(summary.total.measures.usd, total.measures.reported_usd.unwrap());
    assert!(!summary.rows[0].partial_bucket);
    let future = SummaryRequest::of(Bounds { end: range(START, "2999-01-01T00:00:00Z").end, ..all() });
    let summary = summarize(&database.tenants, &dictionary, TENANT, &future).await.unwrap();
    assert!(summary.rows[0].partial_bucket, "the present cuts the bucket");
    let nobody = SummaryRequest {
        filter: vec![DimensionMatch::equals(key(Dimension::UserId), "never-seen")],
        ..SummaryRequest::of(all())
    };
    let summary = summarize(&database.tenants, &dictionary, TENANT, &nobody).await.unwrap();
    assert_eq!((summary.rows.len(), summary.total.measures), (0, Measures::default()));
    database.stop().await;
}
