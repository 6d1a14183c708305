//! PriceService: prices of the tenant, the catalog under them, and what calls cost by them.

mod catalog;
mod commands;
mod rules;

use std::time::Duration;

use tollgate_proto::v1;
use tollgate_server::config::Config;
use tonic::Code;

use crate::harness::TestServer;
use crate::harness::build::{budget, create, event, gpt_4o, id, model, record, reserve, session, tokens};
use crate::harness::refusal::{Refusal, reason};
use crate::harness::time::{at, seconds_from_now};
use crate::harness::wait::until;

/// The price of a line per million tokens.
fn rate(line: &str, usd: &str) -> v1::PriceRate {
    v1::PriceRate { line: line.to_owned(), usd: usd.to_owned(), per: 1_000_000, ..Default::default() }
}

/// A price over a whole model, from long ago on.
fn price(model: v1::ModelRef, rates: &[(&str, &str)]) -> v1::Price {
    v1::Price {
        model: Some(model),
        coverage: v1::price::Coverage::Model.into(),
        rates: rates.iter().map(|(line, usd)| rate(line, usd)).collect(),
        start_time: Some(at("2020-01-01T00:00:00Z")),
        ..Default::default()
    }
}

/// The same over the lines that it names.
fn patch(model: v1::ModelRef, rates: &[(&str, &str)]) -> v1::Price {
    v1::Price { coverage: v1::price::Coverage::Lines.into(), ..price(model, rates) }
}

fn set(price: v1::Price) -> v1::SetPriceRequest {
    v1::SetPriceRequest { price: Some(price), request_id: id(), validate_only: false }
}

async fn set_price(server: &TestServer, price: v1::Price) -> v1::SetPriceResponse {
    server.prices.clone().set_price(set(price)).await.unwrap().into_inner()
}

/// What a call costs that reads and writes 1,000 tokens.
async fn recorded(server: &TestServer, model: v1::ModelRef) -> v1::Cost {
    let event = v1::UsageEvent { request_model: Some(model), ..event(session("s"), 1_000, 1_000) };
    server.usage.clone().record_usage(record(event)).await.unwrap().into_inner().cost.unwrap()
}

/// What is weighed for such a call.
async fn weighed(server: &TestServer, model: v1::ModelRef) -> v1::Cost {
    let check = v1::CheckBudgetRequest {
        mode: v1::CheckMode::Peek.into(),
        reservation_id: String::new(),
        model: Some(model),
        ..reserve(session("s"), 1_000, 1_000)
    };
    server.budgets.clone().check_budget(check).await.unwrap().into_inner().estimate.unwrap()
}

async fn own_prices(server: &TestServer) -> Vec<v1::Price> {
    let request = v1::ListPricesRequest { source: v1::price::Source::Tenant.into(), ..Default::default() };
    server.prices.clone().list_prices(request).await.unwrap().into_inner().prices
}

#[tokio::test]
async fn a_price_that_is_set_prices_the_next_calls_of_both_replicas() {
    let first = TestServer::start().await;
    let second = first.replica().await;
    let own = model("acme", "acme-1");
    for server in [&first, &second] {
        let cost = recorded(server, own.clone()).await;
        assert_eq!((cost.state(), cost.usd.as_str()), (v1::PriceState::Unpriced, "0"));
    }
    let answer = set_price(&first, price(own.clone(), &[("input", "1"), ("output", "2")])).await;
    let id = answer.price.unwrap().price_id;
    let at_once = recorded(&first, own.clone()).await;
    assert_eq!((at_once.usd.as_str(), at_once.lines[0].price_id.as_str()), ("0.003", id.as_str()));
    assert_eq!(weighed(&first, own.clone()).await.usd, "0.003");
    let since = std::time::Instant::now();
    let there = until("the other replica's price", || async {
        let cost = weighed(&second, own.clone()).await;
        (cost.state() == v1::PriceState::Priced).then_some(cost)
    })
    .await;
    assert!(since.elapsed() < Duration::from_secs(10), "took {:?}", since.elapsed());
    assert_eq!(there.usd, "0.003");
    assert_eq!(recorded(&second, own).await.usd, "0.003");
    first.assert_audit_holds().await;
}

#[tokio::test]
async fn the_batch_of_another_replica_tells_of_new_prices_before_the_next_poll() {
    let first = TestServer::start().await;
    let second = first.replica().await;
    recorded(&second, gpt_4o()).await;
    set_price(&first, patch(gpt_4o(), &[("input", "0"), ("output", "1")])).await;
    // Priced by what this replica knew; its batch reads the new version, so that the call after it is not.
    recorded(&second, gpt_4o()).await;
    assert_eq!(recorded(&second, gpt_4o()).await.usd, "0.001");
}

