//! 128-bit digests of canonical content: dictionary keys and fingerprints.

use sha2::{Digest as _, Sha256};
use uuid::Uuid;

/// Hashes fields one after the other, each with its length in front, so that no two field lists collide by joining.
#[derive(Debug, Default)]
pub struct Digester {
    state: Sha256,
}

impl Digester {
    /// Starts empty.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds one field.
    pub fn field(&mut self, bytes: impl AsRef<[u8]>) -> &mut Self {
        let bytes = bytes.as_ref();
        self.state.update((bytes.len() as u64).to_be_bytes());
        self.state.update(bytes);
        self
    }

    /// Adds a field that may be absent, which differs from an empty one.
    pub fn optional(&mut self, bytes: Option<impl AsRef<[u8]>>) -> &mut Self {
        match bytes {
            Some(bytes) => {
                self.state.update([1]);
                self.field(bytes)
            }
            None => {
                self.state.update([0]);
                self
            }
        }
    }

    /// The first 128 bits of SHA-256, in the shape that Postgres stores most compactly.
    pub fn finish(self) -> Uuid {
        let hash = self.state.finalize();
        let mut bytes = [0_u8; 16];
        for (target, source) in bytes.iter_mut().zip(hash) {
            *target = source;
        }
        Uuid::from_bytes(bytes)
    }
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
        assert_ne!(digest(&[Some("ab"), Some("c")]), digest(&[Some("a"), Some("bc")]));
        assert_ne!(digest(&[Some("")]), digest(&[None]));
        assert_eq!(digest(&[Some("a")]), digest(&[Some("a")]));
    }
}
