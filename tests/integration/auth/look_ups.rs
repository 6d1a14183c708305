//! Looking credentials up while something is in the way.

use std::future::Future;

use secrecy::ExposeSecret as _;
use tollgate_proto::v1;
use tollgate_server::auth::{NewSecret, Permission, SecretKind};
use tollgate_server::boot::UPKEEP_CONNECTIONS;
use tonic::{Code, Request, Status};

use super::record_once;
use crate::harness::TestServer;
use crate::harness::build::{event, record, session};
use crate::harness::keys::keyed;
use crate::harness::wait::{bounded, until};

#[tokio::test]
async fn upkeep_that_waits_keeps_no_key_out() {
    let server = TestServer::configured(&keyed()).await;
    let key = server.key(&[Permission::Record]).await;
    let upkeep = server.running.as_ref().unwrap().app.all_tenants.clone();
    let mut held = Vec::new();
    for _ in 0..UPKEEP_CONNECTIONS {
        held.push(bounded("a connection", upkeep.acquire()).await.unwrap());
    }
    record_once(&server.showing(&key.secret)).await.unwrap();
}

/// A call that shows this secret, on the connection that all share.
fn call(server: &TestServer, secret: &str) -> impl Future<Output = Result<(), Status>> + Send + use<> {
    let mut request: Request<v1::RecordUsageRequest> = Request::new(record(event(session("s"), 10, 10)));
    request.metadata_mut().insert("x-api-key", secret.parse().unwrap());
    let mut usage = server.usage.clone();
    async move { usage.record_usage(request).await.map(drop) }
}

#[tokio::test]
async fn guesses_keep_no_working_key_from_a_replica_that_just_started() {
    let server = TestServer::configured(&keyed()).await;
    let key = server.key(&[Permission::Record]).await;
    server.execute("UPDATE api_key SET last_use_time = now() - interval '1 hour'").await;
    let mut config = keyed();
    config.server.streams_per_connection = 1_000;
    let replica = TestServer::over(server.options.clone(), &config).await;
    let pool = server.pool();
    let mut lock = pool.begin().await.unwrap();
    sqlx::query("LOCK TABLE api_key_secret IN ACCESS EXCLUSIVE MODE").execute(&mut *lock).await.unwrap();

    let (told, mut refusals) = tokio::sync::mpsc::unbounded_channel();
    for _ in 0..400 {
        let secret = NewSecret::mint(SecretKind::ApiKey).unwrap();
        let (guess, told) = (call(&replica, secret.text.expose_secret()), told.clone());
        tokio::spawn(async move { drop(told.send(guess.await)) });
    }
    let full = bounded("the bound", refusals.recv()).await.unwrap().unwrap_err();
    assert_eq!(full.code(), Code::ResourceExhausted, "{full:?}");

    // Known since the start: it is used as it is, or read again in a lane without guesses.
    let working = tokio::spawn(call(&replica, &key.secret));
    until("the answer, or its look-up", || async {
        let waiting = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()
            AND wait_event_type = 'Lock' AND query LIKE '%FROM api_key_secret AS secret%'";
        let waiting: i64 = sqlx::query_scalar(waiting).fetch_one(&pool).await.unwrap();
        (working.is_finished() || waiting > 2).then_some(())
    })
    .await;
    lock.rollback().await.unwrap();
    bounded("the answer", working).await.unwrap().unwrap();
}
