//! Builds the copy and runs some of its tests.

use std::{
    collections::BTreeSet,
    fs::{self, File},
    os::unix::process::CommandExt as _,
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail, ensure};
use nix::{
    sys::signal::{Signal, killpg},
    unistd::Pid,
};

use super::{
    bug::{Catcher, Suite},
    tree::Tree,
};
use crate::{cargo::cargo, folder, postgres::ScratchDatabase};

/// How long one suite may take: a bug can make a test wait for ever.
const TEST_LIMIT: Duration = Duration::from_secs(900);
/// Random programs of each kind, with a bug and without: the same that fail with it have to pass without it.
const CASES: &str = "30";

/// What the copy is while its tests run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Seeded {
    /// As it should be.
    Nothing,
    /// Broken.
    Bug {
        /// Whether a statement is another one.
        changes_sql: bool,
    },
}

/// How to run the tests.
pub(super) struct Tests<'tree> {
    tree: &'tree Tree,
    database: ScratchDatabase,
}

impl<'tree> Tests<'tree> {
    /// Starts a database to ask about statements that a bug changes.
    ///
    /// # Errors
    /// If there is no Postgres.
    pub(super) fn new(tree: &'tree Tree) -> anyhow::Result<Self> {
        let database = ScratchDatabase::create()?;
        let migrations = folder::workspace()?.join("migrations");
        for name in folder::read(&migrations)?.keys().filter(|name| name.ends_with(".sql")) {
            database.apply(&migrations.join(name)).with_context(|| format!("apply migrations/{name}"))?;
        }
        Ok(Self { tree, database })
    }

    /// Runs the tests and names those that failed.
    ///
    /// # Errors
    /// If they do not build, do not end, or there are none of a name.
    pub(super) fn run(&self, catchers: &[&Catcher], seeded: Seeded) -> anyhow::Result<Vec<String>> {
        let mut failed = Vec::new();
        for suite in [Suite::Domain, Suite::Integration] {
            let filters: BTreeSet<&str> = catchers
                .iter()
                .filter(|catcher| catcher.suite == suite)
                .map(|catcher| catcher.filter.as_str())
                .collect();
            if !filters.is_empty() {
                failed.extend(self.run_suite(suite, &filters, seeded)?);
            }
        }
        Ok(failed)
    }

    fn run_suite(&self, suite: Suite, filters: &BTreeSet<&str>, seeded: Seeded) -> anyhow::Result<Vec<String>> {
        let mut build = self.cargo(suite, seeded);
        let built = build.arg("--no-run").output().context("run cargo")?;
        ensure!(built.status.success(), "it does not build: {}", last_lines(&String::from_utf8_lossy(&built.stderr)));

        let mut command = self.cargo(suite, seeded);
        command.arg("--").args(filters);
        command.env("TOLLGATE_MODEL_CASES", CASES).env("TOLLGATE_MODEL_SHRINK", "0").env("RUST_BACKTRACE", "0");
        let output = bounded(command, TEST_LIMIT)?;
        // Kept for whoever wants to know how a test failed.
        fs::write(self.tree.build.join("last-output"), &output).context("keep what the tests printed")?;
        let results: Vec<(&str, bool)> = output.lines().filter_map(result).collect();
        for filter in filters {
            ensure!(results.iter().any(|(name, _)| name.contains(filter)), "no test is called `{filter}`");
        }
        Ok(results.into_iter().filter(|(_, passed)| !passed).map(|(name, _)| name.to_owned()).collect())
    }

    fn cargo(&self, suite: Suite, seeded: Seeded) -> Command {
        let mut command = cargo();
        command.args(["test", "--locked"]).current_dir(&self.tree.sources).env("CARGO_TARGET_DIR", &self.tree.build);
        match suite {
            Suite::Domain => command.args(["--package", "tollgate-domain", "--lib"]),
            Suite::Integration => command.args(["--package", "tollgate-server", "--test", "integration"]),
        };
        if seeded == (Seeded::Bug { changes_sql: true }) {
            command.env("SQLX_OFFLINE", "false").env("DATABASE_URL", self.database.url());
        }
        command
    }
}

/// The name of a test and whether it passed, of a line of its runner.
fn result(line: &str) -> Option<(&str, bool)> {
    let (name, result) = line.strip_prefix("test ")?.split_once(" ... ")?;
    match result.split(' ').next()? {
        "ok" => Some((name, true)),
        "FAILED" => Some((name, false)),
        _ => None,
    }
}

/// Runs to the end, but not for ever; tells what was printed. What it started ends with it: a test that goes on would take the
/// machine from those of the next bug.
fn bounded(mut command: Command, limit: Duration) -> anyhow::Result<String> {
    let output = tempfile::NamedTempFile::new().context("create a temporary file")?;
    let file = File::create(output.path()).context("open a temporary file")?;
    let mut child = command.stdout(file).stderr(Stdio::null()).process_group(0).spawn().context("run cargo")?;
    // The group has the id of its first process, which keeps it until it is waited for.
    let group = Pid::from_raw(i32::try_from(child.id()).context("the id of a process")?);
    let deadline = Instant::now() + limit;
    while child.try_wait().context("wait for the tests")?.is_none() {
        if Instant::now() > deadline {
            killpg(group, Signal::SIGKILL).context("stop the tests")?;
            child.wait().context("stop the tests")?;
            bail!("the tests do not end within {} s", limit.as_secs());
        }
        thread::sleep(Duration::from_millis(200));
    }
    fs::read_to_string(output.path()).context("read what the tests printed")
}

fn last_lines(text: &str) -> String {
    let lines: Vec<&str> = text.lines().collect();
    let begin = lines.len().saturating_sub(30);
    lines.get(begin..).unwrap_or_default().join("\n")
}

#[cfg(test)]
mod test {
    use std::io::Read as _;

    use super::*;

    #[test]
    fn what_takes_too_long_ends_with_everything_that_it_started() {
        let (mut reader, writer) = std::io::pipe().unwrap();
        let mut command = Command::new("sh");
        command.args(["-c", "exec 3>&0; sleep 600 & wait"]).stdin(writer);
        let error = bounded(command, Duration::from_secs(1)).unwrap_err();
        assert_eq!(error.to_string(), "the tests do not end within 1 s");
        // Ends when the last process that holds the other end is gone.
        assert_eq!(reader.read_to_end(&mut Vec::new()).unwrap(), 0);
    }

    #[test]
    fn the_lines_of_the_runner_say_which_tests_failed() {
        assert_eq!(result("test model::at_once ... FAILED"), Some(("model::at_once", false)));
        assert_eq!(result("test model::in_turn ... ok"), Some(("model::in_turn", true)));
        assert_eq!(result("test result: FAILED. 1 passed; 1 failed"), None);
        assert_eq!(result("running 2 tests"), None);
    }
}
