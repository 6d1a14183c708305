//! From files to what connections are encrypted with.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use jiff::Timestamp;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use rustls::{RootCertStore, ServerConfig};
use secrecy::{ExposeSecret as _, SecretSlice};
use sha2::{Digest as _, Sha256};
use tokio::io::AsyncReadExt as _;

use super::TlsError;
use super::validity::not_after;
use crate::config::{ClientAuth, TlsConfig};

/// The protocol that gRPC runs on, as clients ask for it.
const HTTP_2: &[u8] = b"h2";
/// Largest file that is read.
const LARGEST_FILE: u64 = 1 << 20;

/// A file as it was read.
struct Content {
    path: PathBuf,
    bytes: SecretSlice<u8>,
}

/// The files as they were read at one time.
pub(super) struct Files {
    certificate: Content,
    private_key: Content,
    client_ca: Option<Content>,
}

/// What the files say.
pub(super) struct Loaded {
    pub(super) config: Arc<ServerConfig>,
    /// When the server's certificate expires, where that can be told.
    pub(super) expires: Option<Timestamp>,
}

/// Reads the files; `None` = none are configured.
///
/// # Errors
/// [`TlsError::Unreadable`], [`TlsError::TooLarge`].
pub(super) async fn read(settings: &TlsConfig) -> Result<Option<Files>, TlsError> {
    let (Some(certificate), Some(private_key)) = (&settings.certificate, &settings.private_key) else {
        return Ok(None);
    };
    let client_ca = match &settings.client_ca {
        Some(path) => Some(content(path).await?),
        None => None,
    };
    Ok(Some(Files { certificate: content(certificate).await?, private_key: content(private_key).await?, client_ca }))
}

async fn content(path: &Path) -> Result<Content, TlsError> {
    let unreadable = |source| TlsError::Unreadable { path: path.to_owned(), source };
    let file = tokio::fs::File::open(path).await.map_err(unreadable)?;
    let mut bytes = Vec::new();
    let read = file.take(LARGEST_FILE + 1).read_to_end(&mut bytes).await.map_err(unreadable)?;
    if read as u64 > LARGEST_FILE {
        return Err(TlsError::TooLarge(path.to_owned()));
    }
    Ok(Content { path: path.to_owned(), bytes: bytes.into() })
}

impl Content {
    fn certificates(&self) -> Result<Vec<CertificateDer<'static>>, TlsError> {
        let missing = || TlsError::Missing { path: self.path.clone(), what: "a certificate" };
        let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(self.bytes.expose_secret()).collect();
        let found = found.map_err(|_| missing())?;
        if found.is_empty() { Err(missing()) } else { Ok(found) }
    }

    fn private_key(&self) -> Result<PrivateKeyDer<'static>, TlsError> {
        PrivateKeyDer::from_pem_slice(self.bytes.expose_secret())
            .map_err(|_| TlsError::Missing { path: self.path.clone(), what: "a private key" })
    }
}

impl Files {
    /// Differs where any content does.
    pub(super) fn digest(&self) -> [u8; 32] {
        let mut digest = Sha256::new();
        for content in [Some(&self.certificate), Some(&self.private_key), self.client_ca.as_ref()].into_iter().flatten()
        {
            digest.update(Sha256::digest(content.bytes.expose_secret()));
        }
        digest.finalize().into()
    }

    /// What connections are encrypted with: TLS 1.2 and 1.3, and only with clients of HTTP/2.
    ///
    /// # Errors
    /// [`TlsError`].
    pub(super) fn load(&self, client_auth: ClientAuth) -> Result<Loaded, TlsError> {
        let chain = self.certificate.certificates()?;
        let expires = chain.first().and_then(|certificate| not_after(certificate));
        let provider = Arc::new(ring::default_provider());
        let builder = ServerConfig::builder_with_provider(provider.clone())
            .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
            .map_err(TlsError::Identity)?;
        let builder = match &self.client_ca {
            Some(authorities) => builder.with_client_cert_verifier(verifier(authorities, client_auth, provider)?),
            None => builder.with_no_client_auth(),
        };
        let mut config =
            builder.with_single_cert(chain, self.private_key.private_key()?).map_err(TlsError::Identity)?;
        config.alpn_protocols = vec![HTTP_2.to_vec()];
        Ok(Loaded { config: Arc::new(config), expires })
    }
}

fn verifier(
    authorities: &Content,
    client_auth: ClientAuth,
    provider: Arc<rustls::crypto::CryptoProvider>,
) -> Result<Arc<dyn ClientCertVerifier>, TlsError> {
    let mut roots = RootCertStore::empty();
    for authority in authorities.certificates()? {
        roots.add(authority).map_err(|error| TlsError::Authorities(error.to_string()))?;
    }
    let builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
    let builder = match client_auth {
        ClientAuth::Required => builder,
        ClientAuth::Optional | ClientAuth::None => builder.allow_unauthenticated(),
    };
    builder.build().map_err(|error| TlsError::Authorities(error.to_string()))
}
