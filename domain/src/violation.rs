//! What is wrong with one field of an input.

use std::fmt;

/// One broken field rule: which field, and what to do about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// Path of the field in the request, for example `event.tokens.parts[2].tokens`.
    pub field: String,
    /// What the rule is, in words for the caller.
    pub description: String,
}

impl Violation {
    /// A violation of `field`.
    pub fn new(field: impl Into<String>, description: impl Into<String>) -> Self {
        Self { field: field.into(), description: description.into() }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: {}", self.field, self.description)
    }
}

/// The path of a field of a message, written out only where a violation names it.
#[derive(Debug, Clone, Copy)]
pub struct FieldOf<'a> {
    /// Path of the message.
    pub path: &'a str,
    /// Name of the field in it.
    pub name: &'a str,
}

impl fmt::Display for FieldOf<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}.{}", self.path, self.name)
    }
}

/// Collects every violation of one input, so that a caller can mend them all at once.
#[derive(Debug, Default)]
pub struct Violations {
    found: Vec<Violation>,
}

impl Violations {
    /// No violation yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds one.
    pub fn add(&mut self, field: impl fmt::Display, description: impl fmt::Display) {
        self.found.push(Violation::new(field.to_string(), description.to_string()));
    }

    /// Adds one where `broken` holds. Only then are its words written out: what nearly every input keeps to should cost nothing, so
    /// pass them as `format_args!` rather than as a string.
    pub fn add_if(&mut self, broken: bool, field: impl fmt::Display, description: impl fmt::Display) {
        if broken {
            self.add(field, description);
        }
    }

    /// Whether nothing was found.
    pub fn is_empty(&self) -> bool {
        self.found.is_empty()
    }

    /// `Ok(value)` where nothing was found, else everything that was.
    ///
    /// # Errors
    /// The violations, at least one.
    pub fn into_result<T>(self, value: T) -> Result<T, Vec<Violation>> {
        if self.found.is_empty() { Ok(value) } else { Err(self.found) }
    }
}

impl Extend<Violation> for Violations {
    fn extend<I: IntoIterator<Item = Violation>>(&mut self, violations: I) {
        self.found.extend(violations);
    }
}
