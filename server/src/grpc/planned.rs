//! RPCs that the contract defines and this version does not have: they say so (`UNIMPLEMENTED`), and are listed in
//! ARCHITECTURE.md.

use tollgate_proto::v1;
use tollgate_proto::v1::admin_service_server::AdminService;
use tonic::{Request, Response, Status};

use super::status::status;
use crate::app::AppError;

/// The answer of a planned RPC.
pub(super) fn planned(name: &'static str) -> Status {
    status(&AppError::NotImplemented(name))
}

/// Administration.
#[derive(Debug, Clone, Copy, Default)]
pub struct AdminApi;

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
        _request: Request<v1::EraseSubjectRequest>,
    ) -> Result<Response<v1::EraseSubjectResponse>, Status> {
        Err(planned("AdminService.EraseSubject"))
    }

    async fn get_erasure(
        &self,
        _request: Request<v1::GetErasureRequest>,
    ) -> Result<Response<v1::GetErasureResponse>, Status> {
        Err(planned("AdminService.GetErasure"))
    }

    async fn run_audit(
        &self,
        _request: Request<v1::RunAuditRequest>,
    ) -> Result<Response<v1::RunAuditResponse>, Status> {
        Err(planned("AdminService.RunAudit"))
    }
}
