//! What the events of one answer said so far: names, tier and the usage seen last.

use std::collections::BTreeMap;

use serde_json::value::RawValue;

use super::Extraction;
use super::api::Api;
use super::error::ExtractError;
use super::gemini::Grounding;
use super::json::Object;
use super::reading::Reading;
use super::tools::ToolCalls;

/// Everything that is kept of an answer.
#[derive(Debug)]
pub(super) struct Gathered {
    api: Api,
    model: Option<String>,
    response_id: Option<String>,
    service_tier: Option<String>,
    usage: Option<KeptUsage>,
    grounding: Grounding,
    tool_calls: ToolCalls,
    /// Answers of the same session that are complete.
    earlier: Option<Reading>,
}

/// The usage object that counts so far.
#[derive(Debug)]
struct KeptUsage {
    response_id: Option<String>,
    path: String,
    fields: BTreeMap<String, Box<RawValue>>,
}

impl Gathered {
    /// Nothing yet.
    pub(super) fn new(api: Api) -> Self {
        Self {
            api,
            model: None,
            response_id: None,
            service_tier: None,
            usage: None,
            grounding: Grounding::default(),
            tool_calls: ToolCalls::default(),
            earlier: None,
        }
    }

    /// Takes one event; an answer that is no stream is a single event.
    pub(super) fn take(&mut self, event: &Object<'_>) -> Result<(), ExtractError> {
        // What was heard is transcribed by a model of its own, which the session does not name.
        if event.is("type", "conversation.item.input_audio_transcription.completed") {
            return Ok(());
        }
        let within = ["response", "message", "result"].map(|key| event.object_if(key));
        let layers: Vec<&Object<'_>> = std::iter::once(event).chain(within.iter().flatten()).collect();
        let response_id =
            layers.iter().find_map(|layer| first_text(layer, &["id", "responseId", "response_id", "generation_id"]));
        let usage = usage_in(event)?;
        let another = self.usage.as_ref().is_some_and(|kept| kept.response_id != response_id);
        if usage.is_some() && self.api.is_session() && another {
            self.close_answer()?;
        }
        replace(&mut self.response_id, response_id.clone());
        replace(
            &mut self.model,
            layers.iter().find_map(|layer| first_text(layer, &["model", "modelVersion", "model_version"])),
        );
        replace(&mut self.service_tier, layers.iter().find_map(|layer| service_tier(layer)));
        for layer in &layers {
            self.grounding.take(layer)?;
            self.tool_calls.take(layer);
        }
        if let Some(usage) = usage {
            // Only Anthropic's message_delta tells what changed; elsewhere each usage is the whole of it.
            self.keep(usage, response_id, event.is("type", "message_delta"));
        }
        Ok(())
    }

    fn keep(&mut self, usage: Object<'_>, response_id: Option<String>, changes_only: bool) {
        let path = usage.path().to_owned();
        match &mut self.usage {
            Some(kept) if changes_only => {
                kept.path = path;
                kept.fields.extend(usage.kept());
            }
            kept => *kept = Some(KeptUsage { response_id, path, fields: usage.kept() }),
        }
    }

    /// What the answers said in sum.
    ///
    /// # Errors
    /// [`ExtractError::NoUsage`] where they said nothing, and what is wrong with what they said.
    pub(super) fn finish(mut self) -> Result<Extraction, ExtractError> {
        self.close_answer()?;
        let no_usage = || ExtractError::NoUsage { api: self.api.name().to_owned() };
        let reading = self.earlier.take().filter(|reading| !reading.is_empty()).ok_or_else(no_usage)?;
        reading.into_extraction(self.model, self.response_id, self.service_tier)
    }

    /// Reads the usage that was seen last and puts it with what came before.
    fn close_answer(&mut self) -> Result<(), ExtractError> {
        let Some(kept) = self.usage.take() else { return Ok(()) };
        let usage = Object::of(kept.path, &kept.fields);
        let tool_calls = std::mem::take(&mut self.tool_calls);
        let shape = self.api.shape(&usage);
        let mut reading = shape.read(&usage, &self.grounding, self.model.as_deref())?;
        tool_calls.add_to(&mut reading.units)?;
        match &mut self.earlier {
            Some(earlier) => earlier.add(reading)?,
            none => *none = Some(reading),
        }
        Ok(())
    }
}

fn replace(kept: &mut Option<String>, newer: Option<String>) {
    if newer.is_some() {
        *kept = newer;
    }
}

fn first_text(layer: &Object<'_>, keys: &[&str]) -> Option<String> {
    keys.iter().find_map(|key| layer.text(key))
}

/// OpenAI and its likes name the tier, Bedrock wraps its name into an object.
fn service_tier(layer: &Object<'_>) -> Option<String> {
    let wrapped = || layer.object_if("serviceTier").and_then(|tier| tier.text("type"));
    first_text(layer, &["service_tier", "serviceTier"]).or_else(wrapped)
}

/// The object with the counts: where APIs put it, or the event itself where that is the usage object alone.
fn usage_in<'a>(event: &Object<'a>) -> Result<Option<Object<'a>>, ExtractError> {
    for key in ["usage", "usageMetadata", "usage_metadata", "usage_info", "tokenUsage"] {
        if let Some(usage) = event.object(key)? {
            return Ok(Some(usage));
        }
    }
    for outer in ["response", "message", "result", "metadata", "delta"] {
        let Some(layer) = event.object_if(outer) else { continue };
        let usage = ["usage", "usageMetadata"].iter().find_map(|key| layer.object_if(key));
        if let Some(usage) = usage.or_else(|| cohere_meta(&layer)) {
            return Ok(Some(usage));
        }
    }
    if let Some(usage) = cohere_meta(event) {
        return Ok(Some(usage));
    }
    // Groq repeats the usage of a stream here, Moonshot gives it with the first choice.
    let repeated = event.object_if("x_groq").and_then(|groq| groq.object_if("usage"));
    let chosen = || event.objects_if("choices").first().and_then(|choice| choice.object_if("usage"));
    if let Some(usage) = repeated.or_else(chosen) {
        return Ok(Some(usage));
    }
    Ok(event.has_any(&COUNTS).then(|| event.clone()))
}

fn cohere_meta<'a>(layer: &Object<'a>) -> Option<Object<'a>> {
    layer.object_if("meta").filter(|meta| meta.has_any(&["billed_units", "tokens"]))
}

/// Fields by which a usage object sent alone is known. Ollama's answers have theirs at the top.
const COUNTS: [&str; 22] = [
    "prompt_tokens",
    "completion_tokens",
    "input_tokens",
    "output_tokens",
    "total_tokens",
    "promptTokenCount",
    "candidatesTokenCount",
    "thoughtsTokenCount",
    "totalTokenCount",
    "inputTokens",
    "outputTokens",
    "inputTokenCount",
    "outputTokenCount",
    "prompt_eval_count",
    "eval_count",
    "billed_units",
    "pages_processed",
    "seconds",
    "billable_audio_seconds",
    "prompt_audio_seconds",
    "cache_read_input_tokens",
    "cost_in_usd_ticks",
];
