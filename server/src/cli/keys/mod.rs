//! `tollgate keys`: API keys, in the database of the configuration or on a running server.

mod arguments;
mod output;
mod place;

use std::io::Write;
use std::time::Duration;

use anyhow::Context as _;
use clap::{Args, Subcommand};
use jiff::{SignedDuration, Timestamp};
use tollgate_domain::dimensions::Dimensions;
use tollgate_proto::v1;
use uuid::Uuid;

use self::arguments::{DurationArgument, PermissionArgument, PinArgument, PublicKeyArgument};
use self::output::{write_issued, write_key, write_list};
use self::place::{Place, PlaceArguments};
use crate::config::Config;
use crate::grpc::convert::dimensions::to_dimensions;
use crate::grpc::convert::values::{to_duration, to_timestamp};

/// Creates, lists, rotates and revokes API keys.
#[derive(Debug, Args)]
pub struct KeysArguments {
    /// What to do.
    #[command(subcommand)]
    pub command: KeysCommand,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum KeysCommand {
    /// Create a key; its secret is printed this once, to standard output alone
    Create(CreateArguments),
    /// List keys, newest first
    List(ListArguments),
    /// Give a key a new secret, printed this once
    Rotate(RotateArguments),
    /// Revoke a key with all its secrets
    Revoke(RevokeArguments),
}

/// Options of `tollgate keys create`.
#[derive(Debug, Clone, Args)]
pub struct CreateArguments {
    /// A name for people
    #[arg(long, value_name = "TEXT", default_value = "")]
    name: String,
    /// What the key may do: record, check, read, budgets, prices or admin; may be given several times
    #[arg(long = "permission", value_name = "PERMISSION", required = true)]
    permissions: Vec<PermissionArgument>,
    /// A value that the key puts into every call, such as user_id=ann or label:app=web; may be given several times
    #[arg(long = "pin", value_name = "KEY=VALUE")]
    pins: Vec<PinArgument>,
    /// How long the key works, such as 90d or 12h; by default until it is revoked
    #[arg(long, value_name = "DURATION")]
    expires_in: Option<DurationArgument>,
    /// Another tenant for which the key may speak, by the header x-tollgate-tenant; may be given several times, in the database
    /// alone
    #[arg(long = "grant-tenant", value_name = "NAME")]
    grants: Vec<String>,
    /// SHA-256 of the public key (SubjectPublicKeyInfo in DER) of a client certificate that callers show instead of a secret, in the
    /// database alone
    #[arg(long, value_name = "HEX")]
    certificate_sha256: Option<PublicKeyArgument>,
    #[command(flatten)]
    place: PlaceArguments,
}

/// Options of `tollgate keys list`.
#[derive(Debug, Clone, Args)]
pub struct ListArguments {
    /// Show revoked keys, too
    #[arg(long)]
    revoked: bool,
    #[command(flatten)]
    place: PlaceArguments,
}

/// Options of `tollgate keys rotate`.
#[derive(Debug, Clone, Args)]
pub struct RotateArguments {
    /// The key
    #[arg(value_name = "KEY_ID")]
    id: Uuid,
    /// How long the old secret still works, at most 7d; by default it stops at once
    #[arg(long, value_name = "DURATION")]
    grace: Option<DurationArgument>,
    #[command(flatten)]
    place: PlaceArguments,
}

/// Options of `tollgate keys revoke`.
#[derive(Debug, Clone, Args)]
pub struct RevokeArguments {
    /// The key
    #[arg(value_name = "KEY_ID")]
    id: Uuid,
    #[command(flatten)]
    place: PlaceArguments,
}

impl KeysCommand {
    fn place(&self) -> &PlaceArguments {
        match self {
            Self::Create(arguments) => &arguments.place,
            Self::List(arguments) => &arguments.place,
            Self::Rotate(arguments) => &arguments.place,
            Self::Revoke(arguments) => &arguments.place,
        }
    }
}

/// Runs the command. What is no secret and no JSON goes to standard error.
///
/// # Errors
/// What kept it from being done.
pub async fn run(
    arguments: &KeysArguments,
    config: impl FnOnce() -> anyhow::Result<Config>,
    output: &mut (dyn Write + Send),
) -> anyhow::Result<()> {
    let command = &arguments.command;
    let mut place = command.place().open(config).await?;
    let done = execute(command, &mut place, output).await;
    place.close().await?;
    done
}

async fn execute(command: &KeysCommand, place: &mut Place, output: &mut (dyn Write + Send)) -> anyhow::Result<()> {
    let as_json = command.place().json;
    match command {
        KeysCommand::Create(arguments) => {
            let certificate = arguments.certificate_sha256.map(|public_key| public_key.0);
            let (key, secret) = place.create(request(arguments)?, &arguments.grants, certificate).await?;
            write_issued(output, &key, &secret, as_json)
        }
        KeysCommand::List(arguments) => write_list(output, &place.list(arguments.revoked).await?, as_json),
        KeysCommand::Rotate(arguments) => {
            let (key, secret) = place.rotate(arguments.id, grace(arguments)?).await?;
            write_issued(output, &key, &secret, as_json)
        }
        KeysCommand::Revoke(arguments) => write_key(output, &place.revoke(arguments.id).await?, as_json),
    }
}

fn request(arguments: &CreateArguments) -> anyhow::Result<v1::CreateApiKeyRequest> {
    let mut pinned = Dimensions::default();
    for PinArgument(pin) in &arguments.pins {
        pinned.stamp(pin);
    }
    let end = |span: &DurationArgument| {
        let end = SignedDuration::try_from(span.0).ok().and_then(|span| Timestamp::now().checked_add(span).ok());
        end.map(to_timestamp).context("--expires-in is too long")
    };
    let api_key = v1::ApiKey {
        display_name: arguments.name.clone(),
        permissions: arguments.permissions.iter().map(|permission| i32::from(permission.0.code())).collect(),
        pinned: (!arguments.pins.is_empty()).then(|| to_dimensions(&pinned)),
        expire_time: arguments.expires_in.as_ref().map(end).transpose()?,
        ..Default::default()
    };
    Ok(v1::CreateApiKeyRequest { api_key: Some(api_key), request_id: Uuid::now_v7().to_string() })
}

fn grace(arguments: &RotateArguments) -> anyhow::Result<Option<prost_types::Duration>> {
    let whole = |span: Duration| SignedDuration::try_from(span).map(to_duration).context("--grace is too long");
    arguments.grace.map(|grace| whole(grace.0)).transpose()
}
