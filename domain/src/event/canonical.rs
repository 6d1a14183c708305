//! The words of a field as fingerprints have had them since version 1.
//!
//! They are those that `Debug` was found to show then. Written out here, they stay whatever becomes of the types, and need none of
//! the machinery of formatting.

use std::io::Write as _;

use uuid::Uuid;

use super::{EventKey, ReservationUse};
use crate::amount::{Amount, Usd};
use crate::extract::ModelUsage;
use crate::model::ModelRef;
use crate::price::UnitCount;
use crate::tokens::{TokenPart, TokenUsage, UsageQuality};

/// What has words in a fingerprint.
pub(super) trait Canonical {
    /// Appends them.
    fn write(&self, words: &mut Vec<u8>);
}

/// A text without quotes, as the values of dimensions are.
pub(super) struct Plain<'a>(pub(super) &'a str);

impl Canonical for Plain<'_> {
    fn write(&self, words: &mut Vec<u8>) {
        words.extend_from_slice(self.0.as_bytes());
    }
}

impl Canonical for String {
    fn write(&self, words: &mut Vec<u8>) {
        // What needs no escape: nearly every text.
        let plain = |byte: u8| matches!(byte, b' '..=b'~') && byte != b'"' && byte != b'\\';
        if self.bytes().all(plain) {
            words.push(b'"');
            words.extend_from_slice(self.as_bytes());
            words.push(b'"');
        } else {
            shown(words, format_args!("{self:?}"));
        }
    }
}

impl<T: Canonical> Canonical for Option<T> {
    fn write(&self, words: &mut Vec<u8>) {
        match self {
            None => words.extend_from_slice(b"None"),
            Some(value) => tuple(words, "Some", value),
        }
    }
}

impl<T: Canonical> Canonical for Vec<T> {
    fn write(&self, words: &mut Vec<u8>) {
        words.push(b'[');
        for (position, value) in self.iter().enumerate() {
            if position > 0 {
                words.extend_from_slice(b", ");
            }
            value.write(words);
        }
        words.push(b']');
    }
}

impl Canonical for bool {
    fn write(&self, words: &mut Vec<u8>) {
        words.extend_from_slice(if *self { b"true" } else { b"false" });
    }
}

macro_rules! shown_as_it_is {
    ($($type:ident),+: $format:literal) => {
        $(impl Canonical for $type {
            fn write(&self, words: &mut Vec<u8>) {
                shown(words, format_args!($format, self));
            }
        })+
    };
}

shown_as_it_is!(i16, i64, u32, u64: "{}");
shown_as_it_is!(Amount, Usd: "{:?}");

impl Canonical for Uuid {
    fn write(&self, words: &mut Vec<u8>) {
        words.extend_from_slice(self.hyphenated().encode_lower(&mut Uuid::encode_buffer()).as_bytes());
    }
}

impl Canonical for EventKey {
    fn write(&self, words: &mut Vec<u8>) {
        match self {
            Self::Id(id) => tuple(words, "Id", id),
            Self::External { source, key } => structure(words, "External", &[("source", source), ("key", key)]),
        }
    }
}

