//! gRPC health, whose streams end when the server drains: nobody has to show a credential for them, and they would last for ever.

use futures::StreamExt as _;
use futures::stream::{self, BoxStream};
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status};
use tonic_health::pb::health_server::{Health, HealthServer};
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse};
use tonic_health::server::{HealthReporter, HealthService};

/// What is reported, until the drain.
#[derive(Debug)]
pub struct HealthApi {
    reported: HealthService,
    draining: CancellationToken,
}

impl HealthApi {
    /// Serves what `reporter` says. Streams end at `draining`, after they have told what was said before it.
    pub fn service(reporter: HealthReporter, draining: CancellationToken) -> HealthServer<Self> {
        HealthServer::new(Self { reported: HealthService::from_health_reporter(reporter), draining })
    }
}

#[tonic::async_trait]
impl Health for HealthApi {
    async fn check(&self, request: Request<HealthCheckRequest>) -> Result<Response<HealthCheckResponse>, Status> {
        self.reported.check(request).await
    }

    type WatchStream = BoxStream<'static, Result<HealthCheckResponse, Status>>;

    async fn watch(&self, request: Request<HealthCheckRequest>) -> Result<Response<Self::WatchStream>, Status> {
        let told = self.reported.watch(request).await?.into_inner();
        let until_drained = stream::unfold((told, self.draining.clone()), async |(mut told, draining)| {
            // In this order: that the server does not serve any more is told before the end.
            let message = tokio::select! {
                biased;
                message = told.next() => message,
                () = draining.cancelled() => None,
            };
            message.map(|message| (message, (told, draining)))
        });
        Ok(Response::new(until_drained.boxed()))
    }
}
