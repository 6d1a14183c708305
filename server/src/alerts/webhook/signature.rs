//! Signatures by which a receiver knows that a message is Tollgate's and not an old one.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::hmac;
use thiserror::Error;

/// What every secret begins with.
const PREFIX: &str = "whsec_";
/// Lengths of a key, in bytes, by Standard Webhooks.
const KEY_BYTES: std::ops::RangeInclusive<usize> = 24..=64;

/// Why a secret is refused. Says nothing of what it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("must be `{PREFIX}` and {} to {} bytes in base64, for example whsec_$(openssl rand -base64 32)", KEY_BYTES.start(), KEY_BYTES.end())]
pub struct SecretError;

/// A key that messages are signed with.
#[derive(Clone)]
pub struct Secret {
    key: hmac::Key,
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Secret(hidden)")
    }
}

impl Secret {
    /// Reads `whsec_` and a key in base64.
    ///
    /// # Errors
    /// [`SecretError`].
    pub fn parse(text: &str) -> Result<Self, SecretError> {
        let key = text.trim().strip_prefix(PREFIX).and_then(|encoded| STANDARD.decode(encoded).ok());
        let key = key.filter(|key| KEY_BYTES.contains(&key.len())).ok_or(SecretError)?;
        Ok(Self { key: hmac::Key::new(hmac::HMAC_SHA256, &key) })
    }
}

/// The value of `webhook-signature`: one signature for each secret.
pub(super) fn sign(secrets: &[Secret], id: &str, timestamp: i64, body: &[u8]) -> String {
    let mut signatures = Vec::with_capacity(secrets.len());
    for secret in secrets {
        let mut context = hmac::Context::with_key(&secret.key);
        context.update(format!("{id}.{timestamp}.").as_bytes());
        context.update(body);
        signatures.push(format!("v1,{}", STANDARD.encode(context.sign())));
    }
    signatures.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_is_that_of_other_implementations() {
        // Computed with `openssl dgst -sha256 -hmac` over `id.timestamp.body`.
        let secret = Secret::parse("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        let sign = |secrets: &[Secret]| {
            sign(secrets, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, br#"{"test": 2432232314}"#)
        };
        let one = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";
        assert_eq!(sign(std::slice::from_ref(&secret)), one);
        let other = Secret::parse(&format!("whsec_{}", STANDARD.encode([7; 32]))).unwrap();
        let both = sign(&[other, secret]);
        assert_eq!(both.split(' ').count(), 2);
        assert_eq!(both.split(' ').nth(1), Some(one));
    }

    #[test]
    fn secrets_that_protect_nothing_are_refused() {
        for text in ["", "whsec_", "whsec_c2hvcnQ=", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_not base64"] {
            assert_eq!(Secret::parse(text).err(), Some(SecretError), "{text}");
        }
        let secret = Secret::parse("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        assert_eq!(format!("{secret:?}"), "Secret(hidden)");
    }
}
