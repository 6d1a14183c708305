//! What is refused, and how it is said.

use super::*;
use crate::extract::{INPUT_LIMIT, StreamExtractor};

#[test]
fn counts_are_whole_numbers_from_zero() {
    for (count, found) in [
        ("-1", "-1"),
        ("1.5", "1.5"),
        ("\"12\"", "a text"),
        ("true", "true"),
        ("[1]", "a list"),
        ("{\"prompt\":1}", "an object"),
        ("1000000001", "1000000001"),
        ("1e400", "1e400"),
    ] {
        let usage = format!(r#"{{"usage":{{"prompt_tokens":{count}}}}}"#);
        let expected = format!("`usage.prompt_tokens` must be a whole number from 0 to 1000000000, not {found}");
        assert_eq!(refusal("openai.chat", &usage), expected);
    }
    assert_usage(
        "openai.chat",
        r#"{"prompt_tokens":12.0,"completion_tokens":1e1}"#,
        "input_uncached=12 output_text=10",
    );
}

#[test]
fn parts_beyond_their_whole_name_both() {
    let details =
        r#"{"usage":{"prompt_tokens":10,"prompt_tokens_details":{"cached_tokens":6,"cache_write_tokens":5}}}"#;
    assert_eq!(
        refusal("openai.chat", details),
        "`usage.prompt_tokens_details.cached_tokens + usage.prompt_tokens_details.cache_write_tokens` is 11, more than \
         `usage.prompt_tokens`, 10, of which it is a part"
    );
    let reasoning =
        r#"{"usage":{"completion_tokens":10,"completion_tokens_details":{"reasoning_tokens":8,"audio_tokens":3}}}"#;
    assert_eq!(
        refusal("openai.chat", reasoning),
        "`usage.completion_tokens_details.audio_tokens + usage.completion_tokens_details.reasoning_tokens` is 11, more than \
         `usage.completion_tokens`, 10, of which it is a part"
    );
    let cached = r#"{"usage":{"input_tokens":100,"input_token_details":{"audio_tokens":10,"cached_tokens":20,
        "cached_tokens_details":{"audio_tokens":11}}}}"#;
    assert_eq!(
        refusal("openai.realtime", cached),
        "`usage.input_token_details.cached_tokens_details.audio_tokens` is 11, more than \
         `usage.input_token_details.audio_tokens`, 10, of which it is a part"
    );
}

