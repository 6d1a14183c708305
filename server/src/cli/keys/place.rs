//! Where keys are kept: the database of the configuration, for the first one, or a server behind a key that may create others.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use clap::Args;
use jiff::Timestamp;
use secrecy::ExposeSecret as _;
use sqlx::PgPool;
use tollgate_client::Transport;
use tollgate_domain::violation::Violations;
use tollgate_proto::v1;
use tollgate_proto::v1::admin_service_client::AdminServiceClient;
use uuid::Uuid;

use crate::app::AppError;
use crate::app::keys::{self, KeyWithSecret};
use crate::app::tenants::tenants_named;
use crate::boot::Database;
use crate::cli::prices::source::ServerArguments;
use crate::config::Config;
use crate::grpc::convert::api_key::{grace, new_key, to_api_key};
use crate::store::scoped::TenantPool;
use crate::tenant::{Tenant, TenantId};

const PAGE_SIZE: i32 = 1_000;
/// Keys of one page of the database.
const PAGE_KEYS: usize = 1_000;

/// Where to look, and how to answer.
#[derive(Debug, Clone, Args)]
pub(super) struct PlaceArguments {
    /// The tenant whose keys these are, by its name; on a server it is that of the key that asks
    #[arg(long, value_name = "NAME")]
    tenant: Option<String>,
    /// Work on the database of the configuration also where a server is named
    #[arg(long)]
    database: bool,
    /// Print JSON
    #[arg(long)]
    pub(super) json: bool,
    #[command(flatten)]
    server: ServerArguments,
}

/// Where keys are kept.
pub(super) enum Place {
    Server(Box<AdminServiceClient<Transport>>),
    Database { database: Box<Database>, all_tenants: PgPool, tenants: TenantPool, tenant: TenantId },
}

impl PlaceArguments {
    /// The server that is named, else the database.
    pub(super) async fn open(&self, config: impl FnOnce() -> anyhow::Result<Config>) -> anyhow::Result<Place> {
        if !self.database && self.server.is_given() {
            ensure!(self.tenant.is_none(), "--tenant works on the database alone: add --database, or leave it out");
            let client = self.server.required_for("keys are kept by a server")?;
            return Ok(Place::Server(Box::new(AdminServiceClient::new(client.transport()))));
        }
        let config = config()?;
        let database = Database::open(&config).await?;
        let opened = self.within(&database, &config).await;
        match opened {
            Ok((all_tenants, tenant)) => {
                let tenants = database.tenants(&config.database);
                Ok(Place::Database { database: Box::new(database), all_tenants, tenants, tenant })
            }
            Err(error) => {
                database.close().await?;
                Err(error)
            }
        }
    }

    async fn within(&self, database: &Database, config: &Config) -> anyhow::Result<(PgPool, TenantId)> {
        database.prepare(config).await?;
        let all_tenants = database.all_tenants(&config.database);
        let tenant = match &self.tenant {
            None => Tenant::local().id,
            Some(name) => {
                let found = tenants_named(&all_tenants, std::slice::from_ref(name)).await?;
                found.first().context("the tenant is not there")?.id
            }
        };
        Ok((all_tenants, tenant))
    }
}

impl Place {
    /// Creates a key and tells its secret.
    pub(super) async fn create(
        &mut self,
        request: v1::CreateApiKeyRequest,
        grants: &[String],
        certificate: Option<[u8; 32]>,
    ) -> anyhow::Result<(v1::ApiKey, String)> {
        match self {
            Self::Server(admin) => {
                ensure!(grants.is_empty(), "--grant-tenant works on the database alone: add --database");
                ensure!(certificate.is_none(), "--certificate-sha256 works on the database alone: add --database");
                let made = admin.create_api_key(request).await?.into_inner();
                Ok((made.api_key.unwrap_or_default(), made.secret))
            }
            Self::Database { all_tenants, tenant, .. } => {
                let (mut key, request_id) = new_key(request, Timestamp::now())?;
                key.granted = tenants_named(all_tenants, grants).await?.into_iter().map(|tenant| tenant.id).collect();
                let made = keys::issue_key(all_tenants, *tenant, key, certificate, request_id).await?;
                Ok(issued(made))
            }
        }
    }

    /// All keys, newest first.
    pub(super) async fn list(&mut self, revoked_too: bool) -> anyhow::Result<Vec<v1::ApiKey>> {
        let mut found = Vec::new();
        match self {
            Self::Server(admin) => {
                let mut request = v1::ListApiKeysRequest {
                    page_size: PAGE_SIZE,
                    page_token: String::new(),
                    show_revoked: revoked_too,
                };
                loop {
                    let page = admin.list_api_keys(request.clone()).await?.into_inner();
                    found.extend(page.api_keys);
                    if page.next_page_token.is_empty() {
                        return Ok(found);
                    }
                    request.page_token = page.next_page_token;
                }
            }
            Self::Database { tenants, tenant, .. } => {
                let mut before = None;
                loop {
                    let page = keys::list_keys(tenants, *tenant, before, revoked_too, PAGE_KEYS).await?;
                    found.extend(page.keys.iter().map(to_api_key));
                    before = page.next;
                    if before.is_none() {
                        return Ok(found);
                    }
                }
            }
        }
    }

    /// Gives a key a new secret and tells it.
    pub(super) async fn rotate(
        &mut self,
        id: Uuid,
        old_works_for: Option<prost_types::Duration>,
    ) -> anyhow::Result<(v1::ApiKey, String)> {
        match self {
            Self::Server(admin) => {
                let request = v1::RotateApiKeyRequest { api_key_id: id.to_string(), grace: old_works_for };
                let made = admin.rotate_api_key(request).await?.into_inner();
                Ok((made.api_key.unwrap_or_default(), made.secret))
            }
            Self::Database { all_tenants, tenant, .. } => {
                let mut found = Violations::new();
                let grace: Duration = grace(&mut found, old_works_for);
                found.into_result(()).map_err(AppError::from)?;
                Ok(issued(keys::rotate_any_key(all_tenants, *tenant, id, grace).await?))
            }
        }
    }

    /// Revokes a key.
    pub(super) async fn revoke(&mut self, id: Uuid) -> anyhow::Result<v1::ApiKey> {
        match self {
            Self::Server(admin) => {
                let request = v1::RevokeApiKeyRequest { api_key_id: id.to_string() };
                Ok(admin.revoke_api_key(request).await?.into_inner().api_key.unwrap_or_default())
            }
            Self::Database { tenants, tenant, .. } => Ok(to_api_key(&keys::revoke_key(tenants, *tenant, id).await?)),
        }
    }

    /// Lets go of the database.
    pub(super) async fn close(self) -> anyhow::Result<()> {
        match self {
            Self::Server(_) => Ok(()),
            Self::Database { database, all_tenants, tenants, .. } => {
                tenants.close().await;
                all_tenants.close().await;
                Ok(database.close().await?)
            }
        }
    }
}

fn issued(made: KeyWithSecret) -> (v1::ApiKey, String) {
    let KeyWithSecret { key, secret } = made;
    (to_api_key(&key), secret.map(|secret| secret.expose_secret().to_owned()).unwrap_or_default())
}