#[tokio::test]
async fn a_hard_budget_lets_a_model_pass_once_it_has_a_price() {
    let mut server = TestServer::start().await;
    server.budgets.create_budget(create(budget("b", "1"))).await.unwrap();
    let own = model("acme", "acme-1");
    let ask = || v1::CheckBudgetRequest { model: Some(own.clone()), ..reserve(session("s"), 1_000, 1_000) };
    let denied = server.budgets.check_budget(ask()).await.unwrap().into_inner();
    assert_eq!((denied.decision(), denied.reason.as_str()), (v1::Decision::Denied, "UNPRICED"));
    set_price(&server, price(own.clone(), &[("input", "1"), ("output", "2")])).await;
    let allowed = server.budgets.check_budget(ask()).await.unwrap().into_inner();
    assert_eq!(allowed.decision(), v1::Decision::Allowed);
    assert_eq!(allowed.budgets[0].held, "0.003");
}

#[tokio::test]
async fn prices_of_the_past_price_calls_of_the_past() {
    let server = TestServer::start().await;
    let own = model("acme", "acme-1");
    let mut early = price(own.clone(), &[("input", "1")]);
    early.start_time = Some(seconds_from_now(-86_400));
    set_price(&server, early).await;
    let mut late = price(own.clone(), &[("input", "2")]);
    late.start_time = Some(seconds_from_now(-3_600));
    let answer = set_price(&server, late).await;
    assert_eq!(answer.superseded.len(), 1);
    for (seconds, usd) in [(-90_000, "0"), (-80_000, "0.001"), (-1_800, "0.002")] {
        let start = seconds_from_now(seconds);
        let event = v1::UsageEvent {
            start_time: Some(start),
            request_model: Some(own.clone()),
            usage: Some(v1::usage_event::Usage::Tokens(tokens(1_000, 0))),
            ..event(session("s"), 0, 0)
        };
        let cost = server.usage.clone().record_usage(record(event)).await.unwrap().into_inner().cost.unwrap();
        assert_eq!(cost.usd, usd, "{seconds}");
    }
}

#[tokio::test]
async fn lines_factors_patterns_tiers_and_regions_price_calls() {
    let server = TestServer::start().await;
    let over = |name: &str, tier: &str, region: &str| v1::ModelRef {
        provider_tier: tier.to_owned(),
        region: region.to_owned(),
        ..model("openai", name)
    };
    // The catalog: 2.50 and 10 USD.
    assert_eq!(recorded(&server, gpt_4o()).await.usd, "0.0125");
    set_price(&server, patch(over("gpt-4*", "", ""), &[("input", "1")])).await;
    assert_eq!(recorded(&server, gpt_4o()).await.usd, "0.011");
    let discount = v1::Price { multiplier: "0.85".to_owned(), ..patch(over("*", "", ""), &[]) };
    let discount = set_price(&server, discount).await.price.unwrap();
    let cost = recorded(&server, gpt_4o()).await;
    assert_eq!(cost.usd, "0.00935");
    assert!(cost.lines.iter().all(|line| line.price_id.ends_with(&format!("*{}", discount.price_id))), "{cost:?}");
    set_price(&server, patch(over("gpt-4o", "", ""), &[("input", "2")])).await;
    assert_eq!(recorded(&server, gpt_4o()).await.usd, "0.0102", "the exact model stands above the pattern");
    set_price(&server, patch(over("gpt-4o", "", "eu"), &[("input", "4")])).await;
    assert_eq!(recorded(&server, over("gpt-4o", "", "eu-west-1")).await.usd, "0.0119");
    assert_eq!(recorded(&server, gpt_4o()).await.usd, "0.0102");
    let whole = v1::Price { multiplier: "2".to_owned(), ..price(over("gpt-4o", "own-tier", ""), &[("input", "1")]) };
    set_price(&server, whole).await;
    let cost = recorded(&server, over("gpt-4o", "own-tier", "")).await;
    assert_eq!((cost.state(), cost.usd.as_str()), (v1::PriceState::Partial, "0.002"), "the output has no price now");
    server.assert_audit_holds().await;
}

