//! What a caller shows, in the headers of its request.

use http::HeaderMap;
use http::header::AUTHORIZATION;
use secrecy::SecretString;

use super::{PresentedSecret, Refusal};

/// The other header of a secret, for gateways that use `authorization` themselves.
const KEY_HEADER: &str = "x-api-key";
/// Names the tenant for which a gateway speaks.
pub const TENANT_HEADER: &str = "x-tollgate-tenant";
/// The scheme before a secret in `authorization`, compared without case.
const SCHEME: &str = "bearer";

/// What a caller shows.
#[derive(Debug, Clone, Copy)]
pub struct Presented<'a> {
    /// Its secret; `None` = it sent none.
    pub secret: Option<PresentedSecret>,
    /// The name of the tenant for which it wants to speak.
    pub tenant: Option<&'a str>,
}

/// Reads what a caller shows. `x-api-key` goes before `authorization`.
///
/// # Errors
/// [`Refusal::Malformed`] for a credential that is none of ours, and for several; [`Refusal::OtherTenant`] for a name that no
/// tenant has.
pub fn presented(headers: &HeaderMap) -> Result<Presented<'_>, Refusal> {
    let secret = match single(headers, KEY_HEADER)? {
        Some(key) => Some(secret(key)?),
        None => match single(headers, AUTHORIZATION.as_str())? {
            None => None,
            Some(value) => {
                let (scheme, key) = value.split_once(' ').ok_or(Refusal::Malformed)?;
                if !scheme.eq_ignore_ascii_case(SCHEME) {
                    return Err(Refusal::Malformed);
                }
                Some(secret(key)?)
            }
        },
    };
    let tenant = single(headers, TENANT_HEADER).map_err(|_| Refusal::OtherTenant)?;
    Ok(Presented { secret, tenant })
}

/// Takes the credential out of the headers: nothing behind this needs it or could log it.
pub fn strip(headers: &mut HeaderMap) {
    headers.remove(KEY_HEADER);
    headers.remove(AUTHORIZATION);
}

fn single<'a>(headers: &'a HeaderMap, name: &str) -> Result<Option<&'a str>, Refusal> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (None, _) => Ok(None),
        (Some(value), None) => value.to_str().map(Some).map_err(|_| Refusal::Malformed),
        (Some(_), Some(_)) => Err(Refusal::Malformed),
    }
}

fn secret(text: &str) -> Result<PresentedSecret, Refusal> {
    PresentedSecret::parse(&SecretString::from(text.trim())).ok_or(Refusal::Malformed)
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret as _;

    use super::*;
    use crate::auth::{NewSecret, SecretKind};

    fn read(headers: &[(&'static str, &str)]) -> Result<Option<super::super::SecretId>, Refusal> {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, value.parse().unwrap());
        }
        presented(&map).map(|presented| presented.secret.map(|secret| secret.id))
    }

    #[test]
    fn a_secret_is_found_in_either_header_and_nowhere_else() {
        let minted = NewSecret::mint(SecretKind::ApiKey).unwrap();
        let text = minted.text.expose_secret();
        let bearer = format!("Bearer {text}");
        assert_eq!(read(&[]), Ok(None));
        assert_eq!(read(&[("authorization", &bearer)]), Ok(Some(minted.id)));
        assert_eq!(read(&[("authorization", &bearer.replace("Bearer", "bEARER"))]), Ok(Some(minted.id)));
        assert_eq!(read(&[("x-api-key", text)]), Ok(Some(minted.id)));
        assert_eq!(read(&[("authorization", "Basic Zm9v"), ("x-api-key", text)]), Ok(Some(minted.id)));
        for headers in [
            vec![("authorization", text)],
            vec![("authorization", "Bearer ")],
            vec![("authorization", "Basic Zm9v")],
            vec![("x-api-key", &bearer)],
            vec![("x-api-key", text), ("x-api-key", text)],
        ] {
            assert_eq!(read(&headers), Err(Refusal::Malformed), "{headers:?}");
        }
    }
}
