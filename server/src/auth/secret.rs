//! What a secret looks like, and what is kept of it.
//!
//! `tgk_<id>_<rest>` is an API key's, `tgv_<id>_<rest>` that of a view token. The id, 8 bytes in hexadecimal, is not secret and
//! finds the credential; the rest is 32 random bytes and a checksum over all before it, in the alphabet of base64 for URLs. The
//! prefix lets scanners of repositories find what leaked, and the checksum keeps garbage from the database. Only the SHA-256 of
//! a secret is kept: its 256 random bits need no slower function.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::rand::{SecureRandom, SystemRandom};
use secrecy::{ExposeSecret as _, SecretString};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;
use thiserror::Error;

use crate::hexadecimal::hexadecimal;

const ID_BYTES: usize = 8;
const RANDOM_BYTES: usize = 32;
const CHECKSUM_BYTES: usize = 4;
/// Length of a secret: prefix, id, separator, and 36 bytes in base64.
const TEXT_BYTES: usize = 4 + 2 * ID_BYTES + 1 + (RANDOM_BYTES + CHECKSUM_BYTES) / 3 * 4;

/// What a secret is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SecretKind {
    /// Calls of an API key.
    ApiKey,
    /// Watching some totals.
    ViewToken,
}

impl SecretKind {
    const fn prefix(self) -> &'static str {
        match self {
            Self::ApiKey => "tgk_",
            Self::ViewToken => "tgv_",
        }
    }
}

/// The part of a secret that is none: it finds the credential.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SecretId {
    /// What the secret is for.
    pub kind: SecretKind,
    bytes: [u8; ID_BYTES],
}

impl SecretId {
    /// As the database has it; `None` = it is no such id.
    pub fn of_api_key(bytes: &[u8]) -> Option<Self> {
        Some(Self { kind: SecretKind::ApiKey, bytes: bytes.try_into().ok()? })
    }

    /// For the database.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }
}

/// SHA-256 of a secret.
#[derive(Debug, Clone, Copy)]
pub struct SecretDigest([u8; 32]);

impl SecretDigest {
    fn of(text: &str) -> Self {
        Self(Sha256::digest(text.as_bytes()).into())
    }

    /// For the database.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Whether this is the digest that is stored, in a time that does not depend on where they differ.
    pub fn is(&self, stored: &[u8]) -> bool {
        self.0.as_slice().ct_eq(stored).into()
    }
}

/// A new secret. It is shown once.
#[derive(Debug)]
pub struct NewSecret {
    /// The id inside of it.
    pub id: SecretId,
    /// What is kept.
    pub digest: SecretDigest,
    /// All of it.
    pub text: SecretString,
}

/// The system gives no random numbers.
#[derive(Debug, Clone, Copy, Error)]
#[error("the system gives no random numbers")]
pub struct NoRandomness;

impl NewSecret {
    /// Mints one.
    ///
    /// # Errors
    /// [`NoRandomness`].
    pub fn mint(kind: SecretKind) -> Result<Self, NoRandomness> {
        let random = SystemRandom::new();
        let mut bytes = [0; ID_BYTES];
        let mut secret = [0; RANDOM_BYTES];
        random.fill(&mut bytes).map_err(|_| NoRandomness)?;
        random.fill(&mut secret).map_err(|_| NoRandomness)?;
        let id = SecretId { kind, bytes };
        let checked = [secret.as_slice(), &checksum(id, &secret)].concat();
        let text = format!("{}{}_{}", kind.prefix(), hexadecimal(&bytes), URL_SAFE_NO_PAD.encode(checked));
        Ok(Self { id, digest: SecretDigest::of(&text), text: text.into() })
    }
}

/// A secret that a caller sent and that has the form of one, or a certificate in its place. Whether it is known is another
/// question.
#[derive(Debug, Clone, Copy)]
pub struct PresentedSecret {
    /// The id inside of it.
    pub id: SecretId,
    /// To compare with what is kept.
    pub digest: SecretDigest,
}

