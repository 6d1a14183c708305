use super::*;

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn found(catalog: &Catalog, provider: &str, model: &str) -> Option<String> {
    let sheet = catalog.find(&ModelRef::new(provider, model), at("2026-01-01T00:00:00Z"))?;
    Some(format!("{}/{}", sheet.provider_name, sheet.model))
}

#[test]
fn the_builtin_catalog_knows_its_models_by_all_their_names() {
    let catalog = Catalog::builtin().unwrap();
    let cases = [
        ("anthropic", "claude-3-5-sonnet-20241022", "anthropic/claude-3-5-sonnet-20241022"),
        ("Anthropic", "Claude-3-5-Haiku-Latest", "anthropic/claude-3-5-haiku-20241022"),
        ("openai", "gpt-4o", "openai/gpt-4o"),
        ("openai", "gpt-4o-2024-05-13", "openai/gpt-4o-2024-05-13"),
        ("openai", "gpt-4o-2024-11-20", "openai/gpt-4o-2024-08-06"),
        ("openai", "gpt-4o-mini-2024-07-18", "openai/gpt-4o-mini"),
        ("google", "gemini-1.5-pro-002", "gcp.gemini/gemini-1.5-pro"),
        ("vertex", "gemini-1.5-flash", "gcp.gemini/gemini-1.5-flash"),
        ("cerebras", "llama3.1-70b", "cerebras/llama3.1-70b"),
        ("together", "meta-llama/llama-3-8b-chat-hf", "together/meta-llama/Llama-3-8b-chat-hf"),
        ("lm-studio", "anything at all", "lmstudio/anything at all"),
        ("", "gpt-4o-mini", "openai/gpt-4o-mini"),
    ];
    for (provider, model, expected) in cases {
        assert_eq!(found(&catalog, provider, model).as_deref(), Some(expected), "{provider}/{model}");
    }
    for (provider, model) in
        [("openai", "gpt-4o-audio-preview"), ("nobody", "gpt-4o"), ("", "phi3"), ("ollama", ""), ("openai", "")]
    {
        assert_eq!(found(&catalog, provider, model), None, "{provider}/{model}");
    }
}

#[test]
fn the_price_in_force_is_the_last_that_has_begun() {
    let catalog = Catalog::parse(
        r#"
        version = "1"
        [[provider]]
        name = "p"
        [[provider.model]]
        name = "m"
        match = [{ equals = "m" }]
        [[provider.model.price]]
        id = "later"
        from = "2025-01-01T00:00:00Z"
        per_million_tokens = { input = "2" }
        [[provider.model.price]]
        id = "earlier"
        from = "2024-01-01T00:00:00Z"
        per_million_tokens = { input = "1" }
        "#,
    )
    .unwrap();
    let price_id = |time| {
        let sheet = catalog.find(&ModelRef::new("p", "m"), at(time))?;
        sheet.rates.first().map(|rate| rate.price_id.clone())
    };
    assert_eq!(price_id("2023-12-31T23:59:59.999999999Z"), None, "no price had begun");
    assert_eq!(price_id("2024-01-01T00:00:00Z").as_deref(), Some("earlier"));
    assert_eq!(price_id("2024-12-31T23:59:59.999999999Z").as_deref(), Some("earlier"));
    assert_eq!(price_id("2025-01-01T00:00:00Z").as_deref(), Some("later"));
}

fn with_models(models: &[(&str, &str)]) -> Catalog {
    let mut text = "version = \"1\"\n[[provider]]\nname = \"p\"\n".to_owned();
    for (name, rules) in models {
        text += &format!("[[provider.model]]\nname = \"{name}\"\nmatch = {rules}\n");
        text += &format!("[[provider.model.price]]\nid = \"{name}\"\nper_million_tokens = {{ input = \"1\" }}\n");
    }
    Catalog::parse(&text).unwrap()
}

