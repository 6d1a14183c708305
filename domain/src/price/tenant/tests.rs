use super::*;

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn rate(line: &str, usd: &str, above_input_tokens: Option<u64>) -> TenantRate {
    let line = LineKind::token_line(line).unwrap_or_else(|| LineKind::Unit(line.to_owned()));
    TenantRate { line, usd: usd.parse().unwrap(), per: 1_000_000, above_input_tokens, minimum: None }
}

fn terms() -> PriceTerms {
    PriceTerms {
        target: ModelRef::new("openai", "gpt-4o"),
        coverage: Coverage::Lines,
        rates: vec![rate("input", "2", None)],
        multiplier: None,
        start_time: at("2026-01-01T00:00:00Z"),
        end_time: None,
        note: String::new(),
    }
}

fn broken(terms: PriceTerms) -> Vec<String> {
    terms.validated("price").err().unwrap_or_default().into_iter().map(|violation| violation.field).collect()
}

#[test]
fn what_just_meets_the_rules_is_taken() {
    let factor_alone = PriceTerms { rates: Vec::new(), multiplier: Some(Decimal::new(85, 2)), ..terms() };
    let everything = PriceTerms {
        target: ModelRef {
            provider_name: "p".into(),
            model: "*".into(),
            provider_tier: "batch".into(),
            region: "eu".into(),
        },
        coverage: Coverage::Model,
        rates: vec![rate("input", "0", None), rate("input", "1000000", Some(1)), rate("web_search", "1", None)],
        multiplier: Some(Decimal::from(MULTIPLIER_LIMIT)),
        end_time: Some(at("2026-01-01T00:00:00.000001Z")),
        note: "x".repeat(NOTE_BYTES_LIMIT),
        ..terms()
    };
    for good in [terms(), factor_alone, everything] {
        assert_eq!(broken(good.clone()), Vec::<String>::new(), "{good:?}");
    }
}

#[test]
fn every_broken_rule_is_named_and_all_at_once() {
    let target = |provider_name: &str, model: &str| ModelRef::new(provider_name, model);
    let cases: Vec<(PriceTerms, &[&str])> = vec![
        (PriceTerms { target: target("", ""), ..terms() }, &["price.model.provider_name", "price.model.model"]),
        (
            PriceTerms { target: target("open*", "gpt*4o"), ..terms() },
            &["price.model.provider_name", "price.model.model"],
        ),
        (PriceTerms { target: target("p", "a**"), ..terms() }, &["price.model.model"]),
        (PriceTerms { rates: Vec::new(), ..terms() }, &["price.rates"]),
        (
            PriceTerms { rates: Vec::new(), multiplier: Some(Decimal::ONE), coverage: Coverage::Model, ..terms() },
            &["price.rates"],
        ),
        (PriceTerms { rates: vec![rate("input", "1", None); 2], ..terms() }, &["price.rates[1].line"]),
        (PriceTerms { rates: vec![rate("input", "1", Some(5))], ..terms() }, &["price.rates[0].above_input_tokens"]),
        (PriceTerms { rates: vec![rate("input", "-1", None)], ..terms() }, &["price.rates[0].usd"]),
        (PriceTerms { rates: vec![rate("input", "1000000.1", None)], ..terms() }, &["price.rates[0].usd"]),
        (
            PriceTerms { rates: vec![TenantRate { per: 0, ..rate("input", "1", None) }], ..terms() },
            &["price.rates[0].per"],
        ),
        (
            PriceTerms {
                rates: vec![TenantRate { minimum: "-1".parse().ok(), ..rate("input", "1", None) }],
                ..terms()
            },
            &["price.rates[0].minimum"],
        ),
        (
            PriceTerms {
                multiplier: Some(Decimal::new(-1, 7)),
                end_time: Some(terms().start_time),
                note: "x".repeat(NOTE_BYTES_LIMIT + 1),
                ..terms()
            },
            &["price.multiplier", "price.multiplier", "price.end_time", "price.note"],
        ),
    ];
    for (terms, fields) in cases {
        assert_eq!(broken(terms.clone()), fields, "{terms:?}");
    }
    let many = (0..=RATES_LIMIT).map(|number| rate(&format!("unit_{number}"), "1", None)).collect();
    assert_eq!(broken(PriceTerms { rates: many, ..terms() }), ["price.rates"]);
}

#[test]
fn a_price_supersedes_what_covers_the_same_and_does_not_outlast_it() {
    let later = PriceTerms { start_time: at("2026-02-01T00:00:00Z"), ..terms() };
    assert!(later.supersedes(&terms()));
    assert!(!terms().supersedes(&later), "what starts later stands over it anyway");
    let upper = PriceTerms { target: ModelRef::new("OpenAI", "GPT-4o"), ..later.clone() };
    assert!(upper.supersedes(&terms()), "case does not matter");
    let ended = PriceTerms { end_time: Some(at("2026-02-01T00:00:00Z")), ..terms() };
    assert!(!later.supersedes(&ended));
    let others = [
        PriceTerms { target: ModelRef::new("openai", "gpt-4*"), ..terms() },
        PriceTerms { target: ModelRef { region: "eu".into(), ..terms().target }, ..terms() },
        PriceTerms { coverage: Coverage::Model, ..terms() },
        PriceTerms { rates: vec![rate("output", "2", None)], ..terms() },
    ];
    for other in others {
        assert!(!later.supersedes(&other), "{other:?}");
    }
    let for_a_while = PriceTerms { end_time: Some(at("2026-03-01T00:00:00Z")), ..later.clone() };
    assert!(!for_a_while.supersedes(&terms()), "what lies below comes back");
    let shorter = PriceTerms { end_time: Some(at("2026-02-15T00:00:00Z")), ..terms() };
    assert!(for_a_while.supersedes(&shorter));
    let model = PriceTerms { coverage: Coverage::Model, ..terms() };
    let other_lines = PriceTerms { coverage: Coverage::Model, rates: vec![rate("output", "2", None)], ..later };
    assert!(other_lines.supersedes(&model), "both cover the whole model");
}

#[test]
fn prices_meet_where_one_call_can_be_priced_by_both() {
    let over = |model: &str| PriceTerms { target: ModelRef::new("openai", model), ..terms() };
    assert!(over("gpt-4*").may_meet(&over("gpt-4o")) && over("gpt-4o").may_meet(&over("gpt-4*")));
    assert!(over("gpt-4*").may_meet(&over("gpt-*")));
    assert!(!over("gpt-4*").may_meet(&over("gpt-5*")));
    assert!(!over("gpt-4o").may_meet(&PriceTerms { target: ModelRef::new("azure", "gpt-4o"), ..terms() }));
    let earlier = PriceTerms { start_time: at("2025-01-01T00:00:00Z"), end_time: Some(terms().start_time), ..terms() };
    assert!(!terms().may_meet(&earlier) && !earlier.may_meet(&terms()));
}
