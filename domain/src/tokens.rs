//! Token counts of one call: inclusive totals and disjoint parts (contract, decision 13).

use std::fmt::Display;

use serde::{Deserialize, Serialize};

use crate::violation::{Violation, Violations};

/// Most tokens that one count may carry.
pub const TOKENS_LIMIT: u64 = 1_000_000_000;

/// Longest text whose tokens are estimated, in characters.
pub const CHARACTERS_LIMIT: u64 = 3 * TOKENS_LIMIT;

/// An estimate of the tokens of a text of so many characters: one for every three, rounded up, which is on the safe side
/// for English.
pub const fn tokens_of_characters(characters: u64) -> u64 {
    characters.div_ceil(3)
}

/// Most parts that one usage may carry.
pub const PARTS_LIMIT: usize = 32;

/// Which side of the call a token class belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// What the model read.
    Input,
    /// What the model wrote.
    Output,
}

/// A disjoint part of one side. What no part names is plain text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TokenClass {
    /// Text read from a prompt cache.
    CacheRead,
    /// Text written to a prompt cache.
    CacheWrite,
    /// Audio input, not cached.
    AudioIn,
    /// Image input, not cached.
    ImageIn,
    /// Video input, not cached.
    VideoIn,
    /// Audio read from a prompt cache.
    CacheReadAudio,
    /// Images read from a prompt cache.
    CacheReadImage,
    /// Video read from a prompt cache.
    CacheReadVideo,
    /// Tool results and definitions that the provider counts apart.
    ToolIn,
    /// Reasoning (thinking) output.
    Reasoning,
    /// Audio output.
    AudioOut,
    /// Image output.
    ImageOut,
    /// Video output.
    VideoOut,
    /// Citation output.
    Citation,
}

impl TokenClass {
    /// Every class, in a fixed order.
    pub const ALL: [Self; 14] = [
        Self::CacheRead,
        Self::CacheWrite,
        Self::AudioIn,
        Self::ImageIn,
        Self::VideoIn,
        Self::CacheReadAudio,
        Self::CacheReadImage,
        Self::CacheReadVideo,
        Self::ToolIn,
        Self::Reasoning,
        Self::AudioOut,
        Self::ImageOut,
        Self::VideoOut,
        Self::Citation,
    ];

    /// Its place in [`Self::ALL`].
    pub const fn index(self) -> usize {
        self as usize
    }

    /// The side that it is a part of.
    pub fn side(self) -> Side {
        match self {
            Self::CacheRead
            | Self::CacheWrite
            | Self::AudioIn
            | Self::ImageIn
            | Self::VideoIn
            | Self::CacheReadAudio
            | Self::CacheReadImage
            | Self::CacheReadVideo
            | Self::ToolIn => Side::Input,
            Self::Reasoning | Self::AudioOut | Self::ImageOut | Self::VideoOut | Self::Citation => Side::Output,
        }
    }

    /// Its name in cost lines and summaries.
    pub fn name(self) -> &'static str {
        match self {
            Self::CacheRead => "cache_read",
            Self::CacheWrite => "cache_write",
            Self::AudioIn => "audio_in",
            Self::ImageIn => "image_in",
            Self::VideoIn => "video_in",
            Self::CacheReadAudio => "cache_read_audio",
            Self::CacheReadImage => "cache_read_image",
            Self::CacheReadVideo => "cache_read_video",
            Self::ToolIn => "tool_in",
            Self::Reasoning => "reasoning",
            Self::AudioOut => "audio_out",
            Self::ImageOut => "image_out",
            Self::VideoOut => "video_out",
            Self::Citation => "citation",
        }
    }
}

/// One class's count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct TokenPart {
    /// The class.
    pub class: TokenClass,
    /// Tokens, at most [`TOKENS_LIMIT`].
    pub tokens: u64,
    /// How long the cache entry lives, in seconds; only for [`TokenClass::CacheWrite`], absent = the provider's default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache_ttl_seconds: Option<u32>,
}

