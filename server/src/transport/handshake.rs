//! From a socket to a connection that speaks HTTP/2: encryption, and the preface.

use std::io;

use thiserror::Error;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::peer::ClientCertificate;
use super::preface::{self, Prefaced};
use super::tls::Tls;
use crate::metrics::HandshakeFailure;

/// Why there is no connection.
#[derive(Debug, Error)]
pub(super) enum HandshakeError {
    /// It could not be encrypted.
    #[error("the connection cannot be encrypted")]
    Tls(#[source] io::Error),
    /// What was verified cannot be read.
    #[error("the client's certificate cannot be read")]
    Certificate,
    /// It broke.
    #[error("the connection broke before it spoke HTTP/2")]
    Broken(#[source] io::Error),
    /// It speaks something else.
    #[error("the connection does not speak HTTP/2")]
    NotHttp2,
}

impl HandshakeError {
    /// How it is counted.
    pub(super) fn kind(&self) -> HandshakeFailure {
        match self {
            Self::Tls(_) | Self::Certificate => HandshakeFailure::Tls,
            Self::Broken(_) | Self::NotHttp2 => HandshakeFailure::NotHttp2,
        }
    }
}

/// A connection that is about to speak HTTP/2.
pub(super) enum Opened {
    /// Not encrypted.
    Plain(Prefaced<TcpStream>),
    /// Encrypted; the client's certificate, where it showed one.
    Encrypted(Box<Prefaced<TlsStream<TcpStream>>>, Option<ClientCertificate>),
}

/// Encrypts where there is TLS, and reads the preface. The caller bounds the time.
///
/// # Errors
/// [`HandshakeError`].
pub(super) async fn open(stream: TcpStream, tls: Option<&Tls>) -> Result<Opened, HandshakeError> {
    let Some(tls) = tls else {
        return Ok(Opened::Plain(prefaced(stream).await?));
    };
    let stream = TlsAcceptor::from(tls.current()).accept(stream).await.map_err(HandshakeError::Tls)?;
    let shown = stream.get_ref().1.peer_certificates().and_then(<[_]>::first);
    let certificate = match shown {
        Some(shown) => Some(ClientCertificate::of(shown).ok_or(HandshakeError::Certificate)?),
        None => None,
    };
    Ok(Opened::Encrypted(Box::new(prefaced(stream).await?), certificate))
}

async fn prefaced<IO: AsyncRead + AsyncWrite + Unpin>(io: IO) -> Result<Prefaced<IO>, HandshakeError> {
    preface::read(io).await.map_err(HandshakeError::Broken)?.ok_or(HandshakeError::NotHttp2)
}
