//! Erasing what identifies a person: a name is replaced by a pseudonym wherever it stands, so that every sum stays what it was.
//!
//! The pseudonym is a keyed digest of the name. While the erasure runs, the key tells whether a text that is met is the name; once it
//! is forgotten, nobody can tell whose the pseudonym is.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

use crate::budget::{Budget, PerValues};
use crate::digest::Digester;
use crate::dimensions::{Dimension, DimensionKey, Dimensions};
use crate::reservation::Part;

/// Bytes of a key.
pub const KEY_BYTES: usize = 32;
/// What every pseudonym begins with.
const PREFIX: &str = "erased-";

/// Dimensions that name people.
pub const DIMENSIONS: [Dimension; 2] = [Dimension::UserId, Dimension::CustomerId];

/// Key of a counter that changed with the name in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct MovedScope {
    /// The budget's number.
    pub budget: i64,
    /// Digest of the counter's values with the name.
    pub from: Uuid,
    /// Digest of the counter's values with the pseudonym.
    pub to: Uuid,
}

/// Replaces one name.
#[derive(Clone, PartialEq, Eq)]
pub struct Eraser {
    dimension: Dimension,
    key: Vec<u8>,
    pseudonym: String,
    scopes: BTreeMap<(i64, Uuid), Uuid>,
}

impl std::fmt::Debug for Eraser {
    /// Without the key.
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Eraser").field("pseudonym", &self.pseudonym).finish_non_exhaustive()
    }
}

impl Eraser {
    /// For this name.
    pub fn new(dimension: Dimension, name: &str, key: [u8; KEY_BYTES]) -> Self {
        Self { dimension, pseudonym: pseudonym(&key, name), key: key.to_vec(), scopes: BTreeMap::new() }
    }

    /// One that was begun before.
    pub fn begun(dimension: Dimension, pseudonym: String, key: Vec<u8>, moved: &[MovedScope]) -> Self {
        let mut eraser = Self { dimension, pseudonym, key, scopes: BTreeMap::new() };
        eraser.move_scopes(moved);
        eraser
    }

    /// Which dimension the name stands in.
    pub fn dimension(&self) -> Dimension {
        self.dimension
    }

    /// What replaces the name.
    pub fn pseudonym(&self) -> &str {
        &self.pseudonym
    }

    /// What pseudonyms are keyed with.
    pub fn key(&self) -> &[u8] {
        &self.key
    }

    /// Learns of counters whose keys changed.
    pub fn move_scopes(&mut self, moved: &[MovedScope]) {
        self.scopes.extend(moved.iter().map(|moved| ((moved.budget, moved.from), moved.to)));
    }

    /// Whether `text` is the name.
    fn is_name(&self, text: &str) -> bool {
        pseudonym(&self.key, text) == self.pseudonym
    }

    /// The name in a dimension of its own: what stands below a key of the dimension's name, at any depth. Says whether it was there.
    pub fn erase_from_json(&self, value: &mut Value) -> bool {
        match value {
            Value::Object(fields) => {
                let mut found = false;
                for (name, field) in fields {
                    match field {
                        Value::String(text) if name == self.dimension.name() && self.is_name(text) => {
                            self.pseudonym.clone_into(text);
                            found = true;
                        }
                        _ => found |= self.erase_from_json(field),
                    }
                }
                found
            }
            Value::Array(values) => values.iter_mut().fold(false, |found, value| self.erase_from_json(value) | found),
            _ => false,
        }
    }

    /// The name among the dimensions of a call.
    pub fn erase_from_dimensions(&self, dimensions: &mut Dimensions) {
        if dimensions.get(self.dimension).is_some_and(|text| self.is_name(text)) {
            dimensions.set(self.dimension, &*self.pseudonym);
        }
    }

    /// The name among the values of a budget's counter; `None` where it is not there.
    pub fn erase_from_counter(&self, keys: &[DimensionKey], values: &PerValues) -> Option<PerValues> {
        let own = DimensionKey::Dimension(self.dimension);
        let mut erased = values.clone();
        let mut found = false;
        for (key, value) in keys.iter().zip(&mut erased.0) {
            if let Some(text) = value
                && *key == own
                && self.is_name(text)
            {
                self.pseudonym.clone_into(text);
                found = true;
            }
        }
        found.then_some(erased)
    }

    /// The name in what a budget selects. Says whether it was there.
    pub fn erase_from_budget(&self, budget: &mut Budget) -> bool {
        let own = DimensionKey::Dimension(self.dimension);
        let mut found = false;
        for text in budget.selector.iter_mut().filter(|one| one.key == own).flat_map(|one| &mut one.values) {
            if self.is_name(text) {
                self.pseudonym.clone_into(text);
                found = true;
            }
        }
        found
    }

    /// Holds follow their counters. Says whether any did.
    pub fn follow(&self, parts: &mut [Part]) -> bool {
        let mut found = false;
        for part in parts {
            if let Some(scope) = self.scopes.get(&(part.budget, part.scope)) {
                part.scope = *scope;
                found = true;
            }
        }
        found
    }

    /// Where a counter of this key stands now.
    pub fn followed(&self, budget: i64, scope: Uuid) -> Option<Uuid> {
        self.scopes.get(&(budget, scope)).copied()
    }
}

fn pseudonym(key: &[u8], name: &str) -> String {
    let mut digester = Digester::new();
    digester.field(key).field(name);
    format!("{PREFIX}{}", digester.finish().simple())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn eraser() -> Eraser {
        Eraser::new(Dimension::UserId, "ada", [7; KEY_BYTES])
    }

    #[test]
    fn a_pseudonym_depends_on_name_and_key() {
        let other_key = Eraser::new(Dimension::UserId, "ada", [8; KEY_BYTES]);
        let other_name = Eraser::new(Dimension::UserId, "bob", [7; KEY_BYTES]);
        assert_ne!(eraser().pseudonym(), other_key.pseudonym());
        assert_ne!(eraser().pseudonym(), other_name.pseudonym());
        assert!(!eraser().pseudonym().contains("ada"));
        assert!(!format!("{:?}", eraser()).contains("key"));
    }

    #[test]
    fn only_the_dimension_of_the_name_is_replaced() {
        let mut value = json!({
            "dimensions": { "values": { "user_id": "ada", "agent_name": "ada", "customer_id": "ada" } },
            "states": [{ "per_values": { "user_id": "ada" } }, { "per_values": { "user_id": "bob" } }],
        });
        assert!(eraser().erase_from_json(&mut value));
        let pseudonym = eraser().pseudonym().to_owned();
        assert_eq!(
            value,
            json!({
                "dimensions": { "values": { "user_id": pseudonym, "agent_name": "ada", "customer_id": "ada" } },
                "states": [{ "per_values": { "user_id": pseudonym } }, { "per_values": { "user_id": "bob" } }],
            })
        );
        assert!(!eraser().erase_from_json(&mut value), "it is gone");
    }

    #[test]
    fn counters_are_found_by_the_place_of_the_dimension() {
        let keys = [DimensionKey::Dimension(Dimension::AgentName), DimensionKey::Dimension(Dimension::UserId)];
        let values = |agent: &str, user: Option<&str>| PerValues(vec![Some(agent.to_owned()), user.map(str::to_owned)]);
        let erased = eraser().erase_from_counter(&keys, &values("ada", Some("ada"))).unwrap();
        assert_eq!(erased, values("ada", Some(eraser().pseudonym())));
        assert_eq!(eraser().erase_from_counter(&keys, &values("ada", Some("bob"))), None);
        assert_eq!(eraser().erase_from_counter(&keys, &values("ada", None)), None);
    }
}
