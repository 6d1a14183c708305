//! How connections are taken, encrypted and bounded.

use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::ConfigError;

/// Largest header list that may be configured: what a status with its details needs, and no more.
const LARGEST_HEADERS: u32 = 16 << 10;
/// Smallest header list that may be configured: a credential and a trace context have to fit.
const SMALLEST_HEADERS: u32 = 2 << 10;
/// Most connections that may be configured; each is a file of the process.
const MOST_CONNECTIONS: usize = 1_000_000;

/// Encryption of the port.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TlsConfig {
    /// PEM file with the server's certificate and those between it and the root; absent = the port is not encrypted.
    pub certificate: Option<PathBuf>,
    /// PEM file with the private key of the certificate.
    pub private_key: Option<PathBuf>,
    /// PEM file with the authorities that sign certificates of clients.
    pub client_ca: Option<PathBuf>,
    /// Whether clients show a certificate.
    pub client_auth: ClientAuth,
    /// How often the files are looked at for a change; SIGHUP looks at once.
    #[serde(with = "humantime_serde")]
    pub reload_interval: Duration,
}

/// Whether clients show a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ClientAuth {
    /// They are not asked for one.
    #[default]
    None,
    /// One that is shown has to be good.
    Optional,
    /// Without a good one there is no connection.
    Required,
}

impl Default for TlsConfig {
    fn default() -> Self {
        Self {
            certificate: None,
            private_key: None,
            client_ca: None,
            client_auth: ClientAuth::None,
            reload_interval: Duration::from_secs(5),
        }
    }
}

impl TlsConfig {
    /// Whether the port is encrypted.
    pub fn is_on(&self) -> bool {
        self.certificate.is_some()
    }

    /// Whether every caller has shown a certificate.
    pub fn demands_certificates(&self) -> bool {
        self.is_on() && self.client_auth == ClientAuth::Required
    }

    pub(super) fn check(&self) -> Result<(), ConfigError> {
        let invalid = |key, rule: &str| Err(ConfigError::Invalid { key, rule: rule.to_owned() });
        if self.certificate.is_some() != self.private_key.is_some() {
            return invalid("server.tls", "certificate and private_key must be set together");
        }
        if !self.is_on() && (self.client_ca.is_some() || self.client_auth != ClientAuth::None) {
            return invalid("server.tls", "clients show certificates over TLS only: set certificate and private_key");
        }
        if self.client_ca.is_some() != (self.client_auth != ClientAuth::None) {
            return invalid(
                "server.tls.client_ca",
                "must be set where client_auth is optional or required, and only there",
            );
        }
        if self.reload_interval < Duration::from_millis(100) {
            return invalid("server.tls.reload_interval", "must be at least 100 ms");
        }
        Ok(())
    }
}

/// Bounds of connections.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ConnectionsConfig {
    /// Most connections at once; one more is closed at once.
    pub limit: usize,
    /// Most connections of one address, of IPv6 of one /64; 0 = no bound but `limit`.
    pub per_address: usize,
    /// Longest time until a connection is encrypted and speaks HTTP/2, and then from the first byte of a request's headers to their
    /// last.
    #[serde(with = "humantime_serde")]
    pub handshake_timeout: Duration,
    /// Largest list of headers of a request, in bytes.
    pub header_bytes: u32,
    /// Most requests of a connection that were cancelled before they were looked at; more end the connection.
    pub pending_resets: usize,
    /// Most streams of a connection that were reset as the client broke the rules of HTTP/2; more end the connection.
    pub local_resets: usize,
    /// Time between two questions whether the client is still there.
    #[serde(with = "humantime_serde")]
    pub ping_interval: Duration,
    /// Longest wait for its answer.
    #[serde(with = "humantime_serde")]
    pub ping_timeout: Duration,
    /// Age at which a connection is told to go, up to a tenth more or less so that not all go at once; 0 = never.
    #[serde(with = "humantime_serde")]
    pub age: Duration,
    /// How long what is under way may then go on.
    #[serde(with = "humantime_serde")]
    pub age_grace: Duration,
    /// A connection without a request for so long is told to go, at the latest after twice as long; 0 = never.
    #[serde(with = "humantime_serde")]
    pub idle_timeout: Duration,
    /// Most bytes of requests that are being received, over all connections; over it calls are refused.
    pub received_bytes: usize,
}

impl Default for ConnectionsConfig {
    fn default() -> Self {
        Self {
            limit: 10_000,
            per_address: 0,
            handshake_timeout: Duration::from_secs(5),
            header_bytes: 8 << 10,
            pending_resets: 20,
            local_resets: 1_024,
            ping_interval: Duration::from_secs(30),
            ping_timeout: Duration::from_secs(20),
            age: Duration::from_secs(3_600),
            age_grace: Duration::from_secs(600),
            idle_timeout: Duration::from_secs(900),
            received_bytes: 64 << 20,
        }
    }
}

