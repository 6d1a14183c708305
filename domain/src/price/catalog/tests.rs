use super::*;
use crate::price::LineKind;

const HEAD: &str = r#"{"catalog":{"format":1,"version":"1"}}"#;

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn now() -> Timestamp {
    at("2026-11-18T12:00:00Z")
}

fn found(catalog: &Catalog, provider: &str, model: &str) -> Option<String> {
    let sheet = catalog.find(&ModelRef::new(provider, model), now())?;
    Some(format!("{}/{}", sheet.provider_name, sheet.model))
}

fn catalog(lines: &[&str]) -> Catalog {
    Catalog::parse(&text(lines)).unwrap()
}

fn text(lines: &[&str]) -> String {
    std::iter::once(&HEAD).chain(lines).copied().collect::<Vec<_>>().join("\n")
}

fn model(name: &str, rules: &str) -> String {
    format!(
        r#"{{"provider":"p","model":"{name}","match":{rules},"prices":[{{"id":"{name}","rates":{{"input":"1"}}}}]}}"#
    )
}

/// The price of a line at `time` as USD for its published quantity.
fn usd(catalog: &Catalog, model: &ModelRef, time: &str, line: &str) -> Option<String> {
    let sheet = catalog.find(model, at(time))?;
    let line = LineKind::token_line(line).unwrap_or_else(|| LineKind::Unit(line.into()));
    sheet.rate(&line, 0).map(|rate| rate.price.usd.to_string())
}

#[test]
fn the_builtin_catalog_knows_models_by_all_their_names() {
    let catalog = Catalog::builtin().unwrap();
    let cases = [
        ("anthropic", "claude-3-5-sonnet-20241022", "anthropic/claude-3-5-sonnet"),
        ("Anthropic", "Claude-3-5-Haiku-Latest", "anthropic/claude-3-5-haiku-latest"),
        ("openai", "gpt-4o", "openai/gpt-4o"),
        ("openai", "gpt-4o-2024-05-13", "openai/gpt-4o-2024-05-13"),
        ("openai", "gpt-4o-mini-2024-07-18", "openai/gpt-4o-mini"),
        ("openai", "openai/gpt-4o-mini", "openai/gpt-4o-mini"),
        ("openai", "ft:gpt-4o-2024-08-06:acme::Ab12Cd", "openai/ft:gpt-4o"),
        ("litellm", "openai/gpt-4o-mini", "openai/gpt-4o-mini"),
        ("google-vertex", "gemini-1.5-flash-002", "google/gemini-1.5-flash"),
        ("google", "claude-opus-4-1@20250805", "anthropic/claude-opus-4-1"),
        ("amazon-bedrock", "global.anthropic.claude-sonnet-5", "aws/global.anthropic.claude-sonnet-5-v1:0"),
        (
            "aws",
            "arn:aws:bedrock:eu-west-1:123456789012:inference-profile/eu.anthropic.claude-3-7-sonnet-20250219-v1:0",
            "aws/regional.anthropic.claude-3-7-sonnet-20250219-v1:0",
        ),
        ("together-ai", "mistralai/Mixtral-8x7B-Instruct-v0.1", "together/mistralai/Mixtral-8x7B-Instruct-v0.1"),
        ("", "gpt-4o-mini", "openai/gpt-4o-mini"),
        ("", "groq/llama-3.1-8b-instant", "groq/llama-3.1-8b-instant"),
    ];
    for (provider, model, expected) in cases {
        let name = found(&catalog, provider, model);
        // Claude on Vertex may have a price list of its own there, or fall back to Anthropic's.
        let matches = name.as_deref() == Some(expected) || (provider == "google" && name.is_some());
        assert!(matches, "{provider}/{model}: {name:?}");
    }
    let unknown = [
        ("openai", "text-babel-001"),
        ("nobody", "gpt-4o"),
        ("", "phi3"),
        ("openai", ""),
        ("aws", "arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/b831900803"),
        ("azure", "team-tundra-deploy19"),
    ];
    for (provider, model) in unknown {
        assert_eq!(found(&catalog, provider, model), None, "{provider}/{model}");
    }
}

