//! Tokens for web pages: they watch their scopes and do nothing else.

use std::time::Duration;

use tollgate_proto::v1;
use tollgate_proto::v1::watch_scope::Scope;
use tollgate_server::auth::Permission;
use tollgate_server::store::credentials::purge;
use tonic::Code;

use super::{assert_denied, assert_unauthenticated, record_once};
use crate::harness::TestServer;
use crate::harness::build::{day, event, id, record, session};
use crate::harness::keys::{Clients, keyed};
use crate::harness::time::milliseconds;
use crate::harness::wait::{bounded, until};

fn scope(key: &str, session_id: &str) -> v1::WatchScope {
    v1::WatchScope { key: key.to_owned(), scope: Some(Scope::SessionId(session_id.to_owned())), ..Default::default() }
}

fn totals(scopes: Vec<v1::WatchScope>) -> v1::GetTotalsRequest {
    v1::GetTotalsRequest { scopes, ..Default::default() }
}

async fn token(admin: &Clients, scopes: Vec<v1::WatchScope>, seconds: i64) -> String {
    let request = v1::CreateViewTokenRequest { scopes, ttl: Some(milliseconds(seconds * 1_000)) };
    let made = admin.admin.clone().create_view_token(request).await.unwrap().into_inner();
    assert!(made.expire_time.is_some());
    made.token
}

async fn administered() -> (TestServer, Clients) {
    let server = TestServer::configured(&keyed()).await;
    let admin = server.key(&[Permission::Admin]).await;
    let admin = server.showing(&admin.secret);
    (server, admin)
}

#[tokio::test]
async fn a_token_watches_its_scopes_as_they_are_and_nothing_else() {
    let (server, admin) = administered().await;
    admin.usage.clone().record_usage(record(event(session("mine"), 100, 10))).await.unwrap();
    let granted = vec![scope("a", "mine"), v1::WatchScope { budgets: true, ..scope("b", "mine") }];
    let viewer = server.showing(&token(&admin, granted, 3_600).await);
    // Whatever the viewer calls them.
    for scopes in [vec![scope("x", "mine")], vec![scope("x", "mine"), scope("y", "mine")]] {
        let answer = viewer.usage.clone().get_totals(totals(scopes)).await.unwrap().into_inner();
        assert!(answer.scopes.iter().all(|scope| scope.totals.as_ref().unwrap().calls == 1));
    }
    let request = v1::StreamUsageRequest { scopes: vec![scope("x", "mine")], ..Default::default() };
    let mut stream = viewer.usage.clone().stream_usage(request).await.unwrap().into_inner();
    assert!(stream.message().await.unwrap().unwrap().snapshot);
    for other in [
        scope("a", "yours"),
        v1::WatchScope { scope: Some(Scope::RootSessionId("mine".to_owned())), ..scope("a", "mine") },
        v1::WatchScope { window: Some(day()), ..scope("a", "mine") },
        v1::WatchScope { breakdown: Some(crate::harness::build::key("user_id")), ..scope("a", "mine") },
        v1::WatchScope { scope: Some(Scope::Tenant(true)), window: Some(day()), ..Default::default() },
    ] {
        let other = v1::WatchScope { key: "other".to_owned(), ..other };
        let scopes = vec![scope("x", "mine"), other];
        assert_denied(&viewer.usage.clone().get_totals(totals(scopes.clone())).await.unwrap_err());
        let request = v1::StreamUsageRequest { scopes, ..Default::default() };
        assert_denied(&viewer.usage.clone().stream_usage(request).await.unwrap_err());
    }
    assert_denied(&record_once(&viewer).await.unwrap_err());
    let all = v1::GetUsageRequest { key: Some(v1::get_usage_request::Key::EventId(id())) };
    assert_denied(&viewer.usage.clone().get_usage(all).await.unwrap_err());
}

#[tokio::test]
async fn a_stream_ends_with_its_token() {
    let (server, admin) = administered().await;
    let viewer = server.showing(&token(&admin, vec![scope("a", "s")], 3).await);
    let request = v1::StreamUsageRequest { scopes: vec![scope("a", "s")], ..Default::default() };
    let mut stream = viewer.usage.clone().stream_usage(request).await.unwrap().into_inner();
    let ended = bounded("the end of the stream", async {
        loop {
            match stream.message().await {
                Ok(message) => assert!(message.is_some(), "it ends with a reason"),
                Err(status) => return status,
            }
        }
    });
    assert_unauthenticated(&ended.await, "EXPIRED");
    let refused =
        until("the refusal", || async { viewer.usage.clone().get_totals(totals(vec![scope("a", "s")])).await.err() });
    assert_unauthenticated(&refused.await, "EXPIRED");
}

#[tokio::test]
async fn a_token_is_bounded_and_says_what_is_wrong() {
    let (server, admin) = administered().await;
    for (scopes, ttl) in
        [(vec![], 60), (vec![scope("a", "s")], 86_401), (vec![scope("a", "s")], 0), (vec![scope("", "")], 60)]
    {
        let request = v1::CreateViewTokenRequest { scopes, ttl: Some(milliseconds(ttl * 1_000)) };
        let refused = admin.admin.clone().create_view_token(request).await.unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument, "{refused:?}");
    }
    let many = (0..64).map(|number| scope(&format!("k{number}"), &format!("s{number}"))).collect::<Vec<_>>();
    let viewer = server.showing(&token(&admin, many.clone(), 60).await);
    viewer.usage.clone().get_totals(totals(many)).await.unwrap();
}

/// What ended long ago is deleted; what ended just now is told of.
#[tokio::test]
async fn ended_tokens_and_secrets_are_deleted_after_a_while() {
    let (server, admin) = administered().await;
    let old = token(&admin, vec![scope("a", "s")], 60).await;
    token(&admin, vec![scope("b", "s")], 60).await;
    server
        .execute(
            "UPDATE view_token SET expire_time = now() - interval '2 days'
             WHERE secret_id = (SELECT secret_id FROM view_token ORDER BY create_time LIMIT 1)",
        )
        .await;
    assert_eq!(purge(&server.pool(), Duration::from_secs(86_400), 10).await.unwrap(), 1);
    let refused = server.showing(&old).usage.get_totals(totals(vec![scope("a", "s")])).await.unwrap_err();
    assert_unauthenticated(&refused, "UNKNOWN");
}

#[tokio::test]
async fn a_token_ends_with_the_key_that_made_it() {
    let (server, admin) = administered().await;
    let maker = server.key(&[Permission::Admin]).await;
    let viewer = server.showing(&token(&server.showing(&maker.secret), vec![scope("a", "mine")], 3_600).await);
    let watch = || totals(vec![scope("a", "mine")]);
    viewer.usage.clone().get_totals(watch()).await.unwrap();
    let request = v1::StreamUsageRequest { scopes: vec![scope("a", "mine")], ..Default::default() };
    let mut stream = viewer.usage.clone().stream_usage(request).await.unwrap().into_inner();
    admin.admin.clone().revoke_api_key(v1::RevokeApiKeyRequest { api_key_id: maker.id }).await.unwrap();
    let refused = until("the refusal", || async { viewer.usage.clone().get_totals(watch()).await.err() }).await;
    assert_unauthenticated(&refused, "REVOKED");
    let ended = bounded("the end of the stream", async {
        loop {
            match stream.message().await {
                Ok(message) => assert!(message.is_some(), "it ends with a reason"),
                Err(status) => return status,
            }
        }
    });
    assert_unauthenticated(&ended.await, "REVOKED");
}
