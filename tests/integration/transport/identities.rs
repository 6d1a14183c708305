//! Keys whose callers show a client certificate instead of a secret.

use tollgate_client::{Client, Error};
use tollgate_server::app::AppError;
use tollgate_server::app::keys::{issue_key, revoke_key};
use tollgate_server::auth::Permission;
use tollgate_server::config::ClientAuth;
use tollgate_server::store::scoped::TenantPool;
use tollgate_server::tenant::TenantId;

use super::certificates::{Authority, Files, Identity};
use crate::harness::TestServer;
use crate::harness::build::{event, session};
use crate::harness::keys::{holding, keyed};
use crate::harness::wait::until;

fn assert_refused(error: &Error, reason: &str) {
    assert!(matches!(error, Error::Refused(refusal) if refusal.reason() == reason), "{error:?}");
}

#[tokio::test]
async fn a_certificate_stands_for_its_key_until_that_is_revoked() {
    let authority = Authority::new("ours");
    let files = Files::new(&authority.server());
    let mut config = keyed();
    config.server.tls = files.mutual(&authority, ClientAuth::Required);
    let server = TestServer::configured(&config).await;
    let url = server.url.replace("http://", "https://");
    let (recorder, stranger) =
        (authority.client("spiffe://example.org/recorder"), authority.client("spiffe://example.org/other"));
    let connect = async |identity: &Identity, secret: Option<&str>| {
        let mut builder = Client::builder(&url)
            .ca_certificate(&authority.pem)
            .client_certificate(&identity.certificate, &identity.key);
        if let Some(secret) = secret {
            builder = builder.api_key(secret);
        }
        builder.connect().await.unwrap()
    };
    let issue = async || {
        let key = holding(&[Permission::Record]);
        issue_key(&server.pool(), TenantId::LOCAL, key, Some(recorder.public_key), None).await
    };
    let issued = issue().await.unwrap();
    assert!(issued.secret.is_none());
    assert!(matches!(issue().await, Err(AppError::Invalid(_))), "one certificate is one key");

    let own = connect(&recorder, None).await;
    own.record(event(session("s"), 1, 1)).await.unwrap();
    assert_refused(&own.price_page(Default::default()).await.unwrap_err(), "PERMISSION_DENIED");
    let other = connect(&stranger, None).await;
    assert_refused(&other.record(event(session("s"), 1, 1)).await.unwrap_err(), "UNAUTHENTICATED");
    // A secret that is sent counts alone.
    let reader = server.key(&[Permission::Read]).await;
    let with_secret = connect(&recorder, Some(&reader.secret)).await;
    with_secret.price_page(Default::default()).await.unwrap();
    assert_refused(&with_secret.record(event(session("s"), 1, 1)).await.unwrap_err(), "PERMISSION_DENIED");

    let tenants = TenantPool::new(server.pool());
    revoke_key(&tenants, TenantId::LOCAL, issued.key.api_key_id).await.unwrap();
    let refused = until("the refusal", || async { own.record(event(session("s"), 1, 1)).await.err() }).await;
    assert_refused(&refused, "UNAUTHENTICATED");
    // The certificate may be that of another key then.
    issue().await.unwrap();
    until("the new key", || async { own.record(event(session("s"), 1, 1)).await.ok() }).await;
}
