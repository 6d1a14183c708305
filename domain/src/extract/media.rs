//! What is billed by the page, by the second or by the message.

use super::error::ExtractError;
use super::json::Object;
use super::openai::{self, OpenAiRules};
use super::reading::Reading;
use super::units::{AUDIO_SECOND, TEXT_MESSAGE};

/// Mistral's reading of documents: pages, plain or annotated, never both for one page.
pub(super) fn read_pages(usage: &Object<'_>, unit: &'static str) -> Result<Reading, ExtractError> {
    let mut reading = Reading::default();
    reading.units.read(Some(usage), &[("pages_processed", unit)])?;
    Ok(reading)
}

/// OpenAI's live audio: seconds, whoever speaks.
pub(super) fn read_audio_seconds(usage: &Object<'_>) -> Result<Reading, ExtractError> {
    let mut reading = Reading::default();
    reading.units.set(AUDIO_SECOND, usage.quantity("seconds")?);
    Ok(reading)
}

/// xAI's voice: seconds and messages besides tokens.
pub(super) fn read_xai_voice(usage: &Object<'_>) -> Result<Reading, ExtractError> {
    let mut reading = openai::read(usage, OpenAiRules::REASONING_INSIDE)?;
    reading.units.set(AUDIO_SECOND, usage.quantity("billable_audio_seconds")?);
    reading.units.read(Some(usage), &[("input_text_messages", TEXT_MESSAGE)])?;
    Ok(reading)
}
