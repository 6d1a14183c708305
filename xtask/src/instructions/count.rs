//! Builds the routines and counts them under Valgrind.

use std::{
    path::PathBuf,
    process::{Command, Output},
};

use anyhow::{Context as _, ensure};

use super::table::Table;
use crate::{cargo::cargo, folder};

/// The program that runs a routine.
const PROGRAM: &str = "tollgate-instructions";
/// How our own crates are optimised: as in a release, the server less, whose build would take minutes more. Everything else is
/// taken as tests have it, so that nothing but these has to be built: counts are for comparing with each other, not with those
/// of a release.
const OPTIMISED: [(&str, u8); 4] =
    [("tollgate-domain", 3), ("tollgate-proto", 3), ("tollgate-micro", 3), ("tollgate-server", 1)];
/// The function that is counted, with all that it calls. Making its input is not.
const COUNTED: &str = "tollgate_micro::Routine::run";
/// How often a routine runs.
const TIMES: u64 = 50;

/// The program, built.
#[derive(Debug)]
pub(super) struct Counter {
    program: PathBuf,
}

impl Counter {
    /// Builds it.
    pub(super) fn build() -> anyhow::Result<Self> {
        let workspace = folder::workspace()?;
        let mut command = cargo();
        // Of the whole workspace, so that dependencies have the features that tests built them with.
        command.args(["build", "--quiet", "--locked", "--workspace", "--bin", PROGRAM]);
        for (package, level) in OPTIMISED {
            let profile = format!("profile.dev.package.{package}");
            command.arg("--config").arg(format!("{profile}.opt-level={level}"));
            for setting in ["debug-assertions=false", "overflow-checks=false"] {
                command.arg("--config").arg(format!("{profile}.{setting}"));
            }
        }
        // What is built in parts is optimised otherwise, and counts otherwise.
        command.env("CARGO_INCREMENTAL", "0");
        let status = command.current_dir(&workspace).status().context("run cargo")?;
        ensure!(status.success(), "the routines do not build");
        Ok(Self { program: folder::target()?.join("debug").join(PROGRAM) })
    }

    /// Counts every routine.
    pub(super) fn count_all(&self) -> anyhow::Result<Table> {
        let listed = run(&mut Command::new(&self.program))?;
        let names = String::from_utf8(listed.stdout).context("read the names of the routines")?;
        let counts = names.lines().map(|name| Ok((name.to_owned(), self.count(name)?)));
        Ok(Table(counts.collect::<anyhow::Result<_>>()?))
    }

    /// Instructions of one run.
    fn count(&self, name: &str) -> anyhow::Result<u64> {
        let mut command = Command::new("valgrind");
        command.args(["--tool=callgrind", "--callgrind-out-file=/dev/null"]);
        command.arg(format!("--toggle-collect={COUNTED}")).arg(&self.program).args([name, &TIMES.to_string()]);
        let report = String::from_utf8(run(&mut command)?.stderr).context("read what valgrind says")?;
        let collected = collected(&report).filter(|count| *count > 0);
        Ok(collected.with_context(|| format!("nothing was counted in {name}:\n{report}"))? / TIMES)
    }
}

/// The count in a report of Callgrind.
fn collected(report: &str) -> Option<u64> {
    let line = report.lines().find_map(|line| line.split_once("Collected : "))?;
    line.1.trim().parse().ok()
}

fn run(command: &mut Command) -> anyhow::Result<Output> {
    let program = command.get_program().to_owned();
    let output = command.output().with_context(|| format!("run {}: is it installed?", program.display()))?;
    ensure!(output.status.success(), "{} failed:\n{}", program.display(), String::from_utf8_lossy(&output.stderr));
    Ok(output)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_count_is_found_in_the_report() {
        let report = "==7== Events    : Ir\n==7== Collected : 123456\n==7== \n==7== I   refs:      123,456\n";
        assert_eq!(collected(report), Some(123_456));
        assert_eq!(collected("==7== Command: x"), None);
    }
}
