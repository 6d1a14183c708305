//! Summaries of a ledger in which events were corrected.

use std::collections::BTreeMap;

use tollgate_domain::amount::Usd;

use super::ledger::correct;
use super::scopes::{month, query, request, scopes};
use super::*;
use crate::app::totals::{Scope, ScopeQuery, read_scopes};

/// Every third event corrected at random: cancelled, or into another one of the same id.
fn corrected(first: &[Known], seed: u64) -> Vec<(Known, Option<Known>)> {
    let mut random = StdRng::seed_from_u64(seed);
    let others = events(seed, first.len());
    let chosen = first.iter().zip(others).filter(|_| random.random_bool(0.3)).collect::<Vec<_>>();
    let mut pair = |(known, other): (&Known, Known)| {
        let mut new = other;
        new.event.key = known.event.key.clone();
        if random.random_bool(0.3) {
            // Nothing but the price, in the same place.
            new.event = known.event.clone();
            new.sheet = None;
            new.charge = tollgate_domain::measures::Charge::of(&new.event, tollgate_domain::price::Cost::unpriced());
            new.charge_time = known.charge_time;
        }
        (known.clone(), Some(new).filter(|_| random.random_bool(0.8)))
    };
    chosen.into_iter().map(&mut pair).collect()
}

/// The events as they stand.
fn current(first: &[Known], corrections: &[(Known, Option<Known>)]) -> Vec<Known> {
    let by_key: std::collections::HashMap<_, _> =
        corrections.iter().map(|(old, new)| (old.event.key.clone(), new.clone())).collect();
    first
        .iter()
        .filter_map(|known| by_key.get(&known.event.key).cloned().unwrap_or_else(|| Some(known.clone())))
        .collect()
}

/// Charged and current side by side, as the basis has them.
fn side_by_side(first: &[Known], current: &[Known], request: &SummaryRequest) -> (Vec<SummaryRow>, SummaryRow) {
    let (charged, charged_total) = expected(first, request);
    let (current, current_total) = expected(current, request);
    let with = |row: &SummaryRow, usd: Usd| SummaryRow { current_usd: request.current.then_some(usd), ..row.clone() };
    if request.cost_basis == CostBasis::Current {
        let rows = current.iter().map(|row| with(row, row.measures.usd)).collect();
        return (rows, with(&current_total, current_total.measures.usd));
    }
    let mut rows: BTreeMap<_, SummaryRow> =
        charged.iter().map(|row| ((row.bucket_start, row.groups.clone()), with(row, Usd::ZERO))).collect();
    for row in current.iter().filter(|_| request.current) {
        let bare = SummaryRow { measures: Measures::default(), latency: None, ..row.clone() };
        let entry = rows.entry((row.bucket_start, row.groups.clone())).or_insert(bare);
        entry.current_usd = Some(row.measures.usd);
    }
    (rows.into_values().collect(), with(&charged_total, current_total.measures.usd))
}

#[tokio::test]
async fn summaries_tell_what_was_charged_and_what_is_current() {
    let database = Database::start().await;
    let dictionary = Dictionary::default();
    let first = events(21, 2_000);
    record(&database.pool, &dictionary, TENANT, &first).await;
    let corrections = corrected(&first, 22);
    correct(&database.pool, &dictionary, TENANT, &corrections).await;
    let current = current(&first, &corrections);
    assert!(corrections.len() > 400 && current.len() < first.len());
    let mut random = StdRng::seed_from_u64(23);
    for number in 0..240 {
        let request = SummaryRequest {
            cost_basis: if number % 2 == 0 { CostBasis::Current } else { CostBasis::Charged },
            current: number % 3 != 0,
            ..random_request(&mut random)
        };
        let summary = summarize(&database.tenants, &Dictionary::default(), TENANT, &request).await.unwrap();
        let (mut rows, mut total) = side_by_side(&first, &current, &request);
        let mut found = Summary { rows: sorted(summary.rows), ..summary };
        for row in rows.iter_mut().chain(&mut found.rows).chain([&mut total, &mut found.total]) {
            without_what_a_difference_cannot_tell(&mut row.measures);
        }
        assert_eq!(found.rows.len(), rows.len(), "{request:#?}");
        for (found, wanted) in found.rows.iter().zip(&rows) {
            assert_eq!(found, wanted, "{request:#?}");
        }
        assert_eq!(found.total, total, "{request:#?}");
    }
    database.stop().await;
}

