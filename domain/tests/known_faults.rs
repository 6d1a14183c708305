//! What public price tables are known to get wrong, and what Tollgate answers: one test for each fault that
//! `domain/catalog/corrections` or the pricing code decides. Faults of reading provider answers are tested where that is
//! done, in `domain::extract`.

#![expect(clippy::unwrap_used, reason = "a test that panics has failed")]

use tollgate_domain::model::ModelRef;
use tollgate_domain::price::{Catalog, Cost, PriceState, UnitCount, price};
use tollgate_domain::tokens::{Side, TokenClass, TokenPart, TokenUsage};

const NOVEMBER: &str = "2026-11-18T12:00:00Z";
const MILLION: u64 = 1_000_000;

/// A million tokens of plain input.
fn input() -> TokenUsage {
    TokenUsage::reported(MILLION, 0)
}

/// A million tokens of plain output.
fn output() -> TokenUsage {
    TokenUsage::reported(0, MILLION)
}

/// Tokens of one class.
fn part(class: TokenClass, tokens: u64, cache_ttl_seconds: Option<u32>) -> TokenUsage {
    let (input, output) = if class.side() == Side::Input { (tokens, 0) } else { (0, tokens) };
    TokenUsage { parts: vec![TokenPart { class, tokens, cache_ttl_seconds }], ..TokenUsage::reported(input, output) }
}

fn cost(model: &ModelRef, time: &str, usage: &TokenUsage, units: &[UnitCount]) -> Cost {
    let sheet = Catalog::builtin().unwrap().find(model, time.parse().unwrap());
    price(Some(usage), units, sheet.as_deref()).unwrap()
}

fn usd(provider: &str, model: &str, time: &str, usage: &TokenUsage) -> String {
    let cost = cost(&ModelRef::new(provider, model), time, usage, &[]);
    assert_eq!(cost.state, PriceState::Priced, "{provider}/{model}");
    cost.usd.to_string()
}

fn usd_in_tier(provider: &str, model: &str, tier: &str, usage: &TokenUsage) -> String {
    let model = ModelRef { provider_tier: tier.into(), ..ModelRef::new(provider, model) };
    cost(&model, NOVEMBER, usage, &[]).usd.to_string()
}

// ---- upstream: genai-prices

#[test]
fn deepseeks_peak_is_on_workdays_only_and_began_in_august() {
    let input = |time| usd("deepseek", "deepseek-v4-pro", time, &input());
    assert_eq!(input("2026-11-20T02:00:00Z"), "1.32", "Friday");
    assert_eq!(input("2026-11-21T02:00:00Z"), "0.66", "Saturday");
    assert_eq!(input("2026-11-20T05:00:00Z"), "0.66", "between the two peaks");
    assert_eq!(input("2026-08-14T02:00:00Z"), "0.435", "before there was a peak");
    assert_eq!(input("2026-10-01T02:00:00Z"), "0.66", "a public holiday of China, a Thursday");
}

#[test]
fn deepseeks_old_names_followed_the_price_cuts() {
    for model in ["deepseek-chat", "deepseek-reasoner"] {
        assert_eq!(usd("deepseek", model, "2026-01-05T12:00:00Z", &input()), "0.28", "{model}");
        assert_eq!(usd("deepseek", model, "2026-01-05T12:00:00Z", &output()), "0.42", "{model}");
    }
}

#[test]
fn bedrock_has_prices_for_regions_that_upstream_does_not_tell_apart() {
    let input = |model| usd("aws", model, NOVEMBER, &input());
    assert_eq!(input("us.amazon.nova-lite-v1:0"), "0.06");
    assert_eq!(input("eu.amazon.nova-lite-v1:0"), "0.078");
    assert_eq!(input("apac.amazon.nova-lite-v1:0"), "0.063");
    assert_eq!(input("us-gov.anthropic.claude-sonnet-5-v1:0"), "2.4", "a fifth above the commercial 2.00");
}

#[test]
fn a_bare_bedrock_id_of_claude_is_regional() {
    assert_eq!(usd("aws", "global.anthropic.claude-haiku-4-5-20251001-v1:0", NOVEMBER, &input()), "1");
    assert_eq!(usd("aws", "anthropic.claude-haiku-4-5-20251001-v1:0", NOVEMBER, &input()), "1.1");
}

#[test]
fn mistrals_latest_names_follow_the_model_behind_them() {
    assert_eq!(usd("mistral", "mistral-large-latest", NOVEMBER, &input()), "0.5");
    assert_eq!(usd("mistral", "mistral-large-latest", "2025-06-01T00:00:00Z", &input()), "2");
}

#[test]
fn long_contexts_of_sonnet_4_5_are_history() {
    let long = TokenUsage::reported(MILLION, 0);
    let short = TokenUsage::reported(200_000, 0);
    assert_eq!(usd("anthropic", "claude-sonnet-4-5", "2025-12-01T00:00:00Z", &long), "6");
    assert_eq!(usd("anthropic", "claude-sonnet-4-5", NOVEMBER, &short), "0.6", "the largest that is left");
}

