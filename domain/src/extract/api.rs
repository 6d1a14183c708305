//! Names of APIs and the shape of usage behind each.

use super::detect::detected_flavor;
use super::error::{ExtractError, quoted};
use super::gemini::Grounding;
use super::json::Object;
use super::openai::OpenAiRules;
use super::reading::Reading;
use super::table::{FLAVOR_ALIASES, GENERIC, PROVIDER_ALIASES, SHAPES};
use super::{anthropic, cohere, converse, cursor, gemini, media, ollama, openai};

/// How an API lays out its usage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    /// OpenAI's, and of all who speak like it.
    OpenAi(OpenAiRules),
    /// Several answers in one session, each laid out as OpenAI's.
    Realtime,
    /// Anthropic's messages.
    Anthropic,
    /// Bedrock's Converse.
    Converse,
    /// Google's generateContent.
    Gemini,
    /// Cohere's billed units.
    CohereBilled,
    /// Cohere's tokens, the chat template included.
    CohereTokens,
    /// Ollama's own.
    Ollama,
    /// Pages of documents.
    Pages,
    /// Pages of documents that are annotated.
    PagesAnnotated,
    /// Seconds of audio, either way.
    AudioSeconds,
    /// xAI's voice sessions.
    XaiVoice,
    /// Cursor's usage events.
    Cursor,
}

impl Shape {
    /// Reads `usage` by the rules of this shape.
    pub(super) fn read(
        self,
        usage: &Object<'_>,
        grounding: &Grounding,
        model: Option<&str>,
    ) -> Result<Reading, ExtractError> {
        match self {
            Self::OpenAi(rules) => openai::read(usage, rules),
            Self::Realtime => openai::read(usage, OpenAiRules::GENERATION),
            Self::Anthropic => anthropic::read(usage),
            Self::Converse => converse::read(usage),
            Self::Gemini => gemini::read(usage, grounding, model),
            Self::CohereBilled => cohere::read_billed(usage),
            Self::CohereTokens => cohere::read_tokens(usage),
            Self::Ollama => ollama::read(usage),
            Self::Pages => media::read_pages(usage, super::units::PAGE),
            Self::PagesAnnotated => media::read_pages(usage, super::units::PAGE_ANNOTATED),
            Self::AudioSeconds => media::read_audio_seconds(usage),
            Self::XaiVoice => media::read_xai_voice(usage),
            Self::Cursor => cursor::read(usage),
        }
    }

    /// Whether both are laid out alike, whatever their rules.
    fn is_like(self, other: Self) -> bool {
        std::mem::discriminant(&self) == std::mem::discriminant(&other)
    }
}

/// A known API.
#[derive(Debug, Clone)]
pub(super) struct Api {
    name: String,
    provider: String,
    shape: Shape,
    /// Whether the name leaves the shape open, so that an unmistakable usage object decides.
    open: bool,
}

impl Api {
    /// Finds `name`, which is `provider.flavor` or a provider alone, in any case and under the names that are about.
    ///
    /// # Errors
    /// [`ExtractError::UnknownApi`].
    pub(super) fn named(name: &str) -> Result<Self, ExtractError> {
        let lower = name.trim().to_ascii_lowercase();
        let (provider, flavor) = parts(&lower);
        if provider.is_empty() || provider.len() > 64 {
            return Err(unknown(name, &provider));
        }
        let default = || (flavor == DEFAULT).then(|| first_shape(&provider))?;
        let shape = shape_of(&provider, &flavor).or_else(default).ok_or_else(|| unknown(name, &provider))?;
        // Ollama and Cohere offer their chats in OpenAI's shape, too.
        let open = flavor == DEFAULT || matches!(shape, Shape::Ollama | Shape::CohereBilled);
        Ok(Self { name: lower, provider, shape, open })
    }

    /// The name that was asked for, in lower case.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Whether one stream carries several answers that add up.
    pub(super) fn is_session(&self) -> bool {
        self.shape == Shape::Realtime
    }

