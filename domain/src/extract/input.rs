//! Splits one side's input, whose cached tokens are inside, into disjoint parts.

use super::cache_writes::CacheWrites;
use super::counts::{Counts, check_within, sum, tokens};
use super::error::ExtractError;
use super::json::Count;
use crate::tokens::TokenClass;

/// One kind of input that is not text.
#[derive(Debug, Default)]
pub(super) struct Modality {
    /// All of it, cached included.
    pub all: Option<Count>,
    /// What of it was read from the cache.
    pub cached: Option<Count>,
}

/// Input as OpenAI and Google report it: a whole that includes all that follows.
#[derive(Debug, Default)]
pub(super) struct InclusiveInput {
    /// All input.
    pub whole: Option<Count>,
    /// What was read from the cache, of any kind.
    pub cache_read: Option<Count>,
    /// What was written to the cache.
    pub cache_writes: CacheWrites,
    /// Audio.
    pub audio: Modality,
    /// Images and documents.
    pub image: Modality,
    /// Video.
    pub video: Modality,
}

/// One kind of input while it is split.
struct Split {
    fresh_class: TokenClass,
    cached_class: TokenClass,
    fresh: u64,
    cached: u64,
    fresh_reported: bool,
    cached_reported: bool,
}

impl InclusiveInput {
    /// Adds the disjoint parts to `counts`. Without a whole there are none: parts of an unknown whole say nothing.
    ///
    /// # Errors
    /// [`ExtractError::PartsExceedWhole`].
    pub(super) fn add_to(self, counts: &mut Counts) -> Result<(), ExtractError> {
        let Some(whole) = &self.whole else { return Ok(()) };
        self.check(whole)?;
        let mut kinds = self.kinds();
        let cached_kinds = sum(kinds.iter().map(|kind| Some(kind.cached))).unwrap_or_default();
        let mut text_read = tokens(self.cache_read.as_ref()).unwrap_or_default().saturating_sub(cached_kinds);
        let mut text_written = self.cache_writes.tokens().unwrap_or_default();
        let fresh_kinds = sum(kinds.iter().map(|kind| Some(kind.fresh))).unwrap_or_default();
        // Where a provider does not say of what kind cached tokens are, they are text, as far as there is text. What goes
        // beyond must be of another kind, as the whole includes both.
        let mut overlap = (fresh_kinds + cached_kinds + text_read + text_written).saturating_sub(whole.tokens);
        for kind in &mut kinds {
            let read = overlap.min(kind.fresh).min(text_read);
            kind.cached += read;
            text_read -= read;
            let written = (overlap - read).min(kind.fresh - read).min(text_written);
            text_written -= written;
            kind.fresh -= read + written;
            overlap -= read + written;
        }
        if self.cache_read.is_some() {
            counts.add(TokenClass::CacheRead, text_read);
        }
        for kind in kinds {
            if kind.fresh_reported {
                counts.add(kind.fresh_class, kind.fresh);
            }
            if kind.cached_reported || kind.cached > 0 {
                counts.add(kind.cached_class, kind.cached);
            }
        }
        self.cache_writes.add_to(counts);
        Ok(())
    }

    fn check(&self, whole: &Count) -> Result<(), ExtractError> {
        for kind in [&self.audio, &self.image, &self.video] {
            if let (Some(all), cached) = (&kind.all, kind.cached.as_ref()) {
                check_within(all, [cached])?;
            }
        }
        if let Some(read) = &self.cache_read {
            check_within(read, [&self.audio, &self.image, &self.video].map(|kind| kind.cached.as_ref()))?;
        }
        let kinds = [&self.audio, &self.image, &self.video].map(|kind| kind.all.as_ref().or(kind.cached.as_ref()));
        check_within(whole, kinds)?;
        let read = match &self.cache_read {
            Some(read) => vec![Some(read)],
            None => [&self.audio, &self.image, &self.video].map(|kind| kind.cached.as_ref()).to_vec(),
        };
        check_within(whole, read.into_iter().chain(self.cache_writes.counts().map(Some)))
    }

    fn kinds(&self) -> [Split; 3] {
        let split = |kind: &Modality, fresh_class, cached_class| {
            let cached = tokens(kind.cached.as_ref()).unwrap_or_default();
            Split {
                fresh_class,
                cached_class,
                fresh: tokens(kind.all.as_ref()).unwrap_or_default().saturating_sub(cached),
                cached,
                fresh_reported: kind.all.is_some(),
                cached_reported: kind.cached.is_some(),
            }
        };
        [
            split(&self.image, TokenClass::ImageIn, TokenClass::CacheReadImage),
            split(&self.audio, TokenClass::AudioIn, TokenClass::CacheReadAudio),
            split(&self.video, TokenClass::VideoIn, TokenClass::CacheReadVideo),
        ]
    }
}
