//! What one line of a cost is for.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::tokens::{Side, TokenClass};

/// What a rate prices and a cost line charges.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LineKind {
    /// Plain, uncached text that the model read.
    InputText,
    /// Plain text that the model wrote.
    OutputText,
    /// A disjoint part of one side.
    Class {
        /// The class.
        class: TokenClass,
        /// How long a cache entry lives, in seconds; absent = the provider's default.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        cache_ttl_seconds: Option<u32>,
    },
    /// A counted unit by its name, for example `web_search`.
    Unit(String),
}

impl LineKind {
    /// A class without a time to live.
    pub const fn class(class: TokenClass) -> Self {
        Self::Class { class, cache_ttl_seconds: None }
    }

    /// The plain text of `side`.
    pub const fn plain_text(side: Side) -> Self {
        match side {
            Side::Input => Self::InputText,
            Side::Output => Self::OutputText,
        }
    }

    /// Its name in costs and in the catalog: `input`, `output`, `cache_read`, `cache_write_300s`, `web_search`.
    pub fn name(&self) -> String {
        self.to_string()
    }

    /// The token line called `name`, the inverse of [`Self::name`]; `None` where no token line is called so.
    pub fn token_line(name: &str) -> Option<Self> {
        match name {
            "input" => return Some(Self::InputText),
            "output" => return Some(Self::OutputText),
            _ => {}
        }
        if let Some(class) = TokenClass::ALL.into_iter().find(|class| class.name() == name) {
            return Some(Self::class(class));
        }
        let seconds = name.strip_prefix(TokenClass::CacheWrite.name())?.strip_prefix('_')?.strip_suffix('s')?;
        let line = Self::Class { class: TokenClass::CacheWrite, cache_ttl_seconds: Some(seconds.parse().ok()?) };
        // Refuses other spellings of the same number, such as `cache_write_+300s`.
        (line.name() == name).then_some(line)
    }

    /// Whether a unit may be called `name`: lower case letters, digits and `_`, at most 64 bytes.
    pub fn is_unit_name(name: &str) -> bool {
        let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
        (1..=64).contains(&name.len()) && name.bytes().all(allowed)
    }

    /// The lines whose rates stand in where this one has none, nearest first.
    ///
    /// Cached audio without a price of its own is charged as what was read from a cache, else as audio, at last as text:
    /// a provider that names neither discount nor surcharge charges its plain rate.
    pub fn substitutes(&self) -> Vec<Self> {
        match self {
            Self::InputText | Self::OutputText => Vec::new(),
            Self::Unit(unit) => match unit.as_str() {
                "audio_second_in" | "audio_second_out" => vec![Self::Unit("audio_second".to_owned())],
                "page_annotated" => vec![Self::Unit("page".to_owned())],
                _ => Vec::new(),
            },
            Self::Class { class, cache_ttl_seconds } => {
                let mut lines = Vec::with_capacity(3);
                if cache_ttl_seconds.is_some() {
                    lines.push(Self::class(*class));
                }
                lines.extend(nearest_classes(*class).iter().copied().map(Self::class));
                lines.push(Self::plain_text(class.side()));
                lines
            }
        }
    }

    /// Whether it charges for something that the model wrote.
    pub fn is_output(&self) -> bool {
        match self {
            Self::OutputText => true,
            Self::Class { class, .. } => class.side() == Side::Output,
            Self::InputText | Self::Unit(_) => false,
        }
    }
}

/// The classes between a class and the plain text of its side.
fn nearest_classes(class: TokenClass) -> &'static [TokenClass] {
    match class {
        TokenClass::CacheReadAudio => &[TokenClass::CacheRead, TokenClass::AudioIn],
        TokenClass::CacheReadImage => &[TokenClass::CacheRead, TokenClass::ImageIn],
        TokenClass::CacheReadVideo => &[TokenClass::CacheRead, TokenClass::VideoIn],
        TokenClass::CacheRead
        | TokenClass::CacheWrite
        | TokenClass::AudioIn
        | TokenClass::ImageIn
        | TokenClass::VideoIn
        | TokenClass::ToolIn
        | TokenClass::Reasoning
        | TokenClass::AudioOut
        | TokenClass::ImageOut
        | TokenClass::VideoOut
        | TokenClass::Citation => &[],
    }
}

impl fmt::Display for LineKind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InputText => formatter.write_str("input"),
            Self::OutputText => formatter.write_str("output"),
            Self::Class { class, cache_ttl_seconds: None } => formatter.write_str(class.name()),
            Self::Class { class, cache_ttl_seconds: Some(seconds) } => {
                write!(formatter, "{}_{seconds}s", class.name())
            }
            Self::Unit(unit) => formatter.write_str(unit),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_lines_are_inverse() {
        let mut lines = vec![
            LineKind::InputText,
            LineKind::OutputText,
            LineKind::Class { class: TokenClass::CacheWrite, cache_ttl_seconds: Some(3600) },
        ];
        lines.extend(TokenClass::ALL.map(LineKind::class));
        for line in lines {
            assert_eq!(LineKind::token_line(&line.name()), Some(line.clone()), "{line}");
        }
        for bad in ["", "web_search", "cache_write_", "cache_write_+300s", "cache_write_0300s", "cache_read_300s"] {
            assert_eq!(LineKind::token_line(bad), None, "{bad}");
        }
    }

    #[test]
    fn every_class_ends_at_the_plain_text_of_its_side() {
        for class in TokenClass::ALL {
            assert_eq!(
                LineKind::class(class).substitutes().last(),
                Some(&LineKind::plain_text(class.side())),
                "{class:?}"
            );
        }
    }

    #[test]
    fn substitutes_are_nearest_first() {
        let names = |line: LineKind| line.substitutes().iter().map(LineKind::name).collect::<Vec<_>>();
        let write = LineKind::Class { class: TokenClass::CacheWrite, cache_ttl_seconds: Some(300) };
        assert_eq!(names(write), ["cache_write", "input"]);
        assert_eq!(names(LineKind::class(TokenClass::CacheReadAudio)), ["cache_read", "audio_in", "input"]);
        assert_eq!(names(LineKind::class(TokenClass::Reasoning)), ["output"]);
        assert_eq!(names(LineKind::Unit("audio_second_in".into())), ["audio_second"]);
        assert!(names(LineKind::Unit("image".into())).is_empty());
    }
}
