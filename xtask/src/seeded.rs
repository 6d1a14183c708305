//! Shows that the tests see what they are there for: each patch in `tests/seeded_bugs` breaks one rule on purpose, and the
//! tests that it names must fail with it, and pass without it.

mod bug;
mod tests;
mod tree;

use std::{
    io::Write as _,
    time::{Duration, Instant},
};

use anyhow::{Context as _, ensure};

use self::{
    bug::{Bug, Catcher},
    tests::{Seeded, Tests},
    tree::Tree,
};

/// What became of one bug.
struct Outcome<'bug> {
    bug: &'bug Bug,
    verdict: String,
    caught: bool,
    took: Duration,
}

/// Seeds the named bugs (all of them where none is named), one at a time, and prints which test caught each.
///
/// # Errors
/// If the tests fail without a bug, a patch does not apply or build, or a bug is not caught by every test that it names.
pub(crate) fn check(names: &[&str]) -> anyhow::Result<()> {
    let bugs = bug::chosen(names)?;
    let tree = Tree::create()?;
    let tests = Tests::new(&tree)?;
    let began = Instant::now();
    let every: Vec<&Catcher> = bugs.iter().flat_map(|bug| &bug.caught_by).collect();
    let failed = tests.run(&every, Seeded::Nothing).context("run the tests without a bug")?;
    ensure!(failed.is_empty(), "without a bug, these tests fail: {}", failed.join(", "));
    report(&format!("without a bug, all of them pass ({} s)", began.elapsed().as_secs()))?;

    let mut outcomes = Vec::new();
    for bug in &bugs {
        let outcome = seed(&tree, &tests, bug);
        report(&format!("{}: {} ({} s)", bug.name, outcome.verdict, outcome.took.as_secs()))?;
        outcomes.push(outcome);
    }
    tree.restore()?;
    print(&outcomes)?;
    let missed: Vec<&str> =
        outcomes.iter().filter(|outcome| !outcome.caught).map(|outcome| outcome.bug.name.as_str()).collect();
    ensure!(missed.is_empty(), "not caught: {}", missed.join(", "));
    Ok(())
}

/// Asks of every patch whether it still applies, without building anything.
///
/// # Errors
/// If one does not, or its head does not say what it has to.
pub(crate) fn check_patches() -> anyhow::Result<()> {
    let bugs = bug::chosen(&[])?;
    let stale: Vec<String> = bugs
        .iter()
        .filter_map(|bug| tree::applies(bug).err().map(|error| format!("{}: {error:#}", bug.name)))
        .collect();
    ensure!(stale.is_empty(), "make these patches of tests/seeded_bugs anew:\n{}", stale.join("\n"));
    report(&format!("all {} patches apply", bugs.len()))
}

/// Runs the tests that one bug names, with it.
fn seed<'bug>(tree: &Tree, tests: &Tests<'_>, bug: &'bug Bug) -> Outcome<'bug> {
    let began = Instant::now();
    let failed = tree.restore().and_then(|()| tree.apply(bug)).and_then(|()| {
        let catchers: Vec<&Catcher> = bug.caught_by.iter().collect();
        tests.run(&catchers, Seeded::Bug { changes_sql: bug.changes_sql })
    });
    let (verdict, caught) = match failed {
        Err(error) => (format!("{error:#}"), false),
        Ok(failed) => verdict(bug, &failed),
    };
    Outcome { bug, verdict, caught, took: began.elapsed() }
}

/// Every test that a bug names has to fail.
fn verdict(bug: &Bug, failed: &[String]) -> (String, bool) {
    let blind: Vec<&str> = bug
        .caught_by
        .iter()
        .filter(|catcher| !failed.iter().any(|test| test.contains(&catcher.filter)))
        .map(|catcher| catcher.filter.as_str())
        .collect();
    if blind.is_empty() {
        (format!("caught by {}", failed.join(", ")), true)
    } else {
        (format!("NOT SEEN by {}", blind.join(", ")), false)
    }
}

fn print(outcomes: &[Outcome<'_>]) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "\n| bug | what is broken | caught by | seconds |\n|---|---|---|---|")?;
    for Outcome { bug, verdict, took, .. } in outcomes {
        writeln!(out, "| {} | {} | {verdict} | {} |", bug.name, bug.broken, took.as_secs())?;
    }
    let caught = outcomes.iter().filter(|outcome| outcome.caught).count();
    Ok(writeln!(out, "\n{caught} of {} caught", outcomes.len())?)
}

fn report(line: &str) -> anyhow::Result<()> {
    Ok(writeln!(std::io::stderr(), "{line}")?)
}
