//! Why a provider's answer cannot be turned into counts.

use thiserror::Error;

use crate::tokens::{PARTS_LIMIT, TOKENS_LIMIT};

/// Bytes of a name or a number that an error repeats.
const QUOTE_BYTES_LIMIT: usize = 64;

/// Why nothing was extracted. Paths are those of the JSON that was sent.
#[derive(Debug, Error)]
pub enum ExtractError {
    /// No API is called so.
    #[error("unknown api `{api}`: send provider.flavor, for example {known}")]
    UnknownApi {
        /// What was asked for.
        api: String,
        /// What may be asked for.
        known: String,
    },
    /// One answer or one event of a stream is longer than [`super::INPUT_LIMIT`].
    #[error("the answer is too large: send at most {limit} bytes, or its usage object alone")]
    TooLarge {
        /// Most bytes.
        limit: usize,
    },
    /// Arrays and objects lie too deep in each other.
    #[error("the JSON is nested too deeply: at most {limit} levels are read")]
    TooDeep {
        /// Most levels.
        limit: usize,
    },
    /// Not UTF-8.
    #[error("the answer is not UTF-8 text: send the JSON as it was received")]
    NotText,
    /// Neither JSON objects nor server-sent events.
    #[error("expected a JSON object, an array of them or server-sent events: send the answer as received")]
    NotJson,
    /// Something that should be a JSON object is no valid one.
    #[error("malformed JSON, send the answer as it was received: {0}")]
    Malformed(serde_json::Error),
    /// The text ends within its first object.
    #[error("the answer ends before its JSON does: send all of it")]
    CutOff,
    /// No usage in what was sent.
    #[error("no usage found for `{api}`: send the whole answer, its usage object, or the stream up to its last event")]
    NoUsage {
        /// The API that was named.
        api: String,
    },
    /// A field is of another JSON type.
    #[error("`{path}` must be {expected}")]
    WrongType {
        /// The field.
        path: String,
        /// What it must be.
        expected: &'static str,
    },
    /// A field that cannot be done without.
    #[error("`{path}` is missing: it says whom to bill")]
    Missing {
        /// The field.
        path: String,
    },
    /// Not a count.
    #[error("`{path}` must be a whole number from 0 to {TOKENS_LIMIT}, not {found}")]
    NotACount {
        /// The field.
        path: String,
        /// What stands there.
        found: String,
    },
    /// Not money or another decimal quantity.
    #[error("`{path}` must be a number from 0 to {TOKENS_LIMIT}, not {found}")]
    NotAnAmount {
        /// The field.
        path: String,
        /// What stands there.
        found: String,
    },
    /// Parts that are more than what they are parts of.
    #[error("`{parts}` is {parts_tokens}, more than `{whole}`, {whole_tokens}, of which it is a part")]
    PartsExceedWhole {
        /// The fields of the parts, joined by ` + `.
        parts: String,
        /// Their sum.
        parts_tokens: u64,
        /// The field of the whole.
        whole: String,
        /// Its tokens.
        whole_tokens: u64,
    },
    /// A sum outgrows what a total may carry.
    #[error("{side} adds up to {tokens} tokens, more than {TOKENS_LIMIT}: check the answer")]
    TooManyTokens {
        /// Which total.
        side: &'static str,
        /// Its sum.
        tokens: u64,
    },
    /// More kinds of tokens than a usage may have.
    #[error("more than {PARTS_LIMIT} kinds of tokens: check the lifetimes of cache writes")]
    TooManyParts,
    /// More distinct items than are remembered.
    #[error("more than {limit} {what}: record the calls one by one")]
    TooMany {
        /// What there are too many of.
        what: &'static str,
        /// How many are read.
        limit: usize,
    },
}

/// A value of the JSON, for a message. Numbers and such are repeated; texts and what holds them are not, as they may be of a prompt
/// or an answer, which no message repeats.
pub(super) fn shown(value: &str) -> String {
    match value.trim_start().chars().next() {
        Some('"') => "a text".to_owned(),
        Some('{') => "an object".to_owned(),
        Some('[') => "a list".to_owned(),
        _ => quoted(value),
    }
}

/// The beginning of `text`, short enough for a message.
pub(super) fn quoted(text: &str) -> String {
    if text.len() <= QUOTE_BYTES_LIMIT {
        return text.to_owned();
    }
    let end = (0..=QUOTE_BYTES_LIMIT).rev().find(|end| text.is_char_boundary(*end)).unwrap_or_default();
    format!("{}…", text.get(..end).unwrap_or_default())
}