#[tokio::test]
async fn a_price_supersedes_the_open_one_over_the_same_and_can_be_ended() {
    let mut server = TestServer::start().await;
    let first = set_price(&server, patch(gpt_4o(), &[("input", "1")])).await.price.unwrap();
    let mut later = patch(gpt_4o(), &[("input", "2")]);
    later.start_time = Some(at("2024-01-01T00:00:00Z"));
    let dry = v1::SetPriceRequest { validate_only: true, ..set(later.clone()) };
    let answer = server.prices.set_price(dry).await.unwrap().into_inner();
    assert_eq!((answer.superseded.len(), answer.price.unwrap().price_id.as_str()), (1, ""));
    assert_eq!(own_prices(&server).await, std::slice::from_ref(&first), "nothing happened");
    let answer = set_price(&server, later.clone()).await;
    let second = answer.price.unwrap();
    assert_eq!(answer.superseded, [v1::Price { end_time: later.start_time, ..first.clone() }]);
    assert_eq!(own_prices(&server).await, [answer.superseded[0].clone(), second.clone()]);
    assert_eq!(recorded(&server, gpt_4o()).await.usd, "0.012");
    let same = set_price(&server, v1::Price { start_time: Some(at("2024-06-01T00:00:00Z")), ..later.clone() }).await;
    assert_eq!((same.price.unwrap(), same.superseded.len()), (second.clone(), 0), "it says so already");
    assert_eq!(own_prices(&server).await.len(), 2);

    let end =
        |price_id: &str, end_time| v1::EndPriceRequest { price_id: price_id.to_owned(), end_time, request_id: id() };
    let before = server.prices.end_price(end(&second.price_id, Some(at("2023-12-31T00:00:00Z")))).await.unwrap_err();
    assert_eq!(Refusal::of(&before), Refusal::new(Code::InvalidArgument, "INVALID_FIELD", &["end_time"]));
    let ended = server.prices.end_price(end(&second.price_id, None)).await.unwrap().into_inner().price.unwrap();
    assert!(ended.end_time.is_some());
    assert_eq!(recorded(&server, gpt_4o()).await.usd, "0.0125", "what it stood over applies again");
    let again = server.prices.end_price(end(&second.price_id, None)).await.unwrap().into_inner().price.unwrap();
    assert_eq!(again, ended, "once more changes nothing");
    let longer = server.prices.end_price(end(&second.price_id, Some(seconds_from_now(3_600)))).await.unwrap_err();
    assert_eq!(reason(&longer), "INVALID_FIELD");
    let unknown = server.prices.end_price(end(&id(), None)).await.unwrap_err();
    assert_eq!((unknown.code(), reason(&unknown).as_str()), (Code::NotFound, "PRICE_NOT_FOUND"));
    let catalog = server.prices.end_price(end("openai/gpt-4o", None)).await.unwrap_err();
    let known = v1::ListPricesRequest {
        model: Some(gpt_4o()),
        source: v1::price::Source::Catalog.into(),
        ..Default::default()
    };
    let known = server.prices.list_prices(known).await.unwrap().into_inner().prices.remove(0).price_id;
    assert_eq!(
        reason(&server.prices.end_price(end(&known, None)).await.unwrap_err()),
        "PRICE_OF_CATALOG",
        "{catalog:?}"
    );
}

#[tokio::test]
async fn the_same_request_again_is_answered_with_the_price_that_it_set() {
    let mut server = TestServer::start().await;
    set_price(&server, patch(gpt_4o(), &[("input", "1")])).await;
    let mut later = patch(gpt_4o(), &[("input", "2")]);
    later.start_time = Some(at("2024-01-01T00:00:00Z"));
    let request = set(later);
    let first = server.prices.set_price(request.clone()).await.unwrap().into_inner();
    let again = server.replica().await.prices.set_price(request.clone()).await.unwrap().into_inner();
    assert_eq!(first, again);
    assert_eq!((first.superseded.len(), own_prices(&server).await.len()), (1, 2));
    let mut other = request;
    other.price.as_mut().unwrap().note = "another".to_owned();
    let refused = server.prices.set_price(other).await.unwrap_err();
    assert_eq!((refused.code(), reason(&refused).as_str()), (Code::FailedPrecondition, "REQUEST_ID_REUSED"));
}

#[tokio::test]
async fn prices_set_at_once_on_two_replicas_leave_one_open() {
    let first = TestServer::start().await;
    let second = first.replica().await;
    let servers = [&first, &second];
    let all = (0..20_usize).map(|number| async move {
        let price = patch(gpt_4o(), &[("input", &number.to_string())]);
        set_price(servers[number % 2], price).await
    });
    futures::future::join_all(all).await;
    let prices = own_prices(&first).await;
    assert_eq!(prices.len(), 20);
    assert_eq!(prices.iter().filter(|price| price.end_time.is_none()).count(), 1);
    assert_eq!(prices, own_prices(&second).await);
}

#[tokio::test]
async fn local_runtimes_are_free_and_with_an_empty_list_unpriced() {
    let server = TestServer::start().await;
    let local = model("Ollama", "llama3.3:70b");
    let cost = recorded(&server, local.clone()).await;
    assert_eq!((cost.state(), cost.lines[0].price_id.as_str()), (v1::PriceState::Free, "local/free"));
    let mut config = Config::default();
    config.prices.free_providers.clear();
    let strict = TestServer::configured(&config).await;
    assert_eq!(recorded(&strict, local).await.state(), v1::PriceState::Unpriced);
}

