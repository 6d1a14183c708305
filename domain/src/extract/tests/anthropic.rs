//! Anthropic's messages.

use super::*;
use crate::tokens::TokenClass;

const SPLIT: &str = r#"{"input_tokens":7,"cache_creation_input_tokens":100,"cache_read_input_tokens":50,"output_tokens":9,
    "cache_creation":{"ephemeral_5m_input_tokens":60,"ephemeral_1h_input_tokens":40}}"#;

#[test]
fn cache_is_on_top_of_input_and_a_split_is_not_added_to_its_whole() {
    let expected = "input_uncached=7 cache_read=50 cache_write_5m=60 cache_write_1h=40 output_text=9";
    for api in
        ["anthropic.messages", "anthropic", "aws.anthropic", "azure.anthropic", "google.anthropic", "vertex.messages"]
    {
        assert_usage(api, SPLIT, expected);
    }
    assert_eq!(extracted("anthropic", SPLIT).usage.total_input, Some(157));
}

#[test]
fn what_a_split_leaves_of_its_whole_was_written_for_an_unknown_time() {
    let less = SPLIT.replace("\"ephemeral_1h_input_tokens\":40", "\"ephemeral_1h_input_tokens\":10");
    assert_usage(
        "anthropic",
        &less,
        "input_uncached=7 cache_read=50 cache_write_5m=60 cache_write_1h=10 cache_write=30 output_text=9",
    );
    let more = SPLIT.replace("\"ephemeral_1h_input_tokens\":40", "\"ephemeral_1h_input_tokens\":41");
    assert_eq!(
        refusal("anthropic", &more),
        "`cache_creation.ephemeral_1h_input_tokens + cache_creation.ephemeral_5m_input_tokens` is 101, more than \
         `cache_creation_input_tokens`, 100, of which it is a part"
    );
    let alone = r#"{"input_tokens":1,"cache_creation":{"ephemeral_30m_input_tokens":5},"output_tokens":1}"#;
    assert_usage("anthropic", alone, "input_uncached=1 cache_write_1800s=5 output_text=1");
}

#[test]
fn message_delta_replaces_what_it_names_input_included() {
    let stream = r#"
        {"type":"message_start","message":{"id":"msg_1","model":"claude","usage":{"input_tokens":100,"cache_read_input_tokens":50,
            "cache_creation_input_tokens":10,"cache_creation":{"ephemeral_5m_input_tokens":10,"ephemeral_1h_input_tokens":0},
            "output_tokens":3,"service_tier":"priority"}}}
        {"type":"ping"}
        {"type":"message_delta","delta":{"stop_reason":null},"usage":{"output_tokens":40}}
        {"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{"input_tokens":600,"cache_read_input_tokens":null,
            "output_tokens":90,"output_tokens_details":{"thinking_tokens":30},"server_tool_use":{"web_search_requests":2}}}
        {"type":"message_stop"}"#;
    assert_usage(
        "anthropic.messages",
        stream,
        "input_uncached=600 cache_read=50 cache_write_5m=10 output_text=60 reasoning=30 web_search=2",
    );
    let extraction = extracted("anthropic", stream);
    assert_eq!((extraction.model.as_deref(), extraction.response_id.as_deref()), (Some("claude"), Some("msg_1")));
    assert_eq!(extraction.provider_tier.as_deref(), Some("priority"));
}

#[test]
fn compactions_are_added_and_plain_iterations_are_not() {
    assert_usage(
        "anthropic.messages",
        r#"{"input_tokens":100,"output_tokens":10,"cache_read_input_tokens":5,"iterations":[
            {"type":"compaction","input_tokens":1000,"output_tokens":20,"cache_read_input_tokens":7,
             "cache_creation_input_tokens":30,"cache_creation":{"ephemeral_1h_input_tokens":30}},
            {"type":"message","input_tokens":60,"output_tokens":4},{"type":"message","input_tokens":40,"output_tokens":6}]}"#,
        "input_uncached=1100 cache_read=12 cache_write_1h=30 output_text=30",
    );
}

