//! Token counts of one call.

use std::time::Duration;

use tollgate_proto::v1::{self, TokenClass, UsageQuality};

use crate::count::{count, wire_duration};

/// Token counts. The two totals are inclusive: cached, audio and reasoning tokens are contained in them. The parts tell how
/// many of them were of which class. A count that the provider did not report stays unset, which differs from 0.
#[derive(Debug, Clone, PartialEq)]
#[must_use = "counts do nothing until they are put into an event"]
pub struct Tokens {
    message: v1::TokenUsage,
}

impl Tokens {
    /// Counts that the provider reported: all input tokens and all output tokens.
    pub fn new(input: u64, output: u64) -> Self {
        Self::unreported().input(input).output(output)
    }

    /// Counts of which the provider reported none so far.
    pub fn unreported() -> Self {
        Self { message: v1::TokenUsage { quality: UsageQuality::Reported.into(), ..Default::default() } }
    }

    /// Nothing is known, as after a stream that broke. With a reservation its last running usage is charged, or else what it
    /// held.
    pub fn unknown() -> Self {
        Self::unreported().quality(UsageQuality::Unknown)
    }

    /// All input tokens, cached ones included.
    pub fn input(mut self, tokens: u64) -> Self {
        self.message.total_input_tokens = Some(count(tokens));
        self
    }

    /// All output tokens, reasoning included.
    pub fn output(mut self, tokens: u64) -> Self {
        self.message.total_output_tokens = Some(count(tokens));
        self
    }

    /// The total that the provider itself stated: kept for reconciliation, never billed.
    pub fn reported_total(mut self, tokens: u64) -> Self {
        self.message.reported_total = Some(count(tokens));
        self
    }

    /// How many of the tokens were of a class. Each class at most once.
    pub fn part(mut self, class: TokenClass, tokens: u64) -> Self {
        let part = v1::TokenPart { token_class: class.into(), tokens: count(tokens), cache_ttl: None };
        self.message.parts.push(part);
        self
    }

    /// How many of the input tokens were written to the prompt cache for a given time to live. Once per time to live.
    pub fn cache_write(mut self, tokens: u64, ttl: Duration) -> Self {
        self.message.parts.push(v1::TokenPart {
            token_class: TokenClass::CacheWrite.into(),
            tokens: count(tokens),
            cache_ttl: Some(wire_duration(ttl)),
        });
        self
    }

    /// How the counts were obtained. Unless set, the provider reported them.
    pub fn quality(mut self, quality: UsageQuality) -> Self {
        self.message.quality = quality.into();
        self
    }
}

impl From<Tokens> for v1::TokenUsage {
    fn from(tokens: Tokens) -> Self {
        tokens.message
    }
}
