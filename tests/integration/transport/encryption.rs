//! TLS: whom clients trust, whom the server does, and certificates that change.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use nix::sys::signal::{Signal, raise};
use tollgate_client::Client;
use tollgate_server::config::{ClientAuth, Config, ServerConfig, TlsConfig};
use tollgate_server::metrics::Metrics;
use tollgate_server::transport::Tls;

use super::certificates::{Authority, Files};
use super::port::{Port, ask};
use crate::harness::TestServer;
use crate::harness::build::{event, session};
use crate::harness::wait::{bounded, until};

const TAKEN: &str = "tollgate_tls_reloads_total{outcome=\"taken\"}";
const REFUSED: &str = "tollgate_tls_reloads_total{outcome=\"refused\"}";
const FAILED: &str = "tollgate_handshakes_failed_total{reason=\"tls\"}";
const NAME: &str = "spiffe://example.org/recorder";

#[tokio::test]
async fn a_server_is_trusted_by_its_authority_alone_and_while_it_is_valid() {
    let (authority, other) = (Authority::new("ours"), Authority::new("other"));
    let files = Files::new(&authority.server());
    let port = Port::encrypted(files.config()).await;
    ask(port.encrypted_channel(&authority, None)).await.unwrap();
    assert_eq!(port.last_seen(), None, "nobody asked for a certificate");
    assert!(port.metric("tollgate_tls_certificate_expiry_timestamp_seconds") > 0);
    ask(port.encrypted_channel(&other, None)).await.unwrap_err();
    // In the clear nothing is answered.
    ask(port.channel()).await.unwrap_err();
    port.until_metric(FAILED, 2).await;

    let files = Files::new(&authority.expired_server());
    let port = Port::encrypted(files.config()).await;
    ask(port.encrypted_channel(&authority, None)).await.unwrap_err();
    assert_eq!(port.calls(), 0);
}

#[tokio::test]
async fn a_client_shows_who_it_is_or_there_is_no_connection() {
    let (authority, other) = (Authority::new("ours"), Authority::new("other"));
    let files = Files::new(&authority.server());
    let port = Port::encrypted(files.mutual(&authority, ClientAuth::Required)).await;
    let client = authority.client(NAME);
    ask(port.encrypted_channel(&authority, Some(&client))).await.unwrap();
    let seen = port.last_seen().unwrap();
    assert_eq!(seen.uris(), [NAME]);
    ask(port.encrypted_channel(&authority, Some(&authority.client(NAME)))).await.unwrap();
    assert_ne!(port.last_seen().unwrap().public_key(), seen.public_key(), "another key is another client");
    let calls = port.calls();
    let strangers = [None, Some(other.client(NAME)), Some(authority.expired_client(NAME)), Some(authority.server())];
    for (failed, stranger) in (1..).zip(strangers) {
        ask(port.encrypted_channel(&authority, stranger.as_ref())).await.unwrap_err();
        port.until_metric(FAILED, failed).await;
    }
    assert_eq!(port.calls(), calls);
}

#[tokio::test]
async fn where_certificates_are_optional_a_bad_one_is_still_refused() {
    let (authority, other) = (Authority::new("ours"), Authority::new("other"));
    let files = Files::new(&authority.server());
    let port = Port::encrypted(files.mutual(&authority, ClientAuth::Optional)).await;
    ask(port.encrypted_channel(&authority, None)).await.unwrap();
    assert_eq!(port.last_seen(), None);
    ask(port.encrypted_channel(&authority, Some(&authority.client(NAME)))).await.unwrap();
    assert_eq!(port.last_seen().unwrap().uris(), [NAME]);
    ask(port.encrypted_channel(&authority, Some(&other.client(NAME)))).await.unwrap_err();
}

