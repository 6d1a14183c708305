//! The `tollgate` binary.

use std::io::Write as _;
use std::process::ExitCode;

use clap::Parser as _;
use tollgate_server::cli;

/// Batches are many small texts that live for milliseconds: the system's allocator took a third of the time of a batch.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// After how many turns of tasks a busy thread looks who else has something to say. By tokio's default of 61 whoever sends without
/// end keeps the others waiting for 61 of its turns.
const TURNS_UNTIL_OTHERS_ARE_HEARD: u32 = 13;

fn main() -> ExitCode {
    match run() {
        Ok(code) => code,
        Err(error) => {
            // The chain of causes, once, on one line.
            let _unwritable = writeln!(std::io::stderr(), "tollgate: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> anyhow::Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .event_interval(TURNS_UNTIL_OTHERS_ARE_HEARD)
        .build()?;
    runtime.block_on(cli::run(cli::Arguments::parse()))
}
