//! The commands of the binary, one file each.

pub mod demo;
pub mod doctor;
pub mod erase;
pub mod health;
pub mod keys;
pub mod prices;
pub mod rebuild;
pub mod reservations;
pub mod serve;
pub mod tenants;
pub mod tls;
pub mod verify;

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, Subcommand};

use crate::boot::Database;
use crate::config::Config;
use crate::live::everything_touched;
use crate::store::notify::TouchChannel;

/// Meters what LLM calls use and cost, and gates them against budgets.
#[derive(Debug, Parser)]
#[command(name = "tollgate", version)]
pub struct Arguments {
    /// Configuration file (TOML). Environment variables win over it.
    #[arg(long, global = true, env = "TOLLGATE_CONFIG", value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Show the main job on a real LLM trace: a server, budgets, live totals, summaries and the audit, in one command.
    Demo(demo::DemoArguments),
    /// Run the server.
    Serve(serve::ServeArguments),
    /// Check that events, totals, rollups, budgets and reservations agree; exits with 1 on any drift.
    Verify(verify::VerifyArguments),
    /// Derive totals, rollups and budget counters from the events again; writers wait meanwhile.
    Rebuild(rebuild::RebuildArguments),
    /// Look at prices, set them, compare catalogs, and say what a call would cost.
    Prices(Box<prices::PricesArguments>),
    /// Look at reservations, and report those that ran out without a word of what became of their calls.
    Reservations(reservations::ReservationsArguments),
    /// Erase a person from a server: a pseudonym stands where the name stood, and every sum stays.
    Erase(erase::EraseArguments),
    /// Examine the configuration and the database, and say what to do; exits with 1 if anything fails.
    Doctor(doctor::DoctorArguments),
    /// Create, list, rotate and revoke API keys, in the database or on a server.
    Keys(Box<keys::KeysArguments>),
    /// Create and list tenants.
    Tenants(tenants::TenantsArguments),
    /// Ask a running server for its health; exits with 1 unless it serves.
    Health(health::HealthArguments),
}

/// Runs the command; an exit code other than 0 means that what was asked for does not hold.
///
/// # Errors
/// What kept it from being done.
pub async fn run(arguments: Arguments) -> anyhow::Result<ExitCode> {
    let mut output = std::io::stdout();
    // Not for commands that only ask: a server's configuration does not concern them.
    let config = || Config::load(arguments.config.as_deref());
    match &arguments.command {
        Command::Demo(arguments) => demo::run(arguments, &config()?, &mut output).await,
        Command::Serve(arguments) => {
            serve::run(arguments, &config()?, &mut output).await?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Verify(arguments) => {
            let config = config()?;
            let database = Database::open(&config).await?;
            database.prepare(&config).await?;
            let holds = verify::run(&database.all_tenants(&config.database), arguments, &mut output).await;
            database.close().await?;
            Ok(if holds? { ExitCode::SUCCESS } else { ExitCode::FAILURE })
        }
        Command::Rebuild(arguments) => rebuilt(arguments, config()?, &mut output).await,
        Command::Prices(arguments) => prices::run(arguments, &mut output).await,
        Command::Reservations(arguments) => reservations::run(arguments, &mut output).await,
        Command::Erase(arguments) => {
            erase::run(arguments, &mut output).await?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Doctor(arguments) => {
            let sound = doctor::run(arguments, &config()?, &mut output).await?;
            Ok(if sound { ExitCode::SUCCESS } else { ExitCode::FAILURE })
        }
        Command::Keys(arguments) => {
            keys::run(arguments, || Ok(config()?), &mut output).await?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Tenants(arguments) => {
            tenants::run(arguments, &config()?, &mut output).await?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Health(arguments) => {
            let serving = health::run(arguments, &config()?.server).await?;
            Ok(if serving { ExitCode::SUCCESS } else { ExitCode::FAILURE })
        }
    }
}

/// Rebuilds, and tells running servers to read all that is watched again.
async fn rebuilt(
    arguments: &rebuild::RebuildArguments,
    mut config: Config,
    output: &mut (dyn Write + Send),
) -> anyhow::Result<ExitCode> {
    // It reads everything, in statements that take as long as they take.
    config.database.statement_timeout = Duration::ZERO;
    let database = Database::open(&config).await?;
    database.prepare(&config).await?;
    let differing = rebuild::run(&database.all_tenants(&config.database), arguments, output).await;
    // Also where it failed half way: what was rebuilt before stays so.
    let told = match arguments.dry_run {
        true => Ok(()),
        false => TouchChannel::new(database.direct.clone()).send(&everything_touched()).await,
    };
    database.close().await?;
    let differing = differing?;
    told?;
    Ok(if arguments.dry_run && differing > 0 { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}
