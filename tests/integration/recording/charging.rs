//! What a call is charged, when, and at what price.

use tollgate_proto::v1;

use super::{answered_by, get, id_of, part, send, used};
use crate::harness::TestServer;
use crate::harness::build::{budget, create, event, model, session, tokens};
use crate::harness::time::{at, from_wire, seconds_from_now};

#[tokio::test]
async fn decision_1_the_charge_time_is_the_start_and_at_most_now() {
    let server = TestServer::start().await;
    let mut past = event(session("s1"), 1, 1);
    past.start_time = Some(at("2026-02-03T04:05:06.789012Z"));
    let answer = send(&server, past.clone()).await.unwrap();
    assert_eq!(answer.charge_time, past.start_time);
    let mut ahead = event(session("s1"), 1, 1);
    ahead.start_time = Some(seconds_from_now(3_600));
    let answer = send(&server, ahead).await.unwrap();
    assert!(from_wire(&answer.charge_time.unwrap()) <= jiff::Timestamp::now());
    server.assert_audit_holds().await;
}

#[tokio::test]
async fn decision_16_a_response_cache_hit_is_charged_nothing_and_its_price_is_kept_as_saved() {
    let server = TestServer::start().await;
    server.budgets.clone().create_budget(create(budget("b", "1"))).await.unwrap();
    let mut hit = event(session("s1"), 1_000, 1_000);
    hit.response_cache_hit = true;
    let answer = send(&server, hit.clone()).await.unwrap();
    let cost = answer.cost.unwrap();
    assert_eq!((cost.usd.as_str(), cost.saved_usd.as_str(), cost.state()), ("0", "0.0125", v1::PriceState::Priced));
    assert_eq!(answer.budgets[0].spent, "0");
    let totals = answer.session_totals.unwrap();
    assert_eq!((totals.calls, totals.usd.as_str()), (1, "0"));
    let kept = get(&server, v1::get_usage_request::Key::EventId(id_of(&hit))).await;
    assert_eq!(kept.cost.unwrap(), cost);
    let other = send(&server, event(session("s1"), 1_000, 1_000)).await.unwrap().cost.unwrap();
    assert_eq!((other.usd.as_str(), other.saved_usd.as_str()), ("0.0125", ""), "unset for other calls");
    server.assert_audit_holds().await;
}

#[tokio::test]
async fn decision_15_memo_accounting_is_shown_and_charges_no_budget() {
    let server = TestServer::start().await;
    server.budgets.clone().create_budget(create(budget("b", "0.001"))).await.unwrap();
    let mut memo = event(session("s1"), 1_000, 1_000);
    memo.accounting = v1::Accounting::Memo.into();
    let answer = send(&server, memo).await.unwrap();
    assert_eq!((answer.cost.unwrap().usd.as_str(), answer.notices.len(), answer.budgets.len()), ("0.0125", 0, 0));
    let totals = answer.session_totals.unwrap();
    assert_eq!((totals.calls, totals.usd.as_str(), totals.memo_usd.as_str()), (1, "0", "0.0125"));
    let counted = totals.tokens.unwrap();
    assert_eq!((counted.total_input_tokens, counted.total_output_tokens), (1_000, 1_000));
    let states = server.budgets.clone().list_budget_states(v1::ListBudgetStatesRequest::default()).await.unwrap();
    assert!(states.into_inner().states.iter().all(|state| state.spent == "0"));
    server.assert_audit_holds().await;
}

#[tokio::test]
async fn unpriced_is_not_free_and_partial_is_a_lower_bound() {
    let server = TestServer::start().await;
    let unpriced = answered_by(event(session("s1"), 1_000, 1_000), model("openai", "gpt-17"));
    let free = answered_by(event(session("s1"), 1_000, 1_000), model("ollama", "llama3"));
    let mut partial = event(session("s1"), 1_000, 1_000);
    partial.units = vec![v1::UnitCount { unit: "rerank_search".to_owned(), quantity: "2".to_owned() }];
    let nothing = event(session("s1"), 0, 0);
    let cases = [
        (unpriced, v1::PriceState::Unpriced, "0", 0),
        (free, v1::PriceState::Free, "0", 2),
        (partial, v1::PriceState::Partial, "0.0125", 2),
        (nothing, v1::PriceState::Priced, "0", 0),
    ];
    for (event, state, usd, lines) in cases {
        let cost = send(&server, event).await.unwrap().cost.unwrap();
        assert_eq!((cost.state(), cost.usd.as_str(), cost.lines.len()), (state, usd, lines), "{cost:?}");
        assert_eq!(cost.catalog_version.is_empty(), state == v1::PriceState::Unpriced);
    }
    let last = send(&server, event(session("s1"), 0, 0)).await.unwrap().session_totals.unwrap();
    assert_eq!((last.attempts, last.unpriced, last.usd.as_str()), (5, 2, "0.0125"));
    assert_eq!((last.partial, last.free), (1, 1), "all four states are told apart");
    server.assert_audit_holds().await;
}

