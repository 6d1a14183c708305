//! `tollgate keys` and `tollgate tenants`, the program itself, and the keys that its other commands show.

use std::process::Stdio;

use serde_json::Value;
use sqlx::ConnectOptions as _;
use tollgate_server::auth::Permission;
use tonic::Code;

use super::{assert_unauthenticated, record_once};
use crate::harness::TestServer;
use crate::harness::keys::keyed;
use crate::harness::wait::until;

/// What the program answered.
struct Answer {
    code: Option<i32>,
    text: String,
    error: String,
}

impl Answer {
    fn done(self) -> Self {
        assert_eq!(self.code, Some(0), "{}{}", self.text, self.error);
        self
    }

    fn json(self) -> Value {
        serde_json::from_str(&self.done().text).unwrap()
    }
}

/// Runs the program, without the settings of whoever runs the tests; in a process of its own, as the server runs in this one.
async fn tollgate(settings: &[(&str, &str)], arguments: &[&str]) -> Answer {
    let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_tollgate"));
    command.env_clear().envs(settings.iter().copied()).args(arguments).stdin(Stdio::null());
    let output = command.output().await.unwrap();
    Answer {
        code: output.status.code(),
        text: String::from_utf8(output.stdout).unwrap(),
        error: String::from_utf8(output.stderr).unwrap(),
    }
}

#[tokio::test]
async fn the_first_key_is_made_in_the_database_and_makes_others_on_the_server() {
    let server = TestServer::configured(&keyed()).await;
    let url = server.options.to_url_lossy().to_string();
    let database = [("DATABASE_URL", url.as_str())];
    let first = tollgate(&database, &["keys", "create", "--permission", "admin", "--name", "first"]).await.done();
    let secret = first.text.trim();
    assert_eq!(first.text.lines().count(), 1, "the secret alone: {}", first.text);
    assert!(secret.starts_with("tgk_") && !first.error.contains(secret), "{}", first.error);

    let online = [("TOLLGATE_URL", server.url.as_str()), ("TOLLGATE_API_KEY", secret)];
    let arguments = [
        "keys",
        "create",
        "--permission",
        "record",
        "--pin",
        "user_id=ann",
        "--pin",
        "label:app=web",
        "--expires-in",
        "1d",
    ];
    let made = tollgate(&online, &[&arguments[..], &["--json"]].concat()).await.json();
    assert_eq!(made["permissions"], serde_json::json!(["RECORD"]));
    assert_eq!(made["pinned"], serde_json::json!({ "user_id": "ann", "label:app": "web" }));
    assert!(!made["expireTime"].as_str().unwrap().is_empty());
    let made_secret = made["secret"].as_str().unwrap();
    record_once(&server.showing(made_secret)).await.unwrap();

    let id = made["apiKeyId"].as_str().unwrap();
    let rotated = tollgate(&online, &["keys", "rotate", id, "--grace", "1h", "--json"]).await.json();
    let rotated_secret = rotated["secret"].as_str().unwrap();
    record_once(&server.showing(rotated_secret)).await.unwrap();
    record_once(&server.showing(made_secret)).await.unwrap();
    let listed = tollgate(&online, &["keys", "list", "--json"]).await;
    assert!(!listed.text.contains("tgk_"), "{}", listed.text);
    assert_eq!(listed.json().as_array().unwrap().len(), 2);
    tollgate(&online, &["keys", "revoke", id]).await.done();
    let refused = until("the refusal", || async { record_once(&server.showing(made_secret)).await.err() }).await;
    assert_unauthenticated(&refused, "REVOKED");
    let listed = tollgate(&database, &["keys", "list"]).await.done();
    assert!(listed.text.contains("first") && !listed.text.contains(id), "{}", listed.text);
}

