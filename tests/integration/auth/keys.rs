//! The life of a key: created, used, rotated, expired, revoked.

use std::collections::HashSet;
use std::time::Duration;

use secrecy::ExposeSecret as _;
use tollgate_proto::v1;
use tollgate_server::app::keys::NewKey;
use tollgate_server::auth::{NewSecret, Permission, SecretKind};
use tollgate_server::store::credentials::purge_keys;
use tollgate_server::tenant::TenantId;
use tonic::Code;

use super::{assert_unauthenticated, record_once};
use crate::harness::TestServer;
use crate::harness::build::id;
use crate::harness::keys::{Clients, holding, keyed};
use crate::harness::refusal::{Refusal, reason};
use crate::harness::time::{from_wire, milliseconds, seconds_from_now};
use crate::harness::wait::{bounded, until};

async fn administered() -> (TestServer, Clients) {
    let server = TestServer::configured(&keyed()).await;
    let admin = server.key(&[Permission::Admin]).await;
    let clients = server.showing(&admin.secret);
    (server, clients)
}

fn wanted(permissions: &[Permission]) -> v1::CreateApiKeyRequest {
    let permissions = permissions.iter().map(|permission| i32::from(permission.code())).collect();
    let api_key = v1::ApiKey { display_name: "orchestrator".to_owned(), permissions, ..Default::default() };
    v1::CreateApiKeyRequest { api_key: Some(api_key), request_id: id() }
}

async fn create(admin: &Clients, permissions: &[Permission]) -> (v1::ApiKey, String) {
    let made = admin.admin.clone().create_api_key(wanted(permissions)).await.unwrap().into_inner();
    (made.api_key.unwrap(), made.secret)
}

/// Refused at last, for this reason.
async fn until_refused(clients: &Clients, fault: &str) {
    let refused = until("the refusal", || async { record_once(clients).await.err() }).await;
    assert_unauthenticated(&refused, fault);
}

#[tokio::test]
async fn a_caller_without_a_key_that_works_is_told_why() {
    let server = TestServer::configured(&keyed()).await;
    let key = server.key(&[Permission::Record]).await;
    let bearer = format!("Bearer {}", key.secret);
    for headers in [vec![("authorization", bearer.as_str())], vec![("x-api-key", key.secret.as_str())]] {
        record_once(&server.sending(&headers)).await.unwrap();
    }
    let strange = NewSecret::mint(SecretKind::ApiKey).unwrap();
    let token = NewSecret::mint(SecretKind::ViewToken).unwrap();
    // The id of a key that is there, and the rest of another.
    let (known, guessed) = (&key.secret[..21], strange.text.expose_secret());
    for (headers, fault) in [
        (vec![], "MISSING"),
        (vec![("authorization", "Bearer canary")], "MALFORMED"),
        (vec![("authorization", bearer.as_str()), ("authorization", bearer.as_str())], "MALFORMED"),
        (vec![("x-api-key", guessed)], "UNKNOWN"),
        (vec![("x-api-key", token.text.expose_secret())], "UNKNOWN"),
        (vec![("x-api-key", &format!("{known}{}", &guessed[21..]))], "MALFORMED"),
    ] {
        let refused = record_once(&server.sending(&headers)).await.unwrap_err();
        assert_unauthenticated(&refused, fault);
        assert!(!refused.message().contains("canary"));
    }
}

#[tokio::test]
async fn where_no_key_is_asked_for_one_that_is_sent_counts_all_the_same() {
    let server = TestServer::start().await;
    record_once(&server.sending(&[])).await.unwrap();
    let reader = server.key(&[Permission::Read]).await;
    assert_eq!(record_once(&server.showing(&reader.secret)).await.unwrap_err().code(), Code::PermissionDenied);
    assert_unauthenticated(&record_once(&server.showing("canary")).await.unwrap_err(), "MALFORMED");
}

