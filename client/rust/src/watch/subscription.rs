//! A subscription that outlives its connections.

use std::time::Duration;

use futures::stream::{self, StreamExt};
use tollgate_proto::v1;
use tonic::{Code, Streaming};

use super::{Update, Updates, WatchRequest};
use crate::client::Client;
use crate::count::local_time;
use crate::error::Error;
use crate::failure::Failure;

/// Where a subscription stands.
struct Subscription {
    client: Client,
    request: WatchRequest,
    connection: Option<Streaming<v1::StreamUsageResponse>>,
    /// How often connecting or receiving failed since the last message.
    failures: u32,
    ended: bool,
}

/// Why nothing came.
enum Interruption {
    /// Connecting again may help.
    Transient(Option<Duration>),
    Permanent(Error),
}

pub(super) fn updates(client: Client, request: WatchRequest) -> Updates {
    let subscription = Subscription { client, request, connection: None, failures: 0, ended: false };
    stream::unfold(subscription, |mut subscription| async move {
        if subscription.ended {
            return None;
        }
        let update = subscription.next().await;
        subscription.ended = update.is_err();
        Some((update, subscription))
    })
    .boxed()
}

impl Subscription {
    /// The next update, over as many connections as it takes.
    async fn next(&mut self) -> Result<Update, Error> {
        loop {
            match self.receive().await {
                Ok(message) if message.scopes.is_empty() && !message.snapshot => {}
                Ok(message) => {
                    let v1::StreamUsageResponse { scopes, snapshot, as_of } = message;
                    return Ok(Update { snapshot, scopes, as_of: as_of.as_ref().and_then(local_time) });
                }
                Err(Interruption::Permanent(error)) => return Err(error),
                Err(Interruption::Transient(retry_after)) => {
                    self.connection = None;
                    self.failures = self.failures.saturating_add(1);
                    let wait = self.client.retry().backoff(self.failures, retry_after);
                    tracing::debug!(failures = self.failures, ?wait, "opening a subscription to tollgate again");
                    tokio::time::sleep(wait).await;
                }
            }
        }
    }

    /// The next message, heartbeats included, on the connection there is or on a new one. Safe to drop at any point: the
    /// connection stays in place, and at worst the newest totals come again.
    async fn receive(&mut self) -> Result<v1::StreamUsageResponse, Interruption> {
        let silence = self.request.silence();
        let connection = match &mut self.connection {
            Some(connection) => connection,
            None => {
                let opened = open(&self.client, &self.request, silence).await?;
                self.connection.insert(opened)
            }
        };
        let message = match tokio::time::timeout(silence, connection.message()).await {
            Ok(Ok(Some(message))) => message,
            Ok(Ok(None)) => return Err(Interruption::Transient(None)),
            Ok(Err(status)) => return Err(interruption(status)),
            Err(_) => {
                tracing::warn!(?silence, "a subscription to tollgate went silent");
                return Err(Interruption::Transient(None));
            }
        };
        self.failures = 0;
        Ok(message)
    }
}

async fn open(
    client: &Client,
    request: &WatchRequest,
    silence: Duration,
) -> Result<Streaming<v1::StreamUsageResponse>, Interruption> {
    let mut usage = client.usage();
    match tokio::time::timeout(silence, usage.stream_usage(request.message())).await {
        Ok(Ok(answer)) => Ok(answer.into_inner()),
        Ok(Err(status)) => Err(interruption(status)),
        Err(_) => Err(Interruption::Transient(None)),
    }
}

/// Whether to connect again. Unlike a call, a subscription asks for nothing that could happen twice, so that only an answer
/// that will stay the same ends it.
fn interruption(status: tonic::Status) -> Interruption {
    match status.code() {
        Code::InvalidArgument | Code::Unauthenticated | Code::PermissionDenied | Code::Unimplemented => {
            Interruption::Permanent(Error::refused(&status))
        }
        _ => Interruption::Transient(Failure::from_status(status).retry_after()),
    }
}