impl PresentedSecret {
    /// What a client certificate stands for, by the SHA-256 of its public key. No secret has this digest: none begins like that.
    pub fn of_certificate(public_key: &[u8; 32]) -> Self {
        let digest = SecretDigest::of(&format!("tollgate client certificate {}", hexadecimal(public_key)));
        let mut bytes = [0; ID_BYTES];
        for (to, from) in bytes.iter_mut().zip(digest.0) {
            *to = from;
        }
        Self { id: SecretId { kind: SecretKind::ApiKey, bytes }, digest }
    }

    /// Reads one; `None` = no secret of ours.
    pub fn parse(secret: &SecretString) -> Option<Self> {
        let text = secret.expose_secret();
        if text.len() != TEXT_BYTES || !text.is_ascii() {
            return None;
        }
        let kinds = [SecretKind::ApiKey, SecretKind::ViewToken];
        let (kind, rest) = kinds.into_iter().find_map(|kind| Some((kind, text.strip_prefix(kind.prefix())?)))?;
        let (id, rest) = rest.split_once('_')?;
        let id = SecretId { kind, bytes: read(id)? };
        let decoded = URL_SAFE_NO_PAD.decode(rest).ok()?;
        let (random, check) = decoded.split_at_checked(RANDOM_BYTES)?;
        (check == checksum(id, random)).then(|| Self { id, digest: SecretDigest::of(text) })
    }
}

fn checksum(id: SecretId, random: &[u8]) -> [u8; CHECKSUM_BYTES] {
    let digest = Sha256::new().chain_update(id.kind.prefix()).chain_update(id.bytes).chain_update(random).finalize();
    let mut check = [0; CHECKSUM_BYTES];
    for (to, from) in check.iter_mut().zip(digest) {
        *to = from;
    }
    check
}

/// Lower-case hexadecimal alone: a secret has one spelling.
fn read(text: &str) -> Option<[u8; ID_BYTES]> {
    let number = u64::from_str_radix(text, 16).ok()?;
    let bytes = number.to_be_bytes();
    (hexadecimal(&bytes) == text).then_some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Option<PresentedSecret> {
        PresentedSecret::parse(&SecretString::from(text.to_owned()))
    }

    #[test]
    fn a_secret_is_read_back_and_differs_each_time() {
        for kind in [SecretKind::ApiKey, SecretKind::ViewToken] {
            let (one, two) = (NewSecret::mint(kind).unwrap(), NewSecret::mint(kind).unwrap());
            let presented = PresentedSecret::parse(&one.text).unwrap();
            assert_eq!(presented.id, one.id);
            assert!(presented.digest.is(one.digest.as_bytes()) && !presented.digest.is(two.digest.as_bytes()));
            assert!(!presented.digest.is(&[]));
            assert_ne!(one.id, two.id);
        }
    }

    #[test]
    fn whatever_is_changed_makes_it_no_secret_of_ours() {
        let secret = NewSecret::mint(SecretKind::ApiKey).unwrap();
        let text = secret.text.expose_secret();
        for position in 0..text.len() {
            for other in ["A", "b", "0", "_", "\u{e9}"] {
                let mut changed = text.to_owned();
                changed.replace_range(position..=position, other);
                assert!(changed == text || parse(&changed).is_none(), "{position} {other}");
            }
        }
        for garbage in ["", "tgk_", "Bearer", &text[1..], &format!("{text}A"), &text.replace("tgk_", "tgv_")] {
            assert!(parse(garbage).is_none(), "{garbage}");
        }
    }

    #[test]
    fn a_secret_is_never_shown() {
        let secret = NewSecret::mint(SecretKind::ApiKey).unwrap();
        let debug = format!("{secret:?} {:?}", PresentedSecret::parse(&secret.text));
        let tail = &secret.text.expose_secret()[21..];
        assert!(!debug.contains(tail), "{debug}");
    }
}
