//! The connection to Tollgate, and the one way in which every call goes over it.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use tollgate_proto::v1::admin_service_client::AdminServiceClient;
use tollgate_proto::v1::alert_service_client::AlertServiceClient;
use tollgate_proto::v1::budget_service_client::BudgetServiceClient;
use tollgate_proto::v1::price_service_client::PriceServiceClient;
use tollgate_proto::v1::usage_service_client::UsageServiceClient;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::Channel;
use tonic::{Request, Response, Status};

use crate::builder::ClientBuilder;
use crate::credential::Credential;
use crate::error::Error;
use crate::failure::Failure;
use crate::retry::{RetryBudget, RetryPolicy};
use crate::unreachable::Memory;

/// What the generated clients run on: one HTTP/2 connection that reopens itself, and the API key.
pub type Transport = InterceptedService<Channel, Credential>;

/// The largest answer that is read: a full page of a thousand records has room.
const MAX_ANSWER_BYTES: usize = 32 * 1024 * 1024;

/// A connection to Tollgate. Cheap to clone; clones share the connection, and any number of calls may run at once.
#[derive(Debug, Clone)]
pub struct Client {
    inner: Arc<Inner>,
}

#[derive(Debug, Clone)]
pub(crate) struct Inner {
    pub(crate) transport: Transport,
    pub(crate) deadline: Duration,
    pub(crate) retry: RetryPolicy,
    pub(crate) retry_budget: Arc<RetryBudget>,
    pub(crate) memory: Arc<Memory>,
}

impl Client {
    /// Starts to configure a client for an endpoint: `http://host:port`, `https://host:port` or `unix:///path/to/socket`.
    pub fn builder(endpoint: impl Into<String>) -> ClientBuilder {
        ClientBuilder::new(endpoint.into())
    }

    pub(crate) fn from_inner(inner: Inner) -> Self {
        Self { inner: Arc::new(inner) }
    }

    /// The same client with another deadline for its calls, all retries included.
    #[must_use]
    pub fn with_deadline(&self, deadline: Duration) -> Self {
        Self::from_inner(Inner { deadline, ..(*self.inner).clone() })
    }

    /// The same client with another way to retry.
    #[must_use]
    pub fn with_retry(&self, retry: RetryPolicy) -> Self {
        Self::from_inner(Inner { retry, ..(*self.inner).clone() })
    }

    /// The transport with the API key, for the generated clients of [`tollgate_proto::v1`] whose calls have no method here. They
    /// neither retry nor have a deadline by themselves.
    #[must_use]
    pub fn transport(&self) -> Transport {
        self.inner.transport.clone()
    }

    pub(crate) fn deadline(&self) -> Duration {
        self.inner.deadline
    }

    pub(crate) fn retry(&self) -> &RetryPolicy {
        &self.inner.retry
    }

    pub(crate) fn memory(&self) -> &Memory {
        &self.inner.memory
    }

    pub(crate) fn usage(&self) -> UsageServiceClient<Transport> {
        UsageServiceClient::new(self.transport()).max_decoding_message_size(MAX_ANSWER_BYTES)
    }

    pub(crate) fn budgets(&self) -> BudgetServiceClient<Transport> {
        BudgetServiceClient::new(self.transport()).max_decoding_message_size(MAX_ANSWER_BYTES)
    }

    pub(crate) fn admin(&self) -> AdminServiceClient<Transport> {
        AdminServiceClient::new(self.transport()).max_decoding_message_size(MAX_ANSWER_BYTES)
    }

    pub(crate) fn prices(&self) -> PriceServiceClient<Transport> {
        PriceServiceClient::new(self.transport()).max_decoding_message_size(MAX_ANSWER_BYTES)
    }

    pub(crate) fn alert_service(&self) -> AlertServiceClient<Transport> {
        AlertServiceClient::new(self.transport()).max_decoding_message_size(MAX_ANSWER_BYTES)
    }

    /// Sends a message until it is answered, refused, or the attempts or the time are used up. The message is the same each
    /// time, its ids included.
    pub(crate) async fn call<Q, A, F>(&self, message: Q, send: impl Fn(Request<Q>) -> F) -> Result<A, Error>
    where
        Q: Clone,
        F: Future<Output = Result<Response<A>, Status>>,
    {
        let deadline = Instant::now() + self.inner.deadline;
        self.inner.retry_budget.deposit();
        let mut attempts = 0;
        loop {
            attempts += 1;
            let left = deadline.saturating_duration_since(Instant::now());
            let failure = match self.attempt(message.clone(), left, &send).await {
                Ok(answer) => return Ok(answer),
                Err(failure) => failure,
            };
            if failure.is_permanent() || attempts >= self.inner.retry.max_attempts {
                return Err(failure.into_error(attempts));
            }
            let wait = self.inner.retry.backoff(attempts, failure.retry_after());
            let too_late = Instant::now() + wait >= deadline;
            if too_late || !self.inner.retry_budget.withdraw() {
                return Err(failure.into_error(attempts));
            }
            tracing::debug!(attempts, ?wait, ?failure, "retrying a call of tollgate");
            tokio::time::sleep(wait).await;
        }
    }

    /// Sends a message once, and waits for the answer as long as the policy and the time left allow.
    pub(crate) async fn attempt<Q, A, F>(
        &self,
        message: Q,
        left: Duration,
        send: &impl Fn(Request<Q>) -> F,
    ) -> Result<A, Failure>
    where
        F: Future<Output = Result<Response<A>, Status>>,
    {
        let limit = left.min(self.inner.retry.attempt_timeout);
        let mut request = Request::new(message);
        // Told to the server as well, so that it drops work for which nobody waits any more.
        request.set_timeout(limit);
        match tokio::time::timeout(limit, send(request)).await {
            Ok(Ok(answer)) => Ok(answer.into_inner()),
            Ok(Err(status)) => Err(Failure::from_status(status)),
            Err(_) => Err(Failure::Timeout),
        }
    }
}