#[tokio::test]
async fn the_same_request_creates_one_key_and_another_one_is_told_apart() {
    let (server, admin) = administered().await;
    let request = wanted(&[Permission::Record]);
    let first = admin.admin.clone().create_api_key(request.clone()).await.unwrap().into_inner();
    record_once(&server.showing(&first.secret)).await.unwrap();
    let again = admin.admin.clone().create_api_key(request.clone()).await.unwrap().into_inner();
    let id = |key: &Option<v1::ApiKey>| key.clone().unwrap().api_key_id;
    assert_eq!((id(&again.api_key), again.secret.as_str()), (id(&first.api_key), ""));
    let other = v1::CreateApiKeyRequest { request_id: request.request_id, ..wanted(&[Permission::Read]) };
    let refused = admin.admin.clone().create_api_key(other).await.unwrap_err();
    assert_eq!((refused.code(), reason(&refused).as_str()), (Code::FailedPrecondition, "REQUEST_ID_REUSED"));
    let past = v1::ApiKey { expire_time: Some(seconds_from_now(-1)), permissions: vec![99], ..Default::default() };
    let late = v1::CreateApiKeyRequest { api_key: Some(past), request_id: String::new() };
    let refused = Refusal::of(&admin.admin.clone().create_api_key(late).await.unwrap_err());
    let fields = ["api_key.expire_time", "api_key.permissions"];
    assert_eq!(refused, Refusal::new(Code::InvalidArgument, "INVALID_FIELD", &fields));
}

#[tokio::test]
async fn keys_are_listed_in_pages_and_without_secrets() {
    let (_server, admin) = administered().await;
    let mut made = Vec::new();
    for _ in 0..5 {
        made.push(create(&admin, &[Permission::Read]).await.0.api_key_id);
    }
    admin.admin.clone().revoke_api_key(v1::RevokeApiKeyRequest { api_key_id: made[0].clone() }).await.unwrap();
    for (show_revoked, expected) in [(false, 5), (true, 6)] {
        let mut listed = Vec::new();
        let mut page_token = String::new();
        loop {
            let request = v1::ListApiKeysRequest { page_size: 2, page_token, show_revoked };
            let page = admin.admin.clone().list_api_keys(request).await.unwrap().into_inner();
            assert!(page.api_keys.len() <= 2);
            listed.extend(page.api_keys);
            page_token = page.next_page_token;
            if page_token.is_empty() {
                break;
            }
        }
        let ids: HashSet<&str> = listed.iter().map(|key| key.api_key_id.as_str()).collect();
        assert_eq!((listed.len(), ids.len()), (expected, expected), "the key of the test itself is among them");
        assert!(listed.is_sorted_by(|newer, older| newer.api_key_id > older.api_key_id));
        assert_eq!(listed.iter().any(|key| key.revoke_time.is_some()), show_revoked);
    }
}

#[tokio::test]
async fn a_revoked_key_is_refused_on_every_replica_and_its_streams_end() {
    let (server, admin) = administered().await;
    let replica = TestServer::over(server.options.clone(), &keyed()).await;
    let (key, secret) = create(&admin, &[Permission::Record, Permission::Read]).await;
    let (here, there) = (server.showing(&secret), replica.showing(&secret));
    record_once(&here).await.unwrap();
    record_once(&there).await.unwrap();
    let mut alerts = there.alerts.clone().stream_alerts(v1::StreamAlertsRequest::default()).await.unwrap().into_inner();
    let revoke = v1::RevokeApiKeyRequest { api_key_id: key.api_key_id };
    let revoked = admin.admin.clone().revoke_api_key(revoke.clone()).await.unwrap().into_inner().api_key.unwrap();
    assert!(revoked.revoke_time.is_some());
    until_refused(&here, "REVOKED").await;
    until_refused(&there, "REVOKED").await;
    let ended = bounded("the end of the stream", async {
        loop {
            match alerts.message().await {
                Ok(message) => assert!(message.is_some(), "it ends with a reason"),
                Err(status) => return status,
            }
        }
    });
    assert_unauthenticated(&ended.await, "REVOKED");
    let again = admin.admin.clone().revoke_api_key(revoke.clone()).await.unwrap().into_inner().api_key.unwrap();
    assert_eq!(again.revoke_time, revoked.revoke_time);
    let rotate = v1::RotateApiKeyRequest { api_key_id: revoke.api_key_id, grace: None };
    let refused = admin.admin.clone().rotate_api_key(rotate).await.unwrap_err();
    assert_eq!((refused.code(), reason(&refused).as_str()), (Code::FailedPrecondition, "API_KEY_REVOKED"));
    let nobody = v1::RevokeApiKeyRequest { api_key_id: id() };
    assert_eq!(reason(&admin.admin.clone().revoke_api_key(nobody).await.unwrap_err()), "API_KEY_NOT_FOUND");
}

