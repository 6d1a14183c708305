use std::collections::BTreeMap;

use jiff::Timestamp;
use proptest::prelude::*;
use rust_decimal::Decimal;

use super::*;
use crate::model::ModelRef;
use crate::price::{Catalog, Rate, UnitPrice};
use crate::tokens::{TokenClass, TokenPart};

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn usd(text: &str) -> Usd {
    text.parse().unwrap()
}

fn part(class: TokenClass, tokens: u64, cache_ttl_seconds: Option<u32>) -> TokenPart {
    TokenPart { class, tokens, cache_ttl_seconds }
}

fn sheet(rates: &[(LineKind, &str)]) -> PriceSheet {
    let rate = |(line, usd): &(LineKind, &str)| {
        Rate::new(line.clone(), UnitPrice::each(Decimal::from_str_exact(usd).unwrap()), format!("test/{line}"))
    };
    PriceSheet {
        catalog_version: "test".into(),
        provider_name: "test".into(),
        model: "model".into(),
        rates: rates.iter().map(rate).collect(),
        max_output_tokens: 1000,
        others: BTreeMap::new(),
    }
}

fn cost(provider: &str, model: &str, time: &str, usage: &TokenUsage) -> Cost {
    let sheet = Catalog::builtin().unwrap().find(&ModelRef::new(provider, model), at(time));
    price(Some(usage), &[], sheet.as_deref()).unwrap()
}

#[test]
fn a_known_call_costs_what_is_known() {
    let usage = TokenUsage::reported(45_230, 12_890);
    let after = cost("openai", "gpt-4o", "2026-10-02T00:00:00Z", &usage);
    assert_eq!((after.state, after.usd), (PriceState::Priced, usd("0.241975")));
    let lines: Vec<_> =
        after.lines.iter().map(|line| (line.line.name(), line.usd.to_string(), line.price_id.as_str())).collect();
    assert_eq!(
        lines,
        [
            ("input".into(), "0.113075".into(), "openai/gpt-4o@2024-10-02"),
            ("output".into(), "0.1289".into(), "openai/gpt-4o@2024-10-02"),
        ]
    );
}

#[test]
fn decision_13_disjoint_parts_are_priced_by_class() {
    let usage = TokenUsage {
        parts: vec![
            part(TokenClass::CacheRead, 50_000, None),
            part(TokenClass::CacheWrite, 10_000, Some(300)),
            part(TokenClass::CacheWrite, 20_000, Some(3600)),
            part(TokenClass::Reasoning, 400, None),
        ],
        ..TokenUsage::reported(100_000, 1_000)
    };
    let cost = cost("anthropic", "claude-3-5-sonnet-20241022", "2024-11-01T00:00:00Z", &usage);
    let lines: Vec<_> = cost.lines.iter().map(|line| (line.line.name(), line.usd.to_string())).collect();
    let expected = [
        ("input", "0.06"),
        ("output", "0.009"),
        ("cache_read", "0.015"),
        ("cache_write_300s", "0.0375"),
        ("cache_write_3600s", "0.12"),
        ("reasoning", "0.006"),
    ];
    assert_eq!(lines, expected.map(|(line, usd)| (line.to_owned(), usd.to_owned())));
    assert_eq!(cost.usd, usd("0.2475"));
}

#[test]
fn a_class_without_a_rate_takes_its_nearest_parents() {
    let all_rates = sheet(&[
        (LineKind::InputText, "1"),
        (LineKind::OutputText, "2"),
        (LineKind::class(TokenClass::CacheRead), "0.5"),
        (LineKind::class(TokenClass::CacheWrite), "3"),
    ]);
    let cases = [
        (TokenClass::CacheReadAudio, None, "0.5"),
        (TokenClass::CacheWrite, Some(300), "3"),
        (TokenClass::AudioIn, None, "1"),
        (TokenClass::ToolIn, None, "1"),
        (TokenClass::Reasoning, None, "2"),
        (TokenClass::ImageOut, None, "2"),
    ];
    for (class, ttl, expected) in cases {
        let usage = TokenUsage { parts: vec![part(class, 1, ttl)], ..TokenUsage::reported(1, 1) };
        let cost = price(Some(&usage), &[], Some(&all_rates)).unwrap();
        let line = cost.lines.last().unwrap();
        assert_eq!(line.line, LineKind::Class { class, cache_ttl_seconds: ttl });
        assert_eq!(line.usd, usd(expected), "{class:?}");
    }
    let text_only = sheet(&[(LineKind::InputText, "1")]);
    let usage = TokenUsage { parts: vec![part(TokenClass::CacheReadAudio, 1, None)], ..TokenUsage::reported(1, 0) };
    assert_eq!(price(Some(&usage), &[], Some(&text_only)).unwrap().usd, usd("1"));
}

#[test]
fn what_has_no_rate_at_all_makes_the_cost_partial() {
    let embeddings = sheet(&[(LineKind::InputText, "0.1")]);
    let usage = TokenUsage::reported(10, 1);
    let partial = price(Some(&usage), &[], Some(&embeddings)).unwrap();
    assert_eq!((partial.state, partial.usd, partial.lines.len()), (PriceState::Partial, usd("1"), 1));
    let unused = price(Some(&TokenUsage::reported(10, 0)), &[], Some(&embeddings)).unwrap();
    assert_eq!(unused.state, PriceState::Priced, "a class that was not used needs no rate");

    let searches = [UnitCount { unit: "web_search".into(), quantity: "2".parse().unwrap() }];
    assert_eq!(price(None, &searches, Some(&embeddings)).unwrap().state, PriceState::Partial);
    let with_searches = sheet(&[(LineKind::Unit("web_search".into()), "0.01")]);
    let priced = price(None, &searches, Some(&with_searches)).unwrap();
    assert_eq!((priced.state, priced.usd), (PriceState::Priced, usd("0.02")));
}

