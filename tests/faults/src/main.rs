//! Breaks Tollgate on purpose, and checks what is left: kills servers and the database, cuts connections around COMMIT,
//! pauses, cancels, fills the disk, and counts every event and every token of every budget afterwards.

mod arguments;
mod balancer;
mod bare_caller;
mod caller;
mod checker;
mod history;
mod http2;
mod ledger;
mod load;
mod proxy;
mod reader;
mod report;
mod requests;
mod scenarios;
mod stage;

use std::io::Write as _;
use std::process::ExitCode;

use clap::Parser as _;

use crate::arguments::Arguments;
use crate::report::Output;
use crate::stage::Stage;

#[tokio::main]
async fn main() -> ExitCode {
    match run(&Arguments::parse()).await {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            let _unwritable = writeln!(std::io::stderr(), "tollgate-faults: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Runs what was asked for; says whether nothing was violated.
async fn run(arguments: &Arguments) -> anyhow::Result<bool> {
    let mut output = Output::new(arguments.json);
    output.begin(arguments)?;
    let mut holds = true;
    let stage = Stage::open(arguments).await?;
    for scenario in arguments.scenarios() {
        let report = scenarios::run(scenario, &stage).await;
        holds &= report.holds();
        output.add(&report)?;
    }
    stage.close().await?;
    output.end()?;
    Ok(holds)
}