#[test]
fn the_last_price_in_force_wins() {
    let line = r#"{"provider":"p","model":"m","match":[{"equals":"m"}],"prices":[
        {"id":"a","from":"2024-01-01T00:00:00Z","rates":{"input":"1"}},
        {"id":"b","from":"2025-01-01T00:00:00Z","until":"2025-02-01T00:00:00Z","rates":{"input":"2"}},
        {"id":"c","from":"2025-01-01T00:00:00Z","daily":{"from":"01:00","to":"04:00","zone":"UTC","weekdays":["wed"]},
         "rates":{"input":"3"}}]}"#;
    let catalog = catalog(&[r#"{"provider":"p"}"#, &line.replace('\n', "")]);
    let price = |time| usd(&catalog, &ModelRef::new("p", "m"), time, "input");
    let cases = [
        ("2023-12-31T23:59:59.999999999Z", None),
        ("2024-01-01T00:00:00Z", Some("1")),
        ("2025-01-01T00:00:00Z", Some("2")),
        ("2025-01-01T01:00:00Z", Some("3")),
        ("2025-01-02T01:00:00Z", Some("2")),
        ("2025-02-01T00:00:00Z", Some("1")),
    ];
    for (time, expected) in cases {
        assert_eq!(price(time).as_deref(), expected, "{time}");
    }
}

#[test]
fn tiers_and_regions_patch_the_standard_price() {
    let line = r#"{"provider":"p","model":"m","match":[{"equals":"m"}],"prices":[
        {"id":"s","rates":{"input":"10","output":"20","web_search":{"usd":"10","per":1000}}},
        {"id":"b","tier":"batch","from":"2025-01-01T00:00:00Z","rates":{"input":"5"}},
        {"id":"f","tier":"flex","rates":{"input":"6","output":"12"}},
        {"id":"e","region":"eu","multiplier":"1.1","rates":{}}]}"#;
    let other = r#"{"provider":"q","fallback":["p"]}"#;
    let catalog = catalog(&[r#"{"provider":"p"}"#, &line.replace('\n', ""), other]);
    let call = |tier: &str, region: &str| ModelRef {
        provider_tier: tier.into(),
        region: region.into(),
        ..ModelRef::new("p", "m")
    };
    let prices = |model: &ModelRef, time| {
        ["input", "output", "web_search"].map(|line| usd(&catalog, model, time, line).unwrap()).join(" ")
    };
    let (before, after) = ("2024-12-31T23:59:59Z", "2025-01-01T00:00:00Z");
    assert_eq!(prices(&call("", ""), after), "10 20 10");
    assert_eq!(prices(&call("bogus", "mars"), after), "10 20 10");
    assert_eq!(prices(&call("Batch", ""), before), "10 20 10");
    assert_eq!(prices(&call("Batch", ""), after), "5 20 10");
    assert_eq!(prices(&call("flex+batch", ""), after), "5 12 10", "the first in the file wins a line");
    assert_eq!(prices(&call("", "eu"), after), "11 22 10", "units are not scaled");
    assert_eq!(prices(&call("batch", "EU-west-1"), after), "5.5 22 10");
    assert_eq!(prices(&call("", "europe"), after), "10 20 10");
    let by_fallback = ModelRef { provider_name: "q".into(), ..call("batch", "eu") };
    assert_eq!(prices(&by_fallback, after), "10 20 10", "through a fallback only standard prices apply");
}

#[test]
fn the_first_rule_that_hits_wins() {
    let models = [
        model("first", r#"[{"equals":"a"},{"suffix":"-x"}]"#),
        model("second", r#"[{"prefix":"a"}]"#),
        model("third", r#"[{"equals":"ab"},{"equals":"c-x"},{"equals":"d"}]"#),
        model("fourth", r#"[{"contains":"d"}]"#),
        model("dashed", r#"[{"equals":"m-2025-12-11"}]"#),
    ];
    let mut lines = vec![r#"{"provider":"p","aliases":[{"contains":"pea"}]}"#];
    lines.extend(models.iter().map(String::as_str));
    let catalog = catalog(&lines);
    for (id, expected) in [
        ("a", Some("p/first")),
        ("ab", Some("p/second")),
        ("A-X", Some("p/first")),
        ("c-x", Some("p/first")),
        ("d", Some("p/third")),
        ("xyd", Some("p/fourth")),
        ("m-20251211", Some("p/dashed")),
        ("p/ab", Some("p/second")),
        ("q/ab", None),
        ("x", None),
    ] {
        assert_eq!(found(&catalog, "Peanut ", id).as_deref(), expected, "{id}");
    }
}

#[test]
fn a_model_without_prices_hides_the_rules_after_it() {
    let known = r#"{"provider":"p","model":"m","match":[{"prefix":"m"}],"prices":[{"id":"m","rates":{"input":"1"}}]}"#;
    let missing = r#"{"provider":"p","model":"m-1","match":[{"equals":"m-1"}],"prices":[]}"#;
    let catalog = catalog(&[r#"{"provider":"p"}"#, missing, known]);
    assert_eq!(found(&catalog, "p", "m-1"), None);
    assert_eq!(found(&catalog, "p", "m-2").as_deref(), Some("p/m"));
}

#[test]
fn prices_are_exact_and_serialise_alike_every_time() {
    let sheet = || {
        let line = r#"{"provider":"p","model":"m","match":[{"equals":"m"}],"max_output_tokens":16,"prices":[{"id":"s","rates":
            {"output":{"usd":"0.60","tiers":[{"above":200000,"usd":"1.2"}]},"input":"0.15","audio_second":{"usd":"0.111","per":3600,"minimum":"10"}}}]}"#;
        let catalog = catalog(&[r#"{"provider":"p"}"#, &line.replace('\n', "")]);
        catalog.find(&ModelRef::new("p", "m"), now()).unwrap()
    };
    let json = serde_json::to_string(&*sheet()).unwrap();
    assert_eq!(json, serde_json::to_string(&*sheet()).unwrap());
    assert_eq!(
        json,
        concat!(
            r#"{"catalog_version":"1","provider_name":"p","model":"m","rates":["#,
            r#"{"line":"input_text","price":{"usd":"0.15","per":1000000},"price_id":"s"},"#,
            r#"{"line":"output_text","price":{"usd":"0.6","per":1000000},"price_id":"s"},"#,
            r#"{"line":"output_text","price":{"usd":"1.2","per":1000000},"above_input_tokens":200000,"price_id":"s"},"#,
            r#"{"line":{"unit":"audio_second"},"price":{"usd":"0.111","per":3600},"minimum":"10","price_id":"s"}],"#,
            r#""max_output_tokens":16}"#
        )
    );
    let read: PriceSheet = serde_json::from_str(&json).unwrap();
    assert_eq!(serde_json::to_string(&read).unwrap(), json);
}

#[test]
fn a_model_that_writes_nothing_has_no_output_to_assume() {
    let catalog = catalog(&[r#"{"provider":"p"}"#, &model("m", r#"[{"equals":"m"}]"#)]);
    assert_eq!(catalog.find(&ModelRef::new("p", "m"), now()).unwrap().max_output_tokens, 0);
}

#[test]
fn prices_are_listed_with_what_they_rest_on() {
    let line = r#"{"provider":"p","model":"m","match":[{"equals":"m"}],"prices":[
        {"id":"s","daily":{"from":"22:00","to":"02:00","zone":"Asia/Shanghai","weekdays":["mon","fri"]},"rates":{"input":"10"},
         "source":"https://example.com","reason":"it moved"},
        {"id":"b","tier":"batch","rates":{"input":"5"}}]}"#;
    let catalog = catalog(&[r#"{"provider":"p"}"#, &line.replace('\n', "")]);
    let prices = catalog.prices_of(&ModelRef::new("p", "M"));
    let [standard, batch] = prices.as_slice() else { panic!("{prices:?}") };
    assert_eq!((standard.price_id, standard.reason), ("s", Some("it moved")));
    assert_eq!(standard.daily.as_deref(), Some("22:00 to 02:00 Asia/Shanghai on Monday, Friday"));
    assert_eq!((batch.price_id, batch.tier), ("b", Some("batch")));
    assert_eq!(catalog.prices().count(), 2);
}

#[test]
fn broken_catalogs_are_refused_with_their_line() {
    let price = |price: &str| {
        format!(r#"{{"provider":"p","model":"m","match":[{{"equals":"m"}}],"prices":[{{"id":"x",{price}}}]}}"#)
    };
    let rates = |rates: &str| price(&format!(r#""rates":{{{rates}}}"#));
    let provider = r#"{"provider":"p"}"#.to_owned();
    let refused = [
        vec![rates(r#""input":"1""#)],
        vec![provider.clone(), provider.clone()],
        vec![r#"{"provider":""}"#.into()],
        vec![r#"{"provider":"P"}"#.into()],
        vec![r#"{"provider":"p","free":true}"#.into()],
        vec![r#"{"provider":"p","fallback":["q"]}"#.into()],
        vec![provider.clone(), rates("")],
        vec![provider.clone(), rates(r#""input":1"#)],
        vec![provider.clone(), rates(r#""input":"-1""#)],
        vec![provider.clone(), rates(r#""input":"1e3""#)],
        vec![provider.clone(), rates(r#""input":"""#)],
        vec![provider.clone(), rates(r#""input":"1000000.1""#)],
        vec![provider.clone(), rates(r#""input":"0.00000000000000001""#)],
        vec![provider.clone(), rates(r#""Web Search":"1""#)],
        vec![provider.clone(), rates(r#""input":{"usd":"1","per":1000}"#)],
        vec![provider.clone(), rates(r#""page":{"usd":"1","per":0}"#)],
        vec![provider.clone(), rates(r#""page":{"usd":"1","minimum":"ten"}"#)],
        vec![provider.clone(), rates(r#""input":{"usd":"1","tiers":[{"above":2,"usd":"1"},{"above":2,"usd":"2"}]}"#)],
        vec![provider.clone(), price(r#""multiplier":"1.1","rates":{"input":"1"}"#)],
        vec![provider.clone(), price(r#""tier":"batch","rates":{}"#)],
        vec![provider.clone(), price(r#""tier":"Batch","rates":{"input":"1"}"#)],
        vec![provider.clone(), price(r#""daily":{"from":"1","to":"04:00","zone":"UTC"},"rates":{"input":"1"}"#)],
        vec![provider.clone(), price(r#""daily":{"from":"01:00","to":"04:00","zone":"Mars"},"rates":{"input":"1"}"#)],
        vec![provider.clone(), rates(r#""input":"1""#).replace("equals", "regex")],
        vec![provider.clone(), rates(r#""input":"1""#).replace(r#"{"equals":"m"}"#, r#"{"prefix":""}"#)],
        vec![provider.clone(), rates(r#""input":"1""#).replace(r#"{"equals":"m"}"#, r#"{"prefix":"M"}"#)],
        vec![provider.clone(), rates(r#""input":"1""#), rates(r#""input":"1""#)],
    ];
    for lines in refused {
        let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
        let error = Catalog::parse(&text(&lines)).unwrap_err();
        assert_eq!(error.line, lines.len() + 1, "{lines:?}: {error}");
    }
    for head in ["", "{}", r#"{"catalog":{"format":2,"version":"1"}}"#, r#"{"catalog":{"format":1,"version":""}}"#] {
        assert_eq!(Catalog::parse(head).unwrap_err().line, 1, "{head}");
    }
    Catalog::parse(&text(&[&provider, &rates(r#""input":"1","page":{"usd":"2","per":1000}"#)])).unwrap();
}
