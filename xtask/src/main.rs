//! Chores of the repository, run with `cargo xtask <chore>`.

mod codegen;

use std::{env, io::Write as _, process::ExitCode};

use anyhow::bail;

const USAGE: &str = "\
usage: cargo xtask <chore>

chores:
  codegen            compile proto/tollgate/v1/*.proto into proto/src/generated
  codegen --check    change nothing; fail if proto/src/generated is not what codegen would write
";

fn main() -> ExitCode {
    let Err(error) = run() else {
        return ExitCode::SUCCESS;
    };
    // A closed standard error leaves nobody to tell. The chain alone: a backtrace says nothing about a forgotten chore.
    let _ = writeln!(std::io::stderr(), "error: {error:#}");
    ExitCode::FAILURE
}

fn run() -> anyhow::Result<()> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments.as_slice() {
        ["codegen"] => codegen::write(),
        ["codegen", "--check"] => codegen::check(),
        ["help" | "--help" | "-h"] => Ok(write!(std::io::stdout(), "{USAGE}")?),
        [] => bail!("name a chore\n\n{USAGE}"),
        unknown => bail!("unknown chore `{}`\n\n{USAGE}", unknown.join(" ")),
    }
}
