//! OpenAI and those who speak like it.

use super::*;
use crate::extract::STANDARD_TIER;
use crate::tokens::TokenClass;

#[test]
fn rejected_predictions_are_inside_the_output() {
    assert_usage(
        "openai.chat",
        r#"{"prompt_tokens":10,"completion_tokens":50,"completion_tokens_details":{"reasoning_tokens":5,
            "accepted_prediction_tokens":7,"rejected_prediction_tokens":20}}"#,
        "input_uncached=10 output_text=45 reasoning=5",
    );
}

#[test]
fn absent_is_not_zero_and_zero_is_a_part() {
    let zero = extracted("openai.chat", r#"{"prompt_tokens":0,"prompt_tokens_details":{"cached_tokens":0}}"#);
    assert_eq!((zero.usage.total_input, zero.usage.total_output), (Some(0), None));
    assert_eq!(zero.usage.class_tokens(TokenClass::CacheRead), Some(0));
    let absent = extracted("openai.chat", r#"{"prompt_tokens":5,"prompt_tokens_details":{"cached_tokens":null}}"#);
    assert_eq!(absent.usage.class_tokens(TokenClass::CacheRead), None);
    let null = extracted("openai.chat", r#"{"prompt_tokens":5,"completion_tokens":1,"prompt_tokens_details":null}"#);
    assert!(null.usage.parts.is_empty());
}

#[test]
fn the_total_tells_where_reasoning_is_counted() {
    let usage = |total: u64| {
        format!(
            r#"{{"prompt_tokens":100,"completion_tokens":30,"total_tokens":{total},
                "completion_tokens_details":{{"reasoning_tokens":20}}}}"#
        )
    };
    assert_usage("google.chat", &usage(130), "input_uncached=100 output_text=10 reasoning=20");
    assert_usage("google.chat", &usage(150), "input_uncached=100 output_text=30 reasoning=20");
    // A total that fits neither is kept and changes nothing.
    assert_usage("google.chat", &usage(999), "input_uncached=100 output_text=10 reasoning=20");
    assert_eq!(extracted("google.chat", &usage(999)).usage.reported_total, Some(999));
    // xAI's own rules go first: outside for chat, inside for responses.
    assert_usage("xai.chat", &usage(130), "input_uncached=100 output_text=30 reasoning=20");
    let responses =
        r#"{"input_tokens":100,"output_tokens":30,"total_tokens":150,"output_tokens_details":{"reasoning_tokens":20}}"#;
    assert_usage("xai.responses", responses, "input_uncached=100 output_text=10 reasoning=20");
    assert_usage("xai", responses, "input_uncached=100 output_text=10 reasoning=20");
    assert_usage("xai", &usage(150), "input_uncached=100 output_text=30 reasoning=20");
}

#[test]
fn cached_audio_and_images_of_realtime_come_off_their_kind() {
    assert_usage(
        "openai.realtime",
        r#"{"type":"response.done","response":{"id":"resp_1","model":"gpt-realtime","usage":{"total_tokens":1300,
            "input_tokens":1000,"output_tokens":300,
            "input_token_details":{"text_tokens":300,"audio_tokens":600,"image_tokens":100,"cached_tokens":450,
                "cached_tokens_details":{"text_tokens":100,"audio_tokens":300,"image_tokens":50}},
            "output_token_details":{"text_tokens":60,"audio_tokens":240}}}}"#,
        "input_uncached=200 cache_read=100 audio_in=300 cache_read_audio=300 image_in=50 cache_read_image=50
         output_text=60 audio_out=240",
    );
}

#[test]
fn a_realtime_session_adds_up_its_answers_once_each() {
    let done = |id: &str, input: u64| {
        format!(
            r#"{{"type":"response.created","response":{{"id":"{id}","usage":null}}}}
               {{"type":"response.done","response":{{"id":"{id}","usage":{{"input_tokens":{input},"output_tokens":1}}}}}}"#
        )
    };
    let heard = r#"{"type":"conversation.item.input_audio_transcription.completed","usage":{"type":"tokens","input_tokens":7}}"#;
    let session = format!("{}\n{heard}\n{}\n{}", done("a", 10), done("b", 20), done("b", 20));
    assert_usage("openai.realtime", &session, "input_uncached=30 output_text=2");
}

