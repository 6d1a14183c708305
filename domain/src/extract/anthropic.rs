//! Anthropic's messages, direct, at Google, at Azure and through Bedrock's invoke.

use super::ModelUsage;
use super::cache_writes::{CacheWrites, by_named_lifetime};
use super::counts::{Counts, check_within, sum, tokens};
use super::error::ExtractError;
use super::json::Object;
use super::reading::Reading;
use super::units::{CODE_EXECUTION, Units, WEB_FETCH, WEB_SEARCH};
use crate::tokens::TokenClass;

/// Reads `usage`: input excludes what the cache holds, thinking is inside the output.
pub(super) fn read(usage: &Object<'_>) -> Result<Reading, ExtractError> {
    let mut reading = Reading { counts: read_counts(usage)?, ..Reading::default() };
    reading.units.read(
        usage.object("server_tool_use")?.as_ref(),
        &[
            ("web_search_requests", WEB_SEARCH),
            ("web_fetch_requests", WEB_FETCH),
            ("code_execution_requests", CODE_EXECUTION),
        ],
    )?;
    read_iterations(usage, &mut reading)?;
    let fast = usage.text("speed").filter(|speed| speed != "standard");
    reading.provider_tier = fast.or_else(|| usage.text("service_tier"));
    reading.region = usage.text("inference_geo").filter(|region| region != "global" && region != "not_available");
    Ok(reading)
}

fn read_counts(usage: &Object<'_>) -> Result<Counts, ExtractError> {
    let mut counts = Counts::default();
    let fresh = usage.count("input_tokens")?;
    let read = usage.count("cache_read_input_tokens")?;
    let writes = CacheWrites::new(
        usage.count("cache_creation_input_tokens")?,
        by_named_lifetime(usage.object("cache_creation")?.as_ref())?,
    )?;
    counts.input = sum([tokens(fresh.as_ref()), tokens(read.as_ref()), writes.tokens()]);
    counts.add_if(TokenClass::CacheRead, read.as_ref());
    writes.add_to(&mut counts);

    let output = usage.count("output_tokens")?;
    counts.output = tokens(output.as_ref());
    let details = usage.object("output_tokens_details")?;
    let thinking = details.map_or(Ok(None), |details| details.first_count(&["thinking_tokens", "reasoning_tokens"]))?;
    if let Some(output) = output {
        check_within(&output, [thinking.as_ref()])?;
        counts.add_if(TokenClass::Reasoning, thinking.as_ref());
    }
    Ok(counts)
}

/// The top level sums up the plain iterations. Compactions of the context come on top of it, and an adviser is another
/// model with a price of its own.
fn read_iterations(usage: &Object<'_>, reading: &mut Reading) -> Result<(), ExtractError> {
    for iteration in usage.objects("iterations")? {
        match iteration.text("type").as_deref() {
            Some("compaction") => reading.counts.add_all(&read_counts(&iteration)?),
            Some("advisor_message") => {
                let model = iteration.text("model");
                let model = model.ok_or_else(|| ExtractError::Missing { path: iteration.path_of("model") })?;
                let usage = read_counts(&iteration)?.into_usage()?;
                reading.additional.push(ModelUsage { model, usage, units: Units::default().into_counts() });
            }
            _ => {}
        }
    }
    Ok(())
}
