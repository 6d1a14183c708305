//! Keys that speak for several tenants.

use tollgate_server::app::keys::NewKey;
use tollgate_server::app::tenants::create_tenant;
use tollgate_server::auth::Permission;
use tollgate_server::tenant::TenantId;

use super::{assert_denied, record_once};
use crate::harness::TestServer;
use crate::harness::keys::{holding, keyed};

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