impl TokenPart {
    /// Whether both count the same class and lifetime.
    fn is_of_the_kind_of(&self, other: &Self) -> bool {
        (self.class, self.cache_ttl_seconds) == (other.class, other.cache_ttl_seconds)
    }
}

/// How the counts came about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UsageQuality {
    /// The provider reported them.
    Reported,
    /// The caller counted them with the model's tokenizer.
    Counted,
    /// The caller estimated them.
    Estimated,
    /// Nobody knows: the running usage of the reservation is charged, else what it holds.
    Unknown,
}

/// Validated usage: parts are disjoint and at most their side's total.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenUsage {
    /// All input, cached included; absent = not reported.
    pub total_input: Option<u64>,
    /// All output, reasoning included; absent = not reported.
    pub total_output: Option<u64>,
    /// The provider's own total, for reconciliation.
    pub reported_total: Option<u64>,
    /// Disjoint parts, sorted by class and time to live, one per pair.
    pub parts: Vec<TokenPart>,
    /// How the counts came about.
    pub quality: UsageQuality,
}

impl TokenUsage {
    /// Plain input and output without parts, as the provider reported them.
    pub fn reported(total_input: u64, total_output: u64) -> Self {
        Self {
            total_input: Some(total_input),
            total_output: Some(total_output),
            reported_total: None,
            parts: Vec::new(),
            quality: UsageQuality::Reported,
        }
    }

    /// Checks the rules of decision 13 and sorts the parts.
    ///
    /// # Errors
    /// Every violation, with field paths below `path`.
    pub fn validated(mut self, path: impl Display) -> Result<Self, Vec<Violation>> {
        let mut violations = Violations::new();
        let too_many = format_args!("must be at most {TOKENS_LIMIT}");
        let totals = [
            ("total_input_tokens", self.total_input),
            ("total_output_tokens", self.total_output),
            ("reported_total", self.reported_total),
        ];
        for (name, total) in totals {
            violations.add_if(total.is_some_and(|count| count > TOKENS_LIMIT), format_args!("{path}.{name}"), too_many);
        }
        if self.parts.len() > PARTS_LIMIT {
            violations.add(format_args!("{path}.parts"), format_args!("must have at most {PARTS_LIMIT} entries"));
            return violations.into_result(self);
        }
        for (position, part) in self.parts.iter().enumerate() {
            let field = format_args!("{path}.parts[{position}]");
            violations.add_if(part.tokens > TOKENS_LIMIT, format_args!("{field}.tokens"), too_many);
            violations.add_if(
                part.cache_ttl_seconds.is_some() && part.class != TokenClass::CacheWrite,
                format_args!("{field}.cache_ttl"),
                "may be set for TOKEN_CLASS_CACHE_WRITE only",
            );
            let repeated = self
                .parts
                .iter()
                .take(position)
                .any(|earlier| (earlier.class, earlier.cache_ttl_seconds) == (part.class, part.cache_ttl_seconds));
            violations.add_if(repeated, field, "repeats a token class: add its tokens into one part");
        }
        for (side, name, total) in [
            (Side::Input, "total_input_tokens", self.total_input),
            (Side::Output, "total_output_tokens", self.total_output),
        ] {
            let mut parts = self.parts.iter().filter(|part| part.class.side() == side).peekable();
            if parts.peek().is_none() {
                continue;
            }
            let sum = parts.fold(0_u64, |sum, part| sum.saturating_add(part.tokens));
            let field = format_args!("{path}.{name}");
            match total {
                None => violations.add(field, "must be set when parts of its side are given"),
                Some(total) => violations.add_if(
                    sum > total,
                    field,
                    format_args!("must be at least the sum of its parts, {sum}: it includes them"),
                ),
            }
        }
        self.parts.sort_by_key(|part| (part.class, part.cache_ttl_seconds));
        violations.into_result(self)
    }

