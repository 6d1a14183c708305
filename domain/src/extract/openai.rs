//! OpenAI's chat and responses, embeddings, images and transcriptions, and the many APIs that speak like them.
//!
//! Input includes what was cached, output includes reasoning; details take them apart. Names differ a little from
//! provider to provider and are tried in turn, as each name has one meaning wherever it is used.

use super::cache_writes::{CacheWrites, by_named_lifetime};
use super::counts::{Counts, check_within, sum, tokens};
use super::error::ExtractError;
use super::input::{InclusiveInput, Modality};
use super::json::{Count, Object};
use super::reading::Reading;
use super::tools;
use crate::tokens::TokenClass;

/// Whether reasoning is inside the output that a provider reports.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reasoning {
    /// It is.
    Inside,
    /// It is not.
    Outside,
    /// Its total tells; inside where that tells nothing.
    ByTotal,
}

/// What sets an API of this family apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct OpenAiRules {
    /// Where reasoning is counted.
    pub reasoning: Reasoning,
    /// Whether `usage.cost` is in US dollars.
    pub cost_in_dollars: bool,
    /// Whether there is no output, so that a lone total is the input.
    pub input_only: bool,
}

impl OpenAiRules {
    /// Text generation by providers that follow OpenAI.
    pub(super) const GENERATION: Self =
        Self { reasoning: Reasoning::ByTotal, cost_in_dollars: false, input_only: false };
    /// Generation whose reasoning is always inside the output.
    pub(super) const REASONING_INSIDE: Self = Self { reasoning: Reasoning::Inside, ..Self::GENERATION };
    /// Generation whose reasoning comes on top of the output.
    pub(super) const REASONING_OUTSIDE: Self = Self { reasoning: Reasoning::Outside, ..Self::GENERATION };
    /// Generation by a gateway that says what it charged.
    pub(super) const WITH_COST: Self = Self { cost_in_dollars: true, ..Self::GENERATION };
    /// Embeddings and rankings.
    pub(super) const EMBEDDINGS: Self = Self { input_only: true, ..Self::GENERATION };
}

/// Reads a usage object of this family.
pub(super) fn read(usage: &Object<'_>, rules: OpenAiRules) -> Result<Reading, ExtractError> {
    let mut reading = Reading::default();
    let total = usage.count("total_tokens")?;
    reading.counts.total = tokens(total.as_ref());
    let input = input_of(usage, rules.input_only.then_some(total.as_ref()).flatten())?;
    reading.counts.input = tokens(input.whole.as_ref());
    read_output(usage, rules, &mut reading.counts)?;
    input.add_to(&mut reading.counts)?;
    tools::read_units(usage, &mut reading.units)?;
    reading.reported_cost = tools::reported_cost(usage, rules.cost_in_dollars)?;
    Ok(reading)
}

const INPUT_DETAILS: [&str; 3] = ["prompt_tokens_details", "input_tokens_details", "input_token_details"];
const OUTPUT_DETAILS: [&str; 3] = ["completion_tokens_details", "output_tokens_details", "output_token_details"];

fn input_of(usage: &Object<'_>, lone_total: Option<&Count>) -> Result<InclusiveInput, ExtractError> {
    let details = usage.first_object(&INPUT_DETAILS)?;
    let detail = |keys: &[&str]| details.as_ref().map_or(Ok(None), |details| details.first_count(keys));
    let cached = details.as_ref().map_or(Ok(None), |details| details.object("cached_tokens_details"))?;
    let cached_of = |key: &str| cached.as_ref().map_or(Ok(None), |cached| cached.count(key));
    let modality = |key: &str| Ok::<_, ExtractError>(Modality { all: detail(&[key])?, cached: cached_of(key)? });
    let (audio, image, video) = (modality("audio_tokens")?, modality("image_tokens")?, modality("video_tokens")?);
    let whole = usage.first_count(&["prompt_tokens", "input_tokens"])?.or_else(|| lone_total.cloned());
    let whole = match whole {
        // Realtime sessions may leave out the whole and give its kinds alone.
        None => detail(&["text_tokens"])?.map(|text| Count {
            tokens: sum([Some(text.tokens), tokens(audio.all.as_ref()), tokens(image.all.as_ref())])
                .unwrap_or_default(),
            path: text.path,
        }),
        whole => whole,
    };
    Ok(InclusiveInput {
        whole,
        cache_read: cache_read(usage, details.as_ref())?,
        cache_writes: cache_writes(usage, details.as_ref())?,
        audio,
        image,
        video,
    })
}

