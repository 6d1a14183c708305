//! How a client is configured.

use std::sync::Arc;
use std::time::Duration;

use secrecy::SecretString;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{Channel, Endpoint};

use crate::client::{Client, Inner};
use crate::credential::Credential;
use crate::error::Error;
use crate::retry::{RetryBudget, RetryPolicy};
use crate::unreachable::{Choice, Memory};

/// Configures a [`Client`]. Made by [`Client::builder`].
#[derive(Debug, Clone)]
#[must_use = "a builder does nothing until it connects"]
pub struct ClientBuilder {
    endpoint: String,
    api_key: Option<SecretString>,
    user_agent: Option<String>,
    #[cfg(feature = "tls")]
    tls: Tls,
    deadline: Duration,
    connect_timeout: Duration,
    retry: RetryPolicy,
    when_unreachable: Choice,
}

impl ClientBuilder {
    pub(crate) fn new(endpoint: String) -> Self {
        Self {
            endpoint,
            api_key: None,
            user_agent: None,
            #[cfg(feature = "tls")]
            tls: Tls::default(),
            deadline: Duration::from_secs(10),
            connect_timeout: Duration::from_secs(3),
            retry: RetryPolicy::default(),
            when_unreachable: Choice::Deny,
        }
    }

    /// The API key that Tollgate issued, sent as `authorization: Bearer`. Never shown in debug output.
    pub fn api_key(mut self, key: impl Into<String>) -> Self {
        self.api_key = Some(SecretString::from(key.into()));
        self
    }

    /// The name and version of the calling program, put before those of this client in the `user-agent`.
    pub fn user_agent(mut self, program: impl Into<String>) -> Self {
        self.user_agent = Some(program.into());
        self
    }

    /// The authority that signed the certificate of an `https` endpoint, in PEM; several may stand in one text. Without one, those
    /// of the web's public key infrastructure count, with one they do not.
    #[cfg(feature = "tls")]
    pub fn ca_certificate(mut self, pem: impl AsRef<[u8]>) -> Self {
        self.tls.authorities.push(tonic::transport::Certificate::from_pem(pem));
        self
    }

    /// The certificate that this client shows to an `https` endpoint, with those between it and the root, and its private key, both
    /// in PEM. Never shown in debug output.
    #[cfg(feature = "tls")]
    pub fn client_certificate(mut self, certificate: impl AsRef<[u8]>, private_key: impl AsRef<[u8]>) -> Self {
        self.tls.identity = Some(tonic::transport::Identity::from_pem(certificate, private_key));
        self
    }

