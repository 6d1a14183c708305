//! Where a webhook listens.

use http::Uri;
use http::uri::Scheme;
use thiserror::Error;

/// Why a URL is refused. Says nothing of what it is: it may carry a credential.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum TargetError {
    /// It is none.
    #[error("must be a URL such as https://alerts.example.com/tollgate, without user name and password")]
    Malformed,
    /// Anybody on the way could read it.
    #[error("must be https, unless alerts.allow_private_addresses = true")]
    Plain,
}

/// A receiver's URL, in parts.
#[derive(Clone)]
pub struct Target {
    /// Whether the connection is encrypted.
    pub(super) secure: bool,
    /// Host name or address, an IPv6 address without its brackets.
    pub(super) host: String,
    /// The port.
    pub(super) port: u16,
    /// Host and port, as a request names them.
    pub(super) authority: String,
    /// Path and query.
    pub(super) path: String,
}

impl std::fmt::Debug for Target {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Target(hidden)")
    }
}

impl Target {
    /// Reads a URL; a plain one only where private addresses are allowed.
    ///
    /// # Errors
    /// [`TargetError`].
    pub fn parse(url: &str, allow_private_addresses: bool) -> Result<Self, TargetError> {
        let uri: Uri = url.trim().parse().map_err(|_| TargetError::Malformed)?;
        let secure = match uri.scheme() {
            Some(scheme) if *scheme == Scheme::HTTPS => true,
            Some(scheme) if *scheme == Scheme::HTTP => false,
            _ => return Err(TargetError::Malformed),
        };
        let authority = uri.authority().ok_or(TargetError::Malformed)?;
        if authority.as_str().contains('@') || authority.host().is_empty() {
            return Err(TargetError::Malformed);
        }
        if !secure && !allow_private_addresses {
            return Err(TargetError::Plain);
        }
        let port = match authority.port_u16() {
            Some(port) => port,
            None if authority.as_str() != authority.host() => return Err(TargetError::Malformed),
            None if secure => 443,
            None => 80,
        };
        let host = authority.host();
        let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        Ok(Self {
            secure,
            host: host.to_owned(),
            port,
            authority: authority.to_string(),
            path: uri.path_and_query().map_or_else(|| "/".to_owned(), ToString::to_string),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_of_a_url() {
        let target = Target::parse("https://alerts.example.com/hook?key=1", false).unwrap();
        assert_eq!((target.secure, target.host.as_str(), target.port), (true, "alerts.example.com", 443));
        assert_eq!((target.authority.as_str(), target.path.as_str()), ("alerts.example.com", "/hook?key=1"));
        let target = Target::parse("http://[::1]:8080", true).unwrap();
        assert_eq!((target.secure, target.host.as_str(), target.port), (false, "::1", 8080));
        assert_eq!((target.authority.as_str(), target.path.as_str()), ("[::1]:8080", "/"));
    }

    #[test]
    fn what_is_refused() {
        for url in [
            "",
            "alerts.example.com/hook",
            "ftp://example.com",
            "https://",
            "https://user:canary@example.com",
            "https://example.com:65536/hook",
            "https://example.com:/hook",
        ] {
            assert_eq!(Target::parse(url, true).err(), Some(TargetError::Malformed), "{url}");
        }
        assert_eq!(Target::parse("http://example.com", false).err(), Some(TargetError::Plain));
        assert!(!format!("{:?}", Target::parse("https://example.com/canary", false)).contains("canary"));
    }
}
