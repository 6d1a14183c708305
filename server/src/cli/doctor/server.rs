//! How the server is configured.

use jiff::{SignedDuration, Timestamp};
use sqlx::PgPool;

use super::finding::Finding;
use crate::auth::Permission;
use crate::config::Config;
use crate::store::doctor::{self, WorkingKeys};
use crate::transport::certificate_expiry;

/// From then on somebody should renew it.
const EXPIRES_SOON: SignedDuration = SignedDuration::from_hours(24 * 14);

/// Who can reach the server, and what it asks of them.
pub(super) fn exposure(config: &Config) -> Finding {
    const CHECK: &str = "server.exposure";
    let listen = config.server.listen;
    if listen.ip().is_loopback() {
        return Finding::ok(CHECK, format!("{listen} is reached from this machine alone"));
    }
    let asks = config.auth.required || config.server.tls.demands_certificates();
    match (asks, config.server.tls.is_on()) {
        (true, true) => Finding::ok(CHECK, format!("{listen} is reached by others, encrypted, with credentials")),
        (true, false) => Finding::warn(
            CHECK,
            format!("{listen} is reached by others, and credentials are sent to it in the clear"),
            "set server.tls, or see that what stands in front of it encrypts",
        ),
        (false, _) => Finding::warn(
            CHECK,
            format!("{listen} is reached by others, and nobody has to show a credential"),
            "set auth.required = true and create keys, or put it behind something that asks for one",
        ),
    }
}

/// Whether the certificate can be used, and for how long.
pub(super) async fn encryption(config: &Config, now: Timestamp) -> Finding {
    const CHECK: &str = "server.tls";
    let renew = "renew it: the server takes a replaced file within seconds";
    match certificate_expiry(&config.server.tls).await {
        Ok(None) => Finding::ok(CHECK, "the port is not encrypted"),
        Ok(Some(None)) => Finding::ok(CHECK, "the certificate can be used"),
        Ok(Some(Some(expires))) if expires <= now => {
            Finding::fail(CHECK, format!("the certificate expired at {expires}"), renew)
        }
        Ok(Some(Some(expires))) if expires.duration_since(now) < EXPIRES_SOON => {
            Finding::warn(CHECK, format!("the certificate expires at {expires}"), renew)
        }
        Ok(Some(Some(expires))) => Finding::ok(CHECK, format!("the certificate expires at {expires}")),
        Err(error) => {
            Finding::fail(CHECK, error.to_string(), "mend the files of server.tls: the server does not start")
        }
    }
}

/// Whether anybody can administer a server that asks for keys.
pub(super) async fn keys(config: &Config, pool: &PgPool) -> Finding {
    const CHECK: &str = "server.keys";
    let found = match doctor::working_keys(pool, Permission::Admin.code()).await {
        Ok(found) => found,
        Err(error) => return Finding::unknown(CHECK, &error),
    };
    let WorkingKeys { keys, administrators, expiring } = found;
    let told = format!("{keys} keys work, {administrators} of them administer, {expiring} expire within a week");
    if config.auth.required && administrators == 0 {
        return Finding::warn(CHECK, told, "create one: tollgate keys create --permission admin");
    }
    if expiring > 0 {
        return Finding::warn(CHECK, told, "see which with tollgate keys list, and create others in their place");
    }
    Finding::ok(CHECK, told)
}

/// Whether anybody can see how the server does.
pub(super) fn metrics(config: &Config) -> Finding {
    const CHECK: &str = "server.metrics";
    match config.metrics.listen {
        Some(listen) => Finding::ok(CHECK, format!("served at {listen}")),
        None => Finding::warn(
            CHECK,
            "not served: nobody sees drift, a full queue or a database that is away",
            "set metrics.listen, and load the rules of deploy/prometheus/alerts.yaml",
        ),
    }
}

/// Whether the webhook can be used as it is configured.
pub(super) fn webhook(config: &Config) -> Finding {
    const CHECK: &str = "alerts.webhook";
    match config.alerts.webhook() {
        Ok(Some(_)) if config.alerts.allow_private_addresses => Finding::warn(
            CHECK,
            "configured, and may post to private addresses over plain http",
            "unset alerts.allow_private_addresses unless the receiver lies in your own network",
        ),
        Ok(Some(_)) => Finding::ok(CHECK, "configured, and signed"),
        Ok(None) => Finding::ok(CHECK, "none: alerts are told to who calls AlertService, and in the log"),
        Err(error) => Finding::fail(CHECK, error.to_string(), "correct the key: the server does not start like this"),
    }
}
