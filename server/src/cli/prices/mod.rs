//! `tollgate prices`: look at prices, set them, compare catalogs, and ask what a call would cost.

pub(super) mod arguments;
mod diff;
mod end;
mod estimate;
mod import;
mod json;
mod list;
mod set;
mod show;
pub(super) mod source;
pub(super) mod table;

use std::io::Write;
use std::process::ExitCode;

use clap::{Args, Subcommand};

/// Looks at prices, sets them, compares catalogs, and says what a call would cost.
#[derive(Debug, Args)]
pub struct PricesArguments {
    /// What to do.
    #[command(subcommand)]
    pub command: PricesCommand,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum PricesCommand {
    /// List prices, those of the tenant before those of the catalog
    List(list::ListArguments),
    /// Show every price of a model: its lines, thresholds, tiers, hours, and what a correction rests on
    Show(show::ShowArguments),
    /// Set a price of the tenant over the catalog
    Set(set::SetArguments),
    /// End a price of the tenant, so that what it stood over applies again
    End(end::EndArguments),
    /// Set the prices of a file, one JSON object a line; exits with 1 if any line failed
    Import(import::ImportArguments),
    /// Compare two catalogs: what was added, removed and changed
    Diff(diff::DiffArguments),
    /// Say what a call would cost
    Estimate(estimate::EstimateArguments),
}

/// Runs the command; an exit code other than 0 means that what was asked for was not found or failed in part.
///
/// # Errors
/// What kept it from being done.
pub async fn run(arguments: &PricesArguments, output: &mut impl Write) -> anyhow::Result<ExitCode> {
    match &arguments.command {
        PricesCommand::List(arguments) => list::run(arguments, output).await,
        PricesCommand::Show(arguments) => show::run(arguments, output).await,
        PricesCommand::Set(arguments) => set::run(arguments, output).await,
        PricesCommand::End(arguments) => end::run(arguments, output).await,
        PricesCommand::Import(arguments) => import::run(arguments, output).await,
        PricesCommand::Diff(arguments) => diff::run(arguments, output),
        PricesCommand::Estimate(arguments) => estimate::run(arguments, output).await,
    }
}
