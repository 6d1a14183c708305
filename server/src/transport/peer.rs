//! Who is at the other end of a connection.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use sha2::{Digest as _, Sha256};
use webpki::EndEntityCert;

use crate::hexadecimal::hexadecimal;

/// Most names of a certificate that are kept.
const MOST_URIS: usize = 16;

/// A client certificate that was verified, in the extensions of each request of its connection.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct ClientCertificate {
    public_key: [u8; 32],
    uris: Arc<[String]>,
}

impl ClientCertificate {
    /// What a certificate says that was verified already; `None` = it cannot be read.
    pub(super) fn of(certificate: &CertificateDer<'_>) -> Option<Self> {
        let certificate = EndEntityCert::try_from(certificate).ok()?;
        let public_key = Sha256::digest(certificate.subject_public_key_info()).into();
        let uris = certificate.valid_uri_names().take(MOST_URIS).map(str::to_owned).collect();
        Some(Self { public_key, uris })
    }

    /// SHA-256 of its public key (the `SubjectPublicKeyInfo` in DER). It stays when a certificate is renewed with its key.
    pub fn public_key(&self) -> &[u8; 32] {
        &self.public_key
    }

    /// The URIs among its alternative names, such as a SPIFFE id; the first 16.
    pub fn uris(&self) -> &[String] {
        &self.uris
    }

    /// [`Self::public_key`] in hexadecimal digits.
    pub fn fingerprint(&self) -> String {
        hexadecimal(&self.public_key)
    }
}

impl fmt::Debug for ClientCertificate {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fingerprint = self.fingerprint();
        formatter
            .debug_struct("ClientCertificate")
            .field("fingerprint", &fingerprint)
            .field("uris", &self.uris)
            .finish()
    }
}

/// The two ends of a connection.
#[derive(Debug, Clone)]
pub(super) struct Peer {
    pub(super) local: Option<SocketAddr>,
    pub(super) remote: SocketAddr,
    /// Present where the client showed one.
    pub(super) certificate: Option<ClientCertificate>,
}