#[tokio::test]
async fn tenants_are_created_and_keys_may_speak_for_them() {
    let server = TestServer::configured(&keyed()).await;
    let url = server.options.to_url_lossy().to_string();
    let database = [("DATABASE_URL", url.as_str()), ("TOLLGATE_URL", server.url.as_str())];
    for name in ["acme", "beta"] {
        tollgate(&database, &["tenants", "create", name]).await.done();
    }
    for name in ["acme", "Upper", "", "with space"] {
        let refused = tollgate(&database, &["tenants", "create", name]).await;
        assert_eq!(refused.code, Some(1), "{name}: {}{}", refused.text, refused.error);
    }
    let listed = tollgate(&database, &["tenants", "list", "--json"]).await.json();
    let names: Vec<&str> = listed.as_array().unwrap().iter().map(|one| one["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["local", "acme", "beta"]);
    let create = ["keys", "create", "--database", "--permission", "record", "--tenant", "acme", "--grant-tenant"];
    let gateway = tollgate(&database, &[&create[..], &["beta"]].concat()).await.done();
    let headers = [("x-api-key", gateway.text.trim()), ("x-tollgate-tenant", "beta")];
    record_once(&server.sending(&headers)).await.unwrap();
    let refused = tollgate(&database, &[&create[..], &["gamma"]].concat()).await;
    assert!(refused.code == Some(1) && refused.error.contains("gamma"), "{}", refused.error);
    let admin = server.key(&[Permission::Admin]).await;
    let online = [("TOLLGATE_URL", server.url.as_str()), ("TOLLGATE_API_KEY", admin.secret.as_str())];
    let refused = tollgate(&online, &["keys", "create", "--permission", "read", "--grant-tenant", "beta"]).await;
    assert!(refused.code == Some(1) && refused.error.contains("--database"), "{}", refused.error);
}

#[tokio::test]
async fn every_command_that_asks_a_server_shows_its_key() {
    let server = TestServer::configured(&keyed()).await;
    let reader = server.key(&[Permission::Read]).await;
    for arguments in [
        &["health", "--url", &server.url][..],
        &["prices", "list", "--provider", "openai", "--model", "gpt-4o"],
        &["prices", "estimate", "openai/gpt-4o", "--input", "10"],
        &["reservations", "list"],
    ] {
        let with = [("TOLLGATE_URL", server.url.as_str()), ("TOLLGATE_API_KEY", reader.secret.as_str())];
        let answered = tollgate(&with, arguments).await.done();
        assert!(!answered.text.contains(&reader.secret) && !answered.error.contains(&reader.secret));
        let without = tollgate(&with[..1], arguments).await;
        let asks_nobody = arguments[0] == "health";
        assert_eq!(without.code == Some(0), asks_nobody, "{arguments:?}: {}{}", without.text, without.error);
    }
    let refused = record_once(&server.showing(&reader.secret)).await.unwrap_err();
    assert_eq!(refused.code(), Code::PermissionDenied);
}

/// A server's log names neither secrets nor what was guessed, at whatever level.
#[tokio::test]
async fn no_log_holds_a_secret() {
    let keeper = TestServer::configured(&keyed()).await;
    let key = keeper.key(&[Permission::Record]).await;
    let url = keeper.options.to_url_lossy().to_string();
    let log = tempfile::NamedTempFile::new().unwrap();
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let address = format!("127.0.0.1:{port}");
    let mut child = tokio::process::Command::new(env!("CARGO_BIN_EXE_tollgate"))
        .env_clear()
        .envs([
            ("DATABASE_URL", url.as_str()),
            ("TOLLGATE_AUTH__REQUIRED", "true"),
            ("TOLLGATE_SERVER__LISTEN", &address),
            ("TOLLGATE_LOG__FILTER", "trace"),
        ])
        .arg("serve")
        .stdin(Stdio::null())
        .stderr(log.reopen().unwrap())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let server_url = format!("http://{address}");
    until("the server", || async {
        (tollgate(&[], &["health", "--url", &server_url]).await.code == Some(0)).then_some(())
    })
    .await;
    let client = |key: &str| tollgate_client::Client::builder(&server_url).api_key(key).connect_lazy().unwrap();
    let guessed = format!("{}canary", &key.secret[..key.secret.len() - 6]);
    for secret in [&key.secret, &guessed] {
        // What it answers does not matter here.
        drop(client(secret).get_usage(crate::harness::build::id()).await);
    }
    child.kill().await.unwrap();
    let text = std::fs::read_to_string(log.path()).unwrap();
    let random = &key.secret[21..60];
    assert!(text.len() > 1_000 && !text.contains(random) && !text.contains("canary"), "the log shows a secret");
}