#[test]
fn unpriced_is_not_zero_and_free_is_a_price() {
    let usage = TokenUsage::reported(10, 10);
    let unpriced = price(Some(&usage), &[], None).unwrap();
    assert_eq!((unpriced.state, unpriced.usd, unpriced.lines.len()), (PriceState::Unpriced, Usd::ZERO, 0));

    let zero = sheet(&[(LineKind::InputText, "0"), (LineKind::OutputText, "0")]);
    let free = price(Some(&usage), &[], Some(&zero)).unwrap();
    assert_eq!((free.state, free.usd, free.lines.len()), (PriceState::Free, Usd::ZERO, 2));

    let some_free = sheet(&[(LineKind::InputText, "0"), (LineKind::OutputText, "1")]);
    let state = |usage| price(Some(&usage), &[], Some(&some_free)).unwrap().state;
    assert_eq!(state(TokenUsage::reported(10, 0)), PriceState::Free);
    assert_eq!(state(TokenUsage::reported(10, 1)), PriceState::Priced);
    assert_eq!(state(TokenUsage::reported(0, 0)), PriceState::Priced, "nothing was used at a model that costs");
    let all_free = sheet(&[(LineKind::InputText, "0")]);
    assert_eq!(price(None, &[], Some(&all_free)).unwrap().state, PriceState::Free);
}

#[test]
fn a_cost_that_money_cannot_hold_is_an_error() {
    let dear = sheet(&[(LineKind::InputText, "100000000")]);
    let usage = TokenUsage::reported(1_000_000_000, 0);
    assert_eq!(price(Some(&usage), &[], Some(&dear)), Err(PriceError::TooLarge));
    let dear = sheet(&[(LineKind::InputText, "9999999"), (LineKind::OutputText, "9999999")]);
    let usage = TokenUsage::reported(1_000_000_000, 1_000_000_000);
    assert_eq!(price(Some(&usage), &[], Some(&dear)), Err(PriceError::TooLarge), "each line fits, their sum does not");
}

#[test]
fn a_cost_survives_its_json() {
    let usage = TokenUsage { parts: vec![part(TokenClass::CacheWrite, 3, Some(300))], ..TokenUsage::reported(7, 5) };
    let cost = cost("anthropic", "claude-3-5-haiku-20241022", "2026-01-01T00:00:00Z", &usage);
    let json = serde_json::to_string(&cost).unwrap();
    assert_eq!(serde_json::from_str::<Cost>(&json).unwrap(), cost);
}

fn any_usage() -> impl Strategy<Value = TokenUsage> {
    let counts = proptest::collection::vec(0_u64..3_000_000, TokenClass::ALL.len());
    (counts, 0_u64..10_000_000, 0_u64..10_000_000, proptest::option::of(1_u32..100_000)).prop_map(
        |(counts, text_in, text_out, ttl)| {
            let parts: Vec<_> = TokenClass::ALL
                .into_iter()
                .zip(counts)
                .map(|(class, tokens)| part(class, tokens, ttl.filter(|_| class == TokenClass::CacheWrite)))
                .collect();
            let sum =
                |side| -> u64 { parts.iter().filter(|part| part.class.side() == side).map(|part| part.tokens).sum() };
            TokenUsage {
                total_input: Some(text_in + sum(Side::Input)),
                total_output: Some(text_out + sum(Side::Output)),
                ..TokenUsage { parts: parts.clone(), ..TokenUsage::reported(0, 0) }
            }
        },
    )
}

proptest! {
    #[test]
    fn decision_12_the_sum_of_the_lines_is_the_cost(
        usage in any_usage(), coefficients in proptest::collection::vec(0_i64..1_000_000_000_000, 4),
    ) {
        let usage = usage.validated("tokens").unwrap();
        let mut sheet = sheet(&[
            (LineKind::InputText, "0"),
            (LineKind::OutputText, "0"),
            (LineKind::class(TokenClass::CacheRead), "0"),
            (LineKind::class(TokenClass::CacheWrite), "0"),
        ]);
        for (rate, coefficient) in sheet.rates.iter_mut().zip(coefficients) {
            rate.price = UnitPrice::each(Decimal::new(coefficient, 15));
        }
        let cost = price(Some(&usage), &[], Some(&sheet)).unwrap();
        let sum: Decimal = cost.lines.iter().map(|line| line.usd.decimal()).sum();
        prop_assert_eq!(cost.usd.decimal(), sum);
        let tokens: Decimal = cost.lines.iter().map(|line| line.quantity.decimal()).sum();
        prop_assert_eq!(tokens, Decimal::from(usage.total_input.unwrap() + usage.total_output.unwrap()));
        for line in &cost.lines {
            let exact = line.quantity.decimal() * line.price.per_unit();
            prop_assert!((line.usd.decimal() - exact).abs() <= Decimal::new(5, 13));
        }
    }
}