#[test]
fn realtime_without_a_whole_is_the_sum_of_its_kinds() {
    assert_usage(
        "azure.realtime",
        r#"{"usage":{"input_token_details":{"text_tokens":20,"audio_tokens":80},"output_token_details":{"text_tokens":5,"audio_tokens":15}}}"#,
        "input_uncached=20 audio_in=80 output_text=5 audio_out=15",
    );
}

#[test]
fn cached_tokens_beyond_the_text_are_of_another_kind() {
    // 60 of 80 cached tokens fit into the text; 20 must have been images.
    assert_usage(
        "xai.chat",
        r#"{"prompt_tokens":100,"completion_tokens":1,"prompt_tokens_details":{"image_tokens":40,"cached_tokens":80}}"#,
        "cache_read=60 image_in=20 cache_read_image=20 output_text=1",
    );
    assert_usage(
        "openai.chat",
        r#"{"prompt_tokens":100,"completion_tokens":1,
            "prompt_tokens_details":{"audio_tokens":90,"cached_tokens":30,"cache_write_tokens":70}}"#,
        "cache_read_audio=30 cache_write=70 output_text=1",
    );
}

#[test]
fn cache_writes_may_live_for_any_time() {
    assert_usage(
        "openai.responses",
        r#"{"input_tokens":1000,"output_tokens":1,"input_tokens_details":{"cached_tokens":100,"cache_write_tokens":500,
            "cache_write_30m_tokens":200,"cache_write_12h_tokens":250}}"#,
        "input_uncached=400 cache_read=100 cache_write_1800s=200 cache_write_43200s=250 cache_write=50 output_text=1",
    );
}

#[test]
fn deepseek_counts_a_cache_hit_once() {
    let both = r#"{"prompt_tokens":100,"completion_tokens":1,"prompt_cache_hit_tokens":60,"prompt_cache_miss_tokens":40,
        "prompt_tokens_details":{"cached_tokens":60}}"#;
    assert_usage("deepseek.chat", both, "input_uncached=40 cache_read=60 output_text=1");
    let alone = r#"{"prompt_tokens":100,"completion_tokens":1,"prompt_cache_hit_tokens":60}"#;
    assert_usage("deepseek.chat", alone, "input_uncached=40 cache_read=60 output_text=1");
    let detail = r#"{"prompt_tokens":100,"completion_tokens":1,"prompt_tokens_details":{"cached_tokens":60}}"#;
    assert_usage("deepseek.chat", detail, "input_uncached=40 cache_read=60 output_text=1");
}

#[test]
fn perplexity_counts_reasoning_and_citations_on_top_of_output_and_total() {
    let legacy = r#"{"usage":{"prompt_tokens":10,"completion_tokens":20,"total_tokens":30,"citation_tokens":7,"reasoning_tokens":5,
        "num_search_queries":3,"cost":{"input_tokens_cost":0.00001,"total_cost":0.0123}}}"#;
    assert_usage("perplexity.chat", legacy, "input_uncached=10 output_text=20 reasoning=5 citation=7 web_search=3");
    let extraction = extracted("perplexity", legacy);
    assert_eq!((extraction.usage.total_output, extraction.usage.reported_total), (Some(32), Some(30)));
    assert_eq!(extraction.reported_cost.unwrap().to_string(), "0.0123");
    let responses = r#"{"usage":{"input_tokens":100,"output_tokens":20,"total_tokens":120,
        "input_tokens_details":{"cache_read_input_tokens":40,"cache_creation_input_tokens":10},
        "output_tokens_details":{"reasoning_tokens":5},"tool_calls_details":{"search_web":{"invocation":2}}}}"#;
    let expected = "input_uncached=50 cache_read=40 cache_write=10 output_text=15 reasoning=5 web_search=2";
    assert_usage("perplexity.responses", responses, expected);
    assert_usage("perplexity", responses, expected);
}

