//! Gemini, at AI Studio and Vertex.

use super::*;

const MODALITIES: &str = r#"{"promptTokenCount":1000,"cachedContentTokenCount":500,"candidatesTokenCount":50,"thoughtsTokenCount":30,
    "toolUsePromptTokenCount":100,"totalTokenCount":1180,
    "promptTokensDetails":[{"modality":"TEXT","tokenCount":300},{"modality":"AUDIO","tokenCount":400},{"modality":"VIDEO","tokenCount":200},
        {"modality":"DOCUMENT","tokenCount":60},{"modality":"IMAGE","tokenCount":40}],
    "cacheTokensDetails":[{"modality":"TEXT","tokenCount":100},{"modality":"AUDIO","tokenCount":250},{"modality":"VIDEO","tokenCount":100},
        {"modality":"DOCUMENT","tokenCount":50}],
    "toolUsePromptTokensDetails":[{"modality":"TEXT","tokenCount":90},{"modality":"IMAGE","tokenCount":10}],
    "candidatesTokensDetails":[{"modality":"TEXT","tokenCount":20},{"modality":"IMAGE","tokenCount":30}]}"#;

#[test]
fn tools_and_thoughts_come_on_top_and_cached_tokens_off_their_kind() {
    let expected =
        "input_uncached=290 cache_read=100 audio_in=150 cache_read_audio=250 video_in=100 cache_read_video=100
        image_in=60 cache_read_image=50 output_text=20 image_out=30 reasoning=30";
    for api in ["google", "google.generate_content", "gemini.generateContent", "vertex_ai", "gcp.gemini"] {
        assert_usage(api, MODALITIES, expected);
    }
    let usage = extracted("google", MODALITIES).usage;
    assert_eq!((usage.total_input, usage.total_output, usage.reported_total), (Some(1100), Some(80), Some(1180)));
}

#[test]
fn cached_tokens_without_kinds_are_text_as_far_as_there_is_text() {
    assert_usage(
        "google",
        r#"{"promptTokenCount":100,"cachedContentTokenCount":50,"promptTokensDetails":[{"modality":"TEXT","tokenCount":20},
            {"modality":"IMAGE","tokenCount":80}]}"#,
        "cache_read=20 cache_read_image=30 image_in=50",
    );
}

#[test]
fn google_leaves_out_zeros() {
    let thinking =
        extracted("google", r#"{"usageMetadata":{"promptTokenCount":5,"thoughtsTokenCount":7,"totalTokenCount":12}}"#);
    assert_eq!(thinking.usage.total_output, Some(7));
    let blocked = extracted("google", r#"{"usageMetadata":{"promptTokenCount":5,"totalTokenCount":5}}"#);
    assert_eq!(blocked.usage.total_output, None);
}

#[test]
fn thoughts_are_inside_where_the_total_has_no_room_for_them() {
    let usage = r#"{"promptTokenCount":10,"candidatesTokenCount":20,"thoughtsTokenCount":15,"totalTokenCount":30}"#;
    assert_usage("google", usage, "input_uncached=10 output_text=5 reasoning=15");
    assert_usage("google", &usage.replace("30}", "45}"), "input_uncached=10 output_text=20 reasoning=15");
}

fn grounded(model: &str, queries: &str, more: &str) -> String {
    format!(
        r#"{{"candidates":[{{"groundingMetadata":{{"webSearchQueries":{queries}}}{more}}}],"modelVersion":"{model}",
            "usageMetadata":{{"promptTokenCount":10,"candidatesTokenCount":5,"toolUsePromptTokenCount":70}}}}"#
    )
}

#[test]
fn searches_are_billed_by_the_query_and_before_gemini_3_by_the_prompt() {
    let queries = r#"["a","b","","a"]"#;
    assert_usage("google", &grounded("gemini-3.8-flash", queries, ""), "input_uncached=10 output_text=5 web_search=2");
    assert_usage("google", &grounded("gemini-2.5-pro", queries, ""), "input_uncached=10 output_text=5 web_search=1");
    // A stream that repeats its grounding searched once.
    let event = grounded("gemini-3.8-flash", queries, "");
    assert_usage("google", &format!("[{event},{event}]"), "input_uncached=10 output_text=5 web_search=2");
}

#[test]
fn the_fee_of_a_search_covers_its_tokens_but_not_those_of_pages_that_were_read() {
    let none = grounded("gemini-3.8-flash", "[]", "");
    assert_usage("google", &none, "input_uncached=80 output_text=5");
    let read = grounded("gemini-3.8-flash", r#"["a"]"#, r#","urlContextMetadata":{"urlMetadata":[]}"#);
    assert_usage("google", &read, "input_uncached=80 output_text=5 web_search=1");
}

#[test]
fn the_tier_follows_the_traffic() {
    let tier = |fields: &str| extracted("google", &format!(r#"{{"promptTokenCount":1,{fields}}}"#)).provider_tier;
    assert_eq!(tier(r#""trafficType":"ON_DEMAND""#).as_deref(), Some("standard"));
    assert_eq!(tier(r#""trafficType":"ON_DEMAND_PRIORITY""#).as_deref(), Some("priority"));
    assert_eq!(tier(r#""trafficType":"ON_DEMAND_FLEX""#).as_deref(), Some("flex"));
    assert_eq!(tier(r#""trafficType":"PROVISIONED_THROUGHPUT""#).as_deref(), Some("provisioned_throughput"));
    assert_eq!(tier(r#""serviceTier":"SERVICE_TIER_FLEX""#).as_deref(), Some("flex"));
    assert_eq!(tier(r#""serviceTier":"standard","trafficType":"ON_DEMAND""#).as_deref(), Some("standard"));
}

#[test]
fn a_kind_larger_than_the_prompt_is_refused() {
    let usage =
        r#"{"usageMetadata":{"promptTokenCount":10,"promptTokensDetails":[{"modality":"AUDIO","tokenCount":11}]}}"#;
    assert_eq!(
        refusal("google", usage),
        "`usageMetadata.promptTokensDetails[0].tokenCount` is 11, more than `usageMetadata.promptTokenCount`, 10, of which it \
         is a part"
    );
}
