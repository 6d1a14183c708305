//! Credentials while the database is away, and while somebody guesses.

use std::time::{Duration, Instant};

use futures::future::join_all;
use secrecy::ExposeSecret as _;
use tollgate_proto::v1;
use tollgate_server::auth::{NewSecret, Permission, SecretKind};
use tonic::Code;
use tonic_types::StatusExt as _;

use super::{assert_unauthenticated, record_once};
use crate::harness::TestServer;
use crate::harness::build::{budget, create, event, record, reserve, user};
use crate::harness::keys::keyed;
use crate::harness::outage::OwnPostgres;
use crate::harness::wait::until;

#[tokio::test]
async fn decision_14_a_known_key_is_answered_while_the_database_is_away() {
    let mut postgres = OwnPostgres::start().await;
    let server = TestServer::over(postgres.options(), &keyed()).await;
    let key = server.key(&[Permission::Check, Permission::Budgets]).await;
    let late = server.key(&[Permission::Check]).await;
    let known = server.showing(&key.secret);
    let open = v1::Budget { unavailable: v1::Choice::Allow.into(), ..budget("open", "1") };
    known.budgets.clone().create_budget(create(open)).await.unwrap();
    let check = async || known.budgets.clone().check_budget(reserve(user("ann"), 10, 10)).await;
    assert!(!check().await.unwrap().into_inner().degraded);
    postgres.stop().await;
    until("a degraded answer", || async { check().await.ok().filter(|answer| answer.get_ref().degraded) }).await;
    // Longer than what was read is used while the database answers.
    let began = Instant::now();
    while began.elapsed() < Duration::from_secs(5) {
        assert!(check().await.unwrap().into_inner().degraded);
    }
    let stranger = server.showing(&late.secret);
    let refused = stranger.budgets.clone().check_budget(reserve(user("ann"), 10, 10)).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unavailable, "nobody is let in, and nobody is told that the key is wrong");
    postgres.start_again().await;
    until("the key is known", || async {
        stranger.budgets.clone().check_budget(reserve(user("ann"), 10, 10)).await.ok()
    })
    .await;
}

#[tokio::test]
async fn guesses_are_refused_and_do_not_keep_a_known_key_out() {
    let mut config = keyed();
    // More than may wait to be looked up, over one connection.
    config.server.streams_per_connection = 1_000;
    let server = TestServer::configured(&config).await;
    let key = server.key(&[Permission::Record]).await;
    let known = server.showing(&key.secret);
    record_once(&known).await.unwrap();
    // Nobody can look a key up now; what is known needs no look-up.
    let mut lock = sqlx::PgPool::connect_lazy_with(server.options.clone()).begin().await.unwrap();
    sqlx::raw_sql("LOCK TABLE api_key_secret IN ACCESS EXCLUSIVE MODE").execute(&mut *lock).await.unwrap();
    let guess = async || {
        let secret = NewSecret::mint(SecretKind::ApiKey).unwrap();
        let mut request = tonic::Request::new(record(event(user("ann"), 10, 10)));
        request.metadata_mut().insert("x-api-key", secret.text.expose_secret().parse().unwrap());
        server.usage.clone().record_usage(request).await.unwrap_err()
    };
    let guesses = join_all((0..300).map(|_| guess()));
    let unlock = async {
        let refused = until("the bound", || async {
            // One that still finds a place waits for the lock; whoever gives up leaves it to the others.
            let refused = tokio::time::timeout(Duration::from_millis(200), guess()).await.ok()?;
            (refused.code() == Code::ResourceExhausted).then_some(refused)
        });
        let refused = refused.await;
        assert!(refused.get_error_details().retry_info().is_some(), "{refused:?}");
        lock.rollback().await.unwrap();
    };
    let (guessed, ()) = futures::join!(guesses, unlock);
    for refused in &guessed {
        match refused.code() {
            Code::ResourceExhausted => {}
            _ => assert_unauthenticated(refused, "UNKNOWN"),
        }
    }
    record_once(&known).await.unwrap();
}
