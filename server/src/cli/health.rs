//! `tollgate health`: asks a running server whether it serves, as a container's health check does.

use std::io::Write as _;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use anyhow::Context as _;
use clap::Args;
use tokio::time::timeout;
use tollgate_client::{Client, Transport};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

use crate::boot::DATABASE_HEALTH;

/// Options of `tollgate health`.
#[derive(Debug, Clone, Args)]
pub struct HealthArguments {
    /// Server to ask, such as `http://127.0.0.1:4747`; by default the one that this configuration would start
    #[arg(long, value_name = "URL")]
    pub url: Option<String>,
    /// The key to show; health is told without one
    #[arg(long, env = "TOLLGATE_API_KEY", value_name = "KEY", hide_env_values = true)]
    pub api_key: Option<String>,
    /// Longest time to wait for the answer, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 3)]
    pub timeout: u64,
}

/// Asks the server once and returns whether it serves; `false` means that it drains.
///
/// # Errors
/// If the URL is not one, or the server does not answer in time.
pub async fn run(arguments: &HealthArguments, listen: SocketAddr) -> anyhow::Result<bool> {
    let url = arguments.url.clone().unwrap_or_else(|| format!("http://{}", reachable(listen)));
    let limit = Duration::from_secs(arguments.timeout);
    let mut builder = Client::builder(&url).connect_timeout(limit);
    if let Some(key) = arguments.api_key.as_deref().filter(|key| !key.is_empty()) {
        builder = builder.api_key(key);
    }
    let connected = builder.connect().await.with_context(|| format!("no server answers at {url}"))?;
    let mut client = HealthClient::new(connected.transport());
    timeout(limit, ask(&mut client, &url)).await.with_context(|| format!("{url} does not tell its health in time"))?
}

async fn ask(client: &mut HealthClient<Transport>, url: &str) -> anyhow::Result<bool> {
    // The empty name stands for the server as a whole.
    let answer = client.check(HealthCheckRequest { service: String::new() }).await;
    let status = answer.with_context(|| format!("{url} does not tell its health"))?.into_inner().status();
    // A server of an earlier version does not know the name.
    let database = client.check(HealthCheckRequest { service: DATABASE_HEALTH.to_owned() }).await;
    if database.is_ok_and(|answer| answer.into_inner().status() == ServingStatus::NotServing) {
        let away =
            "its database is away: checks are answered by the budgets' `unavailable` choices, and nothing is recorded";
        writeln!(std::io::stderr(), "{away}")?;
    }
    Ok(status == ServingStatus::Serving)
}

/// Where a server that listens on `listen` is reached from the same machine: "any address" is not one to connect to.
fn reachable(listen: SocketAddr) -> SocketAddr {
    let address = match listen.ip() {
        IpAddr::V4(address) if address.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(address) if address.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        address => address,
    };
    SocketAddr::new(address, listen.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_on_every_address_is_asked_on_this_machine() {
        for (listen, expected) in
            [("0.0.0.0:4747", "127.0.0.1:4747"), ("[::]:4747", "[::1]:4747"), ("10.1.2.3:80", "10.1.2.3:80")]
        {
            assert_eq!(reachable(listen.parse().unwrap()), expected.parse().unwrap());
        }
    }

    #[tokio::test]
    async fn a_server_that_does_not_answer_is_an_error() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        drop(listener);
        let error = run(&HealthArguments { url: None, api_key: None, timeout: 1 }, address).await.unwrap_err();
        assert!(error.to_string().contains("no server answers"), "{error:#}");
    }
}