impl Canonical for ModelRef {
    fn write(&self, words: &mut Vec<u8>) {
        let Self { provider_name, model, provider_tier, region } = self;
        let fields: [Field<'_>; 4] =
            [("provider_name", provider_name), ("model", model), ("provider_tier", provider_tier), ("region", region)];
        structure(words, "ModelRef", &fields);
    }
}

impl Canonical for TokenUsage {
    fn write(&self, words: &mut Vec<u8>) {
        let Self { total_input, total_output, reported_total, parts, quality } = self;
        let fields: [Field<'_>; 5] = [
            ("total_input", total_input),
            ("total_output", total_output),
            ("reported_total", reported_total),
            ("parts", parts),
            ("quality", quality),
        ];
        structure(words, "TokenUsage", &fields);
    }
}

impl Canonical for TokenPart {
    fn write(&self, words: &mut Vec<u8>) {
        let Self { class, tokens, cache_ttl_seconds } = self;
        words.extend_from_slice(b"TokenPart { class: ");
        shown(words, format_args!("{class:?}"));
        words.extend_from_slice(b", tokens: ");
        tokens.write(words);
        words.extend_from_slice(b", cache_ttl_seconds: ");
        cache_ttl_seconds.write(words);
        words.extend_from_slice(b" }");
    }
}

impl Canonical for UsageQuality {
    fn write(&self, words: &mut Vec<u8>) {
        words.extend_from_slice(match self {
            Self::Reported => b"Reported",
            Self::Counted => b"Counted",
            Self::Estimated => b"Estimated",
            Self::Unknown => b"Unknown",
        });
    }
}

impl Canonical for UnitCount {
    fn write(&self, words: &mut Vec<u8>) {
        let Self { unit, quantity } = self;
        structure(words, "UnitCount", &[("unit", unit), ("quantity", quantity)]);
    }
}

impl Canonical for ModelUsage {
    fn write(&self, words: &mut Vec<u8>) {
        let Self { model, usage, units } = self;
        structure(words, "ModelUsage", &[("model", model), ("usage", usage), ("units", units)]);
    }
}

impl Canonical for ReservationUse {
    fn write(&self, words: &mut Vec<u8>) {
        let Self { reservation_id, keep_open } = self;
        structure(words, "ReservationUse", &[("reservation_id", reservation_id), ("keep_open", keep_open)]);
    }
}

/// The name of a field and what it holds.
type Field<'a> = (&'static str, &'a dyn Canonical);

fn structure(words: &mut Vec<u8>, name: &str, fields: &[Field<'_>]) {
    words.extend_from_slice(name.as_bytes());
    let mut before: &[u8] = b" { ";
    for (field, value) in fields {
        words.extend_from_slice(before);
        words.extend_from_slice(field.as_bytes());
        words.extend_from_slice(b": ");
        value.write(words);
        before = b", ";
    }
    words.extend_from_slice(b" }");
}

fn tuple(words: &mut Vec<u8>, name: &str, value: &dyn Canonical) {
    words.extend_from_slice(name.as_bytes());
    words.push(b'(');
    value.write(words);
    words.push(b')');
}

fn shown(words: &mut Vec<u8>, value: std::fmt::Arguments<'_>) {
    // Writing to memory never fails.
    drop(words.write_fmt(value));
}

#[cfg(test)]
mod tests {
    use std::fmt::Debug;

    use proptest::prelude::*;

    use super::*;
    use crate::tokens::TokenClass;

    /// Holds as long as nobody renames a field: then this test goes, and the words stay.
    fn check<T: Canonical + Debug>(value: &T) -> Result<(), TestCaseError> {
        let mut words = Vec::new();
        value.write(&mut words);
        prop_assert_eq!(String::from_utf8(words).unwrap(), format!("{value:?}"));
        Ok(())
    }

    fn part() -> impl Strategy<Value = TokenPart> {
        let class = proptest::sample::select(TokenClass::ALL.to_vec());
        (class, any::<u64>(), any::<Option<u32>>()).prop_map(|(class, tokens, cache_ttl_seconds)| TokenPart {
            class,
            tokens,
            cache_ttl_seconds,
        })
    }

    fn usage() -> impl Strategy<Value = TokenUsage> {
        use UsageQuality::{Counted, Estimated, Reported, Unknown};
        let quality = proptest::sample::select(vec![Reported, Counted, Estimated, Unknown]);
        let total = any::<Option<u64>>;
        (total(), total(), total(), proptest::collection::vec(part(), 0..4), quality).prop_map(
            |(total_input, total_output, reported_total, parts, quality)| TokenUsage {
                total_input,
                total_output,
                reported_total,
                parts,
                quality,
            },
        )
    }

    fn units() -> impl Strategy<Value = Vec<UnitCount>> {
        let count = (".*", any::<i64>()).prop_map(|(unit, picos)| {
            let quantity = Amount::from_picos(picos.into()).unwrap();
            UnitCount { unit, quantity }
        });
        proptest::collection::vec(count, 0..3)
    }

    proptest! {
        #[test]
        fn texts_are_as_they_were_shown(text in "(?s).*", plain in "[ -~]*") {
            check(&text)?;
            check(&plain)?;
            check(&Some(text.clone()))?;
            check(&EventKey::External { source: plain.clone(), key: text.clone() })?;
            let model = ModelRef { provider_name: text, region: plain, ..ModelRef::default() };
            check(&model)?;
            check(&Some(model))?;
        }

        #[test]
        fn counts_are_as_they_were_shown(usage in usage(), units in units(), model in ".*", id in any::<u128>(), keep_open: bool) {
            check(&Some(usage.clone()))?;
            check(&units)?;
            check(&units.first().map(|count| count.quantity))?;
            check(&vec![ModelUsage { model, usage, units }])?;
            check(&EventKey::Id(Uuid::from_u128(id)))?;
            check(&Some(ReservationUse { reservation_id: Uuid::from_u128(id), keep_open }))?;
        }

        #[test]
        fn numbers_are_as_they_were_shown(small: i16, large: i64, count: u64, is: bool) {
            check(&small)?;
            check(&large)?;
            check(&Some(count))?;
            check(&is)?;
        }
    }
}
