//! Encryption: certificates from files, replaced while the server runs.

mod files;
mod validity;
mod watch;

use std::path::PathBuf;
use std::sync::Arc;

use arc_swap::ArcSwap;
use jiff::Timestamp;
use rustls::ServerConfig;
use thiserror::Error;

use crate::config::TlsConfig;
use crate::metrics::TransportMetrics;
use files::Loaded;

/// Why the files of TLS cannot be used.
#[derive(Debug, Error)]
pub enum TlsError {
    /// A file cannot be read.
    #[error("{path} cannot be read")]
    Unreadable {
        /// Which one.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// A file is far larger than any certificate.
    #[error("{0} is too large for a file of certificates")]
    TooLarge(PathBuf),
    /// A file is not what it should be.
    #[error("{path} does not hold {what} in PEM")]
    Missing {
        /// Which one.
        path: PathBuf,
        /// What is looked for.
        what: &'static str,
    },
    /// The certificate and the key do not fit, or are of a kind that is not used.
    #[error("the certificate and its key cannot be used together")]
    Identity(#[source] rustls::Error),
    /// An authority cannot be used.
    #[error("the authorities of clients cannot be used: {0}")]
    Authorities(String),
}

/// What connections are encrypted with: the latest files that were good.
#[derive(Debug, Clone)]
pub struct Tls {
    settings: TlsConfig,
    current: Arc<ArcSwap<ServerConfig>>,
    /// Digest of the files that were looked at last.
    seen: [u8; 32],
    metrics: TransportMetrics,
}

impl Tls {
    /// Reads the files that are configured; `None` = the port is not encrypted.
    ///
    /// # Errors
    /// [`TlsError`].
    pub async fn load(settings: &TlsConfig, metrics: TransportMetrics) -> Result<Option<Self>, TlsError> {
        let Some(files) = files::read(settings).await? else { return Ok(None) };
        let loaded = files.load(settings.client_auth)?;
        let current = Arc::new(ArcSwap::from(loaded.config.clone()));
        let tls = Self { settings: settings.clone(), current, seen: files.digest(), metrics };
        tls.tell(&loaded);
        Ok(Some(tls))
    }

    /// What a connection that is accepted now is encrypted with.
    pub(super) fn current(&self) -> Arc<ServerConfig> {
        self.current.load_full()
    }

    fn tell(&self, loaded: &Loaded) {
        let Some(expires) = loaded.expires else { return };
        self.metrics.certificate_expires(expires);
        if expires <= Timestamp::now() {
            tracing::error!(%expires, "the server's certificate has expired: clients will refuse it");
        } else {
            tracing::info!(%expires, "connections are encrypted");
        }
    }
}

/// Reads the files as a server would, and says until when its certificate is good: `None` = the port is not encrypted, `Some(None)` =
/// it cannot be told.
///
/// # Errors
/// [`TlsError`].
pub async fn certificate_expiry(settings: &TlsConfig) -> Result<Option<Option<Timestamp>>, TlsError> {
    let Some(files) = files::read(settings).await? else { return Ok(None) };
    Ok(Some(files.load(settings.client_auth)?.expires))
}
