//! How the server is configured.

use super::finding::Finding;
use crate::config::Config;

/// Who can reach the server, and whether they have to say who they are.
pub(super) fn exposure(config: &Config) -> Finding {
    const CHECK: &str = "server.exposure";
    let listen = config.server.listen;
    if listen.ip().is_loopback() {
        return Finding::ok(CHECK, format!("{listen} is reached from this machine alone"));
    }
    Finding::warn(
        CHECK,
        format!("{listen} is reached by others, and nobody has to show a credential"),
        "put it behind something that asks for one, or listen on a loopback address",
    )
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