#[tokio::test]
async fn decision_16_a_reported_cost_never_replaces_an_unpriced_one() {
    let server = TestServer::start().await;
    server.budgets.clone().create_budget(create(budget("b", "1"))).await.unwrap();
    let mut event = answered_by(event(session("s1"), 1_000, 1_000), model("openai", "gpt-17"));
    (event.reported_cost, event.reported_currency) = ("0.5".to_owned(), "USD".to_owned());
    let answer = send(&server, event.clone()).await.unwrap();
    let cost = answer.cost.unwrap();
    assert_eq!((cost.state(), cost.usd.as_str()), (v1::PriceState::Unpriced, "0"));
    assert_eq!(answer.budgets[0].spent, "0");
    let kept = get(&server, v1::get_usage_request::Key::EventId(id_of(&event))).await.event.unwrap();
    assert_eq!((kept.reported_cost.as_str(), kept.reported_currency.as_str()), ("0.5", "USD"));
    server.assert_audit_holds().await;
}

#[tokio::test]
async fn the_greatest_reported_costs_do_not_keep_later_events_out() {
    let server = TestServer::start().await;
    for _ in 0..50 {
        let mut event = event(session("s1"), 1_000, 1_000);
        (event.reported_cost, event.reported_currency) = ("1000000000".to_owned(), "USD".to_owned());
        send(&server, event).await.unwrap();
    }
    send(&server, event(session("s1"), 1_000, 1_000)).await.unwrap();
    server.assert_audit_holds().await;
}

#[tokio::test]
async fn every_class_has_its_own_price() {
    let server = TestServer::start().await;
    let usage = v1::TokenUsage {
        parts: vec![
            part(v1::TokenClass::CacheRead, 6_000, None),
            part(v1::TokenClass::CacheWrite, 2_000, None),
            part(v1::TokenClass::CacheWrite, 1_000, Some(3_600)),
            part(v1::TokenClass::Reasoning, 200, None),
        ],
        ..tokens(10_000, 500)
    };
    let mut event = used(event(session("s1"), 0, 0), usage);
    event.request_model = Some(model("anthropic", "claude-3-5-sonnet-20241022"));
    let answer = send(&server, event.clone()).await.unwrap();
    let cost = answer.cost.unwrap();
    let lines: Vec<(&str, &str, &str, &str)> = cost
        .lines
        .iter()
        .map(|line| (line.line.as_str(), line.quantity.as_str(), line.unit_price_usd.as_str(), line.usd.as_str()))
        .collect();
    assert_eq!(
        lines,
        [
            ("input", "1000", "0.000003", "0.003"),
            ("output", "300", "0.000015", "0.0045"),
            ("cache_read", "6000", "0.0000003", "0.0018"),
            ("cache_write", "2000", "0.00000375", "0.0075"),
            ("cache_write_3600s", "1000", "0.000006", "0.006"),
            ("reasoning", "200", "0.000015", "0.003"),
        ]
    );
    assert_eq!((cost.usd.as_str(), cost.state()), ("0.0258", v1::PriceState::Priced));
    assert!(cost.lines.iter().all(|line| line.model == "claude-3-5-sonnet" && !line.price_id.is_empty()));
    let kept = get(&server, v1::get_usage_request::Key::EventId(id_of(&event))).await;
    assert_eq!(kept.cost.unwrap(), cost);
    let totals = answer.session_totals.unwrap().tokens.unwrap();
    let classes: Vec<(v1::TokenClass, i64)> =
        totals.parts.iter().map(|part| (part.token_class(), part.tokens)).collect();
    assert_eq!(
        classes,
        [(v1::TokenClass::CacheRead, 6_000), (v1::TokenClass::CacheWrite, 3_000), (v1::TokenClass::Reasoning, 200),]
    );
    server.assert_audit_holds().await;
}

#[tokio::test]
async fn decision_3_a_call_is_counted_by_its_first_attempt() {
    let server = TestServer::start().await;
    let attempt = |number: i32, outcome: v1::CallOutcome| {
        let mut event = event(session("s1"), 100, 100);
        event.call_id = "call-1".to_owned();
        (event.attempt, event.outcome) = (number, outcome.into());
        event
    };
    send(&server, attempt(1, v1::CallOutcome::Absorbed)).await.unwrap();
    send(&server, attempt(2, v1::CallOutcome::Error)).await.unwrap();
    let totals = send(&server, attempt(3, v1::CallOutcome::Ok)).await.unwrap().session_totals.unwrap();
    assert_eq!((totals.calls, totals.attempts, totals.errors), (1, 3, 2));
    assert_eq!(totals.usd, "0.00375", "what failed is charged all the same");
    server.assert_audit_holds().await;
}

#[tokio::test]
async fn a_call_is_priced_at_its_start() {
    let server = TestServer::start().await;
    let cases = [
        ("2025-06-09T23:59:59.999999Z", "0.05", "openai/o3"),
        ("2025-06-10T00:00:00Z", "0.01", "openai/o3@2025-06-10"),
    ];
    for (start, usd, price) in cases {
        let mut event = answered_by(event(session("s1"), 1_000, 1_000), model("openai", "o3"));
        event.start_time = Some(at(start));
        let cost = send(&server, event).await.unwrap().cost.unwrap();
        assert_eq!((cost.usd.as_str(), cost.lines[0].price_id.as_str()), (usd, price));
    }
    server.assert_audit_holds().await;
}
