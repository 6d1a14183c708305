//! Bedrock's Converse, whose stream ends with a metadata event, and what Bedrock adds to invoked models.

use super::cache_writes::{CacheWrites, seconds};
use super::counts::{sum, tokens};
use super::error::ExtractError;
use super::json::Object;
use super::reading::Reading;
use crate::tokens::TokenClass;

/// Reads `usage`: input excludes what the cache holds.
pub(super) fn read(usage: &Object<'_>) -> Result<Reading, ExtractError> {
    let mut reading = Reading::default();
    let counts = &mut reading.counts;
    let fresh = usage.first_count(&["inputTokens", "inputTokenCount"])?;
    let read = usage.first_count(&["cacheReadInputTokens", "cacheReadInputTokenCount"])?;
    let mut split = Vec::new();
    for detail in usage.objects("cacheDetails")? {
        let lifetime = detail.text("ttl").and_then(|ttl| seconds(&ttl));
        split.extend(lifetime.zip(detail.count("inputTokens")?));
    }
    let whole = usage.first_count(&["cacheWriteInputTokens", "cacheWriteInputTokenCount"])?;
    let writes = CacheWrites::new(whole, split)?;
    counts.input = sum([tokens(fresh.as_ref()), tokens(read.as_ref()), writes.tokens()]);
    counts.output = tokens(usage.first_count(&["outputTokens", "outputTokenCount"])?.as_ref());
    counts.total = tokens(usage.first_count(&["totalTokens", "totalTokenCount"])?.as_ref());
    counts.add_if(TokenClass::CacheRead, read.as_ref());
    writes.add_to(counts);
    Ok(reading)
}