#[tokio::test]
async fn an_estimate_is_what_recording_then_charges() {
    let server = TestServer::start().await;
    set_price(&server, v1::Price { multiplier: "0.9".to_owned(), ..patch(model("openai", "*"), &[]) }).await;
    let part = |class: v1::TokenClass, tokens| v1::TokenPart { token_class: class.into(), tokens, cache_ttl: None };
    let used = v1::TokenUsage {
        parts: vec![part(v1::TokenClass::CacheRead, 300), part(v1::TokenClass::Reasoning, 50)],
        ..tokens(1_000, 100)
    };
    let searches = vec![v1::UnitCount { unit: "web_search".to_owned(), quantity: "2".to_owned() }];
    for wanted in [gpt_4o(), model("sglang", "x"), model("nobody", "x")] {
        let request = v1::EstimateCostRequest {
            model: Some(wanted.clone()),
            usage: Some(v1::estimate_cost_request::Usage::Tokens(used.clone())),
            units: searches.clone(),
            start_time: None,
        };
        let estimated = server.prices.clone().estimate_cost(request).await.unwrap().into_inner().cost.unwrap();
        let event = v1::UsageEvent {
            request_model: Some(wanted.clone()),
            usage: Some(v1::usage_event::Usage::Tokens(used.clone())),
            units: searches.clone(),
            ..event(session("s"), 0, 0)
        };
        let charged = server.usage.clone().record_usage(record(event)).await.unwrap().into_inner().cost.unwrap();
        assert_eq!(estimated, charged, "{wanted:?}");
    }
    let at_most = v1::EstimateCostRequest {
        model: Some(gpt_4o()),
        usage: Some(v1::estimate_cost_request::Usage::Estimate(v1::Estimate {
            input_characters: Some(2_998),
            max_output_tokens: Some(1_000),
            ..Default::default()
        })),
        ..Default::default()
    };
    let answer = server.prices.clone().estimate_cost(at_most).await.unwrap().into_inner();
    assert!(answer.input_estimated);
    assert_eq!(answer.cost.unwrap(), weighed(&server, gpt_4o()).await, "2,998 characters stand for 1,000 tokens");
    let characters = v1::CheckBudgetRequest {
        mode: v1::CheckMode::Peek.into(),
        reservation_id: String::new(),
        estimate: Some(v1::Estimate {
            input_characters: Some(2_998),
            max_output_tokens: Some(1_000),
            ..Default::default()
        }),
        ..reserve(session("s"), 0, 0)
    };
    let checked = server.budgets.clone().check_budget(characters).await.unwrap().into_inner();
    assert!(checked.input_estimated);
    assert_eq!(checked.estimate.unwrap(), weighed(&server, gpt_4o()).await);
}

#[tokio::test]
async fn lists_show_the_tenants_prices_first_in_pages_and_find_what_prices_a_model() {
    let mut server = TestServer::start().await;
    let own = set_price(&server, patch(model("anthropic", "claude-3*"), &[("input", "1")])).await.price.unwrap();
    set_price(&server, patch(model("openai", "*"), &[("input", "1")])).await;
    let wanted = v1::ListPricesRequest {
        model: Some(model("anthropic", "claude-3-5-haiku-20241022")),
        at: Some(seconds_from_now(0)),
        ..Default::default()
    };
    let found = server.prices.list_prices(wanted.clone()).await.unwrap().into_inner();
    assert_eq!(found.prices[0], own);
    // The catalog has it under another name.
    let named = |price: &v1::Price| price.model.as_ref().is_some_and(|model| model.model == "claude-3-5-haiku-latest");
    assert!(found.prices[1..].iter().all(named), "{found:?}");
    assert!(found.prices.len() > 1 && !found.catalog_version.is_empty());

    let mut all = Vec::new();
    let mut page = v1::ListPricesRequest { page_size: 1_000, ..Default::default() };
    loop {
        let answer = server.prices.list_prices(page.clone()).await.unwrap().into_inner();
        assert!(answer.prices.len() <= 1_000);
        all.extend(answer.prices);
        page.page_token = answer.next_page_token;
        if page.page_token.is_empty() {
            break;
        }
    }
    let sources: Vec<v1::price::Source> = all.iter().map(v1::Price::source).collect();
    assert!(sources.is_sorted_by_key(|source| *source == v1::price::Source::Catalog));
    let mut ids: Vec<&str> = all.iter().map(|price| price.price_id.as_str()).collect();
    let count = ids.len();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), count, "no price twice");
    assert!(count > 2_000, "{count}");

    let first = v1::ListPricesRequest { page_size: 1, ..wanted };
    let token = server.prices.list_prices(first.clone()).await.unwrap().into_inner().next_page_token;
    let other = v1::ListPricesRequest { model: None, page_token: token, ..first };
    let refused = server.prices.list_prices(other).await.unwrap_err();
    assert_eq!(reason(&refused), "PAGE_TOKEN_INVALID");
}
