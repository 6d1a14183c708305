//! The rule about who may use connections that row-level security does not confine.

use super::source::Source;
use super::unneeded;

/// Names of such connections.
const UNCONFINED: [&str; 2] = ["PgPool", "all_tenants"];
/// Files and folders of the server that use them, and why. The store is handed them by these.
const ACROSS_TENANTS: [&str; 17] = [
    // The courier of the webhook goes through what is due of every tenant.
    "server/src/alerts/webhook/deliver.rs",
    // One reading of the newest alerts serves the streams of every tenant.
    "server/src/alerts/feed.rs",
    // Hands them on.
    "server/src/app/mod.rs",
    "server/src/boot.rs",
    // Audits in the background, of every tenant in turn. One that a tenant asks for is confined.
    "server/src/app/audit/",
    // Upkeep, which writes what no tenant may.
    "server/src/app/backfill.rs",
    "server/src/app/rebuild/",
    "server/src/app/retention.rs",
    // Erasures write what no tenant may.
    "server/src/app/erase.rs",
    // Keys that speak for several tenants are those of whoever runs the service.
    "server/src/app/keys.rs",
    // Tenants themselves, and whose a credential is.
    "server/src/app/tenants.rs",
    "server/src/auth/credentials.rs",
    "server/src/tasks/",
    // Offline commands of whoever runs the database.
    "server/src/cli/",
    // The one writer: it owns the tables, and names the tenant in every statement.
    "server/src/ledger/mod.rs",
    // One reading of versions serves the prices of every tenant.
    "server/src/prices/mod.rs",
    // The only place that knows sqlx.
    "server/src/store/",
];

/// Files of the server that could read another tenant's rows, and have no reason to.
pub(super) fn unconfined(sources: &[Source]) -> Vec<String> {
    let found: Vec<&Source> = sources
        .iter()
        .filter(|source| source.path.starts_with("server/src/") && source.ends_with(".rs") && !source.is_test())
        .filter(|source| source.code_lines().any(|(_, line)| UNCONFINED.iter().any(|name| line.contains(name))))
        .collect();
    let covers =
        |exception: &str, path: &str| path == exception || (exception.ends_with('/') && path.starts_with(exception));
    let mut findings = unneeded("tenants are confined", ACROSS_TENANTS, |exception| {
        found.iter().any(|source| covers(exception, &source.path))
    });
    let without_reason =
        found.iter().filter(|source| !ACROSS_TENANTS.iter().any(|exception| covers(exception, &source.path)));
    findings.extend(without_reason.map(|source| {
        format!("{}: uses connections that see every tenant: take a transaction of `store::scoped`", source.path)
    }));
    findings
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tidy::source::source;

    #[test]
    fn what_a_tenant_asks_for_is_confined() {
        let findings = |path: &str, text: &str| -> Vec<String> {
            let findings = unconfined(&[source(path, text)]);
            findings.into_iter().filter(|finding| finding.starts_with("server/")).collect()
        };
        let text = "let connection = self.all_tenants.acquire().await?;";
        assert_eq!(findings("server/src/app/usage.rs", text).len(), 1);
        assert_eq!(findings("server/src/app/usage.rs", "// all_tenants\nself.tenants.snapshot(tenant)").len(), 0);
        assert_eq!(findings("server/src/tasks/expire.rs", text).len(), 0);
        assert_eq!(findings("server/src/app/audit/slices.rs", text).len(), 0);
        assert_eq!(findings("server/src/prices/shelf.rs", "use sqlx::PgPool;").len(), 1);
    }
}
