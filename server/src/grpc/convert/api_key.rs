//! API keys and view tokens.

use std::time::Duration;

use jiff::Timestamp;
use prost::Message as _;
use tollgate_domain::violation::Violations;
use tollgate_proto::v1;
use uuid::Uuid;

use super::dimensions::{dimensions, to_dimensions};
use super::totals::scopes;
use super::values::{duration, text, timestamp, to_timestamp, uuid};
use crate::app::AppError;
use crate::app::keys::{LONGEST_GRACE, NewKey};
use crate::auth::{Caller, Permission, Permissions, Refusal};
use crate::live::WatchedScope;
use crate::store::credentials::StoredKey;

const NAME_BYTES_LIMIT: usize = 256;
/// Most scopes of one view token.
const SCOPES_LIMIT: usize = 64;
const DEFAULT_TTL: Duration = Duration::from_secs(3_600);
const SHORTEST_TTL: Duration = Duration::from_secs(1);
const LONGEST_TTL: Duration = Duration::from_secs(86_400);

/// What a view token is to be.
#[derive(Debug, Clone)]
pub struct ViewTokenRequest {
    /// Encoded scopes.
    pub scopes: Vec<Vec<u8>>,
    /// How long it works.
    pub ttl: Duration,
}

/// A validated key, and the request that creates it. `now` tells whether it has expired already.
///
/// # Errors
/// [`AppError::Invalid`] with every violation.
pub fn new_key(message: v1::CreateApiKeyRequest, now: Timestamp) -> Result<(NewKey, Option<Uuid>), AppError> {
    let v1::CreateApiKeyRequest { api_key, request_id } = message;
    let Some(message) = api_key else { return Err(AppError::invalid("api_key", "must be set")) };
    // The others are output only.
    let v1::ApiKey { display_name, permissions, pinned, expire_time, .. } = message;
    let mut found = Violations::new();
    let request_id = match request_id.as_str() {
        "" => None,
        id => uuid(&mut found, "request_id", id),
    };
    let expire_time = timestamp(&mut found, "api_key.expire_time", expire_time);
    found.add_if(expire_time.is_some_and(|end| end <= now), "api_key.expire_time", "must lie in the future");
    let key = NewKey {
        display_name: text(&mut found, "api_key.display_name", display_name, NAME_BYTES_LIMIT).unwrap_or_default(),
        permissions: permissions_of(&mut found, &permissions),
        pinned: dimensions(&mut found, "api_key.pinned", pinned),
        granted: Vec::new(),
        expire_time,
    };
    Ok(found.into_result((key, request_id))?)
}

fn permissions_of(found: &mut Violations, codes: &[i32]) -> Permissions {
    let known: Vec<Option<Permission>> =
        codes.iter().map(|code| Permission::from_code(i16::try_from(*code).ok()?)).collect();
    found.add_if(known.is_empty(), "api_key.permissions", "must have an entry");
    found.add_if(known.contains(&None), "api_key.permissions", "must hold permissions that this version knows");
    known.into_iter().flatten().collect()
}

/// For the wire.
pub fn to_api_key(key: &StoredKey) -> v1::ApiKey {
    let StoredKey {
        api_key_id,
        display_name,
        permissions,
        pinned,
        granted: _,
        create_time,
        expire_time,
        revoke_time,
        last_use_time,
    } = key;
    let pins = !(pinned.values.is_empty() && pinned.labels.is_empty());
    v1::ApiKey {
        api_key_id: api_key_id.to_string(),
        display_name: display_name.clone(),
        permissions: permissions.iter().map(|code| i32::from(*code)).collect(),
        pinned: pins.then(|| to_dimensions(pinned)),
        expire_time: expire_time.map(to_timestamp),
        create_time: Some(to_timestamp(*create_time)),
        revoke_time: revoke_time.map(to_timestamp),
        last_use_time: last_use_time.map(to_timestamp),
    }
}

/// How long old secrets still work.
pub fn grace(found: &mut Violations, message: Option<prost_types::Duration>) -> Duration {
    duration(found, "grace", message, LONGEST_GRACE).unwrap_or_default()
}

/// A validated view token.
///
/// # Errors
/// [`AppError::Invalid`] with every violation.
pub fn view_token(message: v1::CreateViewTokenRequest) -> Result<ViewTokenRequest, AppError> {
    let v1::CreateViewTokenRequest { scopes: messages, ttl } = message;
    let mut found = Violations::new();
    let encoded = messages.iter().map(v1::WatchScope::encode_to_vec).collect();
    scopes(&mut found, messages, SCOPES_LIMIT);
    let ttl = duration(&mut found, "ttl", ttl, LONGEST_TTL).unwrap_or(DEFAULT_TTL);
    found.add_if(ttl < SHORTEST_TTL, "ttl", "must be at least 1 s");
    Ok(found.into_result(ViewTokenRequest { scopes: encoded, ttl })?)
}

/// Whether the caller may watch these scopes. A view token is for its own scopes, whatever they are called, and for no part of
/// them that it does not name.
///
/// # Errors
/// [`Refusal::OtherScope`].
pub fn may_watch(caller: &Caller, wanted: &[(String, WatchedScope)]) -> Result<(), Refusal> {
    let Some(encoded) = &caller.view_scopes else { return Ok(()) };
    let messages = encoded.iter().filter_map(|bytes| v1::WatchScope::decode(bytes.as_slice()).ok()).collect();
    let granted = scopes(&mut Violations::new(), messages, SCOPES_LIMIT);
    let is_granted = |wanted: &WatchedScope| granted.iter().any(|(_, scope)| scope == wanted);
    match wanted.iter().position(|(_, scope)| !is_granted(scope)) {
        None => Ok(()),
        Some(position) => Err(Refusal::OtherScope(position)),
    }
}
