//! The `tollgate` binary.

use std::io::Write as _;
use std::process::ExitCode;

use clap::Parser as _;
use tollgate_server::cli;

/// Batches are many small texts that live for milliseconds: the system's allocator took a third of the time of a batch.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

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