#[test]
fn an_advisers_iterations_are_another_models() {
    let usage = r#"{"input_tokens":100,"output_tokens":10,"iterations":[
        {"type":"message","input_tokens":100,"output_tokens":10},
        {"type":"advisor_message","model":"claude-opus-5-5","input_tokens":823,"output_tokens":99,"cache_read_input_tokens":1}]}"#;
    assert_usage("anthropic.messages", usage, "input_uncached=100 output_text=10");
    let extraction = extracted("anthropic.messages", usage);
    let [adviser] = extraction.additional.as_slice() else { panic!("{extraction:?}") };
    assert_eq!(adviser.model, "claude-opus-5-5");
    assert_eq!((adviser.usage.total_input, adviser.usage.total_output), (Some(824), Some(99)));
    assert_eq!(adviser.usage.class_tokens(TokenClass::CacheRead), Some(1));
    assert_eq!(
        refusal("anthropic.messages", &usage.replace("\"model\"", "\"name\"")),
        "`iterations[1].model` is missing: it says whom to bill"
    );
}

#[test]
fn tools_of_the_server_are_units_where_they_ran() {
    let usage = |fetches: u64| {
        format!(
            r#"{{"input_tokens":1,"output_tokens":1,"server_tool_use":{{"web_search_requests":4,"web_fetch_requests":{fetches},
                "code_execution_requests":2}}}}"#
        )
    };
    assert_usage("anthropic", &usage(0), "input_uncached=1 output_text=1 web_search=4 code_execution=2");
    assert_usage("anthropic", &usage(1), "input_uncached=1 output_text=1 web_search=4 code_execution=2 web_fetch=1");
    assert!(extracted("anthropic", &usage(0)).units.iter().all(|count| count.unit != "web_fetch"));
}

#[test]
fn speed_tier_and_place_are_context() {
    let context = |fields: &str| {
        let extraction = extracted("anthropic", &format!(r#"{{"input_tokens":1,"output_tokens":1,{fields}}}"#));
        (extraction.provider_tier, extraction.region)
    };
    let named = |text: &str| Some(text.to_owned());
    assert_eq!(
        context(r#""service_tier":"standard","speed":"standard","inference_geo":"global""#),
        (named("standard"), None)
    );
    assert_eq!(context(r#""service_tier":"batch","inference_geo":"us""#), (named("batch"), named("us")));
    assert_eq!(context(r#""service_tier":"standard","speed":"fast""#), (named("fast"), None));
    assert_eq!(context(r#""service_tier":null,"speed":null,"inference_geo":"not_available""#), (None, None));
}

#[test]
fn thinking_is_inside_the_output() {
    let usage = r#"{"usage":{"input_tokens":1,"output_tokens":9,"output_tokens_details":{"thinking_tokens":10}}}"#;
    assert_eq!(
        refusal("anthropic", usage),
        "`usage.output_tokens_details.thinking_tokens` is 10, more than `usage.output_tokens`, 9, of which it is a part"
    );
}

#[test]
fn the_converse_api_is_laid_out_like_it() {
    let usage = r#"{"inputTokens":5,"outputTokens":8,"totalTokens":43,"cacheReadInputTokens":20,"cacheWriteInputTokens":10,
        "cacheDetails":[{"ttl":"1h","inputTokens":4},{"ttl":"5m","inputTokens":5}]}"#;
    let expected = "input_uncached=5 cache_read=20 cache_write_5m=5 cache_write_1h=4 cache_write=1 output_text=8";
    for api in ["aws.converse", "bedrock.converse", "aws.default", "aws", "aws.bedrock"] {
        assert_usage(api, usage, expected);
    }
    let metadata = format!(
        r#"{{"messageStop":{{"stopReason":"end_turn"}}}}{{"metadata":{{"usage":{usage},"metrics":{{"latencyMs":3}}}}}}"#
    );
    assert_usage("aws.converse", &metadata, expected);
    assert_eq!(extracted("aws", usage).usage.reported_total, Some(43));
    let tier = r#"{"usage":{"inputTokens":1},"serviceTier":{"type":"flex"}}"#;
    assert_eq!(extracted("aws", tier).provider_tier.as_deref(), Some("flex"));
    let more = usage.replace("\"inputTokens\":4", "\"inputTokens\":6");
    assert_eq!(
        refusal("aws", &more),
        "`cacheDetails[0].inputTokens + cacheDetails[1].inputTokens` is 11, more than `cacheWriteInputTokens`, 10, of which \
         it is a part"
    );
}
