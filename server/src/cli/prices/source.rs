//! Where the commands look: at a running server, or without one into a catalog.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context as _;
use clap::Args;
use futures::TryStreamExt as _;
use jiff::Timestamp;
use tollgate_client::Client;
use tollgate_domain::model::ModelRef;
use tollgate_domain::price::Catalog;
use tollgate_proto::v1;

use crate::app::prices::{PriceFilter, listed_catalog};
use crate::cli::tls::TlsArguments;
use crate::grpc::convert::price::to_catalog_price;
use crate::grpc::convert::values::to_timestamp;
use crate::prices::catalog_of;

/// A running server.
#[derive(Debug, Clone, Args)]
pub(in crate::cli) struct ServerArguments {
    /// The server, such as `http://127.0.0.1:4747`
    #[arg(long, env = "TOLLGATE_URL", value_name = "URL")]
    pub(super) url: Option<String>,
    /// The key that the server asks for
    #[arg(long, env = "TOLLGATE_API_KEY", value_name = "KEY", hide_env_values = true)]
    pub(super) api_key: Option<String>,
    #[command(flatten)]
    pub(super) tls: TlsArguments,
}

/// A running server, or a catalog.
#[derive(Debug, Clone, Args)]
pub(super) struct SourceArguments {
    #[command(flatten)]
    pub(super) server: ServerArguments,
    /// Look into this catalog instead of asking a server; without a server, the built-in one
    #[arg(long, value_name = "FILE")]
    pub(super) catalog: Option<PathBuf>,
}

/// Where to look.
#[derive(Debug, Clone)]
pub(super) enum Source {
    Server(Client),
    Catalog(Arc<Catalog>),
}

/// What is looked for.
#[derive(Debug, Clone, Default)]
pub(super) struct Wanted {
    pub(super) model: v1::ModelRef,
    pub(super) at: Option<Timestamp>,
    pub(super) source: v1::price::Source,
}

/// What was found, with the version of the catalog.
#[derive(Debug, Clone)]
pub(super) struct Found {
    pub(super) catalog_version: String,
    pub(super) prices: Vec<v1::Price>,
}

impl ServerArguments {
    /// Whether a server is named.
    pub(in crate::cli) fn is_given(&self) -> bool {
        self.url.as_deref().is_some_and(|url| !url.is_empty())
    }

    /// The server that must be given.
    pub(super) fn required(&self) -> anyhow::Result<Client> {
        self.required_for("prices are set on a server")
    }

    /// The server that must be given, for the reason that `why` tells.
    pub(in crate::cli) fn required_for(&self, why: &str) -> anyhow::Result<Client> {
        let url = self.url.as_deref().filter(|url| !url.is_empty());
        let url = url.with_context(|| format!("{why}: give --url http://HOST:PORT, or set TOLLGATE_URL"))?;
        self.client(url)
    }

    fn client(&self, url: &str) -> anyhow::Result<Client> {
        let mut builder = Client::builder(url);
        if let Some(key) = self.api_key.as_deref().filter(|key| !key.is_empty()) {
            builder = builder.api_key(key);
        }
        self.tls.add_to(builder)?.connect_lazy().with_context(|| format!("`{url}` is not the URL of a server"))
    }
}

impl SourceArguments {
    /// The catalog that is named, else the server that is, else the built-in catalog.
    pub(super) fn open(&self) -> anyhow::Result<Source> {
        match (&self.catalog, self.server.url.as_deref().filter(|url| !url.is_empty())) {
            (None, Some(url)) => Ok(Source::Server(self.server.client(url)?)),
            (file, _) => Ok(Source::Catalog(catalog_of(file.as_deref())?)),
        }
    }
}

impl Source {
    /// Everything that is looked for.
    pub(super) async fn find(&self, wanted: &Wanted) -> anyhow::Result<Found> {
        let Wanted { model, at, source } = wanted;
        match self {
            Self::Server(client) => {
                let request = v1::ListPricesRequest {
                    model: Some(model.clone()),
                    at: at.map(to_timestamp),
                    source: (*source).into(),
                    page_size: 1_000,
                    page_token: String::new(),
                };
                let first = client.price_page(request.clone()).await?;
                let mut prices = first.prices;
                if !first.next_page_token.is_empty() {
                    let rest = v1::ListPricesRequest { page_token: first.next_page_token, ..request };
                    prices.extend(client.list_prices(rest).try_collect::<Vec<_>>().await?);
                }
                Ok(Found { catalog_version: first.catalog_version, prices })
            }
            Self::Catalog(_) if *source == v1::price::Source::Tenant => {
                anyhow::bail!("a catalog has no prices of a tenant: give --url to ask a server")
            }
            Self::Catalog(catalog) => {
                let filter = PriceFilter { model: reference(model), at: *at, source: None };
                let prices = listed_catalog(catalog, &filter).map(|price| to_catalog_price(&price)).collect();
                Ok(Found { catalog_version: catalog.version().to_owned(), prices })
            }
        }
    }
}

/// For the domain.
pub(super) fn reference(model: &v1::ModelRef) -> ModelRef {
    let v1::ModelRef { provider_name, model, provider_tier, region } = model.clone();
    ModelRef { provider_name, model, provider_tier, region }
}
