//! Google's generateContent, at AI Studio and Vertex.

use std::collections::BTreeSet;

use super::counts::{Counts, check_within, sum, tokens};
use super::error::ExtractError;
use super::input::{InclusiveInput, Modality};
use super::json::{Count, Object};
use super::reading::Reading;
use super::units::WEB_SEARCH;
use crate::digest::Digester;
use crate::tokens::TokenClass;

/// Most distinct searches of one answer.
const QUERIES_LIMIT: usize = 4096;

/// What the answer was grounded on. The events of a stream may repeat it.
#[derive(Debug, Default)]
pub(super) struct Grounding {
    queries: BTreeSet<uuid::Uuid>,
    url_context: bool,
}

impl Grounding {
    /// Takes the candidates of one event.
    pub(super) fn take(&mut self, event: &Object<'_>) -> Result<(), ExtractError> {
        for candidate in event.objects_if("candidates") {
            self.url_context |= candidate.object_if("urlContextMetadata").is_some();
            let Some(grounding) = candidate.object_if("groundingMetadata") else { continue };
            // Empty and repeated queries are not billed.
            let queries = grounding.texts_if("webSearchQueries").into_iter().filter(|query| !query.is_empty());
            self.queries.extend(queries.map(|query| {
                let mut digester = Digester::new();
                digester.field(query);
                digester.finish()
            }));
            if self.queries.len() > QUERIES_LIMIT {
                return Err(ExtractError::TooMany { what: "web searches", limit: QUERIES_LIMIT });
            }
        }
        Ok(())
    }

    /// Searches to bill: each query from Gemini 3 on, each grounded prompt before.
    fn searches(&self, model: Option<&str>) -> u64 {
        let by_prompt = model.is_some_and(|model| ["gemini-1", "gemini-2"].iter().any(|older| model.contains(older)));
        let queries = u64::try_from(self.queries.len()).unwrap_or(u64::MAX);
        if by_prompt { queries.min(1) } else { queries }
    }

    /// Whether tool tokens came from searches alone, whose fee covers them.
    fn covers_tool_tokens(&self) -> bool {
        !self.queries.is_empty() && !self.url_context
    }
}

/// Reads `usageMetadata`: the prompt includes what was cached, tools and thoughts come on top. Zeros are left out by
/// Google, so that a sum is there as soon as one of its terms is.
pub(super) fn read(usage: &Object<'_>, grounding: &Grounding, model: Option<&str>) -> Result<Reading, ExtractError> {
    let mut reading = Reading::default();
    let counts = &mut reading.counts;
    let tools = usage.count("toolUsePromptTokenCount")?;
    counts.total = tokens(usage.count("totalTokenCount")?.as_ref());
    let billed_tools = tools.as_ref().filter(|_| !grounding.covers_tool_tokens());
    let input = input_of(usage, billed_tools)?;
    counts.input = tokens(input.whole.as_ref());
    input.add_to(counts)?;
    let read_in_all = sum([tokens(usage.count("promptTokenCount")?.as_ref()), tokens(tools.as_ref())]);
    read_output(usage, read_in_all.unwrap_or_default(), counts)?;
    reading.units.set_number(WEB_SEARCH, grounding.searches(model))?;
    let traffic = usage.text("trafficType");
    reading.provider_tier = usage.text("serviceTier").or(traffic);
    Ok(reading)
}

/// Prompt and tools, by kind.
fn input_of(usage: &Object<'_>, tools: Option<&Count>) -> Result<InclusiveInput, ExtractError> {
    let prompt = usage.count("promptTokenCount")?;
    let whole = match (prompt, tools) {
        (Some(prompt), Some(tools)) => Some(joined(&prompt, tools)),
        (prompt, tools) => prompt.or_else(|| tools.cloned()),
    };
    let prompt_kinds = usage.objects("promptTokensDetails")?;
    let cached_kinds = usage.objects("cacheTokensDetails")?;
    let tool_kinds = if tools.is_some() { usage.objects("toolUsePromptTokensDetails")? } else { Vec::new() };
    let modality = |names: &[&str]| {
        let prompt = kind_in(&prompt_kinds, names)?;
        let all = match (prompt, kind_in(&tool_kinds, names)?) {
            (Some(prompt), Some(tools)) => Some(joined(&prompt, &tools)),
            (prompt, tools) => prompt.or(tools),
        };
        Ok::<_, ExtractError>(Modality { all, cached: kind_in(&cached_kinds, names)? })
    };
    Ok(InclusiveInput {
        whole,
        cache_read: usage.count("cachedContentTokenCount")?,
        audio: modality(&["AUDIO"])?,
        image: modality(&IMAGES)?,
        video: modality(&["VIDEO"])?,
        ..InclusiveInput::default()
    })
}

/// Pages of documents are read, and billed, as images.
const IMAGES: [&str; 2] = ["IMAGE", "DOCUMENT"];

/// The sum of the entries of a kind.
fn kind_in(details: &[Object<'_>], names: &[&str]) -> Result<Option<Count>, ExtractError> {
    let mut found: Option<Count> = None;
    for detail in details {
        let named = detail.text("modality").is_some_and(|modality| names.contains(&modality.as_str()));
        let Some(count) = detail.count("tokenCount")?.filter(|_| named) else { continue };
        found = Some(match found {
            Some(earlier) => joined(&earlier, &count),
            None => count,
        });
    }
    Ok(found)
}

fn joined(one: &Count, other: &Count) -> Count {
    Count { path: format!("{} + {}", one.path, other.path), tokens: one.tokens.saturating_add(other.tokens) }
}

fn read_output(usage: &Object<'_>, read: u64, counts: &mut Counts) -> Result<(), ExtractError> {
    // Live sessions speak of responses instead of candidates.
    let answered = usage.first_count(&["candidatesTokenCount", "responseTokenCount"])?;
    let thoughts = usage.count("thoughtsTokenCount")?;
    let mut kinds = usage.objects("candidatesTokensDetails")?;
    kinds.extend(usage.objects("responseTokensDetails")?);
    let of_kind = [
        (TokenClass::AudioOut, kind_in(&kinds, &["AUDIO"])?),
        (TokenClass::ImageOut, kind_in(&kinds, &IMAGES)?),
        (TokenClass::VideoOut, kind_in(&kinds, &["VIDEO"])?),
    ];
    counts.output = sum([tokens(answered.as_ref()), tokens(thoughts.as_ref())]);
    if let Some(answered) = &answered {
        let inside =
            thoughts.as_ref().filter(|thoughts| thoughts.tokens > 0 && is_inside(counts, read, answered.tokens));
        if inside.is_some() {
            counts.output = Some(answered.tokens);
        }
        check_within(answered, of_kind.iter().map(|(_, kind)| kind.as_ref()).chain([inside]))?;
        for (class, kind) in &of_kind {
            counts.add_if(*class, kind.as_ref());
        }
    }
    counts.add_if(TokenClass::Reasoning, thoughts.as_ref());
    Ok(())
}

/// Whether the total leaves no room for thoughts on top of what was answered, as compatible servers count.
fn is_inside(counts: &Counts, read: u64, answered: u64) -> bool {
    counts.total.is_some_and(|total| read + answered == total)
}
