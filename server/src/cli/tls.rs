//! How commands that ask a server reach one whose port is encrypted.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::Args;
use tollgate_client::ClientBuilder;
use tonic::transport::{Certificate, ClientTlsConfig, Identity};

/// Whom to trust, and whom to be, over `https`.
#[derive(Debug, Clone, Default, Args)]
pub struct TlsArguments {
    /// PEM file with the authority that signed the certificate of an https server; by default those that the web trusts
    #[arg(long, env = "TOLLGATE_CA", value_name = "FILE")]
    pub ca: Option<PathBuf>,
    /// PEM file with the certificate to show to an https server
    #[arg(long, value_name = "FILE", requires = "client_key")]
    pub client_certificate: Option<PathBuf>,
    /// PEM file with its private key
    #[arg(long, value_name = "FILE", requires = "client_certificate")]
    pub client_key: Option<PathBuf>,
}

impl TlsArguments {
    /// With these files, where they are given.
    pub(super) fn add_to(&self, mut builder: ClientBuilder) -> anyhow::Result<ClientBuilder> {
        if let Some(ca) = &self.ca {
            builder = builder.ca_certificate(read(ca)?);
        }
        if let (Some(certificate), Some(key)) = (&self.client_certificate, &self.client_key) {
            builder = builder.client_certificate(read(certificate)?, read(key)?);
        }
        Ok(builder)
    }

    /// The same for a bare channel.
    pub(super) fn channel(&self) -> anyhow::Result<ClientTlsConfig> {
        let mut config = match &self.ca {
            Some(ca) => ClientTlsConfig::new().ca_certificate(Certificate::from_pem(read(ca)?)),
            None => ClientTlsConfig::new().with_enabled_roots(),
        };
        if let (Some(certificate), Some(key)) = (&self.client_certificate, &self.client_key) {
            config = config.identity(Identity::from_pem(read(certificate)?, read(key)?));
        }
        Ok(config)
    }
}

fn read(file: &Path) -> anyhow::Result<Vec<u8>> {
    std::fs::read(file).with_context(|| format!("{} cannot be read", file.display()))
}
