//! Every field rule of PriceService: all that a request breaks is named at once, and nothing is set.

use tollgate_proto::v1;
use tonic::{Code, Status};

use super::{own_prices, patch, price, rate, set};
use crate::harness::TestServer;
use crate::harness::build::{gpt_4o, model, tokens};
use crate::harness::refusal::Refusal;
use crate::harness::time::at;

fn assert_names(refused: &Status, fields: &[&str]) {
    assert_eq!(Refusal::of(refused), Refusal::new(Code::InvalidArgument, "INVALID_FIELD", fields));
}

#[tokio::test]
async fn every_broken_rule_of_a_price_is_named_at_once() {
    let mut server = TestServer::start().await;
    let ttl = |seconds, nanos| Some(prost_types::Duration { seconds, nanos });
    let all = v1::SetPriceRequest {
        price: Some(v1::Price {
            model: Some(v1::ModelRef { region: "r*".to_owned(), ..model("", "a*b") }),
            coverage: 99,
            rates: vec![
                v1::PriceRate { per: -1, ..rate("Not A Line", "x") },
                v1::PriceRate { above_input_tokens: -1, minimum: "-1".to_owned(), ..rate("", "") },
                v1::PriceRate { cache_ttl: ttl(300, 0), ..rate("input", "1") },
                v1::PriceRate { cache_ttl: ttl(0, 5), ..rate("cache_write", "1") },
                v1::PriceRate { per: 1_000_000_001, ..rate("output", "0.0000000000001") },
                v1::PriceRate { above_input_tokens: 5, ..rate("page", "1000001") },
            ],
            multiplier: "1000.0000001".to_owned(),
            start_time: None,
            end_time: Some(prost_types::Timestamp { seconds: -5, nanos: 0 }),
            note: "x".repeat(513),
            ..Default::default()
        }),
        request_id: "not-a-uuid".to_owned(),
        validate_only: false,
    };
    let fields = [
        "price.model.provider_name",
        "price.model.model",
        "price.model.region",
        "price.coverage",
        "price.rates[0].line",
        "price.rates[0].usd",
        "price.rates[0].per",
        "price.rates[1].line",
        "price.rates[1].usd",
        "price.rates[1].above_input_tokens",
        "price.rates[1].minimum",
        "price.rates[2].cache_ttl",
        "price.rates[3].cache_ttl",
        "price.rates[4].usd",
        "price.rates[4].per",
        "price.rates[5].usd",
        "price.rates[5].above_input_tokens",
        "price.multiplier",
        "price.start_time",
        "price.end_time",
        "price.note",
        "request_id",
    ];
    assert_names(&server.prices.set_price(all).await.unwrap_err(), &fields);
    assert_names(&server.prices.set_price(v1::SetPriceRequest::default()).await.unwrap_err(), &["price"]);
    let cases: Vec<(v1::Price, &[&str])> = vec![
        (v1::Price { rates: Vec::new(), ..price(gpt_4o(), &[]) }, &["price.rates"]),
        (v1::Price { multiplier: "0.5".to_owned(), ..price(gpt_4o(), &[]) }, &["price.rates"]),
        (patch(gpt_4o(), &[]), &["price.rates"]),
        (price(gpt_4o(), &[("input", "1"), ("input", "2")]), &["price.rates[1].line"]),
        (
            v1::Price { end_time: Some(at("2020-01-01T00:00:00Z")), ..price(gpt_4o(), &[("input", "1")]) },
            &["price.end_time"],
        ),
        (v1::Price { rates: vec![rate("input", "1"); 65], ..price(gpt_4o(), &[]) }, &[]),
    ];
    for (price, fields) in cases {
        let refused = server.prices.set_price(set(price)).await.unwrap_err();
        if fields.is_empty() {
            assert!(Refusal::of(&refused).fields.contains("price.rates"));
        } else {
            assert_names(&refused, fields);
        }
    }
    assert_eq!(own_prices(&server).await, []);
}

