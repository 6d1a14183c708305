use std::collections::BTreeMap;

use proptest::prelude::*;
use rust_decimal::Decimal;

use super::*;
use crate::price::UnitPrice;

fn usd(text: &str) -> Usd {
    text.parse().unwrap()
}

fn sheet(rates: &[(LineKind, &str)]) -> PriceSheet {
    let rate = |(line, usd): &(LineKind, &str)| {
        let price = UnitPrice { usd: Decimal::from_str_exact(usd).unwrap(), per: UnitPrice::TOKENS };
        Rate::new(line.clone(), price, "test")
    };
    PriceSheet {
        catalog_version: "test".into(),
        provider_name: "test".into(),
        model: "model".into(),
        rates: rates.iter().map(rate).collect(),
        max_output_tokens: 16_384,
        others: BTreeMap::new(),
    }
}

fn gpt_4o() -> PriceSheet {
    sheet(&[
        (LineKind::InputText, "2.5"),
        (LineKind::OutputText, "10"),
        (LineKind::class(TokenClass::CacheRead), "1.25"),
    ])
}

fn with_rate(mut sheet: PriceSheet, line: LineKind, price: &str) -> PriceSheet {
    sheet.rates.push(Rate::new(line, UnitPrice::each(Decimal::from_str_exact(price).unwrap()), "test"));
    sheet
}

#[test]
fn the_worst_case_counts_input_per_call_and_output_per_choice() {
    let estimate = Estimate {
        input_tokens: Some(1_000),
        cache_read_tokens: Some(400),
        max_output_tokens: Some(100),
        choices: 2,
        calls: 3,
        ..Estimate::default()
    };
    let worst = worst_case(&estimate, Some(&gpt_4o())).unwrap();
    assert_eq!((worst.input_tokens, worst.output_tokens, worst.calls), (3_000, 600, 3));
    // 1,800 × 2.50 + 1,200 × 1.25 + 600 × 10.00, per million.
    assert_eq!((worst.cost.state, worst.cost.usd), (PriceState::Priced, usd("0.012")));
}

#[test]
fn without_a_maximum_the_models_own_counts() {
    let estimate = Estimate { input_tokens: Some(10), ..Estimate::default() };
    assert_eq!(worst_case(&estimate, Some(&gpt_4o())).unwrap().output_tokens, 16_384);
    let unpriced = worst_case(&estimate, None).unwrap();
    assert_eq!((unpriced.output_tokens, unpriced.cost.state), (8_192, PriceState::Unpriced));
}

#[test]
fn output_is_held_at_the_dearer_of_text_and_reasoning() {
    let sheet = with_rate(gpt_4o(), LineKind::class(TokenClass::Reasoning), "0.00002");
    let estimate = Estimate { max_output_tokens: Some(1_000), ..Estimate::default() };
    assert_eq!(worst_case(&estimate, Some(&sheet)).unwrap().cost.usd, usd("0.02"));
    let cheaper = with_rate(gpt_4o(), LineKind::class(TokenClass::Reasoning), "0.000001");
    assert_eq!(worst_case(&estimate, Some(&cheaper)).unwrap().cost.usd, usd("0.01"));
}

#[test]
fn a_stated_amount_is_taken_as_it_is() {
    let estimate = Estimate { amount_usd: Some(usd("0.5")), input_tokens: Some(10), calls: 2, ..Estimate::default() };
    for sheet in [None, Some(&gpt_4o())] {
        let worst = worst_case(&estimate, sheet).unwrap();
        assert_eq!((worst.cost.state, worst.cost.usd), (PriceState::Priced, usd("0.5")));
        assert_eq!((worst.input_tokens, worst.output_tokens, worst.calls), (20, 0, 2));
    }
}

#[test]
fn units_count_per_call_and_need_a_rate() {
    let searches = vec![UnitCount { unit: "web_search".into(), quantity: "3".parse().unwrap() }];
    let estimate = Estimate { max_output_tokens: Some(0), calls: 2, units: searches, ..Estimate::default() };
    assert_eq!(worst_case(&estimate, Some(&gpt_4o())).unwrap().cost.state, PriceState::Partial);
    let sheet = with_rate(gpt_4o(), LineKind::Unit("web_search".into()), "0.01");
    assert_eq!(worst_case(&estimate, Some(&sheet)).unwrap().cost.usd, usd("0.06"));
}

