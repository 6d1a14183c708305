//! Administration on the wire.

use jiff::Timestamp;
use secrecy::{ExposeSecret as _, SecretString};
use tollgate_domain::violation::Violations;
use tollgate_proto::v1;
use tollgate_proto::v1::admin_service_server::AdminService;
use tonic::{Request, Response, Status};
use uuid::Uuid;

use super::authorize::caller_of;
use super::convert::api_key::{ViewTokenRequest, grace, new_key, to_api_key, view_token};
use super::convert::audit::{range, to_response};
use super::convert::erasure::{Asked, asked, erasure_id, to_erasure, to_rehearsal};
use super::convert::values::{page_size, to_timestamp, uuid};
use super::status::status;
use super::tenant_of;
use crate::app::keys::{
    KeyWithSecret, KeysPage, ViewToken, create_key, create_view_token, list_keys, revoke_key, rotate_key,
};
use crate::app::{App, AppError};

/// Most findings that one answer shows.
const FINDINGS_LIMIT: u16 = 1_000;

const PAGE_SIZE: u32 = 100;
const PAGE_SIZE_LIMIT: u32 = 1_000;

/// Administration: keys, view tokens, audits; the rest is planned.
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
        request: Request<v1::CreateApiKeyRequest>,
    ) -> Result<Response<v1::CreateApiKeyResponse>, Status> {
        let caller = caller_of(&request);
        let answered = async {
            let (key, request_id) = new_key(request.into_inner(), Timestamp::now())?;
            let created = create_key(&self.app.tenants, caller.tenant, caller.permissions, key, request_id).await?;
            let KeyWithSecret { key, secret } = created;
            Ok(v1::CreateApiKeyResponse { api_key: Some(to_api_key(&key)), secret: shown(secret) })
        };
        answered.await.map(Response::new).map_err(|error: AppError| status(&error))
    }

    async fn list_api_keys(
        &self,
        request: Request<v1::ListApiKeysRequest>,
    ) -> Result<Response<v1::ListApiKeysResponse>, Status> {
        let tenant = tenant_of(&request);
        let v1::ListApiKeysRequest { page_size: size, page_token, show_revoked } = request.into_inner();
        let answered = async {
            let mut found = Violations::new();
            let limit = page_size(&mut found, size, PAGE_SIZE, PAGE_SIZE_LIMIT) as usize;
            found.into_result(())?;
            let before = match page_token.as_str() {
                "" => None,
                token => Some(Uuid::try_parse(token).map_err(|_| AppError::PageTokenInvalid)?),
            };
            let KeysPage { keys, next } = list_keys(&self.app.tenants, tenant, before, show_revoked, limit).await?;
            Ok(v1::ListApiKeysResponse {
                api_keys: keys.iter().map(to_api_key).collect(),
                next_page_token: next.map(|next| next.to_string()).unwrap_or_default(),
            })
        };
        answered.await.map(Response::new).map_err(|error: AppError| status(&error))
    }

    async fn rotate_api_key(
        &self,
        request: Request<v1::RotateApiKeyRequest>,
    ) -> Result<Response<v1::RotateApiKeyResponse>, Status> {
        let tenant = tenant_of(&request);
        let v1::RotateApiKeyRequest { api_key_id, grace: message } = request.into_inner();
        let answered = async {
            let mut found = Violations::new();
            let id = uuid(&mut found, "api_key_id", &api_key_id);
            let grace = grace(&mut found, message);
            let id = found.into_result(id)?.ok_or(AppError::Internal)?;
            let KeyWithSecret { key, secret } = rotate_key(&self.app.tenants, tenant, id, grace).await?;
            Ok(v1::RotateApiKeyResponse { api_key: Some(to_api_key(&key)), secret: shown(secret) })
        };
        answered.await.map(Response::new).map_err(|error: AppError| status(&error))
    }

    async fn revoke_api_key(
        &self,
        request: Request<v1::RevokeApiKeyRequest>,
    ) -> Result<Response<v1::RevokeApiKeyResponse>, Status> {
        let tenant = tenant_of(&request);
        let v1::RevokeApiKeyRequest { api_key_id } = request.into_inner();
        let answered = async {
            let mut found = Violations::new();
            let id = uuid(&mut found, "api_key_id", &api_key_id);
            let id = found.into_result(id)?.ok_or(AppError::Internal)?;
            let key = revoke_key(&self.app.tenants, tenant, id).await?;
            Ok(v1::RevokeApiKeyResponse { api_key: Some(to_api_key(&key)) })
        };
        answered.await.map(Response::new).map_err(|error: AppError| status(&error))
    }

    async fn create_view_token(
        &self,
        request: Request<v1::CreateViewTokenRequest>,
    ) -> Result<Response<v1::CreateViewTokenResponse>, Status> {
        let caller = caller_of(&request);
        let answered = async {
            let ViewTokenRequest { scopes, ttl } = view_token(request.into_inner())?;
            let created = create_view_token(&self.app.tenants, caller.tenant, caller.api_key_id, &scopes, ttl).await?;
            let ViewToken { secret, expire_time } = created;
            let expire_time = Some(to_timestamp(expire_time));
            Ok(v1::CreateViewTokenResponse { token: shown(Some(secret)), expire_time })
        };
        answered.await.map(Response::new).map_err(|error: AppError| status(&error))
    }

    async fn erase_subject(
        &self,
        request: Request<v1::EraseSubjectRequest>,
    ) -> Result<Response<v1::EraseSubjectResponse>, Status> {
        let tenant = tenant_of(&request);
        let answered = async {
            let Asked { subject, request_id, reason, validate_only } = asked(request.into_inner())?;
            let erasure = if validate_only {
                let _turn = self.app.turn_to_read(tenant).await?;
                to_rehearsal(self.app.concerned_events(tenant, &subject).await?)
            } else {
                let _turn = self.app.turn_to_change(tenant).await?;
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

/// The one time that a secret leaves the server; empty where there is none to show.
fn shown(secret: Option<SecretString>) -> String {
    secret.map(|secret| secret.expose_secret().to_owned()).unwrap_or_default()
}
