//! Keys that speak for several tenants.

use std::time::Duration;

use secrecy::ExposeSecret as _;
use sqlx::AssertSqlSafe;
use tollgate_proto::v1;
use tollgate_server::app::keys::{NewKey, rotate_any_key};
use tollgate_server::app::tenants::create_tenant;
use tollgate_server::auth::Permission;
use tollgate_server::store::scoped::ROLE;
use tollgate_server::tenant::TenantId;

use super::{assert_denied, assert_unauthenticated, record_once};
use crate::harness::TestServer;
use crate::harness::keys::{holding, keyed};
use crate::harness::wait::until;

async fn tenant(server: &TestServer, name: &str) -> TenantId {
    create_tenant(&server.pool(), name).await.unwrap().unwrap().tenant.id
}

async fn events(server: &TestServer, tenant: TenantId) -> i64 {
    let count = sqlx::query_scalar("SELECT count(*) FROM usage_event WHERE tenant_id = $1").bind(tenant.0);
    count.fetch_one(&server.pool()).await.unwrap()
}

#[tokio::test]
async fn a_tenant_sees_its_own_and_a_gateway_those_that_were_granted() {
    let server = TestServer::configured(&keyed()).await;
    let (acme, beta, gamma) =
        (tenant(&server, "acme").await, tenant(&server, "beta").await, tenant(&server, "gamma").await);
    assert!(create_tenant(&server.pool(), "acme").await.unwrap().is_none(), "a name is taken once");
    let own = server.issue(acme, holding(&[Permission::Record])).await.secret;
    let gateway = NewKey { granted: vec![beta], ..holding(&[Permission::Record]) };
    let gateway = server.issue(acme, gateway).await.secret;
    let call = async |secret: &str, tenant: &str| {
        let mut headers = vec![("x-api-key", secret)];
        if !tenant.is_empty() {
            headers.push(("x-tollgate-tenant", tenant));
        }
        record_once(&server.sending(&headers)).await
    };
    for (secret, name) in [(&own, ""), (&own, "acme"), (&gateway, ""), (&gateway, "acme"), (&gateway, "beta")] {
        call(secret, name).await.unwrap();
    }
    for (secret, name) in [(&own, "beta"), (&own, "local"), (&gateway, "gamma"), (&gateway, "local"), (&gateway, "2")] {
        assert_denied(&call(secret, name).await.unwrap_err());
    }
    assert_eq!((events(&server, acme).await, events(&server, beta).await), (4, 1));
    assert_eq!((events(&server, gamma).await, events(&server, TenantId::LOCAL).await), (0, 0));
}

#[tokio::test]
async fn a_caller_without_a_key_is_the_local_tenant_and_no_other() {
    let server = TestServer::start().await;
    tenant(&server, "acme").await;
    record_once(&server.sending(&[("x-tollgate-tenant", "local")])).await.unwrap();
    for name in ["acme", "nobody", ""] {
        assert_denied(&record_once(&server.sending(&[("x-tollgate-tenant", name)])).await.unwrap_err());
    }
}

#[tokio::test]
async fn who_administers_one_tenant_gets_no_secret_that_speaks_for_others() {
    let server = TestServer::configured(&keyed()).await;
    let (acme, beta) = (tenant(&server, "acme").await, tenant(&server, "beta").await);
    let admin = server.showing(&server.issue(acme, holding(&[Permission::Admin])).await.secret);
    let gateway = NewKey { granted: vec![beta], ..holding(&[Permission::Record]) };
    let gateway = server.issue(acme, gateway).await;
    let rotate = v1::RotateApiKeyRequest { api_key_id: gateway.id.clone(), grace: None };
    let refused = admin.admin.clone().rotate_api_key(rotate).await.unwrap_err();
    assert_denied(&refused);
    assert!(refused.message().contains("tollgate keys rotate --database"), "{}", refused.message());

    // Nor by any statement that runs as the role of tenants.
    let mut connection = server.pool().acquire().await.unwrap();
    for attempt in [
        "UPDATE api_key SET granted_tenants = '{1}'".to_owned(),
        "UPDATE api_key SET permissions = '{6}'".to_owned(),
        "UPDATE api_key_secret SET digest = 'x'".to_owned(),
        "DELETE FROM api_key_secret".to_owned(),
        "INSERT INTO api_key (tenant_id, api_key_id, display_name, permissions, pinned, granted_tenants)
        VALUES (2, gen_random_uuid(), '', '{6}', '{}', '{1}')"
            .to_owned(),
        format!(
            "INSERT INTO api_key_secret (tenant_id, secret_id, api_key_id, digest) VALUES ({}, 'x', '{}', 'x')",
            acme.0, gateway.id
        ),
    ] {
        let text = format!("BEGIN; SET LOCAL ROLE {ROLE}; SET LOCAL tollgate.tenant = '{}'; {attempt}", acme.0);
        let refused = sqlx::raw_sql(AssertSqlSafe(text)).execute(&mut *connection).await.unwrap_err();
        let code = refused.as_database_error().and_then(|error| error.code().map(String::from));
        assert_eq!(code.as_deref(), Some("42501"), "{attempt}: {refused}");
        sqlx::raw_sql("ROLLBACK").execute(&mut *connection).await.unwrap();
    }

    // Whoever runs the database may, and whoever administers the tenant may revoke.
    let id = gateway.id.parse().unwrap();
    let rotated = rotate_any_key(&server.pool(), acme, id, Duration::ZERO).await.unwrap().secret.unwrap();
    let rotated = rotated.expose_secret();
    record_once(&server.sending(&[("x-api-key", rotated), ("x-tollgate-tenant", "beta")])).await.unwrap();
    admin.admin.clone().revoke_api_key(v1::RevokeApiKeyRequest { api_key_id: gateway.id }).await.unwrap();
    let refused = until("the refusal", || async { record_once(&server.showing(rotated)).await.err() }).await;
    assert_unauthenticated(&refused, "REVOKED");
}