    /// The counts of both together. A side that one of them reports is reported.
    pub fn with(&self, other: &Self) -> Self {
        let total = |left: Option<u64>, right: Option<u64>| match (left, right) {
            (Some(left), Some(right)) => Some(left.saturating_add(right)),
            (only, None) | (None, only) => only,
        };
        let mut sum = Self {
            total_input: total(self.total_input, other.total_input),
            total_output: total(self.total_output, other.total_output),
            ..self.clone()
        };
        for part in &other.parts {
            match sum.parts.iter_mut().find(|own| own.is_of_the_kind_of(part)) {
                Some(own) => own.tokens = own.tokens.saturating_add(part.tokens),
                None => sum.parts.push(*part),
            }
        }
        sum.parts.sort_by_key(|part| (part.class, part.cache_ttl_seconds));
        sum
    }

    /// The counts without those of `other`, which they include.
    pub fn without(&self, other: &Self) -> Self {
        let total = |whole: Option<u64>, part: Option<u64>| whole.map(|whole| whole.saturating_sub(part.unwrap_or(0)));
        let mut rest = Self {
            total_input: total(self.total_input, other.total_input),
            total_output: total(self.total_output, other.total_output),
            ..self.clone()
        };
        for part in &other.parts {
            if let Some(own) = rest.parts.iter_mut().find(|own| own.is_of_the_kind_of(part)) {
                own.tokens = own.tokens.saturating_sub(part.tokens);
            }
        }
        rest
    }

    /// Tokens of `class` over all times to live; absent = not reported.
    pub fn class_tokens(&self, class: TokenClass) -> Option<u64> {
        let mut found = self.parts.iter().filter(|part| part.class == class).map(|part| part.tokens).peekable();
        found.peek()?;
        Some(found.fold(0, u64::saturating_add))
    }

    /// What no part of `side` names: plain, uncached text. Absent where the total is.
    pub fn plain_text(&self, side: Side) -> Option<u64> {
        let total = match side {
            Side::Input => self.total_input,
            Side::Output => self.total_output,
        }?;
        let parts = self.parts.iter().filter(|part| part.class.side() == side);
        Some(total.saturating_sub(parts.fold(0, |sum: u64, part| sum.saturating_add(part.tokens))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(class: TokenClass, tokens: u64) -> TokenPart {
        TokenPart { class, tokens, cache_ttl_seconds: None }
    }

    #[test]
    fn decision_13_parts_are_disjoint_and_at_most_the_total() {
        let usage = TokenUsage {
            parts: vec![part(TokenClass::Reasoning, 30), part(TokenClass::CacheRead, 60)],
            ..TokenUsage::reported(100, 40)
        };
        let usage = usage.validated("event.tokens").unwrap();
        assert_eq!(usage.plain_text(Side::Input), Some(40));
        assert_eq!(usage.plain_text(Side::Output), Some(10));
        assert_eq!(usage.class_tokens(TokenClass::AudioIn), None, "absent is not zero");

        let too_many = TokenUsage { parts: vec![part(TokenClass::CacheRead, 101)], ..TokenUsage::reported(100, 40) };
        let violations = too_many.validated("event.tokens").unwrap_err();
        assert_eq!(violations.first().unwrap().field, "event.tokens.total_input_tokens");
    }

    #[test]
    fn a_repeated_class_is_refused_but_for_another_time_to_live() {
        let write = |ttl| TokenPart { class: TokenClass::CacheWrite, tokens: 1, cache_ttl_seconds: ttl };
        let usage = |parts| TokenUsage { parts, ..TokenUsage::reported(10, 1) };
        assert!(usage(vec![write(Some(300)), write(Some(3600))]).validated("t").is_ok());
        assert!(usage(vec![write(Some(300)), write(Some(300))]).validated("t").is_err());
    }

    #[test]
    fn indexes_follow_the_order_of_all() {
        for (position, class) in TokenClass::ALL.into_iter().enumerate() {
            assert_eq!(class.index(), position);
        }
    }
}
