use proptest::prelude::*;
use uuid::Uuid;

use super::super::tenant::{PriceTerms, TenantRate};
use super::super::unit_price::UnitPrice;
use super::super::{FREE_PRICE_ID, LineKind};
use super::*;

const CATALOG: &str = concat!(
    r#"{"catalog":{"format":1,"version":"7","sources":[]}}"#,
    "\n",
    r#"{"provider":"openai","aliases":[{"equals":"open-ai"}]}"#,
    "\n",
    r#"{"provider":"openai","model":"gpt-4o","match":[{"prefix":"gpt-4o"}],"max_output_tokens":16384,"prices":["#,
    r#"{"id":"openai/gpt-4o","rates":{"input":{"usd":"2.5","tiers":[{"above":100,"usd":"5"}]},"output":"10","web_search":{"usd":"10","per":1000}}},"#,
    r#"{"id":"openai/gpt-4o#batch","tier":"batch","rates":{"input":"1.25"}}]}"#,
    "\n",
);

fn catalog() -> Arc<Catalog> {
    Arc::new(Catalog::parse(CATALOG).unwrap())
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn line(name: &str) -> LineKind {
    LineKind::token_line(name).unwrap_or_else(|| LineKind::Unit(name.to_owned()))
}

fn rate(name: &str, usd: &str) -> TenantRate {
    TenantRate { line: line(name), usd: usd.parse().unwrap(), per: 1_000_000, above_input_tokens: None, minimum: None }
}

fn price(number: u128, model: &str, coverage: Coverage, rates: &[(&str, &str)]) -> TenantPrice {
    let terms = PriceTerms {
        target: ModelRef::new("openai", model),
        coverage,
        rates: rates.iter().map(|(name, usd)| rate(name, usd)).collect(),
        multiplier: None,
        start_time: at(0),
        end_time: None,
        note: String::new(),
    };
    TenantPrice { price_id: Uuid::from_u128(number), terms, create_time: at(0) }
}

fn with(mut price: TenantPrice, change: impl FnOnce(&mut PriceTerms)) -> TenantPrice {
    change(&mut price.terms);
    price
}

fn book(prices: impl IntoIterator<Item = TenantPrice>) -> PriceBook {
    PriceBook::new(catalog(), prices.into_iter().map(Arc::new), FreeProviders::default())
}

/// What each line costs per million tokens, without thresholds.
fn lines(book: &PriceBook, model: &ModelRef, second: i64) -> Vec<String> {
    let Some(sheet) = book.find(model, at(second)) else { return vec!["unpriced".to_owned()] };
    sheet
        .rates
        .iter()
        .filter(|rate| rate.above_input_tokens.is_none())
        .map(|rate| format!("{} {}", rate.line, rate.price.usd))
        .collect()
}

fn gpt_4o() -> ModelRef {
    ModelRef::new("openai", "gpt-4o")
}

#[test]
fn without_prices_of_the_tenant_the_catalogs_sheet_is_the_answer_itself() {
    let book = book([]);
    let found = book.find(&gpt_4o(), at(1)).unwrap();
    assert!(Arc::ptr_eq(&found, &book.catalog().find(&gpt_4o(), at(1)).unwrap()));
    let elsewhere = self::book([price(1, "o3", Coverage::Model, &[("input", "1")])]);
    let found = elsewhere.find(&gpt_4o(), at(1)).unwrap();
    assert!(Arc::ptr_eq(&found, &elsewhere.catalog().find(&gpt_4o(), at(1)).unwrap()));
}

#[test]
fn a_price_over_the_model_replaces_all_of_it_and_one_over_lines_only_those() {
    let whole = book([price(1, "gpt-4o", Coverage::Model, &[("input", "1")])]);
    assert_eq!(lines(&whole, &gpt_4o(), 1), ["input 1"]);
    let sheet = whole.find(&gpt_4o(), at(1)).unwrap();
    assert_eq!((sheet.model.as_str(), sheet.max_output_tokens, sheet.catalog_version.as_str()), ("gpt-4o", 16384, "7"));
    assert_eq!(sheet.rates.first().unwrap().price_id, Uuid::from_u128(1).to_string());
    let patched = book([price(1, "gpt-4o", Coverage::Lines, &[("input", "1")])]);
    assert_eq!(lines(&patched, &gpt_4o(), 1), ["input 1", "output 10", "web_search 10"]);
    let sheet = patched.find(&gpt_4o(), at(1)).unwrap();
    assert!(sheet.rates.iter().all(|rate| rate.above_input_tokens.is_none()), "its thresholds go with the line");
    assert!(Arc::ptr_eq(&sheet, &patched.find(&gpt_4o(), at(2)).unwrap()), "composed once");
}

#[test]
fn the_more_specific_price_stands_above() {
    let lines_of = |prices: Vec<TenantPrice>, model: &ModelRef| lines(&book(prices), model, 10).swap_remove(0);
    let over = |number, model: &str, usd: &str| price(number, model, Coverage::Lines, &[("input", usd)]);
    let all = || vec![over(1, "gpt-4o", "1"), over(2, "gpt-4*", "2"), over(3, "gpt-*", "3"), over(4, "*", "4")];
    assert_eq!(lines_of(all(), &gpt_4o()), "input 1");
    assert_eq!(lines_of(all(), &ModelRef::new("openai", "GPT-4o-mini")), "input 2");
    assert_eq!(lines_of(all(), &ModelRef::new("openai", "gpt-5")), "input 3");
    assert_eq!(lines_of(all(), &ModelRef::new("openai", "o3")), "input 4");
    assert_eq!(lines_of(all(), &ModelRef::new("azure", "o3")), "unpriced");
    let mut conditional = vec![
        over(1, "gpt-4o", "1"),
        with(over(2, "gpt-4o", "2"), |terms| terms.target.region = "eu".into()),
        with(over(3, "gpt-4o", "3"), |terms| terms.target.provider_tier = "batch".into()),
    ];
    let call = |tier: &str, region: &str| ModelRef { provider_tier: tier.into(), region: region.into(), ..gpt_4o() };
    for (tier, region, expected) in [
        ("", "", "input 1"),
        ("", "EU", "input 2"),
        ("", "eu-west-1", "input 2"),
        ("", "europe", "input 1"),
        ("Batch", "", "input 3"),
        ("batch", "eu", "input 3"),
        ("priority+batch", "", "input 3"),
        ("flex", "", "input 1"),
    ] {
        assert_eq!(lines_of(conditional.clone(), &call(tier, region)), expected, "{tier} {region}");
    }
    conditional.push(with(over(4, "gpt-4o", "4"), |terms| terms.target.provider_tier = "standard".into()));
    assert_eq!(lines_of(conditional, &gpt_4o()), "input 4", "a call without a tier is a standard one");
    let later = with(over(2, "gpt-4o", "2"), |terms| terms.start_time = at(5));
    assert_eq!(lines_of(vec![later.clone(), over(1, "gpt-4o", "1")], &gpt_4o()), "input 2");
    let book = book([over(1, "gpt-4o", "1"), with(later, |terms| terms.end_time = Some(at(8)))]);
    let over_time: Vec<String> = [4, 5, 7, 8].map(|second| lines(&book, &gpt_4o(), second).swap_remove(0)).into();
    assert_eq!(over_time, ["input 1", "input 2", "input 2", "input 1"]);
}

#[test]
fn factors_come_last_and_are_multiplied_exactly() {
    let factor = |number, model: &str, text: &str| {
        with(price(number, model, Coverage::Lines, &[]), |terms| terms.multiplier = text.parse().ok())
    };
    let discounted = book([factor(9, "*", "0.85"), price(1, "gpt-4o", Coverage::Lines, &[("output", "8")])]);
    assert_eq!(lines(&discounted, &gpt_4o(), 1), ["input 2.125", "output 6.8", "web_search 8.5"]);
    let sheet = discounted.find(&gpt_4o(), at(1)).unwrap();
    let ids: Vec<&str> = sheet.rates.iter().map(|rate| rate.price_id.as_str()).collect();
    let (own, nine) = (Uuid::from_u128(1), Uuid::from_u128(9));
    let input = format!("openai/gpt-4o*{nine}");
    assert_eq!(ids, [input.as_str(), &input, &format!("{own}*{nine}"), &input]);
    let both = book([factor(1, "gpt-4o", "0.9"), factor(2, "*", "0.85")]);
    assert_eq!(lines(&both, &gpt_4o(), 1), ["input 1.9125", "output 7.65", "web_search 7.65"]);
    let ends = book([
        with(price(1, "gpt-4o", Coverage::Model, &[("input", "2")]), |terms| terms.multiplier = "0.5".parse().ok()),
        factor(2, "*", "0.85"),
    ]);
    assert_eq!(lines(&ends, &gpt_4o(), 1), ["input 1"], "what lies below the whole model does not count");
    let nothing = book([factor(1, "unknown", "0.85")]);
    assert_eq!(lines(&nothing, &ModelRef::new("openai", "unknown"), 1), ["unpriced"]);
}

#[test]
fn what_has_too_many_digits_is_refused_when_set_and_has_no_price_otherwise() {
    let fine = |number, usd: &str| {
        with(price(number, "*", Coverage::Lines, &[("input", usd)]), |terms| terms.multiplier = "1.234567".parse().ok())
    };
    let (first, second, third) = (fine(1, "1.123456789012"), fine(2, "2"), fine(3, "3"));
    assert!(!factors_overflow(&first, [], []));
    assert!(!factors_overflow(&second, [&first], []));
    assert!(factors_overflow(&third, [&first, &second], []));
    let wide = Rate::new(LineKind::InputText, UnitPrice::each("0.1234567890123456789012345".parse().unwrap()), "p");
    assert!(factors_overflow(&second, [], [&wide]));
    let mut many: Vec<TenantPrice> = (1..=3).map(|number| fine(number, "1.123456789012")).collect();
    many.push(price(4, "gpt-4o", Coverage::Lines, &[("output", "0")]));
    let found = lines(&book(many), &gpt_4o(), 1);
    assert!(
        found.first().is_some_and(|line| line == "output 0"),
        "the input has no price, the rest has one: {found:?}"
    );
}

#[test]
fn prices_over_a_provider_are_for_its_aliases_too() {
    let alias = ModelRef::new("Open-AI", "gpt-4o");
    let own = price(1, "gpt-4o", Coverage::Lines, &[("input", "1")]);
    assert_eq!(lines(&book([own.clone()]), &alias, 1).swap_remove(0), "input 1");
    let of_alias = with(price(2, "*", Coverage::Lines, &[("input", "2")]), |terms| {
        terms.target.provider_name = "OPEN-AI".into();
    });
    assert_eq!(lines(&book([own, of_alias.clone()]), &alias, 1).swap_remove(0), "input 2");
    assert_eq!(lines(&book([of_alias]), &gpt_4o(), 1).swap_remove(0), "input 2.5");
}

#[test]
fn local_runtimes_are_free_unless_a_price_says_otherwise() {
    let local = ModelRef::new("Ollama", "llama3.3");
    let of_local = |price: TenantPrice| with(price, |terms| terms.target.provider_name = "ollama".into());
    let sheet = book([]).find(&local, at(1)).unwrap();
    assert!(sheet.is_free());
    assert_eq!(sheet.rates.first().unwrap().price_id, FREE_PRICE_ID);
    assert_eq!((sheet.provider_name.as_str(), sheet.model.as_str()), ("ollama", "llama3.3"));
    let only_input = |coverage| lines(&book([of_local(price(1, "*", coverage, &[("input", "1")]))]), &local, 1);
    assert_eq!(only_input(Coverage::Lines), ["input 1", "output 0"], "the other lines keep the price that they had");
    assert_eq!(only_input(Coverage::Model), ["input 1"]);
    let none = PriceBook::of_catalog(catalog(), FreeProviders::new([""; 0]));
    assert!(none.find(&local, at(1)).is_none());
    assert!(book([]).find(&ModelRef::new("ollama", ""), at(1)).is_none());
    assert!(book([]).find(&ModelRef::new("unknown", "m"), at(1)).is_none());
}

/// The rules once more, line by line and without any index.
fn reference(prices: &[TenantPrice], model: &ModelRef, at: Timestamp) -> Option<Vec<(LineKind, Decimal)>> {
    let applies = |price: &&TenantPrice| {
        let PriceTerms { target, start_time, end_time, .. } = &price.terms;
        let named = match target.model.strip_suffix('*') {
            Some(prefix) => model.model.starts_with(prefix),
            None => model.model == target.model,
        };
        named
            && (target.provider_tier.is_empty() || target.provider_tier == model.provider_tier)
            && (target.region.is_empty() || target.region == model.region)
            && *start_time <= at
            && end_time.is_none_or(|end| at < end)
    };
    let mut applying: Vec<&TenantPrice> = prices.iter().filter(applies).collect();
    applying.sort_by_key(|price| {
        let target = &price.terms.target;
        let exact = !target.model.ends_with('*');
        (
            exact,
            target.model.len(),
            !target.provider_tier.is_empty(),
            !target.region.is_empty(),
            price.terms.start_time,
            price.price_id,
        )
    });
    let floor = applying.iter().rposition(|price| price.terms.coverage == Coverage::Model).unwrap_or(0);
    let above = applying.get(floor..).unwrap_or_default();
    let below =
        catalog().find(model, at).filter(|_| above.first().is_none_or(|price| price.terms.coverage == Coverage::Lines));
    let mut names: Vec<LineKind> =
        below.iter().flat_map(|sheet| sheet.rates.iter().map(|rate| rate.line.clone())).collect();
    names.extend(above.iter().flat_map(|price| price.terms.rates.iter().map(|rate| rate.line.clone())));
    names.sort();
    names.dedup();
    let factor: Decimal = above.iter().filter_map(|price| price.terms.multiplier).product();
    let found = names.into_iter().filter_map(|line| {
        let own = above.iter().rev().flat_map(|price| &price.terms.rates).find(|rate| rate.line == line);
        let own = own.map(|rate| rate.usd.decimal());
        let usd = own.or_else(|| Some(below.as_ref()?.rates.iter().find(|rate| rate.line == line)?.price.usd))?;
        Some((line, (usd * factor).normalize()))
    });
    Some(found.collect()).filter(|found: &Vec<_>| !found.is_empty())
}

fn any_price() -> impl Strategy<Value = TenantPrice> {
    let models = prop::sample::select(vec!["gpt-4o", "gpt-4o-mini", "gpt-4*", "gpt-*", "*", "other"]);
    let tiers = prop::sample::select(vec!["", "batch", "flex"]);
    let regions = prop::sample::select(vec!["", "eu"]);
    let rates = prop::collection::btree_map(
        prop::sample::select(vec!["input", "output", "reasoning", "page"]),
        0_u32..50,
        0..3,
    );
    let factors = prop::option::of(prop::sample::select(vec!["0.5", "0.9", "2"]));
    let times = (0_i64..20, prop::option::of(1_i64..20));
    (models, tiers, regions, prop::bool::ANY, rates, factors, times).prop_map(
        |(model, tier, region, whole, rates, factor, (start, lasts))| {
            let coverage = if whole { Coverage::Model } else { Coverage::Lines };
            with(price(0, model, coverage, &[]), |terms| {
                terms.target.provider_tier = tier.to_owned();
                terms.target.region = region.to_owned();
                terms.rates = rates.into_iter().map(|(name, usd)| rate(name, &usd.to_string())).collect();
                terms.multiplier = factor.and_then(|text| text.parse().ok());
                terms.start_time = at(start);
                terms.end_time = lasts.map(|lasts| at(start + lasts));
            })
        },
    )
}

proptest! {
    #[test]
    fn a_book_finds_what_the_rules_say(
        prices in prop::collection::vec(any_price(), 0..8),
        model in prop::sample::select(vec!["gpt-4o", "gpt-4o-mini", "gpt-5", "other"]),
        tier in prop::sample::select(vec!["", "batch", "flex"]),
        region in prop::sample::select(vec!["", "eu", "us"]),
        second in 0_i64..30,
    ) {
        let numbered = |(number, price): (usize, TenantPrice)| TenantPrice { price_id: Uuid::from_u128(number as u128), ..price };
        let prices: Vec<TenantPrice> = prices.into_iter().enumerate().map(numbered).collect();
        let model = ModelRef { provider_tier: tier.into(), region: region.into(), ..ModelRef::new("openai", model) };
        let expected = reference(&prices, &model, at(second));
        let book = book(prices);
        let flat = |sheet: Arc<PriceSheet>| -> Vec<(LineKind, Decimal)> {
            let plain = sheet.rates.iter().filter(|rate| rate.above_input_tokens.is_none());
            plain.map(|rate| (rate.line.clone(), rate.price.usd)).collect()
        };
        let [first, remembered] = [(); 2].map(|()| book.find(&model, at(second)).map(flat));
        prop_assert_eq!(&first, &expected);
        prop_assert_eq!(remembered, first);
    }
}

#[test]
fn a_cache_write_without_a_lifetime_stands_over_those_with_one() {
    let catalog = CATALOG.replace(r#""output":"10","#, r#""output":"10","cache_write":"3","cache_write_3600s":"6","#);
    let book = |rates: &[(&str, &str)]| {
        let price = price(1, "gpt-4o", Coverage::Lines, rates);
        PriceBook::new(Arc::new(Catalog::parse(&catalog).unwrap()), [Arc::new(price)], FreeProviders::default())
    };
    let write = |book: &PriceBook, seconds| {
        let line = LineKind::Class { class: TokenClass::CacheWrite, cache_ttl_seconds: seconds };
        book.find(&gpt_4o(), at(1)).unwrap().rate(&line, 0).unwrap().price.usd.to_string()
    };
    let any = book(&[("cache_write", "1")]);
    assert_eq!([write(&any, None), write(&any, Some(300)), write(&any, Some(3_600))], ["1", "1", "1"]);
    let one = book(&[("cache_write_3600s", "1")]);
    assert_eq!([write(&one, None), write(&one, Some(300)), write(&one, Some(3_600))], ["3", "3", "1"]);
    let both = book(&[("cache_write", "1"), ("cache_write_3600s", "2")]);
    assert_eq!([write(&both, None), write(&both, Some(3_600))], ["1", "2"]);
}

#[test]
fn a_provider_that_the_model_implies_has_its_prices() {
    let catalog = CATALOG.replace(r#""aliases""#, r#""owns":[{"prefix":"gpt-"}],"aliases""#);
    let discount = with(price(1, "gpt-4o", Coverage::Lines, &[]), |terms| terms.multiplier = Some(Decimal::new(5, 1)));
    let book =
        PriceBook::new(Arc::new(Catalog::parse(&catalog).unwrap()), [Arc::new(discount)], FreeProviders::default());
    for (provider, model) in [
        ("openai", "gpt-4o"),
        ("Open-AI", "GPT-4o"),
        ("", "gpt-4o"),
        ("", "openai/gpt-4o"),
        ("litellm", "openai/gpt-4o"),
        ("openai", "openai/gpt-4o"),
    ] {
        let found = lines(&book, &ModelRef::new(provider, model), 1);
        assert_eq!(found.first().map(String::as_str), Some("input 1.25"), "{provider}/{model}");
    }
}

#[test]
fn lines_over_a_free_model_leave_the_others_free() {
    let fee = |provider: &str| {
        with(price(1, "llama*", Coverage::Lines, &[("web_search", "1")]), |terms| {
            terms.target.provider_name = provider.to_owned();
        })
    };
    let found = lines(&book([fee("ollama")]), &ModelRef::new("ollama", "llama3.2"), 1);
    assert_eq!(found, ["input 0", "output 0", "web_search 1"]);
    let found = lines(&book([fee("nobody")]), &ModelRef::new("nobody", "llama3.2"), 1);
    assert_eq!(found, ["web_search 1"]);
}