#[test]
fn a_fee_per_request_counts_per_call_and_a_threshold_per_calls_input() {
    let mut sheet = with_rate(gpt_4o(), LineKind::Unit(REQUEST_UNIT.into()), "0.01");
    let above = Rate { above_input_tokens: Some(1_000), ..sheet.rates.first().unwrap().clone() };
    sheet.rates.push(Rate { price: UnitPrice::each(Decimal::ONE), ..above });
    let estimate =
        |input| Estimate { input_tokens: Some(input), max_output_tokens: Some(0), calls: 2, ..Estimate::default() };
    assert_eq!(worst_case(&estimate(1_000), Some(&sheet)).unwrap().cost.usd, usd("0.025"));
    assert_eq!(worst_case(&estimate(1_001), Some(&sheet)).unwrap().cost.usd, usd("2002.02"));
}

#[test]
fn counts_that_overflow_are_errors() {
    let estimate = Estimate { max_output_tokens: Some(u64::MAX), choices: 2, ..Estimate::default() };
    assert_eq!(worst_case(&estimate, Some(&gpt_4o())), Err(PriceError::TooLarge));
    assert_eq!(worst_case(&estimate, None), Err(PriceError::TooLarge));
}

#[test]
fn inconsistent_estimates_are_refused() {
    let estimate = Estimate {
        input_tokens: Some(10),
        cache_read_tokens: Some(11),
        max_output_tokens: Some(TOKENS_LIMIT + 1),
        calls: REPETITIONS_LIMIT + 1,
        amount_usd: Some(usd("-1")),
        ..Estimate::default()
    };
    let violations = estimate.validated("estimate").unwrap_err();
    let fields: Vec<_> = violations.iter().map(|violation| violation.field.as_str()).collect();
    assert_eq!(
        fields,
        ["estimate.max_output_tokens", "estimate.calls", "estimate.cache_read_tokens", "estimate.amount_usd"]
    );
    let uncached_unknown = Estimate { cache_read_tokens: Some(1), ..Estimate::default() };
    assert!(uncached_unknown.validated("estimate").is_err());
    assert!(Estimate::default().validated("estimate").is_ok());
}

#[test]
fn no_bound_is_told_where_money_sets_none() {
    let free = sheet(&[(LineKind::InputText, "0"), (LineKind::OutputText, "0")]);
    let estimate = Estimate { input_tokens: Some(1_000), ..Estimate::default() };
    assert_eq!(affordable_output_tokens(&estimate, Some(&free), Usd::ZERO), None);
    assert_eq!(affordable_output_tokens(&estimate, Some(&free), usd("-1")), None);
    assert_eq!(affordable_output_tokens(&estimate, None, usd("1")), None);
    assert_eq!(affordable_output_tokens(&estimate, Some(&gpt_4o()), usd("0.002")), Some(0), "not even the input");
    assert_eq!(affordable_output_tokens(&estimate, Some(&gpt_4o()), usd("0.0125")), Some(1_000));
    assert_eq!(affordable_output_tokens(&estimate, Some(&gpt_4o()), usd("1000000")), Some(TOKENS_LIMIT));
}

proptest! {
    #[test]
    fn one_token_more_than_affordable_is_not(
        input in 0_u64..100_000, choices in 0_u32..5, calls in 0_u32..5,
        picodollars in 0_i64..10_000_000_000_000, rate in 1_i64..1_000_000_000,
    ) {
        // Fractions of a picodollar, so that the rounding of the line decides.
        let mut sheet = gpt_4o();
        sheet.rates.retain(|rate| rate.line != LineKind::OutputText);
        let sheet = with_rate(sheet, LineKind::OutputText, &Decimal::new(rate, 15).to_string());
        let available = Usd::new(Decimal::new(picodollars, 12)).unwrap();
        let estimate = Estimate { input_tokens: Some(input), choices, calls, ..Estimate::default() };
        let tokens = affordable_output_tokens(&estimate, Some(&sheet), available).unwrap();
        let worst = |tokens| {
            let estimate = Estimate { max_output_tokens: Some(tokens), ..estimate.clone() };
            worst_case(&estimate, Some(&sheet)).unwrap().cost.usd
        };
        prop_assert!(tokens == 0 || worst(tokens) <= available);
        prop_assert!(tokens == TOKENS_LIMIT || worst(tokens + 1) > available);
    }
}
