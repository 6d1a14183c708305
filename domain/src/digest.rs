//! 128-bit digests of canonical content: dictionary keys and fingerprints.

use std::fmt;
use std::io::Write as _;

use sha2::{Digest as _, Sha256};
use uuid::Uuid;

/// Room for the fields of most digests, so that it is found once.
const ROOM: usize = 2_048;

/// Hashes fields one after the other, each with its length in front, so that no two field lists collide by joining.
#[derive(Debug)]
pub struct Digester {
    /// All of them: hashed at once, which costs less than a block at a time.
    bytes: Vec<u8>,
}

impl Default for Digester {
    fn default() -> Self {
        Self { bytes: Vec::with_capacity(ROOM) }
    }
}

impl Digester {
    /// Starts empty.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds one field.
    pub fn field(&mut self, bytes: impl AsRef<[u8]>) -> &mut Self {
        let bytes = bytes.as_ref();
        self.bytes.extend_from_slice(&length(bytes.len()));
        self.bytes.extend_from_slice(bytes);
        self
    }

    /// Adds one field of what is shown.
    pub fn shown(&mut self, value: fmt::Arguments<'_>) -> &mut Self {
        // Writing to memory never fails.
        self.written(|bytes| drop(bytes.write_fmt(value)))
    }

    /// Adds one field of what `write` appends.
    pub(crate) fn written(&mut self, write: impl FnOnce(&mut Vec<u8>)) -> &mut Self {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(&length(0));
        let begin = self.bytes.len();
        write(&mut self.bytes);
        let written = length(self.bytes.len() - begin);
        for (place, byte) in self.bytes.iter_mut().skip(start).zip(written) {
            *place = byte;
        }
        self
    }

    /// Adds a field that may be absent, which differs from an empty one.
    pub fn optional(&mut self, bytes: Option<impl AsRef<[u8]>>) -> &mut Self {
        match bytes {
            Some(bytes) => {
                self.bytes.push(1);
                self.field(bytes)
            }
            None => {
                self.bytes.push(0);
                self
            }
        }
    }

    /// The first 128 bits of SHA-256, in the shape that Postgres stores most compactly.
    pub fn finish(self) -> Uuid {
        let hash = Sha256::digest(&self.bytes);
        let mut bytes = [0_u8; 16];
        for (target, source) in bytes.iter_mut().zip(hash) {
            *target = source;
        }
        Uuid::from_bytes(bytes)
    }
}

fn length(bytes: usize) -> [u8; 8] {
    (bytes as u64).to_be_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn joining_and_absence_make_a_difference() {
        let digest = |fields: &[Option<&str>]| {
            let mut digester = Digester::new();
            for field in fields {
                digester.optional(*field);
            }
            digester.finish()
        };
        let written = |text: &str| {
            let mut digester = Digester::new();
            digester.field("name").written(|bytes| bytes.extend_from_slice(text.as_bytes())).field("next");
            digester.finish()
        };
        let given = |text: &str| {
            let mut digester = Digester::new();
            digester.field("name").field(text).field("next");
            digester.finish()
        };
        assert_eq!([written(""), written("abc")], [given(""), given("abc")]);
        let mut shown = Digester::new();
        shown.field("name").shown(format_args!("{}", "abc")).field("next");
        assert_eq!(shown.finish(), given("abc"));
        assert_ne!(digest(&[Some("ab"), Some("c")]), digest(&[Some("a"), Some("bc")]));
        assert_ne!(digest(&[Some("")]), digest(&[None]));
        assert_eq!(digest(&[Some("a")]), digest(&[Some("a")]));
    }
}
