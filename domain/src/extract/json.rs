//! JSON objects whose values stay text until somebody asks for them.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::error::{ExtractError, shown};
use super::number;
use crate::amount::{Amount, Usd};

/// Longest identifier or model name that is kept; longer ones are left out.
const TEXT_BYTES_LIMIT: usize = 256;

/// Most fields of an object that is looked into.
const FIELDS_LIMIT: usize = 1024;

/// A count and where it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Count {
    /// Its field.
    pub path: String,
    /// Tokens, at most [`crate::tokens::TOKENS_LIMIT`].
    pub tokens: u64,
}

/// One object. A field that is `null` is as good as absent; of a repeated field the last one counts.
#[derive(Debug, Clone)]
pub(super) struct Object<'a> {
    path: String,
    fields: BTreeMap<String, &'a RawValue>,
}

impl<'a> Object<'a> {
    /// Reads the object at `path` from its text.
    pub(super) fn parse(path: impl Into<String>, text: &'a str) -> Result<Self, serde_json::Error> {
        let Fields(mut fields) = serde_json::from_str(text)?;
        fields.retain(|_, value| value.get() != "null");
        Ok(Self { path: path.into(), fields })
    }

    /// Puts together an object of fields that were kept.
    pub(super) fn of(path: impl Into<String>, fields: &'a BTreeMap<String, Box<RawValue>>) -> Self {
        let fields = fields.iter().map(|(key, value)| (key.clone(), value.as_ref())).collect();
        Self { path: path.into(), fields }
    }

    /// Where it lies; empty for the top.
    pub(super) fn path(&self) -> &str {
        &self.path
    }

    /// Its fields in a form that outlives the text.
    pub(super) fn kept(self) -> BTreeMap<String, Box<RawValue>> {
        self.fields.into_iter().map(|(key, value)| (key, value.to_owned())).collect()
    }

    /// The names of its fields.
    pub(super) fn keys(&self) -> impl Iterator<Item = &str> {
        self.fields.keys().map(String::as_str)
    }

    /// Whether one of `keys` is there.
    pub(super) fn has_any(&self, keys: &[&str]) -> bool {
        keys.iter().any(|key| self.fields.contains_key(*key))
    }

    /// The path of its field `key`.
    pub(super) fn path_of(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }

