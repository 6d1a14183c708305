//! Measures Tollgate against what is true and against the limits of the machine, in the same run.

mod output;
mod prices;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Measures Tollgate.
#[derive(Debug, Parser)]
#[command(name = "tollgate-bench", version)]
struct Arguments {
    #[command(subcommand)]
    scenario: Scenario,
}

#[derive(Debug, Subcommand)]
enum Scenario {
    /// Prices the lines of an oracle or of a file of responses, and measures look-ups.
    Prices(prices::Arguments),
}

fn main() -> anyhow::Result<ExitCode> {
    match Arguments::parse().scenario {
        Scenario::Prices(arguments) => prices::run(&arguments),
    }
}
