//! Ollama's own API.

use super::counts::tokens;
use super::error::ExtractError;
use super::input::InclusiveInput;
use super::json::Object;
use super::reading::Reading;

/// Reads the counts at the top of an answer. Servers that leave out `prompt_eval_count` when the prompt was cached did
/// not report the input: it stays absent.
pub(super) fn read(answer: &Object<'_>) -> Result<Reading, ExtractError> {
    let mut reading = Reading::default();
    let input = InclusiveInput {
        whole: answer.count("prompt_eval_count")?,
        cache_read: answer.count("prompt_eval_cached_count")?,
        ..InclusiveInput::default()
    };
    reading.counts.input = tokens(input.whole.as_ref());
    reading.counts.output = tokens(answer.count("eval_count")?.as_ref());
    input.add_to(&mut reading.counts)?;
    Ok(reading)
}