#[test]
fn azure_has_its_own_prices_for_models_of_others() {
    assert_eq!(usd("azure", "deepseek-v3.2", NOVEMBER, &input()), "0.58");
    // No hours of the day either, which the maker's own list has.
    let at = |time| usd("azure", "deepseek-v4-pro", time, &input());
    assert_eq!(at("2026-11-20T02:00:00Z"), at("2026-11-20T12:00:00Z"));
}

#[test]
fn rates_of_tiers_do_not_leak_to_models_that_are_not_sold_in_them() {
    for model in ["gpt-5.1-codex-max", "gpt-5.1-chat-latest", "gpt-5.2-codex"] {
        let standard = usd("openai", model, NOVEMBER, &input());
        assert_eq!(usd_in_tier("openai", model, "flex", &input()), standard, "{model}");
    }
    assert_eq!(usd_in_tier("openai", "gpt-5.1", "flex", &input()), "0.625");
}

#[test]
fn dated_audio_models_have_audio_rates() {
    let audio = part(TokenClass::AudioIn, MILLION, None);
    assert_eq!(usd("openai", "gpt-4o-audio-preview-2024-12-17", NOVEMBER, &audio), "40");
    let audio = part(TokenClass::AudioOut, MILLION, None);
    assert_eq!(usd("openai", "gpt-4o-mini-audio-preview-2024-12-17", NOVEMBER, &audio), "20");
}

#[test]
fn cached_input_of_fine_tuned_models_is_cheaper() {
    let cached = part(TokenClass::CacheRead, MILLION, None);
    assert_eq!(usd("openai", "ft:gpt-4o-2024-08-06:acme::Ab12Cd", NOVEMBER, &cached), "1.875");
    assert_eq!(usd("openai", "gpt-4o-search-preview", NOVEMBER, &cached), "1.25");
}

#[test]
fn invariant_7_a_class_without_a_rate_is_no_silent_zero() {
    let searches = [UnitCount { unit: "rerank_search".into(), quantity: 3_u32.into() }];
    let cost = cost(&ModelRef::new("openai", "gpt-4o"), NOVEMBER, &input(), &searches);
    assert_eq!((cost.state, cost.usd.to_string().as_str()), (PriceState::Partial, "2.5"));
}

#[test]
fn invariant_7_a_model_whose_price_is_missing_is_not_free() {
    let state = |provider: &str, model: &str| cost(&ModelRef::new(provider, model), NOVEMBER, &input(), &[]).state;
    assert_eq!(state("cerebras", "qwen-3-coder-480b"), PriceState::Unpriced, "listed upstream without any price");
    assert_eq!(state("openrouter", "google/gemma-3-27b-it:free"), PriceState::Free);
    assert_eq!(state("openai", "gpt-17"), PriceState::Unpriced);
    assert_eq!(
        state("ollama", "llama3.2"),
        PriceState::Unpriced,
        "what runs at home is free only if the server says so"
    );
}

#[test]
fn a_request_fee_is_that_of_the_search_context_that_was_used() {
    let nothing = TokenUsage::reported(0, 0);
    let fee = |tier| usd_in_tier("perplexity", "sonar-pro", tier, &nothing);
    assert_eq!(fee(""), "0.006", "the default is the smallest, not the dearest");
    assert_eq!(fee("search_context_medium"), "0.01");
    assert_eq!(fee("search_context_high"), "0.014");
}

// ---- litellm

#[test]
fn prices_in_dollars_are_not_those_in_euros() {
    assert_eq!(usd("ovhcloud", "DeepSeek-R1-Distill-Llama-70B", NOVEMBER, &input()), "0.74");
}

#[test]
fn perplexitys_cached_input_is_cheaper() {
    let cached = part(TokenClass::CacheRead, MILLION, None);
    assert_eq!(usd("perplexity", "perplexity/sonar", NOVEMBER, &cached), "0.0625");
}

#[test]
fn a_batch_writes_its_cache_at_the_rate_of_the_lifetime() {
    let write = |seconds| part(TokenClass::CacheWrite, 100_000, Some(seconds));
    let batch = |seconds| usd_in_tier("anthropic", "claude-sonnet-4-6", "batch", &write(seconds));
    assert_eq!(batch(300), "0.1875", "half of 3.75");
    assert_eq!(batch(3_600), "0.3", "half of 6.00");
}

#[test]
fn cached_images_have_a_rate_of_their_own() {
    let cached = |class| usd("openai", "gpt-image-1.5", NOVEMBER, &part(class, MILLION, None));
    assert_eq!(cached(TokenClass::CacheRead), "1.25");
    assert_eq!(cached(TokenClass::CacheReadImage), "2");
}

#[test]
fn yesterdays_calls_keep_yesterdays_prices_and_retired_models_theirs() {
    assert_eq!(usd("openai", "o3", "2025-06-09T23:59:59Z", &input()), "10");
    assert_eq!(usd("openai", "o3", "2025-06-10T00:00:00Z", &input()), "2");
    assert_eq!(usd("anthropic", "claude-sonnet-4-20250514", NOVEMBER, &TokenUsage::reported(100_000, 0)), "0.3");
}