#[tokio::test]
async fn secrets_overlap_for_the_grace_and_no_longer() {
    let (server, admin) = administered().await;
    let (key, old) = create(&admin, &[Permission::Record]).await;
    let (old, id) = (server.showing(&old), key.api_key_id);
    record_once(&old).await.unwrap();
    let rotate = |grace| v1::RotateApiKeyRequest { api_key_id: id.clone(), grace };
    let new = admin.admin.clone().rotate_api_key(rotate(Some(milliseconds(3_600_000)))).await.unwrap().into_inner();
    assert_eq!(new.api_key.unwrap().api_key_id, id);
    let new = server.showing(&new.secret);
    record_once(&new).await.unwrap();
    record_once(&old).await.unwrap();
    let third = admin.admin.clone().rotate_api_key(rotate(None)).await.unwrap().into_inner().secret;
    until_refused(&old, "EXPIRED").await;
    until_refused(&new, "EXPIRED").await;
    record_once(&server.showing(&third)).await.unwrap();
    let long = rotate(Some(milliseconds((7 * 86_400 + 1) * 1_000)));
    assert_eq!(admin.admin.clone().rotate_api_key(long).await.unwrap_err().code(), Code::InvalidArgument);
    // However often it is rotated with a grace, few secrets work at the same time; at once is always possible.
    let refused = until("the bound", || async {
        admin.admin.clone().rotate_api_key(rotate(Some(milliseconds(3_600_000)))).await.err()
    });
    assert_eq!(refused.await.code(), Code::InvalidArgument);
    admin.admin.clone().rotate_api_key(rotate(None)).await.unwrap();
}

#[tokio::test]
async fn a_key_works_until_it_expires() {
    let server = TestServer::configured(&keyed()).await;
    let end = from_wire(&seconds_from_now(3));
    let key = NewKey { expire_time: Some(end), ..holding(&[Permission::Record]) };
    let key = server.showing(&server.issue(TenantId::LOCAL, key).await.secret);
    until_refused(&key, "EXPIRED").await;
}

/// Adds 10,000 keys that end then.
async fn fill(server: &TestServer, expire_time: &str) {
    server
        .execute(&format!(
            "INSERT INTO api_key (tenant_id, api_key_id, display_name, permissions, pinned, expire_time)
            SELECT 1, gen_random_uuid(), '', '{{1}}', '{{}}', {expire_time} FROM generate_series(1, 10000)"
        ))
        .await;
}

#[tokio::test]
async fn keys_that_work_are_bounded_and_others_do_not_count() {
    let (server, admin) = administered().await;
    let request = wanted(&[Permission::Record]);
    let first = admin.admin.clone().create_api_key(request.clone()).await.unwrap().into_inner();
    fill(&server, "now() - interval '1 day'").await;
    create(&admin, &[Permission::Record]).await;
    fill(&server, "now() + interval '1 day'").await;
    let refused = admin.admin.clone().create_api_key(wanted(&[Permission::Record])).await.unwrap_err();
    assert_eq!((refused.code(), reason(&refused).as_str()), (Code::ResourceExhausted, "TOO_MANY_API_KEYS"));
    assert!(refused.message().contains("revoke"), "{}", refused.message());
    assert!(!refused.metadata().contains_key("grpc-retry-pushback-ms"), "waiting does not help");
    let again = admin.admin.clone().create_api_key(request).await.unwrap().into_inner();
    assert_eq!(again.api_key, first.api_key, "what was answered once is answered again");
}

