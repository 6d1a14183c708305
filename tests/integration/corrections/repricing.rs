//! RepriceUsage: recorded events at the prices that are known now.

use std::sync::Arc;

use tollgate_domain::price::{Catalog, FreeProviders};
use tollgate_proto::v1;
use tollgate_proto::v1::amend_usage_request::Change;
use tollgate_proto::v1::price_service_server::PriceService as _;
use tollgate_server::auth::Caller;
use tollgate_server::grpc::PriceApi;
use tollgate_server::prices::Prices;
use tonic::Code;

use super::*;
use crate::harness::build::{model, reserve, settling};
use crate::harness::refusal::{Refusal, reason};

/// Input and output cost a dollar per million tokens, for gpt-4o from 4 May on, and for a model that nobody knew.
const NEW_PRICES: &str = concat!(
    r#"{"catalog":{"format":1,"version":"tests","sources":[]}}"#,
    "\n",
    r#"{"provider":"openai"}"#,
    "\n",
    r#"{"provider":"openai","model":"gpt-4o","match":[{"equals":"gpt-4o"}],"prices":["#,
    r#"{"id":"gpt-4o/old","rates":{"input":"2.5","output":"10"}},"#,
    r#"{"id":"gpt-4o/new","from":"2026-05-04T00:00:00Z","rates":{"input":"1","output":"1"}}]}"#,
    "\n",
    r#"{"provider":"openai","model":"brand-new","match":[{"equals":"brand-new"}],"prices":["#,
    r#"{"id":"brand-new","rates":{"input":"1","output":"1"}}]}"#,
    "\n",
);
/// No price at all.
const NO_PRICES: &str =
    concat!(r#"{"catalog":{"format":1,"version":"empty","sources":[]}}"#, "\n", r#"{"provider":"openai"}"#, "\n");

/// The prices of a server, as if they were known to it now.
fn knowing(server: &TestServer, prices: &str) -> PriceApi {
    let mut app = server.running.as_ref().unwrap().app.clone();
    let catalog = Arc::new(Catalog::parse(prices).unwrap());
    app.prices = Prices::new(app.tenants.clone(), app.all_tenants.clone(), catalog, FreeProviders::default());
    PriceApi::new(app)
}

fn may() -> v1::RepriceUsageRequest {
    v1::RepriceUsageRequest {
        start_time: Some(at("2026-05-01T00:00:00Z")),
        end_time: Some(at("2026-06-01T00:00:00Z")),
        ..Default::default()
    }
}

fn applied(request: v1::RepriceUsageRequest) -> v1::RepriceUsageRequest {
    v1::RepriceUsageRequest { apply: true, request_id: id(), reason: "a price arrived".to_owned(), ..request }
}

/// The request as the local tenant makes it: here, nothing stands before the service that would find out who calls.
fn by_local(request: v1::RepriceUsageRequest) -> tonic::Request<v1::RepriceUsageRequest> {
    let mut request = tonic::Request::new(request);
    request.extensions_mut().insert(Caller::local());
    request
}

async fn reprice(prices: &PriceApi, request: v1::RepriceUsageRequest) -> v1::RepriceUsageResponse {
    prices.reprice_usage(by_local(request)).await.unwrap().into_inner()
}

/// Events, changed ones, unpriced ones, difference, whether recorded.
fn outcome(answer: &v1::RepriceUsageResponse) -> (i64, i64, i64, &str, bool) {
    (answer.events, answer.changed, answer.unpriced, &answer.usd_delta, answer.applied)
}

fn on(event: v1::UsageEvent, name: &str) -> v1::UsageEvent {
    v1::UsageEvent { request_model: Some(model("openai", name)), ..event }
}

#[tokio::test]
async fn a_dry_run_changes_nothing_and_says_what_would_change() {
    let server = with_budgets(vec![per_user("usd", v1::Unit::Usd, "1")]).await;
    let prices = knowing(&server, NEW_PRICES);
    let before = event_at("2026-05-03T23:00:00Z", who("ada", "s1", "planner"), ONE_CALL);
    let (after, cancelled) = (by_ada(), by_ada());
    let unknown = on(by_ada(), "nobody-knows");
    for event in [&before, &after, &cancelled, &unknown] {
        send(&server, event).await;
    }
    amend(&server, amendment(&cancelled, 1, Change::Cancel(true))).await;
    let answer = reprice(&prices, may()).await;
    assert_eq!(outcome(&answer), (3, 1, 1, "-0.0105", false));
    assert_eq!(answer.next_cursor, "");
    let change = |change: &v1::RepriceChange| {
        let model = change.model.clone().unwrap().model;
        (change.day.unwrap(), model, change.events, change.changed, change.usd_before.clone(), change.usd_after.clone())
    };
    let day = |day: &str, model: &str, changed: i64, before: &str, after: &str| {
        (at(day), model.to_owned(), 1, changed, before.to_owned(), after.to_owned())
    };
    let changes: Vec<_> = answer.changes.iter().map(change).collect();
    assert_eq!(
        changes,
        [
            day("2026-05-03T00:00:00Z", "gpt-4o", 0, "0.0125", "0.0125"),
            day("2026-05-04T00:00:00Z", "gpt-4o", 1, "0.0125", "0.002"),
            day("2026-05-04T00:00:00Z", "nobody-knows", 0, "0", "0"),
        ]
    );
    assert_eq!(costs(&get(&server, &after).await), (1, "0.0125", "0.0125"));
    assert_eq!(spent(&server, "usd").await, counters(&[("ada", "0.025", "0")]));
    server.assert_audit_holds().await;
}

#[tokio::test]
async fn what_is_applied_moves_current_costs_and_budgets_once() {
    let server = with_budgets(vec![per_user("usd", v1::Unit::Usd, "1"), daily("daily", "1")]).await;
    let prices = knowing(&server, NEW_PRICES);
    let told = by_ada();
    let memo = v1::UsageEvent { accounting: v1::Accounting::Memo.into(), ..by_ada() };
    let hit = v1::UsageEvent { response_cache_hit: true, ..by_ada() };
    for event in [&told, &memo, &hit] {
        send(&server, event).await;
    }
    let request = applied(may());
    let answer = reprice(&prices, request.clone()).await;
    assert_eq!(outcome(&answer), (3, 3, 0, "-0.021", true));
    assert_eq!(costs(&get(&server, &told).await), (2, "0.0125", "0.002"));
    let saved = get(&server, &hit).await;
    let saved = (saved.cost.unwrap().saved_usd, saved.current_cost.unwrap().saved_usd);
    assert_eq!(saved, ("0.0125".to_owned(), "0.002".to_owned()));
    assert_eq!(spent(&server, "usd").await, counters(&[("ada", "0.002", "0")]));
    assert_eq!(spent_on(&server, "daily", "2026-05-04T12:00:00Z").await, "0.002");
    assert_eq!(session_total(&server, "s1").await, (3, "0.002".to_owned()));
    let charged = expected(&[("04 ada", 3, 2_000, "0.0125", "0.002")]);
    assert_eq!(summary(&server, v1::CostBasis::Charged, "user_id").await, charged);
    let current = expected(&[("04 ada", 3, 2_000, "0.002", "0.002")]);
    assert_eq!(summary(&server, v1::CostBasis::Current, "user_id").await, current);

    assert_eq!(reprice(&prices, request.clone()).await, answer, "the same request gets its first answer");
    let again = reprice(&prices, applied(may())).await;
    assert_eq!(outcome(&again), (3, 0, 0, "0", true), "nothing is left to change");
    assert_eq!(get(&server, &told).await.revision, 2);
    let other = v1::RepriceUsageRequest { unpriced_only: true, ..request };
    let refused = prices.reprice_usage(by_local(other)).await.unwrap_err();
    assert_eq!(reason(&refused), "REQUEST_ID_REUSED");
    server.assert_audit_holds().await;
}

#[tokio::test]
async fn invariant_7_what_was_unpriced_is_priced_when_a_price_arrives() {
    let server = with_budgets(vec![per_user("usd", v1::Unit::Usd, "0.003")]).await;
    let prices = knowing(&server, NEW_PRICES);
    let unpriced = [on(by_ada(), "brand-new"), on(by_ada(), "brand-new")];
    let priced = by_ada();
    for event in unpriced.iter().chain([&priced]) {
        send(&server, event).await;
    }
    let counted = |basis: v1::CostBasis| {
        let request = v1::GetSummaryRequest {
            start_time: Some(at("2026-05-01T00:00:00Z")),
            end_time: Some(at("2026-06-01T00:00:00Z")),
            cost_basis: basis.into(),
            ..Default::default()
        };
        let mut usage = server.usage.clone();
        async move {
            let total = usage.get_summary(request).await.unwrap().into_inner().total.unwrap().totals.unwrap();
            (total.attempts, total.unpriced, total.usd)
        }
    };
    assert_eq!(counted(v1::CostBasis::Current).await, (3, 2, "0.0125".to_owned()));
    let request = v1::RepriceUsageRequest { unpriced_only: true, ..may() };
    let answer = reprice(&prices, applied(request.clone())).await;
    assert_eq!(outcome(&answer), (2, 2, 0, "0.004", true));
    assert_eq!(counted(v1::CostBasis::Charged).await, (3, 2, "0.0125".to_owned()));
    assert_eq!(counted(v1::CostBasis::Current).await, (3, 0, "0.0165".to_owned()));
    let cost = get(&server, &unpriced[0]).await.current_cost.unwrap();
    assert_eq!((cost.state(), cost.usd.as_str(), cost.lines.len()), (v1::PriceState::Priced, "0.002", 2));
    assert_eq!(causes(&server).await, [serde_json::json!({"not_reserved": "0.0095", "repriced": "0.004"})]);
    assert_eq!(outcome(&reprice(&prices, request).await), (0, 0, 0, "0", false));
    server.assert_audit_holds().await;
}

#[tokio::test]
async fn a_price_that_is_known_no_more_takes_nothing_back() {
    let server = with_budgets(Vec::new()).await;
    let prices = knowing(&server, NO_PRICES);
    send(&server, &by_ada()).await;
    assert_eq!(outcome(&reprice(&prices, may()).await), (1, 0, 0, "0", false));
}

#[tokio::test]
async fn conditions_look_at_the_event_as_it_stands() {
    let server = with_budgets(Vec::new()).await;
    let prices = knowing(&server, NEW_PRICES);
    let (moved, stays) = (by_ada(), by_ada());
    let renamed = on(by_ada(), "brand-new");
    for event in [&moved, &stays, &renamed] {
        send(&server, event).await;
    }
    amend(&server, amendment(&moved, 1, Change::Reattribute(who("bob", "s2", "writer")))).await;
    amend(&server, amendment(&renamed, 1, Change::Replacement(on(renamed.clone(), "gpt-4o")))).await;
    let matching = |name: &str, value: &str| {
        let condition =
            v1::DimensionMatch { key: Some(key(name)), values: vec![value.to_owned()], ..Default::default() };
        v1::RepriceUsageRequest { filter: vec![condition], ..may() }
    };
    let modelled = |name: &str| v1::RepriceUsageRequest { models: vec![name.to_owned()], ..may() };
    for (request, events) in [
        (matching("user_id", "ada"), 2),
        (matching("user_id", "bob"), 1),
        (matching("agent_name", "writer"), 1),
        (matching("model", "gpt-4o"), 3),
        (modelled("gpt-4o"), 3),
        (modelled("brand-new"), 0),
        (v1::RepriceUsageRequest { unpriced_only: true, ..may() }, 0),
    ] {
        assert_eq!(reprice(&prices, request.clone()).await.events, events, "{request:?}");
    }
    // An event that was corrected is priced again as it stands.
    reprice(&prices, applied(matching("user_id", "bob"))).await;
    let record = get(&server, &moved).await;
    assert_eq!(costs(&record), (3, "0.0125", "0.002"));
    assert_eq!(record.event.unwrap().dimensions.unwrap().user_id, "bob");
    server.assert_audit_holds().await;
}

#[tokio::test]
async fn a_stated_amount_that_stood_in_for_unknown_usage_is_not_priced_away() {
    let server = with_budgets(vec![per_user("usd", v1::Unit::Usd, "1")]).await;
    let prices = knowing(&server, NEW_PRICES);
    let mut check = reserve(who("ada", "s1", "planner"), 0, 0);
    check.estimate = Some(v1::Estimate { amount_usd: "0.25".to_owned(), ..Default::default() });
    let held = check.reservation_id.clone();
    server.budgets.clone().check_budget(check).await.unwrap();
    let unknown = v1::TokenUsage { quality: v1::UsageQuality::Unknown.into(), ..Default::default() };
    let told = v1::UsageEvent { usage: Some(v1::usage_event::Usage::Tokens(unknown)), ..by_ada() };
    send(&server, &settling(told.clone(), &held)).await;
    assert_eq!(costs(&get(&server, &told).await), (1, "0.25", "0.25"));
    assert_eq!(outcome(&reprice(&prices, applied(may())).await), (0, 0, 0, "0", true));
    assert_eq!(spent(&server, "usd").await, counters(&[("ada", "0.25", "0")]));
}

#[tokio::test]
async fn many_events_are_priced_again_in_bounded_steps() {
    let server = with_budgets(vec![per_user("usd", v1::Unit::Usd, "100")]).await;
    let prices = knowing(&server, NEW_PRICES);
    // Of the same instant, too: the id goes on where the start does not.
    let events: Vec<v1::UsageEvent> = (0..450)
        .map(|number| {
            let whose = who(&format!("user{}", number % 3), "s1", "planner");
            event_at(&format!("2026-05-04T11:07:{:02}Z", number / 50), whose, ONE_CALL)
        })
        .collect();
    let batch = v1::BatchRecordUsageRequest { events, view: v1::ResponseView::Ack.into() };
    server.usage.clone().batch_record_usage(batch).await.unwrap();
    for (apply, changed) in [(false, 450), (true, 450), (true, 0)] {
        let (mut cursor, mut steps, mut events, mut seen) = (String::new(), 0, 0, 0);
        let request = if apply { applied(may()) } else { may() };
        loop {
            let step = v1::RepriceUsageRequest { cursor: cursor.clone(), ..request.clone() };
            let answer = reprice(&prices, step.clone()).await;
            assert!(answer.events <= 200, "{answer:?}");
            if apply {
                assert_eq!(reprice(&prices, step).await, answer, "each step is answered again");
            }
            (steps, events, seen) = (steps + 1, events + answer.events, seen + answer.changed);
            cursor = answer.next_cursor;
            if cursor.is_empty() {
                break;
            }
        }
        assert_eq!((steps, events, seen), (3, 450, changed), "apply: {apply}");
    }
    assert_eq!(spent(&server, "usd").await["user0"].0, "0.3");
    server.assert_audit_holds().await;
}

#[tokio::test]
async fn repricing_and_amending_at_once_agree() {
    let server = with_budgets(vec![per_user("usd", v1::Unit::Usd, "100")]).await;
    let prices = knowing(&server, NEW_PRICES);
    let events: Vec<v1::UsageEvent> = (0..60).map(|_| by_ada()).collect();
    for event in &events {
        send(&server, event).await;
    }
    let amended = events.iter().map(|event| {
        let server = &server;
        async move {
            loop {
                let revision = get(server, event).await.revision;
                let change = Change::Reattribute(who("bob", "s2", "writer"));
                match try_amend(server, amendment(event, revision, change)).await {
                    Ok(answer) => return answer.revision,
                    Err(lost) => assert_eq!(lost.code(), Code::Aborted),
                }
            }
        }
    });
    let (_, answer) = futures::join!(futures::future::join_all(amended), reprice(&prices, applied(may())));
    assert_eq!((answer.events, answer.changed), (60, 60));
    let current = expected(&[("04 bob", 60, 60_000, "0.12", "0.12")]);
    assert_eq!(summary(&server, v1::CostBasis::Current, "user_id").await, current);
    server.assert_audit_holds().await;
}

#[tokio::test]
async fn every_broken_field_of_a_step_is_named() {
    let server = with_budgets(Vec::new()).await;
    let prices = knowing(&server, NEW_PRICES);
    let refusal = |request: v1::RepriceUsageRequest| {
        let prices = prices.clone();
        async move { Refusal::of(&prices.reprice_usage(by_local(request)).await.unwrap_err()) }
    };
    let invalid = |fields: &[&str]| Refusal::new(Code::InvalidArgument, "INVALID_FIELD", fields);
    assert_eq!(refusal(v1::RepriceUsageRequest::default()).await, invalid(&["start_time", "end_time"]));
    let empty = v1::RepriceUsageRequest { end_time: may().start_time, ..may() };
    assert_eq!(refusal(empty).await, invalid(&["end_time"]));
    let nameless = v1::RepriceUsageRequest { apply: true, ..may() };
    assert_eq!(refusal(nameless).await, invalid(&["request_id", "reason"]));
    let damaged = v1::RepriceUsageRequest { cursor: "damaged".to_owned(), ..may() };
    assert_eq!(refusal(damaged).await, Refusal::new(Code::InvalidArgument, "PAGE_TOKEN_INVALID", &[]));
}
