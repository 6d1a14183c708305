//! `tollgate tenants`: tenants of the database of the configuration.

use std::io::Write;

use anyhow::Context as _;
use clap::{Args, Subcommand};
use serde_json::{Value, json};
use sqlx::PgPool;

use super::prices::table::table;
use crate::app::tenants::{create_tenant, list_tenants};
use crate::boot::Database;
use crate::config::Config;
use crate::store::credentials::StoredTenant;

/// Creates and lists tenants.
#[derive(Debug, Args)]
pub struct TenantsArguments {
    /// What to do.
    #[command(subcommand)]
    pub command: TenantsCommand,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum TenantsCommand {
    /// Create a tenant
    Create {
        /// Its name: 1 to 64 characters of a-z, 0-9, `-`, `_` and `.`
        name: String,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// List tenants, oldest first
    List {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
}

/// Runs the command.
///
/// # Errors
/// What kept it from being done.
pub async fn run(arguments: &TenantsArguments, config: &Config, output: &mut (dyn Write + Send)) -> anyhow::Result<()> {
    let database = Database::open(config).await?;
    let done = async {
        database.prepare(config).await?;
        let pool = database.all_tenants(&config.database);
        let done = execute(&arguments.command, &pool, output).await;
        pool.close().await;
        done
    };
    let done = done.await;
    database.close().await?;
    done
}

async fn execute(command: &TenantsCommand, pool: &PgPool, output: &mut (dyn Write + Send)) -> anyhow::Result<()> {
    match command {
        TenantsCommand::Create { name, json } => {
            let created = create_tenant(pool, name).await?;
            let created = created.with_context(|| format!("tenant `{name}` exists already: choose another name"))?;
            match json {
                true => write_json(output, &described(&created)),
                false => Ok(writeln!(output, "tenant `{name}` has the number {}", created.tenant.id.0)?),
            }
        }
        TenantsCommand::List { json } => {
            let tenants = list_tenants(pool).await?;
            if *json {
                return write_json(output, &Value::from(tenants.iter().map(described).collect::<Vec<_>>()));
            }
            let mut table = table(&["number", "name", "created"]);
            for StoredTenant { tenant, create_time } in &tenants {
                table.add_row([tenant.id.0.to_string(), tenant.name.to_string(), create_time.to_string()]);
            }
            Ok(writeln!(output, "{table}")?)
        }
    }
}

fn described(tenant: &StoredTenant) -> Value {
    let StoredTenant { tenant, create_time } = tenant;
    json!({ "tenantId": tenant.id.0, "name": &*tenant.name, "createTime": create_time.to_string() })
}

fn write_json(output: &mut (dyn Write + Send), shown: &Value) -> anyhow::Result<()> {
    serde_json::to_writer_pretty(&mut *output, shown)?;
    writeln!(output)?;
    Ok(())
}
