//! What the commands take: permissions, pins, durations.

use std::str::FromStr;
use std::time::Duration;

use tollgate_domain::dimensions::{Dimension, DimensionKey, DimensionKind, Dimensions};

use crate::auth::Permission;

/// A permission by its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct PermissionArgument(pub(super) Permission);

impl FromStr for PermissionArgument {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let names = || Permission::ALL.map(|permission| permission.name().to_ascii_lowercase()).join(", ");
        Permission::from_name(text).map(Self).ok_or_else(|| format!("`{text}` is none of {}", names()))
    }
}

/// One pinned dimension as `KEY=VALUE`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct PinArgument(pub(super) Dimensions);

impl FromStr for PinArgument {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let form = || format!("`{text}` is not KEY=VALUE, for example user_id=ann or label:app=web");
        let (name, value) = text.split_once('=').filter(|(_, value)| !value.is_empty()).ok_or_else(form)?;
        let mut pinned = Dimensions::default();
        match DimensionKey::from_display_name(name).ok_or_else(form)? {
            DimensionKey::Label(label) => {
                pinned.labels.insert(label, value.to_owned());
            }
            DimensionKey::Dimension(dimension) => {
                let sent = matches!(dimension.kind(), DimensionKind::Shape | DimensionKind::Entity);
                if !sent || dimension == Dimension::ApiKeyId {
                    return Err(format!("`{name}` cannot be pinned"));
                }
                pinned.set(dimension, value);
            }
        }
        Ok(Self(pinned))
    }
}

/// A duration such as `90d` or `12h`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct DurationArgument(pub(super) Duration);

impl FromStr for DurationArgument {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let form = || format!("`{text}` is not a duration such as 90d, 12h, 30m or 45s");
        let (digits, seconds) = [('d', 86_400), ('h', 3_600), ('m', 60), ('s', 1)]
            .into_iter()
            .find_map(|(unit, seconds)| Some((text.strip_suffix(unit)?, seconds)))
            .ok_or_else(form)?;
        let count: u32 = digits.parse().map_err(|_| form())?;
        Ok(Self(Duration::from_secs(u64::from(count).saturating_mul(seconds))))
    }
}

/// SHA-256 of a public key, as 64 hexadecimal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct PublicKeyArgument(pub(super) [u8; 32]);

impl FromStr for PublicKeyArgument {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let form = || format!("`{text}` is not 64 hexadecimal digits");
        let half = |digits: &str| u128::from_str_radix(digits, 16).map(u128::to_be_bytes).map_err(|_| form());
        if text.len() != 64 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(form());
        }
        let (first, second) = text.split_at(32);
        let mut digest = [0; 32];
        for (to, from) in digest.iter_mut().zip(half(first)?.into_iter().chain(half(second)?)) {
            *to = from;
        }
        Ok(Self(digest))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pins_are_read_or_explained() {
        let pinned = |text: &str| text.parse::<PinArgument>().map(|pin| pin.0);
        assert_eq!(pinned("user_id=a=b"), Ok(Dimensions::default().with(Dimension::UserId, "a=b")));
        assert_eq!(pinned("label:app=web").unwrap().labels["app"], "web");
        for bad in ["user_id", "user_id=", "user=ann", "label:=x", "api_key_id=x", "model=m", "panel_size=1"] {
            assert!(pinned(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn digests_are_read_or_explained() {
        let text = format!("{}00Ff", "01".repeat(30));
        let PublicKeyArgument(digest) = text.parse().unwrap();
        assert_eq!((digest[..2].to_vec(), digest[30..].to_vec()), (vec![1, 1], vec![0, 255]));
        for bad in ["", "0", &text[1..], &format!("+{}", &text[1..]), &"\u{e9}".repeat(32)] {
            assert!(bad.parse::<PublicKeyArgument>().is_err(), "{bad}");
        }
    }

    #[test]
    fn durations_and_permissions_are_read_or_explained() {
        let seconds = |text: &str| text.parse::<DurationArgument>().map(|span| span.0.as_secs()).ok();
        assert_eq!((seconds("90d"), seconds("12h"), seconds("0s")), (Some(7_776_000), Some(43_200), Some(0)));
        assert_eq!((seconds("12"), seconds("d"), seconds("-1d"), seconds("1\u{e9}")), (None, None, None, None));
        assert_eq!("Record".parse(), Ok(PermissionArgument(Permission::Record)));
        assert!("write".parse::<PermissionArgument>().unwrap_err().contains("record, check"));
    }
}