    /// The most time that one call may take, all its retries included. Default 10 s.
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }

    /// The most time that opening a connection may take. Default 3 s.
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = timeout;
        self
    }

    /// How calls are retried.
    pub fn retry(mut self, policy: RetryPolicy) -> Self {
        self.retry = policy;
        self
    }

    /// What a check answers when Tollgate cannot be reached and has not said before what to do with such calls. Default
    /// [`Choice::Deny`].
    pub fn when_unreachable(mut self, choice: Choice) -> Self {
        self.when_unreachable = choice;
        self
    }

    /// A client that connects with its first call, and again whenever the connection is lost. Must be called within a tokio
    /// runtime.
    ///
    /// # Errors
    /// [`Error::Invalid`] if the endpoint, the API key or the user agent is malformed.
    pub fn connect_lazy(self) -> Result<Client, Error> {
        let channel = self.to_endpoint()?.connect_lazy();
        self.into_client(channel)
    }

    /// A client that is connected now, and connects again whenever the connection is lost.
    ///
    /// # Errors
    /// [`Error::Invalid`] if the endpoint, the API key or the user agent is malformed, [`Error::Unreachable`] if there is no
    /// connection within the connect timeout.
    pub async fn connect(self) -> Result<Client, Error> {
        let channel = self.to_endpoint()?.connect().await.map_err(|failure| Error::Unreachable {
            attempts: 1,
            last: Box::new(tonic::Status::from_error(Box::new(failure))),
        })?;
        self.into_client(channel)
    }

    fn to_endpoint(&self) -> Result<Endpoint, Error> {
        let endpoint = Endpoint::from_shared(self.endpoint.clone()).map_err(|_| {
            Error::invalid("endpoint", format!("use a URI like http://127.0.0.1:4747 instead of `{}`", self.endpoint))
        })?;
        if self.api_key.is_some() && sends_in_the_clear(&endpoint) {
            tracing::warn!("the api key is sent to tollgate in plain text: use an https endpoint");
        }
        let own = concat!("tollgate-client/", env!("CARGO_PKG_VERSION"));
        let user_agent = self.user_agent.as_ref().map_or_else(|| own.to_owned(), |program| format!("{program} {own}"));
        let endpoint = endpoint
            .user_agent(user_agent)
            .map_err(|_| Error::invalid("user_agent", "use visible ASCII characters"))?
            .connect_timeout(self.connect_timeout)
            // A connection that died without a word is found out within half a minute, also when only a stream is open.
            .http2_keep_alive_interval(Duration::from_secs(20))
            .keep_alive_timeout(Duration::from_secs(10))
            .keep_alive_while_idle(true)
            .tcp_nodelay(true);
        self.with_tls(endpoint)
    }

    fn into_client(self, channel: Channel) -> Result<Client, Error> {
        let credential = Credential::new(self.api_key.as_ref())?;
        Ok(Client::from_inner(Inner {
            transport: InterceptedService::new(channel, credential),
            deadline: self.deadline,
            retry: self.retry,
            retry_budget: Arc::new(RetryBudget::new()),
            memory: Arc::new(Memory::new(self.when_unreachable)),
        }))
    }
}

/// Whether whoever listens on the way to the endpoint could read the key.
fn sends_in_the_clear(endpoint: &Endpoint) -> bool {
    let uri = endpoint.uri();
    let loopback = matches!(uri.host(), Some("localhost" | "127.0.0.1" | "[::1]"));
    uri.scheme_str() == Some("http") && !loopback
}

/// Whom to trust, and whom to be.
#[cfg(feature = "tls")]
#[derive(Clone, Default)]
struct Tls {
    authorities: Vec<tonic::transport::Certificate>,
    identity: Option<tonic::transport::Identity>,
}

#[cfg(feature = "tls")]
impl std::fmt::Debug for Tls {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let identity = self.identity.as_ref().map(|_| "(hidden)");
        formatter
            .debug_struct("Tls")
            .field("authorities", &self.authorities.len())
            .field("identity", &identity)
            .finish()
    }
}

#[cfg(feature = "tls")]
impl ClientBuilder {
    fn with_tls(&self, endpoint: Endpoint) -> Result<Endpoint, Error> {
        if endpoint.uri().scheme_str() != Some("https") {
            if self.tls.identity.is_some() || !self.tls.authorities.is_empty() {
                return Err(Error::invalid("endpoint", "certificates need an endpoint that begins with https://"));
            }
            return Ok(endpoint);
        }
        let mut config = tonic::transport::ClientTlsConfig::new();
        config = match self.tls.authorities.is_empty() {
            true => config.with_enabled_roots(),
            false => config.ca_certificates(self.tls.authorities.clone()),
        };
        if let Some(identity) = &self.tls.identity {
            config = config.identity(identity.clone());
        }
        endpoint.tls_config(config).map_err(|failure| Error::invalid("endpoint", failure.to_string()))
    }
}

#[cfg(not(feature = "tls"))]
impl ClientBuilder {
    fn with_tls(&self, endpoint: Endpoint) -> Result<Endpoint, Error> {
        if endpoint.uri().scheme_str() == Some("https") {
            return Err(Error::invalid("endpoint", "enable the feature `tls` of tollgate-client to use https"));
        }
        Ok(endpoint)
    }
}