    /// The object in field `key`; an error where something else stands there.
    pub(super) fn object(&self, key: &str) -> Result<Option<Object<'a>>, ExtractError> {
        let Some(raw) = self.fields.get(key) else { return Ok(None) };
        Self::within(self.path_of(key), raw).map(Some)
    }

    /// The object in field `key`, if it is one.
    pub(super) fn object_if(&self, key: &str) -> Option<Object<'a>> {
        let raw = self.fields.get(key)?;
        raw.get().starts_with('{').then(|| Self::parse(self.path_of(key), raw.get()).ok())?
    }

    /// The objects in the array in field `key`; none where the field is absent.
    pub(super) fn objects(&self, key: &str) -> Result<Vec<Object<'a>>, ExtractError> {
        let Some(raw) = self.fields.get(key) else { return Ok(Vec::new()) };
        let path = self.path_of(key);
        if !raw.get().starts_with('[') {
            return Err(ExtractError::WrongType { path, expected: "an array" });
        }
        let items: Vec<&'a RawValue> = serde_json::from_str(raw.get()).map_err(ExtractError::Malformed)?;
        let place = |position| format!("{path}[{position}]");
        items.into_iter().enumerate().map(|(position, item)| Self::within(place(position), item)).collect()
    }

    /// The objects in the array in field `key`; what is not an object is left out.
    pub(super) fn objects_if(&self, key: &str) -> Vec<Object<'a>> {
        let items: Vec<&'a RawValue> = self.array_if(key);
        let items = items.into_iter().enumerate().filter(|(_, item)| item.get().starts_with('{'));
        items
            .filter_map(|(position, item)| Self::parse(format!("{}[{position}]", self.path_of(key)), item.get()).ok())
            .collect()
    }

    /// The texts in the array in field `key`; what is not text is left out.
    pub(super) fn texts_if(&self, key: &str) -> Vec<String> {
        self.array_if(key).into_iter().filter_map(|item| serde_json::from_str(item.get()).ok()).collect()
    }

    fn array_if(&self, key: &str) -> Vec<&'a RawValue> {
        let raw = self.fields.get(key).filter(|raw| raw.get().starts_with('['));
        raw.and_then(|raw| serde_json::from_str(raw.get()).ok()).unwrap_or_default()
    }

    fn within(path: String, raw: &'a RawValue) -> Result<Object<'a>, ExtractError> {
        if !raw.get().starts_with('{') {
            return Err(ExtractError::WrongType { path, expected: "an object" });
        }
        Self::parse(path, raw.get()).map_err(ExtractError::Malformed)
    }

    /// The text in field `key`, if it is some and neither empty nor longer than an identifier may be.
    pub(super) fn text(&self, key: &str) -> Option<String> {
        let raw = self.fields.get(key)?.get();
        // Six bytes are the longest escape of one character.
        if !raw.starts_with('"') || raw.len() > TEXT_BYTES_LIMIT * 6 + 2 {
            return None;
        }
        let text: String = serde_json::from_str(raw).ok()?;
        (!text.is_empty() && text.len() <= TEXT_BYTES_LIMIT).then_some(text)
    }

    /// Whether field `key` is the text `value`.
    pub(super) fn is(&self, key: &str, value: &str) -> bool {
        self.text(key).is_some_and(|text| text == value)
    }

    /// The count in field `key`.
    pub(super) fn count(&self, key: &str) -> Result<Option<Count>, ExtractError> {
        let Some(raw) = self.fields.get(key) else { return Ok(None) };
        let path = self.path_of(key);
        match number::count(raw.get()) {
            Some(tokens) => Ok(Some(Count { path, tokens })),
            None => Err(ExtractError::NotACount { path, found: shown(raw.get()) }),
        }
    }

    /// The count in the first of `keys` that is there: several names for one fact.
    pub(super) fn first_count(&self, keys: &[&str]) -> Result<Option<Count>, ExtractError> {
        keys.iter().find(|key| self.fields.contains_key(**key)).map_or(Ok(None), |key| self.count(key))
    }

    /// The object in the first of `keys` that is there.
    pub(super) fn first_object(&self, keys: &[&str]) -> Result<Option<Object<'a>>, ExtractError> {
        keys.iter().find(|key| self.fields.contains_key(**key)).map_or(Ok(None), |key| self.object(key))
    }

    /// The money in field `key`, in units of 10^-`places` dollars.
    pub(super) fn dollars(&self, key: &str, places: i64) -> Result<Option<Usd>, ExtractError> {
        let Some(raw) = self.fields.get(key) else { return Ok(None) };
        let found = number::decimal(raw.get(), places).and_then(|value| Usd::new(value).ok());
        found.map(Some).ok_or_else(|| ExtractError::NotAnAmount { path: self.path_of(key), found: shown(raw.get()) })
    }

    /// The decimal quantity in field `key`.
    pub(super) fn quantity(&self, key: &str) -> Result<Option<Amount>, ExtractError> {
        let Some(raw) = self.fields.get(key) else { return Ok(None) };
        let found = number::decimal(raw.get(), 0).and_then(|value| Amount::new(value).ok());
        found.map(Some).ok_or_else(|| ExtractError::NotAnAmount { path: self.path_of(key), found: shown(raw.get()) })
    }

    /// Whether field `key` is a JSON number.
    pub(super) fn is_number(&self, key: &str) -> bool {
        self.fields
            .get(key)
            .is_some_and(|raw| raw.get().starts_with(|first: char| first == '-' || first.is_ascii_digit()))
    }
}

/// The fields of an object, no more than a provider would send.
struct Fields<'a>(BTreeMap<String, &'a RawValue>);

impl<'de> Deserialize<'de> for Fields<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct FieldsVisitor;

        impl<'de> Visitor<'de> for FieldsVisitor {
            type Value = Fields<'de>;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut fields = BTreeMap::new();
                while let Some((key, value)) = map.next_entry()? {
                    fields.insert(key, value);
                    if fields.len() > FIELDS_LIMIT {
                        return Err(A::Error::custom(format_args!("an object has more than {FIELDS_LIMIT} fields")));
                    }
                }
                Ok(Fields(fields))
            }
        }

        deserializer.deserialize_map(FieldsVisitor)
    }
}
