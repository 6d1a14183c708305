//! What a call used besides tokens.

use std::collections::BTreeMap;

use super::error::ExtractError;
use super::json::{Count, Object};
use crate::amount::Amount;
use crate::price::UnitCount;

/// A search of the web.
pub(super) const WEB_SEARCH: &str = "web_search";
/// A page fetched from the web.
pub(super) const WEB_FETCH: &str = "web_fetch";
/// A search of a social network.
pub(super) const SOCIAL_SEARCH: &str = "social_search";
/// A search of files or collections that the caller stored.
pub(super) const STORAGE_SEARCH: &str = "storage_search";
/// A run of code at the provider.
pub(super) const CODE_EXECUTION: &str = "code_execution";
/// A source that a search was charged for.
pub(super) const SEARCH_SOURCE: &str = "search_source";
/// A search among documents that a model ranks.
pub(super) const RERANK_SEARCH: &str = "rerank_search";
/// An image.
pub(super) const IMAGE: &str = "image";
/// A page read.
pub(super) const PAGE: &str = "page";
/// A page read and annotated.
pub(super) const PAGE_ANNOTATED: &str = "page_annotated";
/// A second of audio, either way.
pub(super) const AUDIO_SECOND: &str = "audio_second";
/// A second of audio that the model heard.
pub(super) const AUDIO_SECOND_IN: &str = "audio_second_in";
/// A message of text in a voice session.
pub(super) const TEXT_MESSAGE: &str = "text_message";

/// Units by name. None of something is as good as not reported: it costs nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Units {
    counts: BTreeMap<&'static str, Amount>,
}

impl Units {
    /// Sets how many of `unit` were used.
    pub(super) fn set(&mut self, unit: &'static str, quantity: Option<Amount>) {
        if let Some(quantity) = quantity.filter(|quantity| !quantity.is_zero()) {
            self.counts.insert(unit, quantity);
        }
    }

    /// Sets how many of `unit` were used.
    pub(super) fn set_count(&mut self, unit: &'static str, count: Option<&Count>) -> Result<(), ExtractError> {
        self.set_number(unit, count.map_or(0, |count| count.tokens))
    }

    /// Sets how many of `unit` were used.
    pub(super) fn set_number(&mut self, unit: &'static str, number: u64) -> Result<(), ExtractError> {
        let quantity = Amount::from_count(number);
        let quantity =
            quantity.map_err(|_| ExtractError::NotAnAmount { path: unit.to_owned(), found: number.to_string() });
        self.set(unit, Some(quantity?));
        Ok(())
    }

    /// Whether some of `unit` were used.
    pub(super) fn has(&self, unit: &str) -> bool {
        self.counts.contains_key(unit)
    }

    /// Reads whole numbers of `object`, each into its unit.
    pub(super) fn read(
        &mut self,
        object: Option<&Object<'_>>,
        fields: &[(&str, &'static str)],
    ) -> Result<(), ExtractError> {
        let Some(object) = object else { return Ok(()) };
        for (field, unit) in fields {
            self.set_count(unit, object.count(field)?.as_ref())?;
        }
        Ok(())
    }

    /// Adds the units of another call.
    pub(super) fn add_all(&mut self, other: Self) -> Result<(), ExtractError> {
        for (unit, quantity) in other.counts {
            let sum = self.counts.entry(unit).or_default();
            let added = sum.plus(quantity);
            *sum =
                added.map_err(|_| ExtractError::NotAnAmount { path: unit.to_owned(), found: quantity.to_string() })?;
        }
        Ok(())
    }

    /// Whether nothing was counted.
    pub(super) fn is_empty(&self) -> bool {
        self.counts.is_empty()
    }

    /// Them by name.
    pub(super) fn into_counts(self) -> Vec<UnitCount> {
        let count = |(unit, quantity): (&str, Amount)| UnitCount { unit: unit.to_owned(), quantity };
        self.counts.into_iter().map(count).collect()
    }
}
