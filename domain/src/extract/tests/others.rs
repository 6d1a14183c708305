//! Cohere, Ollama, Mistral's documents and Cursor.

use super::*;
use crate::tokens::TokenClass;

#[test]
fn cohere_bills_less_than_its_models_read() {
    let usage = r#"{"billed_units":{"input_tokens":191,"output_tokens":646},"tokens":{"input_tokens":846,"output_tokens":649},"cached_tokens":100}"#;
    let answer = format!(r#"{{"id":"x","usage":{usage}}}"#);
    let end = format!(r#"{{"type":"message-end","delta":{{"finish_reason":"COMPLETE","usage":{usage}}}}}"#);
    let meta = format!(r#"{{"response_id":"x","meta":{usage}}}"#);
    let older = format!(r#"{{"event_type":"stream-end","response":{{"response_id":"x","meta":{usage}}}}}"#);
    for text in [usage, &answer, &end, &meta, &older] {
        assert_usage("cohere.chat", text, "input_uncached=191 output_text=646");
        assert_usage("cohere", text, "input_uncached=191 output_text=646");
    }
    assert_usage("cohere.tokens", &answer, "input_uncached=746 cache_read=100 output_text=649");
    assert_usage("cohere.rerank", r#"{"meta":{"billed_units":{"search_units":3}}}"#, "rerank_search=3");
    let embed = r#"{"meta":{"billed_units":{"input_tokens":5,"images":2,"image_tokens":9}}}"#;
    assert_usage("cohere.embeddings", embed, "input_uncached=5 image_in=9 image=2");
    // Compatible endpoints speak as OpenAI does.
    for api in ["cohere", "cohere.chat", "ollama.chat"] {
        let usage = r#"{"usage":{"prompt_tokens":3,"completion_tokens":4}}"#;
        assert_usage(api, usage, "input_uncached=3 output_text=4");
    }
}

#[test]
fn ollama_leaves_out_the_prompt_when_it_was_cached() {
    let usage =
        extracted("ollama.chat", r#"{"model":"llama3.2","done":true,"eval_count":9,"prompt_eval_cached_count":3}"#)
            .usage;
    assert_eq!((usage.total_input, usage.total_output), (None, Some(9)), "absent, not zero");
    assert!(usage.parts.is_empty());
    let stream = r#"{"model":"llama3.2","response":"a","done":false}
        {"model":"llama3.2","response":"","done":true,"prompt_eval_count":20,"prompt_eval_cached_count":15,"eval_count":9}"#;
    assert_usage("ollama.generate", stream, "input_uncached=5 cache_read=15 output_text=9");
    assert_usage("ollama", stream, "input_uncached=5 cache_read=15 output_text=9");
}

#[test]
fn documents_are_billed_by_the_page() {
    let usage = r#"{"pages":[],"model":"mistral-ocr-4-0","usage_info":{"pages_processed":57,"doc_size_bytes":614958}}"#;
    assert_usage("mistral.ocr", usage, "page=57");
    assert_usage("mistral", usage, "page=57");
    assert_usage("mistral.ocr_annotated", usage, "page_annotated=57");
    assert_eq!(extracted("mistral.ocr", usage).usage.total_input, None);
}

#[test]
fn cursor_keeps_the_cache_apart_from_input() {
    let event = r#"{"model":"m","tokenUsage":{"inputTokens":10,"outputTokens":5,"cacheWriteTokens":20,"cacheReadTokens":30,"totalCents":1}}"#;
    assert_usage("cursor.usage-event", event, "input_uncached=10 cache_read=30 cache_write=20 output_text=5");
    assert_eq!(extracted("cursor.usage-event", event).usage.class_tokens(TokenClass::CacheRead), Some(30));
}

#[test]
fn minimax_speaks_as_anthropic_does_unless_it_does_not() {
    let usage = r#"{"input_tokens":10,"cache_read_input_tokens":5,"output_tokens":2,"total_tokens":17}"#;
    assert_usage("minimax", usage, "input_uncached=10 cache_read=5 output_text=2");
    let chat = r#"{"prompt_tokens":10,"prompt_tokens_details":{"cached_tokens":5},"completion_tokens":2}"#;
    assert_usage("minimax", chat, "input_uncached=5 cache_read=5 output_text=2");
}
