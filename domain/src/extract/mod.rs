//! From a provider's own answer to disjoint token classes, once, for callers in every language.
//!
//! A caller sends what its provider sent: the whole answer, the usage object alone, or the events of a stream. What is
//! inside what differs from API to API; here it becomes inclusive totals and disjoint parts (contract, decision 13).
//! A count that is absent stays absent, and counts that contradict each other are refused with their paths.

mod anthropic;
mod api;
mod cache_writes;
mod cohere;
mod converse;
mod counts;
mod cursor;
mod detect;
mod error;
mod framing;
mod gathered;
mod gemini;
mod input;
mod json;
mod media;
mod number;
mod ollama;
mod openai;
mod reading;
mod served;
mod stream;
mod table;
#[cfg(test)]
mod tests;
mod tools;
mod units;

pub use api::known_apis;
pub use error::ExtractError;
pub use served::Served;
pub use stream::StreamExtractor;

use serde::{Deserialize, Serialize};

use crate::amount::Usd;
use crate::price::UnitCount;
use crate::tokens::TokenUsage;

/// Most bytes of an answer, or of one event of a stream.
pub const INPUT_LIMIT: usize = 8 << 20;

/// Most levels of objects and arrays in each other.
pub const NESTING_LIMIT: usize = 127;

/// The tier of an answer whose provider says that it was served in none of the others: it overrides a tier that was asked
/// for, because providers fall back to it under load and bill it.
pub const STANDARD_TIER: &str = "standard";

/// What a provider's answer says about its use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Extraction {
    /// The model that answered, in the provider's words.
    pub model: Option<String>,
    /// The provider's id of the answer.
    pub response_id: Option<String>,
    /// The tier in which it was served: [`STANDARD_TIER`], `batch`, `flex`, `priority`, `fast`, …; absent = not said.
    pub provider_tier: Option<String>,
    /// The region in which it was served, where that has a price of its own.
    pub region: Option<String>,
    /// Its tokens.
    pub usage: TokenUsage,
    /// What it used besides tokens, by name; nothing is listed with a quantity of zero.
    pub units: Vec<UnitCount>,
    /// What is billed as other models and is not in `usage`.
    pub additional: Vec<ModelUsage>,
    /// What the provider says that it costs, in US dollars.
    pub reported_cost: Option<Usd>,
}

/// A part of an answer that another model gave.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModelUsage {
    /// The model, in the provider's words.
    pub model: String,
    /// Its tokens.
    pub usage: TokenUsage,
    /// What it used besides tokens.
    pub units: Vec<UnitCount>,
}

/// Reads the usage of one call from `json`: an answer, its usage object, an array of a stream's events, events one after
/// the other (one a line, for example), or server-sent events. `api` is `provider.flavor`, see [`known_apis`].
///
/// # Errors
/// [`ExtractError`]: an unknown API, JSON that cannot be read, no usage in it, or counts that contradict each other.
pub fn extract(api: &str, json: &[u8]) -> Result<Extraction, ExtractError> {
    let mut stream = StreamExtractor::new(api)?;
    if json.len() > INPUT_LIMIT {
        return Err(ExtractError::TooLarge { limit: INPUT_LIMIT });
    }
    stream.push(json)?;
    stream.finish()
}