#[tokio::test]
async fn keys_are_deleted_long_after_their_end() {
    let server = TestServer::configured(&keyed()).await;
    let mut ids = Vec::new();
    for change in [
        "revoke_time = now() - interval '91 days'",
        "expire_time = now() - interval '91 days'",
        "revoke_time = now() - interval '89 days', expire_time = now() + interval '1 day'",
        "expire_time = now() - interval '89 days'",
        "create_time = now() - interval '91 days'",
    ] {
        let id = server.key(&[Permission::Record]).await.id;
        server.execute(&format!("UPDATE api_key SET {change} WHERE api_key_id = '{id}'")).await;
        ids.push(id);
    }
    let purged = purge_keys(&server.pool(), Duration::from_secs(90 * 86_400), 100).await.unwrap();
    assert_eq!(purged, 2);
    for table in ["api_key", "api_key_secret"] {
        let statement = format!("SELECT api_key_id::text FROM {table} ORDER BY 1");
        let left: Vec<String> =
            sqlx::query_scalar(sqlx::AssertSqlSafe(statement)).fetch_all(&server.pool()).await.unwrap();
        assert_eq!(left, ids[2..], "{table}");
    }
}

#[tokio::test]
async fn the_last_use_is_noted() {
    let (server, admin) = administered().await;
    let (key, secret) = create(&admin, &[Permission::Record]).await;
    assert_eq!(key.last_use_time, None);
    record_once(&server.showing(&secret)).await.unwrap();
    until("the note", || async {
        let listed = admin.admin.clone().list_api_keys(v1::ListApiKeysRequest::default()).await.unwrap().into_inner();
        listed.api_keys.into_iter().find(|one| one.api_key_id == key.api_key_id)?.last_use_time
    })
    .await;
}

#[tokio::test]
async fn no_table_holds_a_secret() {
    let (server, admin) = administered().await;
    let (key, first) = create(&admin, &[Permission::Record]).await;
    let rotate = v1::RotateApiKeyRequest { api_key_id: key.api_key_id, grace: Some(milliseconds(1_000)) };
    let second = admin.admin.clone().rotate_api_key(rotate).await.unwrap().into_inner().secret;
    record_once(&server.showing(&first)).await.unwrap();
    record_once(&server.showing(&second)).await.unwrap();
    let pool = server.pool();
    let tables: Vec<String> = sqlx::query_scalar("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
        .fetch_all(&pool)
        .await
        .unwrap();
    assert!(tables.len() > 20, "{tables:?}");
    for table in tables {
        let statement = format!("SELECT coalesce(string_agg(t::text, ''), '') FROM \"{table}\" t");
        let content: String = sqlx::query_scalar(sqlx::AssertSqlSafe(statement)).fetch_one(&pool).await.unwrap();
        for secret in [&first, &second] {
            let random = &secret[21..];
            assert!(!content.contains(random) && !content.contains(&hexadecimal(random)), "{table}");
        }
    }
}

/// As a column of bytes shows it.
fn hexadecimal(text: &str) -> String {
    text.bytes().map(|byte| format!("{byte:02x}")).collect()
}

/// The Rust client shows its key, and says so in the clear to nobody but the server.
#[tokio::test]
async fn the_rust_client_shows_its_key() {
    let server = TestServer::configured(&keyed()).await;
    let reader = server.key(&[Permission::Read]).await;
    let client = tollgate_client::Client::builder(&server.url).api_key(&reader.secret).connect().await.unwrap();
    client.price_page(v1::ListPricesRequest::default()).await.unwrap();
    let keyless = tollgate_client::Client::builder(&server.url).connect().await.unwrap();
    let refused = keyless.price_page(v1::ListPricesRequest::default()).await.unwrap_err();
    assert!(refused.to_string().contains("credential is missing"), "{refused}");
}
