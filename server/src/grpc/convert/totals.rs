//! Totals, watched scopes and their readings.

use tollgate_domain::measures::Measures;
use tollgate_domain::summary::GroupValue;
use tollgate_domain::tokens::TokenClass;
use tollgate_domain::violation::Violations;
use tollgate_proto::v1;

use super::budget::window;
use super::dimensions::key;
use super::tokens::to_part;
use super::values::to_timestamp;
use crate::app::totals::{Scope, ScopeQuery};
use crate::live::WatchedScope;

const KEY_BYTES_LIMIT: usize = 64;
const BREAKDOWN_LIMIT: usize = 100;
const DEFAULT_BREAKDOWN: usize = 20;
const VALUE_BYTES_LIMIT: usize = 256;

/// Sums for the wire. A part that was never reported is left out.
pub fn to_totals(measures: &Measures) -> v1::UsageTotals {
    let parts = TokenClass::ALL
        .into_iter()
        .zip(measures.class_tokens)
        .filter_map(|(class, tokens)| Some(to_part(class, tokens?, None)))
        .collect();
    v1::UsageTotals {
        calls: measures.calls,
        attempts: measures.attempts,
        errors: measures.errors,
        unpriced: measures.unpriced,
        partial: measures.partial,
        free: measures.free,
        estimated: measures.estimated,
        tokens: Some(v1::TokenTotals {
            total_input_tokens: measures.input_tokens,
            total_output_tokens: measures.output_tokens,
            parts,
        }),
        usd: measures.usd.to_string(),
        memo_usd: measures.memo_usd.to_string(),
        first_time: measures.first_time.map(to_timestamp),
        last_time: measures.last_time.map(to_timestamp),
    }
}

/// A group for the wire.
pub fn to_group(group: &GroupValue) -> v1::GroupValue {
    let kind = match group {
        GroupValue::Value(value) => v1::group_value::Kind::Value(value.clone()),
        GroupValue::Absent => v1::group_value::Kind::Absent(true),
        GroupValue::Other => v1::group_value::Kind::Other(true),
    };
    v1::GroupValue { kind: Some(kind) }
}

/// Scopes to watch, with the caller's keys for them.
pub fn scopes(found: &mut Violations, messages: Vec<v1::WatchScope>, limit: usize) -> Vec<(String, WatchedScope)> {
    found.add_if(messages.is_empty(), "scopes", "must have an entry");
    found.add_if(messages.len() > limit, "scopes", format!("must have at most {limit} entries"));
    let mut scopes: Vec<(String, WatchedScope)> = Vec::new();
    for (position, message) in messages.into_iter().take(limit).enumerate() {
        let path = format!("scopes[{position}]");
        if let Some(scope) = scope(found, &path, message) {
            let repeated = scopes.iter().any(|(earlier, _)| *earlier == scope.0);
            found.add_if(repeated, format!("{path}.key"), "repeats a key");
            scopes.push(scope);
        }
    }
    scopes
}

fn scope(found: &mut Violations, path: &str, message: v1::WatchScope) -> Option<(String, WatchedScope)> {
    let v1::WatchScope { key: scope_key, scope, window: window_message, breakdown, breakdown_limit, budgets } = message;
    found.add_if(scope_key.is_empty(), format!("{path}.key"), "must be set");
    tollgate_domain::dimensions::check_text(found, format!("{path}.key"), &scope_key, KEY_BYTES_LIMIT);
    let mut text = |name: &str, value: String| {
        found.add_if(value.is_empty(), format!("{path}.{name}"), "must be set");
        tollgate_domain::dimensions::check_text(found, format!("{path}.{name}"), &value, VALUE_BYTES_LIMIT);
        value
    };
    let scope = match scope {
        None => {
            found.add(format!("{path}.session_id"), "must be set, or another scope");
            return None;
        }
        Some(v1::watch_scope::Scope::SessionId(id)) => Scope::Session(text("session_id", id)),
        Some(v1::watch_scope::Scope::RootSessionId(id)) => Scope::RootSession(text("root_session_id", id)),
        Some(v1::watch_scope::Scope::UserId(id)) => Scope::User(text("user_id", id)),
        Some(v1::watch_scope::Scope::AgentId(id)) => Scope::Agent(text("agent_id", id)),
        Some(v1::watch_scope::Scope::ProjectId(id)) => Scope::Project(text("project_id", id)),
        Some(v1::watch_scope::Scope::Tenant(wanted)) => {
            found.add_if(!wanted, format!("{path}.tenant"), "must be true where it is set");
            Scope::Tenant
        }
    };
    let sessions = matches!(scope, Scope::Session(_) | Scope::RootSession(_));
    let window = match window_message {
        None => {
            found.add_if(!sessions, format!("{path}.window"), "must be set: only sessions have lifetime totals");
            None
        }
        some => window(found, &format!("{path}.window"), some),
    };
    let breakdown = breakdown.and_then(|message| key(found, &format!("{path}.breakdown"), Some(message)));
    let breakdown_limit = usize::try_from(breakdown_limit).ok().filter(|limit| *limit <= BREAKDOWN_LIMIT);
    found.add_if(
        breakdown_limit.is_none(),
        format!("{path}.breakdown_limit"),
        format!("must be between 0 and {BREAKDOWN_LIMIT}"),
    );
    let breakdown_limit = breakdown_limit.filter(|limit| *limit > 0).unwrap_or(DEFAULT_BREAKDOWN);
    Some((scope_key, WatchedScope { query: ScopeQuery { scope, window, breakdown, breakdown_limit }, budgets }))
}
