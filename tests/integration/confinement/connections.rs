//! Connections that are lent to tenants, one after the other.

use sqlx::{Connection as _, PgConnection};
use tollgate_server::store::scoped::ROLE;

use super::{FIRST, NOBODY, SECOND, peopled, tenant_pool};

/// Who the connection is, and whose.
async fn identity(connection: &mut PgConnection) -> (String, String) {
    sqlx::query_as("SELECT current_user::text, coalesce(current_setting('tollgate.tenant', true), '')")
        .fetch_one(connection)
        .await
        .unwrap()
}

/// A statement that names no tenant at all.
async fn forgetful(connection: &mut PgConnection) -> Vec<i32> {
    sqlx::query_scalar("SELECT tenant_id FROM reservation").fetch_all(connection).await.unwrap()
}

#[tokio::test]
async fn a_statement_that_forgets_its_tenant_meets_the_rows_of_its_tenant() {
    let (tenants, _) = tenant_pool(&peopled().await, 2);
    for (tenant, seen) in [(FIRST, vec![FIRST.0]), (SECOND, vec![SECOND.0]), (NOBODY, vec![])] {
        assert_eq!(forgetful(&mut tenants.snapshot(tenant).await.unwrap()).await, seen);
        assert_eq!(forgetful(&mut tenants.planned_once(tenant).await.unwrap()).await, seen);
        let mut change = tenants.change(tenant).await.unwrap();
        assert_eq!(forgetful(&mut change).await, seen);
        let renamed = sqlx::raw_sql("UPDATE budget SET etag = 'changed'").execute(&mut *change).await.unwrap();
        assert_eq!(renamed.rows_affected(), u64::try_from(seen.len()).unwrap());
        change.commit().await.unwrap();
    }
}

#[tokio::test]
async fn events_are_confined_in_their_views() {
    let (tenants, _) = tenant_pool(&peopled().await, 1);
    let mut snapshot = tenants.snapshot(SECOND).await.unwrap();
    let seen = "SELECT tenant_id FROM usage_event_wide UNION ALL SELECT tenant_id FROM usage_adjustment_wide";
    let seen: Vec<i32> = sqlx::query_scalar(seen).fetch_all(&mut *snapshot).await.unwrap();
    assert_eq!(seen, [SECOND.0; 2]);
    // The tables themselves are the ledger's.
    let refused = sqlx::raw_sql("SELECT FROM usage_event").execute(&mut *snapshot).await.unwrap_err();
    assert!(refused.to_string().contains("permission denied"), "{refused}");
}

#[tokio::test]
async fn a_connection_comes_back_as_nobodys() {
    let (tenants, pool) = tenant_pool(&peopled().await, 1);
    let owner = identity(&mut pool.acquire().await.unwrap()).await;
    assert!(owner.0 != ROLE && owner.1.is_empty(), "{owner:?}");

    let mut read = tenants.snapshot(FIRST).await.unwrap();
    assert_eq!(identity(&mut read).await, (ROLE.to_owned(), FIRST.0.to_string()));
    drop(read);
    assert_eq!(identity(&mut pool.acquire().await.unwrap()).await, owner, "after a read");

    let change = tenants.change(SECOND).await.unwrap();
    change.commit().await.unwrap();
    assert_eq!(identity(&mut pool.acquire().await.unwrap()).await, owner, "after a change");

    let mut broken = tenants.change(SECOND).await.unwrap();
    sqlx::raw_sql("SELECT 1 / 0").execute(&mut *broken).await.unwrap_err();
    drop(broken);
    assert_eq!(identity(&mut pool.acquire().await.unwrap()).await, owner, "after a failure");

    // A caller that is gone before its transaction has begun.
    drop(futures::FutureExt::now_or_never(tenants.change(SECOND)));
    assert_eq!(identity(&mut pool.acquire().await.unwrap()).await, owner, "after a caller that went away");

    let mut next = tenants.snapshot(FIRST).await.unwrap();
    assert_eq!(identity(&mut next).await, (ROLE.to_owned(), FIRST.0.to_string()));
}

#[tokio::test]
async fn connections_that_broke_in_the_pool_are_passed_by() {
    let options = peopled().await;
    let (tenants, pool) = tenant_pool(&options, 3);
    let held = futures::future::join_all((0..3).map(|_| tenants.snapshot(FIRST))).await;
    assert_eq!(held.into_iter().filter(Result::is_ok).count(), 3);
    while pool.num_idle() < 3 {
        tokio::task::yield_now().await;
    }
    let mut admin = PgConnection::connect_with(&options).await.unwrap();
    let end = "SELECT pg_terminate_backend(pid, 60000) FROM pg_stat_activity
        WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'";
    let ended: Vec<bool> = sqlx::query_scalar(end).fetch_all(&mut admin).await.unwrap();
    assert_eq!(ended, [true; 3]);
    for _ in 0..3 {
        assert_eq!(forgetful(&mut tenants.snapshot(SECOND).await.unwrap()).await, [SECOND.0]);
    }
}