#[tokio::test]
async fn a_price_that_just_meets_the_rules_is_set_as_it_was_sent() {
    let mut server = TestServer::start().await;
    let sent = v1::Price {
        model: Some(v1::ModelRef {
            provider_tier: "batch".to_owned(),
            region: "eu".to_owned(),
            ..model("openai", "gpt-4*")
        }),
        rates: vec![
            rate("input", "1000000"),
            v1::PriceRate { above_input_tokens: 200_000, ..rate("input", "0.000000000001") },
            v1::PriceRate {
                cache_ttl: Some(prost_types::Duration { seconds: 300, nanos: 0 }),
                ..rate("cache_write", "0")
            },
            v1::PriceRate { per: 1, minimum: "10".to_owned(), ..rate("audio_second", "0.1") },
        ],
        multiplier: "0.85".to_owned(),
        end_time: Some(at("2030-01-01T00:00:00Z")),
        note: "agreed in May".to_owned(),
        ..patch(gpt_4o(), &[])
    };
    let answer = server.prices.set_price(set(sent.clone())).await.unwrap().into_inner().price.unwrap();
    let expected = v1::Price {
        price_id: answer.price_id.clone(),
        source: v1::price::Source::Tenant.into(),
        create_time: answer.create_time,
        ..sent
    };
    assert_eq!(answer, expected);
    assert_eq!(own_prices(&server).await, [expected]);
}

#[tokio::test]
async fn factors_that_would_make_too_many_digits_are_refused_when_they_are_set() {
    let mut server = TestServer::start().await;
    let fine = |name: &str| v1::Price {
        multiplier: "1.234567".to_owned(),
        ..patch(model("openai", name), &[("page", "1.123456789012")])
    };
    for name in ["gpt-4*", "gpt-*"] {
        server.prices.set_price(set(fine(name))).await.unwrap();
    }
    assert_names(&server.prices.set_price(set(fine("*"))).await.unwrap_err(), &["price.multiplier"]);
}

#[tokio::test]
async fn the_other_requests_name_what_they_break() {
    let mut server = TestServer::start().await;
    let bad = v1::ListPricesRequest {
        source: 9,
        page_size: 1_001,
        at: Some(prost_types::Timestamp { seconds: -1, nanos: 0 }),
        ..Default::default()
    };
    assert_names(&server.prices.list_prices(bad).await.unwrap_err(), &["source", "page_size", "at"]);
    let bad = v1::ListPricesRequest { page_token: "nonsense".to_owned(), ..Default::default() };
    let refused = server.prices.list_prices(bad).await.unwrap_err();
    assert_eq!(Refusal::of(&refused), Refusal::new(Code::InvalidArgument, "PAGE_TOKEN_INVALID", &[]));
    let bad = v1::EndPriceRequest { request_id: "x".to_owned(), ..Default::default() };
    assert_names(&server.prices.end_price(bad).await.unwrap_err(), &["price_id", "request_id"]);
    let none = server.prices.estimate_cost(v1::EstimateCostRequest::default()).await.unwrap_err();
    assert_names(&none, &["model.model", "usage"]);
    let estimate =
        v1::Estimate { input_characters: Some(3_000_000_001), cache_read_tokens: Some(1), ..Default::default() };
    let bad = v1::EstimateCostRequest {
        model: Some(gpt_4o()),
        usage: Some(v1::estimate_cost_request::Usage::Estimate(estimate)),
        units: vec![v1::UnitCount { unit: "page".to_owned(), quantity: "1".to_owned() }],
        start_time: None,
    };
    assert_names(&server.prices.estimate_cost(bad).await.unwrap_err(), &["units", "estimate.input_characters"]);
    let unknown = v1::TokenUsage { quality: v1::UsageQuality::Unknown.into(), ..tokens(1, 1) };
    let bad = v1::EstimateCostRequest {
        model: Some(gpt_4o()),
        usage: Some(v1::estimate_cost_request::Usage::Tokens(unknown)),
        ..Default::default()
    };
    assert_names(&server.prices.estimate_cost(bad).await.unwrap_err(), &["tokens.quality"]);
    let reported = v1::ProviderUsage { api: "openai.chat".to_owned(), json: b"{}".to_vec() };
    let bad = v1::EstimateCostRequest {
        model: Some(gpt_4o()),
        usage: Some(v1::estimate_cost_request::Usage::ProviderUsage(reported)),
        ..Default::default()
    };
    assert_names(&server.prices.estimate_cost(bad).await.unwrap_err(), &["provider_usage.json"]);
}