#[test]
fn xai_bills_tools_by_the_call_and_states_its_cost_in_ticks() {
    let usage = r#"{"usage":{"input_tokens":13181,"output_tokens":4005,"num_sources_used":0,"cost_in_usd_ticks":482631500,
        "server_side_tool_usage_details":{"web_search_calls":2,"x_search_calls":5,"code_interpreter_calls":1,"file_search_calls":3,
        "mcp_calls":9}},"output":[{"type":"web_search_call","status":"completed"}]}"#;
    let expected =
        "input_uncached=13181 output_text=4005 web_search=2 social_search=5 code_execution=1 storage_search=3";
    assert_usage("x-ai.responses", usage, expected);
    assert_eq!(extracted("xai.responses", usage).reported_cost.unwrap().to_string(), "0.04826315");
    assert_usage("xai.chat", r#"{"prompt_tokens":1,"num_sources_used":4}"#, "input_uncached=1 search_source=4");
    let voice = r#"{"input_tokens":0,"output_tokens":0,"billable_audio_seconds":12.5,"input_text_messages":3}"#;
    assert_usage("xai.realtime", voice, "audio_second=12.5 text_message=3");
}

#[test]
fn searches_that_an_answer_lists_are_billed_by_the_call() {
    let answer = r#"{"id":"resp_1","usage":{"input_tokens":9,"output_tokens":1},"output":[
        {"type":"web_search_call","status":"completed","action":{"type":"search","query":"q"}},
        {"type":"web_search_call","status":"completed","action":{"type":"open_page","url":"u"}},
        {"type":"web_search_call","status":"failed","action":{"type":"search","query":"q"}},
        {"type":"file_search_call","status":"completed"},{"type":"message"}]}"#;
    assert_usage("openai.responses", answer, "input_uncached=9 output_text=1 web_search=1 storage_search=1");
    // The last event of a stream lists all of its output again.
    let stream = format!(
        r#"{{"type":"response.in_progress","response":{answer}}}{{"type":"response.completed","response":{answer}}}"#
    );
    assert_usage("openai.responses", &stream, "input_uncached=9 output_text=1 web_search=1 storage_search=1");
}

#[test]
fn a_reported_cost_is_dollars_only_where_that_is_known() {
    let usage = r#"{"prompt_tokens":1,"completion_tokens":1,"cost":1.77e-2}"#;
    assert_eq!(extracted("openrouter.chat", usage).reported_cost.unwrap().to_string(), "0.0177");
    assert_eq!(extracted("openrouter", usage).reported_cost.unwrap().to_string(), "0.0177");
    assert_eq!(extracted("together.chat", usage).reported_cost, None);
    // Seventeen digits of a float are sixteen of money.
    let precise = r#"{"prompt_tokens":1,"cost":0.1234567890125000000000001}"#;
    assert_eq!(extracted("openrouter.chat", precise).reported_cost.unwrap().to_string(), "0.123456789013");
}

#[test]
fn groq_and_moonshot_repeat_the_usage_of_a_stream() {
    let chunks = r#"{"id":"c","model":"m","choices":[],"x_groq":{"id":"req_1","usage":{"prompt_tokens":5,"completion_tokens":2}}}"#;
    assert_usage("groq.chat", chunks, "input_uncached=5 output_text=2");
    let both = r#"{"id":"c","usage":{"prompt_tokens":5,"completion_tokens":2},"x_groq":{"usage":{"prompt_tokens":5,"completion_tokens":2}}}"#;
    assert_usage("groq.chat", &format!("{chunks}\n{both}"), "input_uncached=5 output_text=2");
    let chosen = r#"{"id":"c","choices":[{"index":0,"usage":{"prompt_tokens":5,"completion_tokens":2}}]}"#;
    assert_usage("moonshotai.chat", chosen, "input_uncached=5 output_text=2");
}

