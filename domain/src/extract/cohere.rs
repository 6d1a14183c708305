//! Cohere, which bills less than its models read: the chat template is free.

use super::counts::{sum, tokens};
use super::error::ExtractError;
use super::json::Object;
use super::reading::Reading;
use super::units::{IMAGE, RERANK_SEARCH};
use crate::tokens::TokenClass;

/// Reads what is billed: `billed_units` in `usage` or `meta`, or that object alone.
pub(super) fn read_billed(usage: &Object<'_>) -> Result<Reading, ExtractError> {
    let mut reading = Reading::default();
    let within = usage.object("billed_units")?;
    let billed = within.as_ref().unwrap_or(usage);
    let image = billed.count("image_tokens")?;
    let counts = &mut reading.counts;
    counts.input = sum([tokens(billed.count("input_tokens")?.as_ref()), tokens(image.as_ref())]);
    counts.output = tokens(billed.count("output_tokens")?.as_ref());
    counts.add_if(TokenClass::ImageIn, image.as_ref());
    reading.units.read(Some(billed), &[("search_units", RERANK_SEARCH), ("images", IMAGE)])?;
    Ok(reading)
}

/// Reads what the model saw: `tokens`, with what of it was cached.
pub(super) fn read_tokens(usage: &Object<'_>) -> Result<Reading, ExtractError> {
    let mut reading = Reading::default();
    let within = usage.object("tokens")?;
    let seen = within.as_ref().unwrap_or(usage);
    let input = super::input::InclusiveInput {
        whole: seen.count("input_tokens")?,
        cache_read: usage.count("cached_tokens")?,
        ..super::input::InclusiveInput::default()
    };
    reading.counts.input = tokens(input.whole.as_ref());
    reading.counts.output = tokens(seen.count("output_tokens")?.as_ref());
    input.add_to(&mut reading.counts)?;
    Ok(reading)
}
