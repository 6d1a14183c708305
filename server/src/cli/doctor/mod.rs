//! `tollgate doctor`: examines the configuration and the database, and says what to do. It changes nothing; only the private Postgres
//! is started, as `serve` would.

mod catalog;
mod database;
mod disk;
mod finding;
mod ledger;
mod server;

use std::io::{self, Write};

use clap::Args;
use comfy_table::Table;
use jiff::Timestamp;

pub use finding::{Finding, Verdict};

use crate::boot::Database;
use crate::config::Config;
use crate::store::connect;
use crate::store::doctor::{QUESTIONERS, settings};

/// Options of `tollgate doctor`.
#[derive(Debug, Clone, Default, Args)]
pub struct DoctorArguments {
    /// Print JSON: an array with one object per check
    #[arg(long)]
    pub json: bool,
}

/// Runs every check and writes what was found. Says whether none failed.
///
/// # Errors
/// Where the output is closed.
pub async fn run(
    arguments: &DoctorArguments,
    config: &Config,
    output: &mut (dyn Write + Send),
) -> anyhow::Result<bool> {
    let findings = examine(config).await;
    if arguments.json {
        serde_json::to_writer_pretty(&mut *output, &findings)?;
        writeln!(output)?;
    } else {
        write_table(output, &findings)?;
    }
    output.flush()?;
    Ok(findings.iter().all(|finding| finding.verdict < Verdict::Fail))
}

/// What every check found. The order is the reader's: first what is in the configuration, then what is in the database.
pub async fn examine(config: &Config) -> Vec<Finding> {
    let mut findings = vec![
        server::exposure(config),
        server::encryption(config, Timestamp::now()).await,
        server::metrics(config),
        server::webhook(config),
        catalog::catalog(&config.prices, Timestamp::now()),
    ];
    match Database::open(config).await {
        Ok(database) => {
            findings.extend(database.data_dir().map(disk::disk));
            findings.extend(examine_database(config, &database).await);
            if let Err(error) = database.close().await {
                findings.push(Finding::fail("database.stop", error.to_string(), "see the private postgres' log"));
            }
        }
        Err(error) => findings.push(unreachable(&error)),
    }
    findings
}

async fn examine_database(config: &Config, database: &Database) -> Vec<Finding> {
    let timeout = config.database.acquire_timeout;
    let direct = connect::pool(database.direct.clone(), 2, timeout);
    let settings = match settings(&direct).await {
        Ok(settings) => settings,
        Err(error) => return vec![unreachable(&error)],
    };
    let mut findings = database::examine(&settings, config);
    let pooled = connect::pool(database.pooled.clone(), QUESTIONERS, timeout);
    findings.push(ledger::pooler(&pooled).await);
    findings.push(ledger::notices(&direct).await);
    findings.push(ledger::clock(&direct).await);
    let schema = ledger::migrations(&direct).await;
    let is_empty = schema.verdict != Verdict::Ok;
    findings.push(schema);
    if !is_empty {
        // What stands in tables can be asked for only where these are as this version knows them.
        findings.push(ledger::partitions(&direct, Timestamp::now()).await);
        findings.push(ledger::deliveries(&direct).await);
        findings.push(server::keys(config, &direct).await);
    }
    pooled.close().await;
    direct.close().await;
    findings
}

fn unreachable(error: &dyn std::error::Error) -> Finding {
    let mut found = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        found = format!("{found}: {error}");
        cause = error.source();
    }
    Finding::fail("database.reachable", found, "see that the database runs, and that database.url names it")
}

fn write_table(output: &mut (dyn Write + Send), findings: &[Finding]) -> io::Result<()> {
    let mut table = Table::new();
    table.load_style(comfy_table::presets::ASCII_MARKDOWN);
    table.set_header(["", "check", "found"]);
    for Finding { check, verdict, found, .. } in findings {
        table.add_row([verdict.name(), check, found.as_str()]);
    }
    writeln!(output, "{table}")?;
    for Finding { check, verdict, advice, .. } in findings.iter().filter(|finding| !finding.advice.is_empty()) {
        writeln!(output, "{} {check}: {advice}", verdict.name())?;
    }
    Ok(())
}