    /// The shape by which to read `usage`.
    pub(super) fn shape(&self, usage: &Object<'_>) -> Shape {
        let detected = if self.open { detected_flavor(usage) } else { None };
        let Some((flavor, meant)) = detected.and_then(|flavor| generic(flavor).map(|meant| (flavor, meant))) else {
            return self.shape;
        };
        let own = shape_of(&self.provider, flavor).filter(|shape| shape.is_like(meant)).unwrap_or(meant);
        // The default knows more of its own kind than what was detected, such as where xAI and Perplexity count reasoning
        // in chats; responses have rules of their own.
        if self.shape.is_like(own) && flavor != "responses" { self.shape } else { own }
    }
}

/// Every API that has a shape of its own, as `provider.flavor`. Other providers are read as `provider.chat`,
/// `provider.responses`, `provider.embeddings` or `provider.messages`.
pub fn known_apis() -> impl Iterator<Item = &'static str> {
    SHAPES.iter().map(|(name, _)| *name)
}

const DEFAULT: &str = "default";

/// Provider and flavor of a name, both by the names that [`SHAPES`] uses.
fn parts(lower: &str) -> (String, String) {
    let whole = provider_named(lower);
    if whole != lower || provider_is_known(whole) {
        return (whole.to_owned(), DEFAULT.to_owned());
    }
    // A flavor may contain a dot (`chat.completions`), and so may a provider (`azure.ai.openai`).
    for (at, _) in lower.match_indices('.') {
        let (provider, flavor) = (lower.get(..at).unwrap_or_default(), lower.get(at + 1..).unwrap_or_default());
        let canonical = provider_named(provider);
        if shape_of(canonical, flavor_named(flavor)).is_some() || flavor == DEFAULT {
            return (canonical.to_owned(), flavor_named(flavor).to_owned());
        }
    }
    let (provider, flavor) = lower.rsplit_once('.').unwrap_or((lower, ""));
    (provider_named(provider).to_owned(), flavor_named(flavor).to_owned())
}

fn provider_named(name: &str) -> &str {
    PROVIDER_ALIASES.iter().find(|(alias, _)| *alias == name).map_or(name, |(_, provider)| provider)
}

fn flavor_named(name: &str) -> &str {
    FLAVOR_ALIASES.iter().find(|(alias, _)| *alias == name).map_or(name, |(_, flavor)| flavor)
}

fn provider_is_known(provider: &str) -> bool {
    !provider.is_empty() && flavors_of(provider).next().is_some()
}

fn flavors_of(provider: &str) -> impl Iterator<Item = (&'static str, Shape)> {
    SHAPES.iter().filter_map(move |(name, shape)| {
        let flavor = name.strip_prefix(provider)?.strip_prefix('.')?;
        Some((flavor, *shape))
    })
}

/// The shape of a flavor: the provider's own, else what all mean by it.
fn shape_of(provider: &str, flavor: &str) -> Option<Shape> {
    let own = flavors_of(provider).find(|(known, _)| *known == flavor);
    own.map(|(_, shape)| shape).or_else(|| generic(flavor))
}

/// What all mean by a flavor.
fn generic(flavor: &str) -> Option<Shape> {
    GENERIC.iter().find(|(known, _)| *known == flavor).map(|(_, shape)| *shape)
}

fn first_shape(provider: &str) -> Option<Shape> {
    flavors_of(provider).next().map(|(_, shape)| shape)
}

fn unknown(name: &str, provider: &str) -> ExtractError {
    let own: Vec<String> = flavors_of(provider).map(|(flavor, _)| format!("{provider}.{flavor}")).collect();
    let generic = || {
        let mut known = vec!["openai.chat", "openai.responses", "anthropic.messages", "aws.converse"];
        known.extend(["google.generate_content", "PROVIDER.chat", "PROVIDER.responses", "PROVIDER.embeddings"]);
        known.iter().map(|name| (*name).to_owned()).collect()
    };
    let known = if own.is_empty() { generic() } else { own };
    ExtractError::UnknownApi { api: quoted(name), known: known.join(", ") }
}
