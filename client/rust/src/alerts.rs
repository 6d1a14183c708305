//! Reading, following and acknowledging alerts.

use std::time::Duration;

use futures::stream::{self, BoxStream, StreamExt};
use tollgate_proto::v1;
use tonic::{Code, Streaming};

use crate::client::Client;
use crate::count::wire_duration;
use crate::error::Error;
use crate::failure::Failure;
use crate::pages::{self, Pages};

/// Most time between two messages of the server.
const HEARTBEAT: Duration = Duration::from_secs(15);
/// The silence after which a stream counts as dead and is opened anew.
const SILENCE: Duration = Duration::from_secs(30);

/// Alerts as they are raised, each at least once. Reconnects by itself and resumes where it broke off; ends only after an error
/// that reconnecting would not change.
pub type Alerts = BoxStream<'static, Result<RaisedAlert, Error>>;

/// An alert that was raised.
#[derive(Debug, Clone, PartialEq)]
pub struct RaisedAlert {
    /// The alert.
    pub alert: v1::Alert,
    /// Where to resume: after the message that this alert is the last of, before the message for any other.
    pub cursor: String,
}

impl Client {
    /// Alerts that satisfy the request, newest first, over all pages from its `page_token` on.
    #[must_use]
    pub fn list_alerts(&self, request: v1::ListAlertsRequest) -> Pages<v1::Alert> {
        let client = self.clone();
        pages::stream(request.page_token.clone(), move |page_token| {
            let client = client.clone();
            let request = v1::ListAlertsRequest { page_token, ..request.clone() };
            async move {
                let alerts = client.alert_service();
                let page = client
                    .call(request, |request| {
                        let mut alerts = alerts.clone();
                        async move { alerts.list_alerts(request).await }
                    })
                    .await?;
                Ok((page.alerts, page.next_page_token))
            }
        })
    }

    /// Alerts about these budgets as they are raised, from now on; without a budget, all alerts. Nothing is sent before the stream
    /// is polled.
    #[must_use]
    pub fn alerts<B: Into<String>>(&self, budget_ids: impl IntoIterator<Item = B>) -> Alerts {
        self.alerts_after(budget_ids, String::new())
    }

    /// The same, after the place that a cursor names. An empty one means from now on.
    #[must_use]
    pub fn alerts_after<B: Into<String>>(&self, budget_ids: impl IntoIterator<Item = B>, cursor: String) -> Alerts {
        let budget_ids = budget_ids.into_iter().map(Into::into).collect();
        let following = Following {
            client: self.clone(),
            request: v1::StreamAlertsRequest { budget_ids, cursor, heartbeat: Some(wire_duration(HEARTBEAT)) },
            connection: None,
            failures: 0,
            ended: false,
        };
        let messages = stream::unfold(following, |mut following| async move {
            if following.ended {
                return None;
            }
            let message = following.next().await;
            following.ended = message.is_err();
            Some((message, following))
        });
        messages.flat_map(|message| stream::iter(raised(message))).boxed()
    }

    /// Marks an alert as seen. Of several acknowledgements the first stands, and is returned.
    ///
    /// # Errors
    /// [`Error::Refused`] with the reason `ALERT_NOT_FOUND`, or a transient error.
    pub async fn acknowledge_alert(
        &self,
        alert_id: impl Into<String>,
        note: impl Into<String>,
    ) -> Result<v1::Alert, Error> {
        let request = v1::AcknowledgeAlertRequest { alert_id: alert_id.into(), note: note.into() };
        let alerts = self.alert_service();
        let answer = self
            .call(request, |request| {
                let mut alerts = alerts.clone();
                async move { alerts.acknowledge_alert(request).await }
            })
            .await?;
        answer.alert.ok_or(Error::Protocol("an alert was answered without its content"))
    }
}

/// A message of the server, with the cursor before it.
struct Message {
    before: String,
    response: v1::StreamAlertsResponse,
}

/// The alerts of a message. Whoever stops in the middle of one resumes before it, so that none is lost.
fn raised(message: Result<Message, Error>) -> Vec<Result<RaisedAlert, Error>> {
    let Message { before, response } = match message {
        Ok(message) => message,
        Err(error) => return vec![Err(error)],
    };
    let v1::StreamAlertsResponse { alerts, cursor } = response;
    let last = alerts.len().saturating_sub(1);
    let cursor_of = |index: usize| if index == last { cursor.clone() } else { before.clone() };
    alerts.into_iter().enumerate().map(|(index, alert)| Ok(RaisedAlert { alert, cursor: cursor_of(index) })).collect()
}

/// Where a stream stands.
struct Following {
    client: Client,
    /// Its cursor moves on with every message.
    request: v1::StreamAlertsRequest,
    connection: Option<Streaming<v1::StreamAlertsResponse>>,
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

impl Following {
    /// The next message with alerts, over as many connections as it takes.
    async fn next(&mut self) -> Result<Message, Error> {
        loop {
            match self.receive().await {
                Ok(response) => {
                    let before = std::mem::replace(&mut self.request.cursor, response.cursor.clone());
                    if !response.alerts.is_empty() {
                        return Ok(Message { before, response });
                    }
                }
                Err(Interruption::Permanent(error)) => return Err(error),
                Err(Interruption::Transient(retry_after)) => {
                    self.connection = None;
                    self.failures = self.failures.saturating_add(1);
                    let wait = self.client.retry().backoff(self.failures, retry_after);
                    tracing::debug!(failures = self.failures, ?wait, "following the alerts of tollgate again");
                    tokio::time::sleep(wait).await;
                }
            }
        }
    }

    async fn receive(&mut self) -> Result<v1::StreamAlertsResponse, Interruption> {
        let connection = match &mut self.connection {
            Some(connection) => connection,
            None => {
                let mut alerts = self.client.alert_service();
                let opened = tokio::time::timeout(SILENCE, alerts.stream_alerts(self.request.clone())).await;
                let opened = opened.map_err(|_| Interruption::Transient(None))?.map_err(interruption)?;
                self.connection.insert(opened.into_inner())
            }
        };
        let message = match tokio::time::timeout(SILENCE, connection.message()).await {
            Ok(Ok(Some(message))) => message,
            Ok(Ok(None)) | Err(_) => return Err(Interruption::Transient(None)),
            Ok(Err(status)) => return Err(interruption(status)),
        };
        self.failures = 0;
        Ok(message)
    }
}

/// Whether to connect again: only an answer that will stay the same ends a stream.
fn interruption(status: tonic::Status) -> Interruption {
    match status.code() {
        Code::InvalidArgument
        | Code::NotFound
        | Code::Unauthenticated
        | Code::PermissionDenied
        | Code::Unimplemented => Interruption::Permanent(Error::refused(&status)),
        _ => Interruption::Transient(Failure::from_status(status).retry_after()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_stops_within_a_message_resumes_before_it() {
        let alert = |id: &str| v1::Alert { alert_id: id.to_owned(), ..v1::Alert::default() };
        let response = v1::StreamAlertsResponse { alerts: vec![alert("a"), alert("b")], cursor: "2".to_owned() };
        let raised = raised(Ok(Message { before: "1".to_owned(), response }));
        let told: Vec<(String, String)> =
            raised.into_iter().map(Result::unwrap).map(|raised| (raised.alert.alert_id, raised.cursor)).collect();
        assert_eq!(told, [("a", "1"), ("b", "2")].map(|(id, cursor)| (id.to_owned(), cursor.to_owned())));
    }
}
