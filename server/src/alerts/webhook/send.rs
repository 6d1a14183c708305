//! One message to the receiver: resolve, check, connect to what was checked, post, read the status.
//!
//! Made of hyper's connection alone: it follows no redirect and knows no proxy, so that nothing but the checked address is reached.

use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use http::{Request, StatusCode, header};
use http_body_util::Full;
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, lookup_host};
use tokio_rustls::TlsConnector;

use super::address::is_public;
use super::signature::{Secret, sign};
use super::target::Target;

/// Longest time of one attempt, from the look-up of the name to the status.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Most bytes of an answer's head; nothing behind it is read.
const HEAD_BYTES_LIMIT: usize = 64 << 10;

/// Why a message was not taken. Names neither the URL nor what the receiver said.
#[derive(Debug, Error)]
pub(super) enum SendError {
    #[error("the receiver did not answer within {} s", TIMEOUT.as_secs())]
    TimedOut,
    #[error("the host of the webhook cannot be resolved: {0}")]
    Unresolved(std::io::ErrorKind),
    #[error(
        "the webhook lies at a private address, which is refused: set alerts.allow_private_addresses = true if it should"
    )]
    PrivateAddress,
    #[error("the receiver cannot be reached: {0}")]
    Unreachable(std::io::ErrorKind),
    #[error("the connection cannot be encrypted: {0}")]
    Tls(String),
    #[error("the receiver did not answer as HTTP demands")]
    Http(#[source] hyper::Error),
    #[error("the message cannot be built")]
    Malformed(#[source] http::Error),
    #[error("the receiver redirects ({0}), which is not followed: set alerts.webhook_url to where it listens")]
    Redirected(StatusCode),
    #[error("the receiver answered {0}")]
    Refused(StatusCode),
}

/// Posts to one receiver.
pub(super) struct Sender {
    target: Target,
    secrets: Vec<Secret>,
    allow_private_addresses: bool,
    tls: Option<TlsConnector>,
}

impl std::fmt::Debug for Sender {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Sender").field("target", &self.target).finish_non_exhaustive()
    }
}

impl Sender {
    pub(super) fn new(target: Target, secrets: Vec<Secret>, allow_private_addresses: bool) -> Self {
        Self { target, secrets, allow_private_addresses, tls: connector() }
    }

    /// Posts a message; `id` is the same for all attempts of it.
    ///
    /// # Errors
    /// [`SendError`]: anything but an answer of success.
    pub(super) async fn post(&self, id: &str, timestamp: i64, body: Bytes) -> Result<(), SendError> {
        tokio::time::timeout(TIMEOUT, self.exchange(id, timestamp, body)).await.unwrap_or(Err(SendError::TimedOut))
    }

    async fn exchange(&self, id: &str, timestamp: i64, body: Bytes) -> Result<(), SendError> {
        let request = self.request(id, timestamp, body)?;
        let stream = self.connect().await?;
        let status = match (&self.tls, self.target.secure) {
            (_, false) => answer(stream, request).await?,
            (Some(tls), true) => {
                let broken = |error: &dyn std::error::Error| SendError::Tls(error.to_string());
                let name = ServerName::try_from(self.target.host.clone()).map_err(|error| broken(&error))?;
                let stream = tls.connect(name, stream).await.map_err(|error| broken(&error))?;
                answer(stream, request).await?
            }
            (None, true) => return Err(SendError::Tls("this build has no TLS".to_owned())),
        };
        match status {
            status if status.is_success() => Ok(()),
            status if status.is_redirection() => Err(SendError::Redirected(status)),
            status => Err(SendError::Refused(status)),
        }
    }

    fn request(&self, id: &str, timestamp: i64, body: Bytes) -> Result<Request<Full<Bytes>>, SendError> {
        let signature = sign(&self.secrets, id, timestamp, &body);
        Request::post(&self.target.path)
            .header(header::HOST, &self.target.authority)
            .header(header::CONTENT_TYPE, "application/json")
            .header(header::CONNECTION, "close")
            .header(header::USER_AGENT, concat!("tollgate/", env!("CARGO_PKG_VERSION")))
            .header("webhook-id", id)
            .header("webhook-timestamp", timestamp)
            .header("webhook-signature", signature)
            .body(Full::new(body))
            .map_err(SendError::Malformed)
    }

    /// Connects to an address that was checked: the name is looked up once, so that it cannot mean another address afterwards.
    async fn connect(&self) -> Result<TcpStream, SendError> {
        let resolved = lookup_host((self.target.host.as_str(), self.target.port)).await;
        let resolved: Vec<SocketAddr> = resolved.map_err(|error| SendError::Unresolved(error.kind()))?.collect();
        let allowed = |address: &SocketAddr| self.allow_private_addresses || is_public(address.ip());
        let mut failure = match resolved.is_empty() {
            true => SendError::Unresolved(std::io::ErrorKind::NotFound),
            false => SendError::PrivateAddress,
        };
        for address in resolved.into_iter().filter(allowed) {
            match TcpStream::connect(address).await {
                Ok(stream) => return Ok(stream),
                Err(error) => failure = SendError::Unreachable(error.kind()),
            }
        }
        Err(failure)
    }
}

/// TLS with the roots of the web's public key infrastructure.
fn connector() -> Option<TlsConnector> {
    let roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let versions = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().ok()?;
    let mut config = versions.with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Some(TlsConnector::from(Arc::new(config)))
}

async fn answer<S>(stream: S, request: Request<Full<Bytes>>) -> Result<StatusCode, SendError>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let handshake = http1::Builder::new().max_buf_size(HEAD_BYTES_LIMIT).handshake(TokioIo::new(stream)).await;
    let (mut sender, connection) = handshake.map_err(SendError::Http)?;
    let mut connection = pin!(connection);
    let mut answered = pin!(sender.send_request(request));
    let response = tokio::select! {
        biased;
        response = &mut answered => response,
        // The answer may have come with the end of the connection.
        _ended = &mut connection => answered.await,
    };
    Ok(response.map_err(SendError::Http)?.status())
}