#[test]
fn transcriptions_are_billed_by_the_second_or_by_tokens() {
    let seconds = r#"{"text":"..","usage":{"type":"duration","seconds":2118}}"#;
    assert_usage("openai.transcription", seconds, "audio_second_in=2118");
    let tokens = r#"{"usage":{"type":"tokens","input_tokens":30,"output_tokens":9,"total_tokens":39,
        "input_token_details":{"text_tokens":10,"audio_tokens":20}}}"#;
    assert_usage("openai.transcription", tokens, "input_uncached=10 audio_in=20 output_text=9");
    assert_usage("openai.live", r#"{"usage":{"type":"duration","seconds":1.5}}"#, "audio_second=1.5");
    let voxtral =
        r#"{"usage":{"prompt_audio_seconds":203,"prompt_tokens":4,"total_tokens":3264,"completion_tokens":635}}"#;
    assert_usage("mistral.chat", voxtral, "input_uncached=4 output_text=635 audio_second_in=203");
}

#[test]
fn embeddings_have_no_output() {
    let voyage =
        extracted("voyageai.embeddings", r#"{"object":"list","usage":{"total_tokens":10},"model":"voyage-4"}"#);
    assert_eq!((voyage.usage.total_input, voyage.usage.total_output), (Some(10), None));
    let mistral = r#"{"usage":{"prompt_tokens":15,"total_tokens":15,"completion_tokens":0}}"#;
    assert_eq!(extracted("mistral.embeddings", mistral).usage.total_output, None);
}

#[test]
fn cached_tokens_are_found_under_each_name() {
    for (api, usage) in [
        (
            "databricks.chat",
            r#"{"prompt_tokens":9,"completion_tokens":4,"cache_read_input_tokens":5,"reasoning_tokens":1}"#,
        ),
        (
            "anthropic.chat",
            r#"{"prompt_tokens":9,"completion_tokens":4,"cached_tokens":5,"completion_tokens_details":{"reasoning_tokens":1}}"#,
        ),
        (
            "modal.chat",
            r#"{"prompt_tokens":9,"completion_tokens":4,"prompt_tokens_details":{"cached_tokens":5},"reasoning_tokens":1}"#,
        ),
    ] {
        assert_usage(api, usage, "input_uncached=4 cache_read=5 output_text=3 reasoning=1");
    }
    let xai = r#"{"prompt_tokens":9,"completion_tokens":4,"cached_prompt_text_tokens":5,"reasoning_tokens":1}"#;
    assert_usage("x-ai.default", xai, "input_uncached=4 cache_read=5 output_text=4 reasoning=1");
}

#[test]
fn cloudflare_wraps_its_result() {
    let wrapped = r#"{"result":{"model":"@cf/m","response":"..","usage":{"prompt_tokens":3,"completion_tokens":2}},"success":true}"#;
    assert_usage("cloudflare", wrapped, "input_uncached=3 output_text=2");
    assert_eq!(extracted("cloudflare", wrapped).model.as_deref(), Some("@cf/m"));
}

#[test]
fn the_standard_tier_is_told_from_one_that_is_not_said() {
    let answer =
        |tier: &str| format!(r#"{{"id":"c","model":"m","service_tier":{tier},"usage":{{"prompt_tokens":1}}}}"#);
    for tier in ["null", "\"auto\"", "\"\"", "3"] {
        assert_eq!(extracted("openai.chat", &answer(tier)).provider_tier, None, "{tier}");
    }
    for tier in ["\"default\"", "\"standard\"", "\"on_demand\""] {
        let said = extracted("openai.chat", &answer(tier)).provider_tier;
        assert_eq!(said.as_deref(), Some(STANDARD_TIER), "{tier}");
    }
    let flex = extracted("openai.chat", &answer("\"Flex\""));
    assert_eq!(flex.provider_tier.as_deref(), Some("flex"));
    assert_eq!((flex.model.as_deref(), flex.response_id.as_deref()), (Some("m"), Some("c")));
}