/// The cached tokens under the one name that is there: some providers repeat them under a second.
fn cache_read(usage: &Object<'_>, details: Option<&Object<'_>>) -> Result<Option<Count>, ExtractError> {
    // DeepSeek's own name, which its compatible servers may give alone.
    if let Some(hit) = usage.count("prompt_cache_hit_tokens")? {
        return Ok(Some(hit));
    }
    let detail =
        details.map_or(Ok(None), |details| details.first_count(&["cached_tokens", "cache_read_input_tokens"]))?;
    let top = || usage.first_count(&["cached_tokens", "cache_read_input_tokens", "cached_prompt_text_tokens"]);
    detail.map_or_else(top, |detail| Ok(Some(detail)))
}

fn cache_writes(usage: &Object<'_>, details: Option<&Object<'_>>) -> Result<CacheWrites, ExtractError> {
    const NAMES: [&str; 3] = ["cache_write_tokens", "cache_creation_tokens", "cache_creation_input_tokens"];
    const SPLITS: [&str; 3] = ["cache_creation_token_details", "cache_creation", "cache_write_tokens_details"];
    let detail = details.map_or(Ok(None), |details| details.first_count(&NAMES))?;
    let whole = detail.map_or_else(|| usage.first_count(&NAMES), |detail| Ok(Some(detail)))?;
    let mut split = by_named_lifetime(details)?;
    for layer in [details, Some(usage)].into_iter().flatten() {
        if split.is_empty() {
            split = by_named_lifetime(layer.first_object(&SPLITS)?.as_ref())?;
        }
    }
    CacheWrites::new(whole, split)
}

fn read_output(usage: &Object<'_>, rules: OpenAiRules, counts: &mut Counts) -> Result<(), ExtractError> {
    let details = usage.first_object(&OUTPUT_DETAILS)?;
    let detail = |key: &str| details.as_ref().map_or(Ok(None), |details| details.count(key));
    let kinds = [
        (TokenClass::AudioOut, detail("audio_tokens")?),
        (TokenClass::ImageOut, detail("image_tokens")?),
        (TokenClass::VideoOut, detail("video_tokens")?),
    ];
    let reasoning =
        detail("reasoning_tokens")?.map_or_else(|| usage.count("reasoning_tokens"), |count| Ok(Some(count)))?;
    let citation = usage.count("citation_tokens")?;
    let whole = match usage.first_count(&["completion_tokens", "output_tokens"])? {
        None => detail("text_tokens")?.map(|text| Count {
            tokens: sum(kinds.iter().map(|(_, kind)| tokens(kind.as_ref())).chain([Some(text.tokens)]))
                .unwrap_or_default(),
            path: text.path,
        }),
        whole => whole,
    };
    let Some(whole) = whole.filter(|_| !rules.input_only) else { return Ok(()) };

    let inside = match rules.reasoning {
        Reasoning::Inside => true,
        Reasoning::Outside => false,
        Reasoning::ByTotal => !is_outside(counts, whole.tokens, tokens(reasoning.as_ref())),
    };
    let kinds_inside = kinds.iter().map(|(_, kind)| kind.as_ref());
    check_within(&whole, kinds_inside.chain([reasoning.as_ref().filter(|_| inside)]))?;
    let outside = tokens(reasoning.as_ref().filter(|_| !inside));
    // Only Perplexity counts citations, and always on top.
    counts.output = sum([Some(whole.tokens), outside, tokens(citation.as_ref())]);
    counts.add_if(TokenClass::Reasoning, reasoning.as_ref());
    counts.add_if(TokenClass::Citation, citation.as_ref());
    for (class, kind) in &kinds {
        counts.add_if(*class, kind.as_ref());
    }
    Ok(())
}

/// Whether the provider's total needs the reasoning on top of input and output.
fn is_outside(counts: &Counts, output: u64, reasoning: Option<u64>) -> bool {
    let (Some(input), Some(total), Some(reasoning)) = (counts.input, counts.total, reasoning) else { return false };
    reasoning > 0 && input + output + reasoning == total
}
