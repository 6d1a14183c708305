//! What a subscriber asks for.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use tollgate_domain::dimensions::check_text;
use tollgate_domain::violation::{Violation, Violations};

use crate::app::totals::Scope;
use crate::live::WatchedScope;

/// Longest name of a scope, in bytes.
const KEY_BYTES_LIMIT: usize = 64;
/// Most scopes of one request.
const SCOPES_LIMIT: usize = 64;
/// Most parts of a breakdown.
const BREAKDOWN_LIMIT: usize = 100;
/// Least time between two messages.
const MIN_INTERVAL_FLOOR: Duration = Duration::from_millis(50);
/// Longest `min_interval`: the longest heartbeat, which would come first.
const MIN_INTERVAL_LIMIT: Duration = HEARTBEAT_LIMIT;
/// The time between two messages where nothing is said.
const MIN_INTERVAL_DEFAULT: Duration = Duration::from_millis(250);
/// Shortest time without a message.
const HEARTBEAT_FLOOR: Duration = Duration::from_secs(5);
/// Longest time without a message.
const HEARTBEAT_LIMIT: Duration = Duration::from_secs(60);
/// The time without a message where nothing is said.
const HEARTBEAT_DEFAULT: Duration = Duration::from_secs(15);
/// Longest wait of a long poll.
const WAIT_LIMIT: Duration = Duration::from_secs(30);

/// A scope under the caller's name for it.
#[derive(Debug, Clone)]
pub struct NamedScope {
    /// The caller's name, 1 to 64 bytes, unique within the request.
    pub key: Arc<str>,
    /// What is watched.
    pub scope: WatchedScope,
}

/// Asks for a stream.
#[derive(Debug, Clone)]
pub struct StreamRequest {
    /// 1 to 64 scopes.
    pub scopes: Vec<NamedScope>,
    /// Least time between two messages, 50 ms to 60 s; absent = 250 ms.
    pub min_interval: Option<Duration>,
    /// Longest time without a message, 5 to 60 s; absent = 15 s.
    pub heartbeat: Option<Duration>,
}

/// Asks for totals once.
#[derive(Debug, Clone)]
pub struct TotalsRequest {
    /// 1 to 64 scopes.
    pub scopes: Vec<NamedScope>,
    /// The versions that the caller has, by the scope's name.
    pub after_versions: HashMap<String, i64>,
    /// Longest wait for a change, at most 30 s; zero = none.
    pub wait: Duration,
}

impl StreamRequest {
    /// Least time between two messages.
    pub(super) fn min_interval(&self) -> Duration {
        self.min_interval.unwrap_or(MIN_INTERVAL_DEFAULT)
    }

    /// Longest time without a message.
    pub(super) fn heartbeat(&self) -> Duration {
        self.heartbeat.unwrap_or(HEARTBEAT_DEFAULT)
    }

    pub(super) fn validate(&self) -> Result<(), Vec<Violation>> {
        let mut violations = Violations::new();
        check_scopes(&mut violations, &self.scopes);
        violations.add_if(
            !(MIN_INTERVAL_FLOOR..=MIN_INTERVAL_LIMIT).contains(&self.min_interval()),
            "min_interval",
            "must be 50 ms to 60 s, or unset for 250 ms",
        );
        violations.add_if(
            !(HEARTBEAT_FLOOR..=HEARTBEAT_LIMIT).contains(&self.heartbeat()),
            "heartbeat",
            "must be 5 s to 60 s, or unset for 15 s",
        );
        violations.into_result(())
    }
}

impl TotalsRequest {
    pub(super) fn validate(&self) -> Result<(), Vec<Violation>> {
        let mut violations = Violations::new();
        check_scopes(&mut violations, &self.scopes);
        violations.add_if(
            self.after_versions.len() > SCOPES_LIMIT,
            "after_versions",
            format!("must have at most {SCOPES_LIMIT} entries"),
        );
        violations.add_if(self.wait > WAIT_LIMIT, "wait", "must be at most 30 s");
        violations.into_result(())
    }
}

fn check_scopes(violations: &mut Violations, scopes: &[NamedScope]) {
    if scopes.is_empty() || scopes.len() > SCOPES_LIMIT {
        violations.add("scopes", format!("must have 1 to {SCOPES_LIMIT} entries"));
        return;
    }
    let mut keys = HashSet::new();
    for (position, NamedScope { key, scope }) in scopes.iter().enumerate() {
        let path = format!("scopes[{position}]");
        violations.add_if(key.is_empty(), format!("{path}.key"), "must be set: the totals are told under it");
        check_text(violations, format!("{path}.key"), key, KEY_BYTES_LIMIT);
        violations.add_if(!keys.insert(key), format!("{path}.key"), "repeats the key of another scope");
        let session = matches!(scope.query.scope, Scope::Session(_) | Scope::RootSession(_));
        violations.add_if(
            scope.query.window.is_none() && !session,
            format!("{path}.window"),
            "must be set: only a session may be watched over its lifetime",
        );
        violations.add_if(
            scope.query.breakdown_limit > BREAKDOWN_LIMIT,
            format!("{path}.breakdown_limit"),
            format!("must be at most {BREAKDOWN_LIMIT}"),
        );
    }
}
