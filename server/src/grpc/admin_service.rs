//! Administration on the wire.

use tollgate_proto::v1;
use tollgate_proto::v1::admin_service_server::AdminService;
use tonic::{Request, Response, Status};

use super::convert::audit::{range, to_response};
use super::convert::erasure::{Asked, asked, erasure_id, to_erasure, to_rehearsal};
use super::planned::planned;
use super::status::status;
use super::tenant_of;
use crate::app::{App, AppError};

/// Most findings that one answer shows.
const FINDINGS_LIMIT: u16 = 1_000;

/// Administration: audits; the rest is planned.
#[derive(Debug, Clone)]
pub struct AdminApi {
    app: App,
}

impl AdminApi {
    /// Over these use cases.
    pub fn new(app: App) -> Self {
        Self { app }
    }
}

#[tonic::async_trait]
impl AdminService for AdminApi {
    async fn create_api_key(
        &self,
        _request: Request<v1::CreateApiKeyRequest>,
    ) -> Result<Response<v1::CreateApiKeyResponse>, Status> {
        Err(planned("AdminService.CreateApiKey"))
    }

    async fn list_api_keys(
        &self,
        _request: Request<v1::ListApiKeysRequest>,
    ) -> Result<Response<v1::ListApiKeysResponse>, Status> {
        Err(planned("AdminService.ListApiKeys"))
    }

    async fn rotate_api_key(
        &self,
        _request: Request<v1::RotateApiKeyRequest>,
    ) -> Result<Response<v1::RotateApiKeyResponse>, Status> {
        Err(planned("AdminService.RotateApiKey"))
    }

    async fn revoke_api_key(
        &self,
        _request: Request<v1::RevokeApiKeyRequest>,
    ) -> Result<Response<v1::RevokeApiKeyResponse>, Status> {
        Err(planned("AdminService.RevokeApiKey"))
    }

    async fn create_view_token(
        &self,
        _request: Request<v1::CreateViewTokenRequest>,
    ) -> Result<Response<v1::CreateViewTokenResponse>, Status> {
        Err(planned("AdminService.CreateViewToken"))
    }

    async fn erase_subject(
        &self,
        request: Request<v1::EraseSubjectRequest>,
    ) -> Result<Response<v1::EraseSubjectResponse>, Status> {
        let tenant = tenant_of(&request);
        let answered = async {
            let Asked { subject, request_id, reason, validate_only } = asked(request.into_inner())?;
            let erasure = if validate_only {
                to_rehearsal(self.app.concerned_events(tenant, &subject).await?)
            } else {
                to_erasure(&self.app.erase_subject(tenant, &subject, request_id, &reason).await?)
            };
            Ok(v1::EraseSubjectResponse { erasure: Some(erasure) })
        };
        answered.await.map(Response::new).map_err(|error: AppError| status(&error))
    }

    async fn get_erasure(
        &self,
        request: Request<v1::GetErasureRequest>,
    ) -> Result<Response<v1::GetErasureResponse>, Status> {
        let tenant = tenant_of(&request);
        let answered = async {
            let erasure = self.app.erasure(tenant, erasure_id(request.get_ref())?).await?;
            Ok(v1::GetErasureResponse { erasure: Some(to_erasure(&erasure)) })
        };
        answered.await.map(Response::new).map_err(|error: AppError| status(&error))
    }

    async fn run_audit(&self, request: Request<v1::RunAuditRequest>) -> Result<Response<v1::RunAuditResponse>, Status> {
        let tenant = tenant_of(&request);
        let answered = async {
            let range = range(request.into_inner())?;
            let report = self.app.run_audit(tenant, range, FINDINGS_LIMIT).await?;
            Ok(to_response(&report, usize::from(FINDINGS_LIMIT)))
        };
        answered.await.map(Response::new).map_err(|error: AppError| status(&error))
    }
}
