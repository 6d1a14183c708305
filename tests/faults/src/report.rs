//! What a scenario found: a table for people, JSON lines for programs.

use std::io::Write as _;
use std::time::Duration;

use comfy_table::Table;
use serde::Serialize;

use crate::arguments::{Arguments, Scenario};
use crate::history::History;
use crate::reader::Reading;

/// Most violations that are shown of one scenario.
const SHOWN: usize = 20;

/// What one scenario did and found.
#[derive(Debug, Clone, Default, Serialize)]
pub(crate) struct Report {
    pub(crate) scenario: &'static str,
    /// Faults injected.
    pub(crate) faults: u64,
    /// Calls that were made, each counted once however often it was retried.
    pub(crate) operations: u64,
    /// Events that were acknowledged.
    pub(crate) acked: u64,
    /// Events whose fate the callers do not know.
    pub(crate) unknown: u64,
    /// Snapshots in which the invariants were checked while faults happened.
    pub(crate) snapshots: u64,
    /// Longest time from a fault's end to the first call that was served, in milliseconds.
    pub(crate) worst_return_ms: Option<u64>,
    pub(crate) elapsed_ms: u64,
    /// Other figures, by name.
    pub(crate) notes: Vec<String>,
    pub(crate) violations: Vec<String>,
    /// Why it did not run.
    pub(crate) skipped: Option<String>,
}

impl Report {
    /// Whether nothing was violated, of what was shown at all: without a fault, or a look while it happened, nothing is.
    pub(crate) fn holds(&self) -> bool {
        self.violations.is_empty() && self.missing().is_none()
    }

    /// What a scenario must have done to show anything, and has not.
    fn missing(&self) -> Option<&'static str> {
        match (self.skipped.is_some(), self.faults, self.snapshots) {
            (true, ..) => None,
            (false, 0, _) => Some("no fault happened"),
            (false, _, 0) => Some("no snapshot was read while faults happened"),
            (false, ..) => None,
        }
    }

    /// One that did not run.
    pub(crate) fn skipped(why: String) -> Self {
        Self { skipped: Some(why), ..Self::default() }
    }

    /// Adds what callers did.
    pub(crate) fn add_history(&mut self, history: &History) {
        let (acked, unknown) = history.counts();
        self.operations += history.operations();
        self.acked += acked;
        self.unknown += unknown;
    }

    /// Adds what was read meanwhile.
    pub(crate) fn add_reading(&mut self, reading: Reading) {
        self.snapshots += reading.snapshots;
        self.violations.extend(reading.violations);
    }

    /// Adds how long it took to be back; longer than `limit` is a violation.
    pub(crate) fn returned(&mut self, after: Duration, limit: Duration) {
        let milliseconds = u64::try_from(after.as_millis()).unwrap_or(u64::MAX);
        self.worst_return_ms = Some(self.worst_return_ms.unwrap_or(0).max(milliseconds));
        if after > limit {
            self.violations.push(format!("served again only after {after:?}, allowed are {limit:?}"));
        }
    }

    /// Adds a figure.
    pub(crate) fn note(&mut self, note: impl Into<String>) {
        self.notes.push(note.into());
    }

    fn verdict(&self) -> String {
        match self.skipped {
            Some(_) => "skipped".to_owned(),
            None if self.violations.is_empty() && self.missing().is_some() => "shows nothing".to_owned(),
            None => self.violations.len().to_string(),
        }
    }
}

/// Where reports go.
pub(crate) struct Output {
    json: bool,
    table: Table,
    below: Vec<String>,
}

impl Output {
    /// Tables, or lines of JSON.
    pub(crate) fn new(json: bool) -> Self {
        let mut table = Table::new();
        table.load_style(comfy_table::presets::ASCII_MARKDOWN).set_header([
            "scenario",
            "faults",
            "operations",
            "acked",
            "unknown",
            "snapshots",
            "violations",
            "worst return",
            "took",
        ]);
        Self { json, table, below: Vec::new() }
    }

    /// Says what is about to run, with the seed that repeats it.
    pub(crate) fn begin(&self, arguments: &Arguments) -> anyhow::Result<()> {
        let length = if arguments.short { "short" } else { "full" };
        let Arguments { seed, .. } = arguments;
        if self.json {
            return line(
                serde_json::json!({ "seed": seed, "length": length, "release": arguments.release }).to_string(),
            );
        }
        line(format!("seed {seed}, {length} counts"))
    }

    /// Takes a report.
    pub(crate) fn add(&mut self, report: &Report) -> anyhow::Result<()> {
        if self.json {
            return line(serde_json::to_string(report)?);
        }
        let seconds = |milliseconds: u64| format!("{}.{} s", milliseconds / 1_000, milliseconds % 1_000 / 100);
        // The table comes last: until then, whoever waits sees that it goes on.
        let verdict = report.verdict();
        writeln!(std::io::stderr(), "{}: violations {verdict}, {}", report.scenario, seconds(report.elapsed_ms))?;
        self.table.add_row([
            report.scenario.to_owned(),
            report.faults.to_string(),
            report.operations.to_string(),
            report.acked.to_string(),
            report.unknown.to_string(),
            report.snapshots.to_string(),
            verdict,
            report.worst_return_ms.map(seconds).unwrap_or_default(),
            seconds(report.elapsed_ms),
        ]);
        let scenario = report.scenario;
        let violations = counted(&report.violations);
        let violations = violations.iter().take(SHOWN).map(|(text, times)| format!("VIOLATION ({times}×) {text}"));
        let skipped = report.skipped.iter().map(|why| format!("skipped: {why}"));
        let missing = report.missing().map(|what| format!("SHOWS NOTHING: {what}"));
        self.below.extend(
            report
                .notes
                .iter()
                .cloned()
                .chain(skipped)
                .chain(missing)
                .chain(violations)
                .map(|text| format!("{scenario}: {text}")),
        );
        Ok(())
    }

    /// Writes what is left to write.
    pub(crate) fn end(&self) -> anyhow::Result<()> {
        if self.json {
            return Ok(());
        }
        line(self.table.to_string())?;
        self.below.iter().try_for_each(line)
    }
}

/// Each text once, in order, with how often it is there.
fn counted(texts: &[String]) -> Vec<(&str, usize)> {
    let mut counted: Vec<(&str, usize)> = Vec::new();
    for text in texts {
        match counted.iter_mut().find(|(known, _)| known == text) {
            Some((_, times)) => *times += 1,
            None => counted.push((text, 1)),
        }
    }
    counted
}

/// The report of a scenario that could not go on.
pub(crate) fn failed(scenario: Scenario, error: &anyhow::Error) -> Report {
    let violations = vec![format!("it could not go on: {error:#}")];
    Report { scenario: scenario.name(), violations, ..Report::default() }
}

fn line(text: impl AsRef<str>) -> anyhow::Result<()> {
    let mut output = std::io::stdout().lock();
    writeln!(output, "{}", text.as_ref())?;
    Ok(output.flush()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scenario_that_broke_nothing_or_saw_nothing_shows_nothing() {
        let whole = Report { faults: 1, snapshots: 1, ..Report::default() };
        assert!(whole.holds());
        assert_eq!(whole.verdict(), "0");
        for empty in [Report { faults: 0, ..whole.clone() }, Report { snapshots: 0, ..whole.clone() }] {
            assert!(!empty.holds());
            assert_eq!(empty.verdict(), "shows nothing");
        }
        let violated = Report { violations: vec!["lost".to_owned()], ..whole };
        assert!(!violated.holds());
        assert!(Report::skipped("no room".to_owned()).holds());
    }
}
