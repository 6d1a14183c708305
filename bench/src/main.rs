//! Measures Tollgate against what is true and against the limits of the machine, in the same run.

mod baselines;
mod callers;
mod calls;
mod echo;
mod figures;
mod history;
mod ledger;
mod load;
mod options;
mod output;
mod population;
mod prices;
mod progress;
mod requests;
mod rounds;
mod scenarios;
mod stage;
mod statistics;
mod template;
mod usage;
mod wire;

use std::io::Write as _;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::options::Options;
use crate::scenarios::Scenario;

/// Measures Tollgate.
#[derive(Debug, Parser)]
#[command(name = "tollgate-bench", version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Prices the lines of an oracle or of a file of responses, and measures look-ups.
    Prices(prices::Arguments),
    /// Runs every scenario below.
    All(Options),
    /// Batches of 500 events, beside COPY and beside SQL per call.
    RecordBatch(Options),
    /// 256 callers of one event each, beside an echo and beside SQL per call.
    RecordUnary(Options),
    /// One caller, beside an echo.
    RecordLone(Options),
    /// Checks that reserve in one budget, beside an echo and beside a row lock; then through two replicas.
    CheckHot(Options),
    /// Checks that only look, beside an echo.
    CheckPeek(Options),
    /// A check and then a record, for 1,000 users, 200 sessions watched, beside an echo.
    Mixed(Options),
    /// Bytes an event on disk, by table.
    Disk(Options),
    /// Memory of the server under batches, and with a Postgres that stands still.
    Memory(Options),
    /// 1,000 and 10,000 subscribers: delivery, memory, what they cost those who record.
    Stream(Options),
    /// Summaries and lists over a million events; with `--large` over ten million.
    Summary(Options),
    /// The mixed load for ten minutes.
    Soak(Options),
    /// Answers at once: the baseline `echo` in a process of its own.
    #[command(hide = true)]
    EchoServer(echo::Arguments),
}

fn main() -> ExitCode {
    match run() {
        Ok(code) => code,
        Err(error) => {
            // The chain of causes, once, on one line.
            let _unwritable = writeln!(std::io::stderr(), "tollgate-bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> anyhow::Result<ExitCode> {
    let measure = |scenarios: &[Scenario], options: &Options| {
        runtime()?.block_on(scenarios::run(scenarios, options)).map(|()| ExitCode::SUCCESS)
    };
    match Arguments::parse().command {
        Command::Prices(arguments) => prices::run(&arguments),
        Command::All(options) => measure(&Scenario::ALL, &options),
        Command::RecordBatch(options) => measure(&[Scenario::RecordBatch], &options),
        Command::RecordUnary(options) => measure(&[Scenario::RecordUnary], &options),
        Command::RecordLone(options) => measure(&[Scenario::RecordLone], &options),
        Command::CheckHot(options) => measure(&[Scenario::CheckHot], &options),
        Command::CheckPeek(options) => measure(&[Scenario::CheckPeek], &options),
        Command::Mixed(options) => measure(&[Scenario::Mixed], &options),
        Command::Disk(options) => measure(&[Scenario::Disk], &options),
        Command::Memory(options) => measure(&[Scenario::Memory], &options),
        Command::Stream(options) => measure(&[Scenario::Stream], &options),
        Command::Summary(options) => measure(&[Scenario::Summary], &options),
        Command::Soak(options) => measure(&[Scenario::Soak], &options),
        Command::EchoServer(arguments) => runtime()?.block_on(echo::serve(&arguments)).map(|()| ExitCode::SUCCESS),
    }
}

/// As the server's, so that the echo has the same.
fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build()
}
