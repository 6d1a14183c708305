//! A caller that keeps no time of its own. The usual channel gives a call up itself at the deadline that it tells the server,
//! so that nobody sees whether the server answers by then.

use std::error::Error as _;
use std::time::Duration;

use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use tollgate_client::v1;
use tollgate_client::v1::usage_service_client::UsageServiceClient;
use tonic::{Request, Status};

/// Tells the server a deadline, and waits for its word however long that takes.
#[derive(Debug, Clone)]
pub(crate) struct BareCaller {
    usage: UsageServiceClient<Client<HttpConnector, tonic::body::Body>>,
    deadline: Duration,
}

impl BareCaller {
    /// Connects with the first call.
    pub(crate) fn new(url: &str, deadline: Duration) -> anyhow::Result<Self> {
        let connection = Client::builder(TokioExecutor::new()).http2_only(true).build_http();
        Ok(Self { usage: UsageServiceClient::with_origin(connection, url.parse()?), deadline })
    }

    /// Records an event.
    pub(crate) async fn record(&self, event: v1::UsageEvent) -> Result<v1::RecordUsageResponse, Status> {
        let mut request =
            Request::new(v1::RecordUsageRequest { event: Some(event), view: v1::ResponseView::Ack.into() });
        request.set_timeout(self.deadline);
        Ok(self.usage.clone().record_usage(request).await?.into_inner())
    }

    /// Whether a server said this: what breaks on the way has a cause on this side.
    pub(crate) fn is_answer(status: &Status) -> bool {
        status.source().is_none()
    }
}
