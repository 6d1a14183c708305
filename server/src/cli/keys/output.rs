//! Keys for people and programs.

use std::io::Write;

use serde_json::{Value, json};
use tollgate_domain::dimensions::{Dimension, Dimensions};
use tollgate_domain::violation::Violations;
use tollgate_proto::v1;

use crate::auth::Permission;
use crate::cli::prices::table::{moment, table};
use crate::grpc::convert::dimensions::dimensions;

/// A key with its new secret. For people, the secret alone goes to the output, and what it belongs to, to standard error.
pub(super) fn write_issued(
    output: &mut (dyn Write + Send),
    key: &v1::ApiKey,
    secret: &str,
    as_json: bool,
) -> anyhow::Result<()> {
    if as_json {
        let mut shown = described(key);
        if let Some(fields) = shown.as_object_mut() {
            fields.insert("secret".to_owned(), Value::from(secret));
        }
        return write_json(output, &shown);
    }
    let id = &key.api_key_id;
    if secret.is_empty() {
        writeln!(output, "API key {id}; its callers show their client certificate, and send no secret")?;
        return Ok(());
    }
    writeln!(std::io::stderr(), "API key {id}; its secret is shown this once, keep it safe:")?;
    writeln!(output, "{secret}")?;
    Ok(())
}

/// A key.
pub(super) fn write_key(output: &mut (dyn Write + Send), key: &v1::ApiKey, as_json: bool) -> anyhow::Result<()> {
    if as_json {
        return write_json(output, &described(key));
    }
    let revoked = key.revoke_time.is_some();
    let state = if revoked { "is revoked; servers refuse it within 5 seconds" } else { "works" };
    writeln!(output, "API key {} {state}", key.api_key_id)?;
    Ok(())
}

/// Keys.
pub(super) fn write_list(output: &mut (dyn Write + Send), keys: &[v1::ApiKey], as_json: bool) -> anyhow::Result<()> {
    if as_json {
        return write_json(output, &Value::from(keys.iter().map(described).collect::<Vec<_>>()));
    }
    let mut table = table(&["key", "name", "permissions", "pinned", "created", "expires", "last used", "revoked"]);
    for key in keys {
        table.add_row([
            key.api_key_id.clone(),
            key.display_name.clone(),
            permissions(key).join(", "),
            pins(key).iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join(", "),
            moment(key.create_time),
            moment(key.expire_time),
            moment(key.last_use_time),
            moment(key.revoke_time),
        ]);
    }
    writeln!(output, "{table}")?;
    Ok(())
}

fn described(key: &v1::ApiKey) -> Value {
    let pinned: serde_json::Map<String, Value> =
        pins(key).into_iter().map(|(name, value)| (name, Value::from(value))).collect();
    json!({
        "apiKeyId": key.api_key_id,
        "displayName": key.display_name,
        "permissions": permissions(key),
        "pinned": pinned,
        "createTime": moment(key.create_time),
        "expireTime": moment(key.expire_time),
        "lastUseTime": moment(key.last_use_time),
        "revokeTime": moment(key.revoke_time),
    })
}

fn permissions(key: &v1::ApiKey) -> Vec<&'static str> {
    let known = key.permissions.iter().filter_map(|code| Permission::from_code(i16::try_from(*code).ok()?));
    known.map(Permission::name).collect()
}

fn pins(key: &v1::ApiKey) -> Vec<(String, String)> {
    let Dimensions { values, labels } = dimensions(&mut Violations::new(), "pinned", key.pinned.clone());
    let values = values.into_iter().map(|(dimension, value): (Dimension, String)| (dimension.name().to_owned(), value));
    values.chain(labels.into_iter().map(|(label, value)| (format!("label:{label}"), value))).collect()
}

fn write_json(output: &mut (dyn Write + Send), shown: &Value) -> anyhow::Result<()> {
    serde_json::to_writer_pretty(&mut *output, shown)?;
    writeln!(output)?;
    Ok(())
}