#[tokio::test]
async fn summaries_rank_groups_by_the_cost_that_is_asked_for() {
    let database = Database::start().await;
    let dictionary = Dictionary::default();
    let first = events(24, 1_500);
    record(&database.pool, &dictionary, TENANT, &first).await;
    let corrections = corrected(&first, 25);
    correct(&database.pool, &dictionary, TENANT, &corrections).await;
    let current = current(&first, &corrections);
    for dimension in [Dimension::AgentId, Dimension::UserId, Dimension::CustomerId] {
        for (cost_basis, events) in [(CostBasis::Charged, &first), (CostBasis::Current, &current)] {
            let whole = SummaryRequest { cost_basis, group_by: vec![key(dimension)], ..SummaryRequest::of(all()) };
            let (mut rows, _) = expected(events, &whole);
            rows.sort_by_key(|row| std::cmp::Reverse(row.measures.usd));
            let top = SummaryRequest { top: Some(2), ..whole };
            let summary = summarize(&database.tenants, &dictionary, TENANT, &top).await.unwrap();
            let own = summary.rows.iter().filter(|row| row.groups != [GroupValue::Other]);
            let own: Vec<_> = own.map(|row| (row.groups.clone(), row.measures.usd)).collect();
            let wanted: Vec<_> = rows.iter().take(2).map(|row| (row.groups.clone(), row.measures.usd)).collect();
            assert_eq!(own, wanted, "{dimension:?} {cost_basis:?}");
        }
    }
    database.stop().await;
}

#[tokio::test]
async fn summaries_of_scopes_follow_corrections() {
    let database = Database::start().await;
    let dictionary = Dictionary::default();
    let first = events(26, 1_500);
    record(&database.pool, &dictionary, TENANT, &first).await;
    let corrections = corrected(&first, 27);
    let now: Timestamp = "2024-03-20T12:34:56Z".parse().unwrap();
    let queries: Vec<ScopeQuery> = scopes()
        .into_iter()
        .flat_map(|(scope, _)| {
            let lifetime = matches!(scope, Scope::Session(_) | Scope::RootSession(_))
                .then(|| query(scope.clone(), None, Some(key(Dimension::Model))));
            lifetime.into_iter().chain([query(scope, Some(month()), Some(key(Dimension::CustomerId)))])
        })
        .collect();
    let before = read_scopes(&database.tenants, &dictionary, TENANT, &queries, now).await.unwrap();
    correct(&database.pool, &dictionary, TENANT, &corrections).await;
    let current = current(&first, &corrections);
    let after = read_scopes(&database.tenants, &dictionary, TENANT, &queries, now).await.unwrap();
    for ((query, before), mut after) in queries.iter().zip(before).zip(after) {
        let (scope, key) = scopes().into_iter().find(|(scope, _)| *scope == query.scope).unwrap();
        let range = query.window.as_ref().map(|window| window.bounds(now).unwrap());
        let (_, mut total) = expected(&current, &request(&scope, key, range.unwrap_or(all())));
        let mut parts = Measures::default();
        after.parts.iter().for_each(|(_, measures)| parts.add(measures).unwrap());
        for measures in [&mut total.measures, &mut after.totals, &mut parts] {
            without_what_a_difference_cannot_tell(measures);
        }
        assert_eq!(after.totals, total.measures, "{query:?}");
        assert_eq!(parts, total.measures, "{query:?}");
        assert!(after.version > before.version, "{query:?}");
    }
    database.stop().await;
}