impl ConnectionsConfig {
    pub(super) fn check(&self, message_bytes: usize) -> Result<(), ConfigError> {
        let invalid = |key, rule: &str| Err(ConfigError::Invalid { key, rule: rule.to_owned() });
        if self.limit == 0 || self.limit > MOST_CONNECTIONS {
            return invalid("server.connections.limit", "must be between 1 and 1000000");
        }
        if self.per_address > self.limit {
            return invalid("server.connections.per_address", "must be at most server.connections.limit");
        }
        if self.handshake_timeout.is_zero() || self.handshake_timeout > Duration::from_secs(60) {
            return invalid("server.connections.handshake_timeout", "must be above 0 and at most 60 s");
        }
        if !(SMALLEST_HEADERS..=LARGEST_HEADERS).contains(&self.header_bytes) {
            return invalid("server.connections.header_bytes", "must be between 2 KiB and 16 KiB");
        }
        if self.pending_resets == 0 || self.pending_resets > 1_000 {
            return invalid("server.connections.pending_resets", "must be between 1 and 1000");
        }
        if self.local_resets == 0 || self.local_resets > 100_000 {
            return invalid("server.connections.local_resets", "must be between 1 and 100000");
        }
        if self.ping_interval < Duration::from_secs(1) || self.ping_timeout < Duration::from_secs(1) {
            return invalid("server.connections", "ping_interval and ping_timeout must be at least 1 s");
        }
        if self.received_bytes < message_bytes {
            return invalid("server.connections.received_bytes", "must be at least server.message_bytes");
        }
        Ok(())
    }
}

/// Bounds of calls.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CallsConfig {
    /// Longest time until a call without a deadline of its own is answered; of a stream, until it begins.
    #[serde(with = "humantime_serde")]
    pub timeout: Duration,
    /// Longest deadline that a call may ask for; later ones end here. Calls that may be long by their nature have it from the start.
    #[serde(with = "humantime_serde")]
    pub longest_timeout: Duration,
}

impl Default for CallsConfig {
    fn default() -> Self {
        Self { timeout: Duration::from_secs(30), longest_timeout: Duration::from_secs(600) }
    }
}

impl CallsConfig {
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        if self.timeout.is_zero() || self.timeout > self.longest_timeout {
            let rule = "must be above 0 and at most server.calls.longest_timeout".to_owned();
            return Err(ConfigError::Invalid { key: "server.calls.timeout", rule });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(result: Result<(), ConfigError>) -> &'static str {
        match result {
            Err(ConfigError::Invalid { key, .. }) => key,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_defaults_are_good() {
        assert!(TlsConfig::default().check().is_ok() && !TlsConfig::default().is_on());
        assert!(ConnectionsConfig::default().check(1 << 20).is_ok());
        assert!(CallsConfig::default().check().is_ok());
    }

    #[test]
    fn files_of_tls_are_complete_or_refused() {
        let file = || Some(PathBuf::from("file.pem"));
        let half = TlsConfig { certificate: file(), ..TlsConfig::default() };
        assert_eq!(refused(half.check()), "server.tls");
        let plain = TlsConfig { client_auth: ClientAuth::Required, client_ca: file(), ..TlsConfig::default() };
        assert_eq!(refused(plain.check()), "server.tls");
        let tls = TlsConfig { certificate: file(), private_key: file(), ..TlsConfig::default() };
        assert!(tls.check().is_ok() && tls.is_on() && !tls.demands_certificates());
        let no_authority = TlsConfig { client_auth: ClientAuth::Optional, ..tls.clone() };
        assert_eq!(refused(no_authority.check()), "server.tls.client_ca");
        let mutual = TlsConfig { client_auth: ClientAuth::Required, client_ca: file(), ..tls };
        assert!(mutual.check().is_ok() && mutual.demands_certificates());
    }

    #[test]
    fn each_bound_of_connections_is_checked() {
        let base = ConnectionsConfig::default;
        let second = Duration::from_secs(1);
        for (config, key) in [
            (ConnectionsConfig { limit: 0, ..base() }, "server.connections.limit"),
            (ConnectionsConfig { per_address: 10_001, ..base() }, "server.connections.per_address"),
            (ConnectionsConfig { handshake_timeout: 61 * second, ..base() }, "server.connections.handshake_timeout"),
            (ConnectionsConfig { header_bytes: (16 << 10) + 1, ..base() }, "server.connections.header_bytes"),
            (ConnectionsConfig { pending_resets: 0, ..base() }, "server.connections.pending_resets"),
            (ConnectionsConfig { local_resets: 0, ..base() }, "server.connections.local_resets"),
            (ConnectionsConfig { ping_interval: second / 2, ..base() }, "server.connections"),
            (ConnectionsConfig { received_bytes: (1 << 20) - 1, ..base() }, "server.connections.received_bytes"),
        ] {
            assert_eq!(refused(config.check(1 << 20)), key);
        }
        let late = CallsConfig { timeout: 601 * second, ..CallsConfig::default() };
        assert_eq!(refused(late.check()), "server.calls.timeout");
    }
}
