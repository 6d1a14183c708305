//! Prices: are they right, and how fast are they found.

mod classes;
mod lookups;
mod oracle;
mod responses;
mod tally;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::Args;
use tollgate_domain::price::Catalog;

use self::tally::Tally;

/// What to do with prices. Without a file, look-ups are measured.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Prices each line of this file (JSON Lines: provider, model, timestamp, context, usage, expected) and compares.
    #[arg(long, value_name = "FILE")]
    oracle: Option<PathBuf>,
    /// Reads each provider answer of this file (JSON Lines: provider, api, body or events, expected_usage) and compares.
    #[arg(long, value_name = "FILE")]
    responses: Option<PathBuf>,
    /// Prices by this catalog instead of the built-in one.
    #[arg(long, value_name = "FILE")]
    catalog: Option<PathBuf>,
    /// How long look-ups are measured, in seconds, per round.
    #[arg(long, default_value_t = 2)]
    seconds: u64,
    /// Prints JSON lines for programs.
    #[arg(long)]
    json: bool,
}

/// Runs it. The exit code says whether everything that is not contested agreed.
pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let text = match &arguments.catalog {
        Some(path) => std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?,
        None => Catalog::builtin_text().to_owned(),
    };
    if arguments.oracle.is_none() && arguments.responses.is_none() {
        lookups::run(&text, arguments.seconds, arguments.json)?;
        return Ok(ExitCode::SUCCESS);
    }
    let catalog = Catalog::parse(&text)?;
    let mut good = true;
    for (path, compare) in [
        (&arguments.oracle, oracle::compare as fn(&Catalog, &str) -> anyhow::Result<Tally>),
        (&arguments.responses, responses::compare),
    ] {
        let Some(path) = path else { continue };
        let lines = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
        let tally = compare(&catalog, &lines)?;
        tally.print(arguments.json)?;
        good &= tally.is_good();
    }
    Ok(if good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
