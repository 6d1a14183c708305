//! Which flavor a usage object is of, where the caller left that open.

use super::json::Object;

/// Fields that only one flavor has, the plainest first.
const MARKS: [(&[&str], &str); 9] = [
    (&["promptTokenCount", "candidatesTokenCount", "totalTokenCount", "thoughtsTokenCount"], "generate_content"),
    (&["inputTokens", "outputTokens", "inputTokenCount", "outputTokenCount"], "converse"),
    (&["prompt_eval_count", "eval_count"], "ollama"),
    (&["billed_units"], "billed_units"),
    (&["pages_processed"], "ocr"),
    (&["prompt_tokens", "completion_tokens"], "chat"),
    (&["cache_creation_input_tokens", "cache_read_input_tokens", "cache_creation", "server_tool_use"], "messages"),
    (&["input_tokens_details", "input_token_details", "total_tokens"], "responses"),
    (&["seconds"], "transcription"),
];

/// The flavor, where the fields leave no doubt.
pub(super) fn detected_flavor(usage: &Object<'_>) -> Option<&'static str> {
    MARKS.iter().find(|(fields, _)| usage.has_any(fields)).map(|(_, flavor)| *flavor)
}