#[test]
fn the_first_rule_that_hits_wins() {
    let catalog = with_models(&[
        ("first", r#"[{ equals = "a" }, { suffix = "-x" }]"#),
        ("second", r#"[{ prefix = "a" }]"#),
        ("third", r#"[{ equals = "ab" }, { equals = "c-x" }, { equals = "d" }]"#),
        ("fourth", r#"[{ contains = "d" }]"#),
    ]);
    for (id, expected) in [
        ("a", Some("p/first")),
        ("ab", Some("p/second")),
        ("a-x", Some("p/first")),
        ("c-x", Some("p/first")),
        ("d", Some("p/third")),
        ("xdx", Some("p/fourth")),
        ("x", None),
    ] {
        assert_eq!(found(&catalog, "p", id).as_deref(), expected, "{id}");
    }
}

#[test]
fn without_a_provider_an_ambiguous_model_is_unknown() {
    let provider = |name: &str| {
        format!(
            "[[provider]]\nname = \"{name}\"\n[[provider.model]]\nname = \"m\"\nmatch = [{{ equals = \"m\" }}]\n\
             [[provider.model.price]]\nid = \"{name}\"\nper_million_tokens = {{ input = \"1\" }}\n"
        )
    };
    let text = format!("version = \"1\"\n{}{}", provider("p"), provider("q"));
    let catalog = Catalog::parse(&text).unwrap();
    assert_eq!(found(&catalog, "", "m"), None);
    assert_eq!(found(&catalog, "q", "m").as_deref(), Some("q/m"));
}

#[test]
fn prices_are_exact_per_token_and_serialise_alike_every_time() {
    let sheet = || {
        let catalog = Catalog::builtin().unwrap();
        catalog.find(&ModelRef::new("openai", "gpt-4o-mini"), at("2026-01-01T00:00:00Z")).unwrap()
    };
    let json = serde_json::to_string(&*sheet()).unwrap();
    assert_eq!(json, serde_json::to_string(&*sheet()).unwrap());
    assert_eq!(
        json,
        r#"{"catalog_version":"2026-11-22","provider_name":"openai","model":"gpt-4o-mini","rates":[{"line":"input_text","usd_per_unit":"0.00000015","price_id":"openai/gpt-4o-mini"},{"line":"output_text","usd_per_unit":"0.0000006","price_id":"openai/gpt-4o-mini"},{"line":{"class":{"class":"cache_read"}},"usd_per_unit":"0.000000075","price_id":"openai/gpt-4o-mini"}],"max_output_tokens":16384}"#
    );
    let read: PriceSheet = serde_json::from_str(&json).unwrap();
    assert_eq!(serde_json::to_string(&read).unwrap(), json);
}

#[test]
fn a_model_that_writes_nothing_has_no_output_to_assume() {
    let catalog = with_models(&[("m", r#"[{ equals = "m" }]"#)]);
    let sheet = catalog.find(&ModelRef::new("p", "m"), at("2026-01-01T00:00:00Z")).unwrap();
    assert_eq!(sheet.max_output_tokens, 0);
}

#[test]
fn broken_catalogs_are_refused() {
    let model = |price: &str| {
        format!(
            "version = \"1\"\n[[provider]]\nname = \"p\"\n[[provider.model]]\nname = \"m\"\n\
             match = [{{ equals = \"m\" }}]\n[[provider.model.price]]\nid = \"x\"\n{price}"
        )
    };
    let refused = [
        "".to_owned(),
        "version = \"\"".to_owned(),
        "version = \"1\"\nfoo = 1".to_owned(),
        "version = \"1\"\n[[provider]]\nname = \"p\"\n[[provider]]\nname = \"q\"\naliases = [\"P\"]".to_owned(),
        "version = \"1\"\n[[provider]]\nname = \"\"".to_owned(),
        model(""),
        model("per_million_tokens = { input = 1 }"),
        model("per_million_tokens = { input = \"-1\" }"),
        model("per_million_tokens = { input = \"1e3\" }"),
        model("per_million_tokens = { input = \"\" }"),
        model("per_million_tokens = { input = \"1000000.1\" }"),
        model("per_million_tokens = { input = \"0.0000000000001\" }"),
        model("per_million_tokens = { web_search = \"1\" }"),
        model("per_unit = { input = \"1\" }"),
        model("per_unit = { \"Web Search\" = \"1\" }"),
        model(
            "per_million_tokens = { input = \"1\" }\n[[provider.model.price]]\nid = \"x\"\nfrom = \"2025-01-01T00:00:00Z\"\nper_unit = { a = \"1\" }",
        ),
        model("per_million_tokens = { input = \"1\" }\n[[provider.model.price]]\nid = \"y\"\nper_unit = { a = \"1\" }"),
        model("per_million_tokens = { input = \"1\" }").replace("equals", "regex"),
        model("per_million_tokens = { input = \"1\" }").replace("equals = \"m\"", "prefix = \"\""),
        model("per_million_tokens = { input = \"1\" }").replace("name = \"p\"", "name = \"p\"\nfree = true"),
    ];
    for text in refused {
        assert!(Catalog::parse(&text).is_err(), "{text}");
    }
    assert!(Catalog::parse(&model("per_million_tokens = { input = \"1\" }")).is_ok());
    assert!(Catalog::parse(&model("per_unit = { page = \"0.002\" }")).is_ok());
}
