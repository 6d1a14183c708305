//! A price catalog in a file, replaced while the server runs.

use std::path::Path;
use std::time::Duration;

use tollgate_proto::v1;
use tollgate_server::boot::{self, Database};
use tollgate_server::config::Config;
use tonic::Code;

use super::{patch, recorded, set_price};
use crate::harness::build::model;
use crate::harness::refusal::Refusal;
use crate::harness::wait::until;
use crate::harness::{TestServer, database};
use crate::metrics::get;

fn write(path: &Path, version: &str, usd: &str) {
    let head = format!(r#"{{"catalog":{{"format":1,"version":"{version}","sources":[]}}}}"#);
    let provider = r#"{"provider":"acme"}"#;
    let prices = format!(r#"[{{"id":"acme/m","rates":{{"input":"{usd}","output":"1"}}}}]"#);
    let model = format!(r#"{{"provider":"acme","model":"m","match":[{{"equals":"m"}}],"prices":{prices}}}"#);
    std::fs::write(path, format!("{head}\n{provider}\n{model}\n")).unwrap();
}

fn watching(path: &Path) -> Config {
    let mut config = Config::default();
    config.prices.catalog_file = Some(path.to_owned());
    config.prices.catalog_interval = Duration::from_millis(20);
    config.metrics.listen = Some("127.0.0.1:0".parse().unwrap());
    config
}

async fn version(server: &TestServer) -> String {
    let request = v1::ListPricesRequest { page_size: 1, ..Default::default() };
    server.prices.clone().list_prices(request).await.unwrap().into_inner().catalog_version
}

/// Waits until so many changed catalogs were found and not taken.
async fn refused(server: &TestServer, count: usize) {
    let line = format!("tollgate_catalog_changes_total{{outcome=\"refused\"}} {count}\n");
    until(&line, || async { get(server, "/metrics").await.contains(&line).then_some(()) }).await;
}

#[tokio::test]
async fn a_replaced_catalog_prices_the_next_calls_and_a_broken_one_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("catalog.jsonl");
    write(&path, "first", "1");
    let mut server = TestServer::configured(&watching(&path)).await;
    let wanted = || model("acme", "m");
    assert_eq!(recorded(&server, wanted()).await.usd, "0.002");
    set_price(&server, patch(model("acme", "*"), &[("output", "3")])).await;
    assert_eq!(recorded(&server, wanted()).await.usd, "0.004");
    let first = v1::ListPricesRequest { page_size: 1, ..Default::default() };
    let token = server.prices.list_prices(first.clone()).await.unwrap().into_inner().next_page_token;

    write(&path, "second", "11");
    until("the second catalog", || async { (version(&server).await == "second").then_some(()) }).await;
    let cost = recorded(&server, wanted()).await;
    assert_eq!(
        (cost.usd.as_str(), cost.catalog_version.as_str()),
        ("0.014", "second"),
        "with the tenant's price over it"
    );
    let stale = server.prices.list_prices(v1::ListPricesRequest { page_token: token, ..first }).await.unwrap_err();
    assert_eq!(Refusal::of(&stale), Refusal::new(Code::InvalidArgument, "PAGE_TOKEN_INVALID", &[]));

    std::fs::write(&path, "{\"catalog\": broken").unwrap();
    refused(&server, 1).await;
    assert_eq!(version(&server).await, "second");
    assert_eq!(recorded(&server, wanted()).await.usd, "0.014");
    std::fs::remove_file(&path).unwrap();
    refused(&server, 2).await;
    assert_eq!(recorded(&server, wanted()).await.usd, "0.014");

    write(&path, "third", "111");
    until("the third catalog", || async { (version(&server).await == "third").then_some(()) }).await;
    assert_eq!(recorded(&server, wanted()).await.usd, "0.114");
    server.assert_audit_holds().await;
}

#[tokio::test]
async fn a_server_does_not_start_on_a_broken_catalog() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("catalog.jsonl");
    std::fs::write(&path, "nothing of the kind").unwrap();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let stop = tokio_util::sync::CancellationToken::new();
    let over = Database::given(database().await);
    let error = boot::start(&watching(&path), &over, listener, stop).await.unwrap_err();
    assert!(error.to_string().contains("catalog.jsonl") && error.to_string().contains("line 1"), "{error}");
}
