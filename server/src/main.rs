//! The `tollgate` binary.

use std::io::Write as _;
use std::process::ExitCode;

use clap::Parser as _;
use tollgate_server::cli;

#[tokio::main]
async fn main() -> ExitCode {
    match cli::run(cli::Arguments::parse()).await {
        Ok(code) => code,
        Err(error) => {
            // The chain of causes, once, on one line.
            let _unwritable = writeln!(std::io::stderr(), "tollgate: {error:#}");
            ExitCode::FAILURE
        }
    }
}