#[tokio::test]
async fn certificates_are_replaced_under_load_without_a_failed_call() {
    let (first, second) = (Authority::new("first"), Authority::new("second"));
    let files = Files::new(&first.server());
    let port = Arc::new(Port::encrypted(files.config()).await);
    let (stop, calls) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    // Trusts both, and opens a connection for each call.
    let mut both = Authority::new("unused");
    both.pem = format!("{}{}", first.pem, second.pem);
    let load = tokio::spawn({
        let (port, stop, calls) = (port.clone(), stop.clone(), calls.clone());
        async move {
            while !stop.load(Ordering::Relaxed) {
                ask(port.encrypted_channel(&both, None)).await?;
                calls.fetch_add(1, Ordering::Relaxed);
            }
            Ok::<(), tonic::Status>(())
        }
    });
    let open = port.encrypted_channel(&first, None);
    ask(open.clone()).await.unwrap();
    let called = async || {
        let before = calls.load(Ordering::Relaxed);
        until("calls go on", || async { (calls.load(Ordering::Relaxed) > before + 3).then_some(()) }).await;
    };
    called().await;
    files.write(&second.server());
    port.until_metric(TAKEN, 1).await;
    called().await;
    ask(port.encrypted_channel(&second, None)).await.unwrap();
    ask(port.encrypted_channel(&first, None)).await.unwrap_err();
    ask(open).await.unwrap();

    // What cannot be used changes nothing; a key of another certificate cannot be used either.
    let refused = port.metric(REFUSED);
    files.replace("server.pem", "-----BEGIN CERTIFICATE-----\nnonsense\n-----END CERTIFICATE-----\n");
    port.until_metric(REFUSED, refused + 1).await;
    files.replace("server.pem", &first.server().certificate);
    port.until_metric(REFUSED, refused + 2).await;
    called().await;
    ask(port.encrypted_channel(&second, None)).await.unwrap();
    stop.store(true, Ordering::Relaxed);
    bounded("the load", load).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_hangup_looks_at_the_files_at_once() {
    let (first, second) = (Authority::new("first"), Authority::new("second"));
    let files = Files::new(&first.server());
    let tls = TlsConfig { reload_interval: std::time::Duration::from_secs(86_400), ..files.config() };
    let port = Port::encrypted(tls).await;
    ask(port.encrypted_channel(&first, None)).await.unwrap();
    files.write(&second.server());
    raise(Signal::SIGHUP).unwrap();
    port.until_metric(TAKEN, 1).await;
    ask(port.encrypted_channel(&second, None)).await.unwrap();
}

#[tokio::test]
async fn files_that_cannot_be_used_keep_the_server_from_starting() {
    let authority = Authority::new("ours");
    let files = Files::new(&authority.server());
    let metrics = Metrics::new().unwrap().transport;
    let load = async |config: &TlsConfig| Tls::load(config, metrics.clone()).await.map(|tls| tls.is_some());
    assert!(load(&files.config()).await.unwrap());
    assert!(!load(&TlsConfig::default()).await.unwrap());
    files.replace("server.key", &authority.client(NAME).key);
    let error = load(&files.config()).await.unwrap_err().to_string();
    assert!(error.contains("cannot be used together"), "{error}");
    files.replace("server.key", "");
    let error = load(&files.config()).await.unwrap_err().to_string();
    assert!(error.contains("server.key does not hold a private key"), "{error}");
    std::fs::remove_file(files.path("server.pem")).unwrap();
    let error = load(&files.config()).await.unwrap_err().to_string();
    assert!(error.contains("server.pem cannot be read"), "{error}");
}

#[tokio::test]
async fn the_client_and_the_health_command_speak_tls_and_show_certificates() {
    let authority = Authority::new("ours");
    let files = Files::new(&authority.server());
    let tls = files.mutual(&authority, ClientAuth::Required);
    let config = Config { server: ServerConfig { tls, ..ServerConfig::default() }, ..Config::default() };
    let server = TestServer::configured(&config).await;
    let url = server.url.replace("http://", "https://");
    let identity = authority.client(NAME);
    let builder = || Client::builder(&url).ca_certificate(&authority.pem);
    let client = builder().client_certificate(&identity.certificate, &identity.key).connect().await.unwrap();
    client.record(event(session("s1"), 1, 1)).await.unwrap();
    let shown = format!("{:?}", builder().client_certificate(&identity.certificate, &identity.key));
    assert!(shown.contains("(hidden)") && !shown.contains("PRIVATE"), "{shown}");
    let stranger = builder().connect_lazy().unwrap().with_deadline(std::time::Duration::from_secs(3));
    stranger.record(event(session("s1"), 1, 1)).await.unwrap_err();
    Client::builder(&server.url).ca_certificate(&authority.pem).connect_lazy().unwrap_err();

    files.replace("ca.pem", &authority.pem);
    files.replace("client.pem", &identity.certificate);
    files.replace("client.key", &identity.key);
    let health = async |arguments: Vec<String>| {
        let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_tollgate"));
        command.env_clear().args(["health", "--url", &url]).args(arguments);
        bounded("the command", command.output()).await.unwrap().status.success()
    };
    let file = |option: &str, name: &str| [format!("--{option}"), files.path(name).display().to_string()];
    let ca = file("ca", "ca.pem");
    let own = [file("client-certificate", "client.pem"), file("client-key", "client.key")].concat();
    assert!(health([ca.to_vec(), own.clone()].concat()).await);
    assert!(!health(ca.to_vec()).await, "it shows nothing");
    assert!(!health(own).await, "it trusts the web alone");
}
