//! RPCs that the contract defines and this version does not have: they say so (`UNIMPLEMENTED`), and are listed in
//! ARCHITECTURE.md.

use futures::stream::BoxStream;
use tollgate_proto::v1;
use tollgate_proto::v1::alert_service_server::AlertService;
use tonic::{Request, Response, Status};

use super::status::status;
use crate::app::AppError;

/// The answer of a planned RPC.
pub(super) fn planned(name: &'static str) -> Status {
    status(&AppError::NotImplemented(name))
}

/// Alerts.
#[derive(Debug, Clone, Copy, Default)]
pub struct AlertApi;

#[tonic::async_trait]
impl AlertService for AlertApi {
    type StreamAlertsStream = BoxStream<'static, Result<v1::StreamAlertsResponse, Status>>;

    async fn list_alerts(
        &self,
        _request: Request<v1::ListAlertsRequest>,
    ) -> Result<Response<v1::ListAlertsResponse>, Status> {
        Err(planned("AlertService.ListAlerts"))
    }

    async fn stream_alerts(
        &self,
        _request: Request<v1::StreamAlertsRequest>,
    ) -> Result<Response<Self::StreamAlertsStream>, Status> {
        Err(planned("AlertService.StreamAlerts"))
    }

    async fn acknowledge_alert(
        &self,
        _request: Request<v1::AcknowledgeAlertRequest>,
    ) -> Result<Response<v1::AcknowledgeAlertResponse>, Status> {
        Err(planned("AlertService.AcknowledgeAlert"))
    }
}
