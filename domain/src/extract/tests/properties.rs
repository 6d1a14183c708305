//! What holds for whatever is sent.

use proptest::prelude::*;

use super::*;
use crate::extract::{StreamExtractor, known_apis};

/// Any JSON, made of the words that usage objects are made of.
fn json() -> impl Strategy<Value = String> {
    let number = prop_oneof![
        (0_u64..200).prop_map(|number| number.to_string()),
        Just("null".to_owned()),
        Just("-3".to_owned()),
        Just("1e3".to_owned()),
        Just("\"text\"".to_owned()),
        Just("1.5e-300".to_owned()),
    ];
    number.prop_recursive(5, 40, 6, |inner| {
        let fields = proptest::collection::vec((prop::sample::select(WORDS), inner.clone()), 0..6);
        let object = fields.prop_map(|fields| {
            let fields: Vec<String> = fields.iter().map(|(key, value)| format!("\"{key}\":{value}")).collect();
            format!("{{{}}}", fields.join(","))
        });
        let array = proptest::collection::vec(inner, 0..3).prop_map(|items| format!("[{}]", items.join(",")));
        prop_oneof![4 => object, 1 => array]
    })
}

const WORDS: &[&str] = &[
    "usage",
    "response",
    "message",
    "model",
    "id",
    "type",
    "prompt_tokens",
    "completion_tokens",
    "total_tokens",
    "input_tokens",
    "output_tokens",
    "reasoning_tokens",
    "citation_tokens",
    "prompt_tokens_details",
    "input_token_details",
    "output_tokens_details",
    "cached_tokens",
    "cached_tokens_details",
    "cache_write_tokens",
    "audio_tokens",
    "image_tokens",
    "text_tokens",
    "cache_creation",
    "cache_creation_input_tokens",
    "cache_read_input_tokens",
    "ephemeral_5m_input_tokens",
    "iterations",
    "usageMetadata",
    "promptTokenCount",
    "candidatesTokenCount",
    "thoughtsTokenCount",
    "promptTokensDetails",
    "modality",
    "inputTokens",
    "cacheDetails",
    "billed_units",
    "eval_count",
    "candidates",
    "cost",
    "seconds",
    "server_tool_use",
];

fn apis() -> impl Strategy<Value = &'static str> {
    prop::sample::select(known_apis().collect::<Vec<_>>())
}

/// A result in a form that can be compared.
fn told(result: Result<Extraction, ExtractError>) -> Result<Extraction, String> {
    result.map_err(|error| error.to_string())
}

fn streamed(api: &str, bytes: &[u8], cuts: &[usize]) -> Result<Extraction, ExtractError> {
    let mut stream = StreamExtractor::new(api)?;
    let mut rest = bytes;
    for cut in cuts {
        let (piece, after) = rest.split_at(cut % (rest.len() + 1));
        stream.push(piece)?;
        rest = after;
    }
    stream.push(rest)?;
    stream.finish()
}

/// A usage of OpenAI's with parts that may well contradict their wholes.
fn chat_usage() -> impl Strategy<Value = String> {
    (prop::array::uniform10(0_u64..60), 0_u64..200).prop_map(|(n, total)| {
        format!(
            r#"{{"prompt_tokens":{},"completion_tokens":{},"total_tokens":{total},
            "prompt_tokens_details":{{"cached_tokens":{},"cache_write_tokens":{},"audio_tokens":{},"image_tokens":{},
            "cached_tokens_details":{{"audio_tokens":{},"image_tokens":{}}}}},
            "completion_tokens_details":{{"reasoning_tokens":{},"audio_tokens":{}}}}}"#,
            n[0] * 3,
            n[1] * 2,
            n[2],
            n[3],
            n[4],
            n[5],
            n[6] / 3,
            n[7] / 3,
            n[8],
            n[9]
        )
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1024))]

    #[test]
    fn whatever_is_sent_is_valid_or_refused(api in apis(), json in json()) {
        if let Ok(extraction) = extract(api, json.as_bytes()) {
            let valid = extraction.usage.clone().validated("usage");
            prop_assert_eq!(valid.as_ref(), Ok(&extraction.usage));
            for other in &extraction.additional {
                prop_assert!(other.usage.clone().validated("usage").is_ok());
            }
            prop_assert!(extraction.units.iter().all(|count| !count.quantity.is_negative()));
        }
    }

    #[test]
    fn bytes_never_panic(api in apis(), bytes in proptest::collection::vec(any::<u8>(), 0..200), text in "(data: |[{}\\[\\]\",:0-9a-z\\n ])*") {
        let _ = extract(api, &bytes);
        let _ = extract(api, text.as_bytes());
    }

    #[test]
    fn where_a_stream_is_cut_makes_no_difference(
        api in apis(), events in proptest::collection::vec(json(), 1..4), form in 0..3, cuts in proptest::collection::vec(any::<usize>(), 0..6),
    ) {
        let text = match form {
            0 => events.join("\n"),
            1 => format!("[{}]", events.join(" ,\n")),
            _ => events.iter().map(|event| format!("data: {event}\n\n")).collect(),
        };
        let whole = told(extract(api, text.as_bytes()));
        // What stands in the way of reading is quoted as far as it has arrived.
        let pieces = told(streamed(api, text.as_bytes(), &cuts));
        match (&whole, &pieces) {
            (Err(one), Err(two)) if one.starts_with("expected a JSON object") => prop_assert!(two.starts_with("expected a JSON object")),
            _ => prop_assert_eq!(whole, pieces),
        }
    }

    #[test]
    fn no_token_is_lost_or_counted_twice(usage in chat_usage()) {
        let fields: serde_json::Value = serde_json::from_str(&usage).unwrap();
        let field = |pointer: &str| fields.pointer(pointer).and_then(serde_json::Value::as_u64).unwrap();
        let Ok(extraction) = extract("openai.chat", usage.as_bytes()) else { return Ok(()) };
        let usage = extraction.usage;
        prop_assert_eq!(usage.total_input, Some(field("/prompt_tokens")));
        use crate::tokens::TokenClass::{AudioIn, CacheRead, CacheReadAudio, CacheReadImage, CacheWrite, ImageIn, Reasoning};
        let sum = |classes: &[crate::tokens::TokenClass]| classes.iter().filter_map(|class| usage.class_tokens(*class)).sum::<u64>();
        prop_assert_eq!(sum(&[CacheRead, CacheReadAudio, CacheReadImage]), field("/prompt_tokens_details/cached_tokens"));
        prop_assert_eq!(sum(&[CacheWrite]), field("/prompt_tokens_details/cache_write_tokens"));
        prop_assert!(sum(&[AudioIn, CacheReadAudio]) <= field("/prompt_tokens_details/audio_tokens"));
        prop_assert!(sum(&[ImageIn, CacheReadImage]) <= field("/prompt_tokens_details/image_tokens"));
        prop_assert_eq!(sum(&[Reasoning]), field("/completion_tokens_details/reasoning_tokens"));
    }
}