#[test]
fn sums_stay_within_what_a_total_may_carry() {
    let usage = r#"{"input_tokens":1000000000,"cache_read_input_tokens":1,"output_tokens":1}"#;
    let expected = "input adds up to 1000000001 tokens, more than 1000000000: check the answer";
    assert_eq!(refusal("anthropic", usage), expected);
    let lifetimes: Vec<String> = (1..=33).map(|minutes| format!(r#""ephemeral_{minutes}m_input_tokens":1"#)).collect();
    let usage = format!(r#"{{"input_tokens":1,"cache_creation":{{{}}}}}"#, lifetimes.join(","));
    assert_eq!(refusal("anthropic", &usage), "more than 32 kinds of tokens: check the lifetimes of cache writes");
}

#[test]
fn an_answer_without_usage_is_no_usage_of_zero() {
    let expected =
        "no usage found for `openai.chat`: send the whole answer, its usage object, or the stream up to its last event";
    for text in [
        "",
        " \n",
        "{}",
        "[]",
        r#"{"usage":null}"#,
        r#"{"usage":{}}"#,
        "data: [DONE]\n\n",
        ": ping\n\n",
        r#"{"id":"x"}{"id":"x"}"#,
    ] {
        assert_eq!(refusal("openai.chat", text), expected, "{text}");
    }
}

#[test]
fn what_is_no_answer_is_refused() {
    let not_json = "expected a JSON object, an array of them or server-sent events: send the answer as received";
    for text in ["hello\nworld\n", "[1]", "{} 3", "[{}] {}"] {
        assert_eq!(refusal("openai.chat", text), not_json, "{text}");
    }
    assert_eq!(
        refusal("openai.chat", r#"{"usage":{"prompt_tokens":1}"#),
        "the answer ends before its JSON does: send all of it"
    );
    for (text, reason) in [
        ("{]", "key must be a string at line 1 column 2"),
        (r#"{"a":}"#, "expected value at line 1 column 6"),
        (r#"{"usage":{"prompt_tokens":01}}"#, "invalid number at line 1 column 28"),
        ("data: {\"a\" 1}\n\n", "expected `:` at line 1 column 6"),
        (r#"{"a":"\x"}"#, "invalid escape at line 1 column 8"),
    ] {
        let expected = format!("malformed JSON, send the answer as it was received: {reason}");
        assert_eq!(refusal("openai.chat", text), expected, "{text}");
    }
    let fields: String = (0..1025).map(|number| format!("\"{number}\":1,")).collect();
    let many = format!("{{{fields}\"usage\":{{}}}}");
    assert!(refusal("openai.chat", &many).contains("an object has more than 1024 fields"));
    assert_eq!(refusal("openai.chat", r#"{"usage":7}"#), "`usage` must be an object");
    let iterations = r#"{"usage":{"input_tokens":1,"iterations":[{},7]}}"#;
    assert_eq!(refusal("anthropic", iterations), "`usage.iterations[1]` must be an object");
    let cost = r#"{"usage":{"prompt_tokens":1,"cost":-0.5}}"#;
    assert_eq!(refusal("openrouter.chat", cost), "`usage.cost` must be a number from 0 to 1000000000, not -0.5");
    let text = extract("openai.chat", b"{\"id\":\"\xff\"}").unwrap_err().to_string();
    assert_eq!(text, "the answer is not UTF-8 text: send the JSON as it was received");
}

#[test]
fn nesting_has_a_bound() {
    let nested = |levels: usize| {
        format!(r#"{{"usage":{{"prompt_tokens":1}},"a":{}{}}}"#, "[".repeat(levels), "]".repeat(levels))
    };
    assert_usage("openai.chat", &nested(126), "input_uncached=1");
    let expected = "the JSON is nested too deeply: at most 127 levels are read";
    assert_eq!(refusal("openai.chat", &nested(127)), expected);
    assert_eq!(refusal("openai.chat", &nested(1_000_000)), expected);
    // Brackets in text are text.
    assert_usage("openai.chat", &format!(r#"{{"prompt_tokens":1,"a":"\"{}"}}"#, "[".repeat(500)), "input_uncached=1");
}

#[test]
fn size_has_a_bound() {
    let padded = |bytes: usize| {
        let frame = r#"{"usage":{"prompt_tokens":1},"a":""}"#;
        frame.replace("\"\"", &format!("\"{}\"", "x".repeat(bytes - frame.len())))
    };
    assert_usage("openai.chat", &padded(INPUT_LIMIT), "input_uncached=1");
    let expected = "the answer is too large: send at most 8388608 bytes, or its usage object alone";
    assert_eq!(refusal("openai.chat", &padded(INPUT_LIMIT + 1)), expected);
    for start in ["{\"a\":\"", "data: "] {
        let mut stream = StreamExtractor::new("openai.chat").unwrap();
        stream.push(start.as_bytes()).unwrap();
        let piece = vec![b'x'; 1 << 20];
        let error = (0..9).find_map(|_| stream.push(&piece).err()).unwrap();
        assert_eq!(error.to_string(), expected);
    }
}

#[test]
fn names_that_no_provider_gives_are_left_out() {
    let long = "m".repeat(257);
    let answer = format!(r#"{{"id":7,"model":"{long}","usage":{{"prompt_tokens":1}}}}"#);
    let extraction = extracted("openai.chat", &answer);
    assert_eq!((extraction.model, extraction.response_id), (None, None));
}
