//! Certificates, made for a test.

use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rcgen::{
    BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    PublicKeyData as _, SanType, date_time_ymd,
};
use sha2::{Digest as _, Sha256};
use tollgate_server::config::{ClientAuth, TlsConfig};

/// A certificate and its key, in PEM.
#[derive(Debug, Clone)]
pub(super) struct Identity {
    pub(super) certificate: String,
    pub(super) key: String,
    /// SHA-256 of the public key.
    pub(super) public_key: [u8; 32],
}

/// Whoever signs certificates.
pub(super) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pub(super) pem: String,
}

impl Authority {
    pub(super) fn new(name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(rcgen::DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
        let key = KeyPair::generate().unwrap();
        let pem = pem("CERTIFICATE", params.self_signed(&key).unwrap().der());
        Self { issuer: Issuer::new(params, key), pem }
    }

    /// For a server on this machine.
    pub(super) fn server(&self) -> Identity {
        self.sign(&server_params())
    }

    /// The same, expired.
    pub(super) fn expired_server(&self) -> Identity {
        self.sign(&expired(server_params()))
    }

    /// For a client of this name.
    pub(super) fn client(&self, uri: &str) -> Identity {
        self.sign(&client_params(uri))
    }

    /// The same, expired.
    pub(super) fn expired_client(&self, uri: &str) -> Identity {
        self.sign(&expired(client_params(uri)))
    }

    fn sign(&self, params: &CertificateParams) -> Identity {
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        Identity {
            certificate: pem("CERTIFICATE", certificate.der()),
            key: pem("PRIVATE KEY", &key.serialize_der()),
            public_key: Sha256::digest(key.subject_public_key_info()).into(),
        }
    }
}

fn server_params() -> CertificateParams {
    let mut params = CertificateParams::default();
    params.subject_alt_names = vec![SanType::IpAddress(IpAddr::V4(Ipv4Addr::LOCALHOST))];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params
}

fn client_params(uri: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.subject_alt_names = vec![SanType::URI(uri.try_into().unwrap())];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    params
}

fn expired(mut params: CertificateParams) -> CertificateParams {
    params.not_before = date_time_ymd(2020, 1, 1);
    params.not_after = date_time_ymd(2020, 2, 1);
    params
}

fn pem(label: &str, der: &[u8]) -> String {
    let encoded = STANDARD.encode(der);
    let lines: Vec<&str> = encoded.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).unwrap()).collect();
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", lines.join("\n"))
}

/// The files of a server, in a folder of their own.
pub(super) struct Files {
    folder: tempfile::TempDir,
}

impl Files {
    pub(super) fn new(identity: &Identity) -> Self {
        let files = Self { folder: tempfile::tempdir().unwrap() };
        files.write(identity);
        files
    }

    /// Replaces the certificate and the key, one after the other as people do.
    pub(super) fn write(&self, identity: &Identity) {
        self.replace("server.pem", &identity.certificate);
        self.replace("server.key", &identity.key);
    }

    pub(super) fn replace(&self, name: &str, text: &str) {
        std::fs::write(self.path(name), text).unwrap();
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        Path::join(self.folder.path(), name)
    }

    /// A port that asks nobody for a certificate.
    pub(super) fn config(&self) -> TlsConfig {
        TlsConfig {
            certificate: Some(self.path("server.pem")),
            private_key: Some(self.path("server.key")),
            reload_interval: std::time::Duration::from_millis(100),
            ..TlsConfig::default()
        }
    }

    /// A port that asks for certificates of this authority.
    pub(super) fn mutual(&self, authority: &Authority, client_auth: ClientAuth) -> TlsConfig {
        self.replace("clients.pem", &authority.pem);
        TlsConfig { client_ca: Some(self.path("clients.pem")), client_auth, ..self.config() }
    }
}
