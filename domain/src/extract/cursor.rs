//! Cursor's usage events.

use super::counts::{sum, tokens};
use super::error::ExtractError;
use super::json::Object;
use super::reading::Reading;
use crate::tokens::TokenClass;

/// Reads `tokenUsage`: input excludes what was read from the cache and written to it.
pub(super) fn read(usage: &Object<'_>) -> Result<Reading, ExtractError> {
    let mut reading = Reading::default();
    let counts = &mut reading.counts;
    let [fresh, read, written] =
        [usage.count("inputTokens")?, usage.count("cacheReadTokens")?, usage.count("cacheWriteTokens")?];
    counts.input = sum([fresh.as_ref(), read.as_ref(), written.as_ref()].map(tokens));
    counts.output = tokens(usage.count("outputTokens")?.as_ref());
    counts.add_if(TokenClass::CacheRead, read.as_ref());
    counts.add_if(TokenClass::CacheWrite, written.as_ref());
    Ok(reading)
}
