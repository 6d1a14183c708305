//! Streams, and where they are cut.

use super::*;
use crate::extract::StreamExtractor;

fn streamed(api: &str, pieces: &[&[u8]]) -> Result<Extraction, ExtractError> {
    let mut stream = StreamExtractor::new(api)?;
    for piece in pieces {
        stream.push(piece)?;
    }
    stream.finish()
}

const RESPONSES: &str = "\u{feff}event: response.created\r\ndata: {\"type\":\"response.created\",\"response\":{\"id\":\"r\",\"usage\":null}}\r\n\r\n\
    : a comment with { in it\r\n\r\nid: 7\r\nretry: 10\r\n\
    data: {\"type\":\"response.completed\",\r\ndata: \"response\":{\"id\":\"r\",\"model\":\"m\u{fc}\",\"usage\":{\"input_tokens\":9,\r\n\
    data: \"output_tokens\":4}}}\r\n\r\ndata: [DONE]\r\n";

#[test]
fn an_event_may_take_several_lines_and_a_stream_any_pieces() {
    let whole = extracted("openai.responses", RESPONSES);
    assert_eq!((whole.usage.total_input, whole.usage.total_output), (Some(9), Some(4)));
    assert_eq!((whole.model.as_deref(), whole.response_id.as_deref()), (Some("mü"), Some("r")));
    let bytes = RESPONSES.as_bytes();
    for cut in 0..=bytes.len() {
        let (one, two) = bytes.split_at(cut);
        assert_eq!(streamed("openai.responses", &[one, two]).unwrap(), whole, "cut at {cut}");
    }
    let single: Vec<&[u8]> = bytes.chunks(1).collect();
    assert_eq!(streamed("openai.responses", &single).unwrap(), whole);
}

#[test]
fn a_stream_that_breaks_off_keeps_what_it_said() {
    let events = [
        r#"{"usageMetadata":{"promptTokenCount":7,"candidatesTokenCount":1}}"#,
        r#"{"usageMetadata":{"promptTokenCount":7,"candidatesTokenCount":3}}"#,
    ];
    let array = format!("[{}\n,{}]", events[0], events[1]);
    let sent = format!("data: {}\n\ndata: {}\n\n", events[0], events[1]);
    for (text, first, last) in [(&array, 1, 3), (&sent, 1, 3)] {
        let cut = text.len() - 10;
        let usage = streamed("google", &[&text.as_bytes()[..cut]]).unwrap().usage;
        assert_eq!(usage.total_output, Some(first), "{text}");
        assert_eq!(streamed("google", &[text.as_bytes()]).unwrap().usage.total_output, Some(last));
    }
    // The last line of a stream may come without its end.
    assert_eq!(streamed("google", &[sent.trim_end().as_bytes()]).unwrap().usage.total_output, Some(3));
    assert!(matches!(streamed("google", &[&array.as_bytes()[..20]]), Err(ExtractError::CutOff)));
    let started = r#"data: {"type":"message_start","message":{"usage":{"input_tokens":5,"output_tokens":1}}}"#;
    assert_eq!(streamed("anthropic", &[started.as_bytes()]).unwrap().usage.total_input, Some(5));
}

#[test]
fn events_without_blank_lines_between_are_events() {
    let lines = "data: {\"choices\":[],\"usage\":null}\ndata: {\"usage\":{\"prompt_tokens\":3}}\ndata: [DONE]";
    assert_usage("openai.chat", lines, "input_uncached=3");
}

#[test]
fn usage_that_is_repeated_counts_once() {
    let chunk = |tokens: u64| format!(r#"{{"id":"c","usage":{{"prompt_tokens":5,"completion_tokens":{tokens}}}}}"#);
    let chunks = format!("{}\n{}\n{}", chunk(1), chunk(2), chunk(3));
    assert_usage("vllm.chat", &chunks, "input_uncached=5 output_text=3");
}
