//! Servers that ask for keys, keys, and clients that show them.

use secrecy::ExposeSecret as _;
use tollgate_domain::dimensions::Dimensions;
use tollgate_proto::v1::admin_service_client::AdminServiceClient;
use tollgate_proto::v1::alert_service_client::AlertServiceClient;
use tollgate_proto::v1::budget_service_client::BudgetServiceClient;
use tollgate_proto::v1::usage_service_client::UsageServiceClient;
use tollgate_server::app::keys::{NewKey, issue_key};
use tollgate_server::auth::Permission;
use tollgate_server::config::Config;
use tollgate_server::tenant::TenantId;
use tonic::metadata::MetadataValue;
use tonic::service::Interceptor;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::Channel;
use tonic::{Request, Status};

use super::TestServer;

/// Puts headers into every request.
#[derive(Debug, Clone, Default)]
pub(crate) struct Headers(Vec<(&'static str, String)>);

impl Interceptor for Headers {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        for (name, value) in &self.0 {
            request.metadata_mut().append(*name, MetadataValue::try_from(value.as_str()).unwrap());
        }
        Ok(request)
    }
}

/// Clients that send the same headers.
#[derive(Debug, Clone)]
pub(crate) struct Clients {
    pub(crate) usage: UsageServiceClient<InterceptedService<Channel, Headers>>,
    pub(crate) budgets: BudgetServiceClient<InterceptedService<Channel, Headers>>,
    pub(crate) alerts: AlertServiceClient<InterceptedService<Channel, Headers>>,
    pub(crate) admin: AdminServiceClient<InterceptedService<Channel, Headers>>,
}

/// A key that was created.
#[derive(Debug, Clone)]
pub(crate) struct Issued {
    pub(crate) id: String,
    pub(crate) secret: String,
}

/// Asks every caller for a key.
pub(crate) fn keyed() -> Config {
    let mut config = Config::default();
    config.auth.required = true;
    config
}

/// A key with these permissions, for one tenant.
pub(crate) fn holding(permissions: &[Permission]) -> NewKey {
    NewKey {
        display_name: "test".to_owned(),
        permissions: permissions.iter().copied().collect(),
        pinned: Dimensions::default(),
        granted: Vec::new(),
        expire_time: None,
    }
}

impl TestServer {
    /// Creates a key of the local tenant past the server.
    pub(crate) async fn key(&self, permissions: &[Permission]) -> Issued {
        self.issue(TenantId::LOCAL, holding(permissions)).await
    }

    /// Creates a key past the server.
    pub(crate) async fn issue(&self, tenant: TenantId, key: NewKey) -> Issued {
        let created = issue_key(&self.pool(), tenant, key, None, None).await.unwrap();
        let secret = created.secret.unwrap().expose_secret().to_owned();
        Issued { id: created.key.api_key_id.to_string(), secret }
    }

    /// Clients that show this secret.
    pub(crate) fn showing(&self, secret: &str) -> Clients {
        self.sending(&[("authorization", &format!("Bearer {secret}"))])
    }

    /// Clients that send these headers.
    pub(crate) fn sending(&self, headers: &[(&'static str, &str)]) -> Clients {
        let channel = Channel::from_shared(self.url.clone()).unwrap().connect_lazy();
        let headers = Headers(headers.iter().map(|(name, value)| (*name, (*value).to_owned())).collect());
        Clients {
            usage: UsageServiceClient::with_interceptor(channel.clone(), headers.clone()),
            budgets: BudgetServiceClient::with_interceptor(channel.clone(), headers.clone()),
            alerts: AlertServiceClient::with_interceptor(channel.clone(), headers.clone()),
            admin: AdminServiceClient::with_interceptor(channel, headers),
        }
    }
}
