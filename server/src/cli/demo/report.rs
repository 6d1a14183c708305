//! The report at the end: for people, or as one JSON document.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::time::Duration;

use serde::Serialize;
use tollgate_client::v1;

use super::alerts::RaisedAlert;
use super::figures::{budget_line, grouped, milliseconds, per_second, seconds};
use super::proof::Agreement;
use super::screen::budget_name;
use super::summaries::RunSummary;
use super::sums::Sums;
use super::tally::{Latency, Tally};
use crate::app::audit::AuditReport;

/// Everything that a run showed.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    /// Whether every agreement and every rule of the audit holds, no call failed, and none is missing.
    pub(super) holds: bool,
    /// The project that the run had for itself.
    pub(super) project_id: String,
    /// Where the server listens.
    pub(super) endpoint: String,
    /// The trace.
    pub(super) trace: String,
    /// Calls of the trace.
    pub(super) calls: u64,
    /// What was recorded, as the client added it up.
    pub(super) recorded: Recorded,
    /// What became of the other calls.
    pub(super) outcomes: Outcomes,
    /// The counters of the run's budgets at the end.
    pub(super) budgets: Vec<Counter>,
    /// What was raised about them, oldest first.
    pub(super) alerts: Vec<RaisedAlert>,
    /// By agent, model and hour.
    pub(super) summaries: Vec<RunSummary>,
    /// The ways to the same figures.
    pub(super) agreements: Vec<Agreement>,
    /// What the audit found, in the whole ledger.
    pub(super) audit: AuditReport,
    /// How fast it went.
    pub(super) timing: Timing,
}

/// What was recorded. `scripts/sum_trace.py` prints the same form.
#[derive(Debug, Serialize)]
pub(super) struct Recorded {
    #[serde(flatten)]
    sums: Sums,
    models: BTreeMap<String, Sums>,
}

/// What became of the calls that were not simply recorded.
#[derive(Debug, Serialize)]
pub(super) struct Outcomes {
    refused: u64,
    downgraded: u64,
    failed: u64,
    first_refusal: Option<String>,
    first_downgrade: Option<String>,
    first_failure: Option<String>,
}

/// A counter of a budget. Amounts are decimal strings of its unit, which is USD.
#[derive(Debug, Serialize)]
pub(super) struct Counter {
    budget_id: String,
    per_values: BTreeMap<String, String>,
    limit: String,
    spent: String,
    held: String,
    presumed: String,
    fired: String,
    #[serde(skip)]
    line: String,
}

/// How fast it went, as the client measured it.
#[derive(Debug, Serialize)]
pub(super) struct Timing {
    start_seconds: String,
    replay_seconds: String,
    checks_per_second: u64,
    records_per_second: u64,
    check: Option<Latency>,
    record: Option<Latency>,
}

impl Recorded {
    pub(super) fn new(tally: &Tally) -> Self {
        Self { sums: tally.recorded, models: tally.by_model.clone() }
    }
}

impl Outcomes {
    pub(super) fn new(tally: &Tally) -> Self {
        let Tally { refused, downgraded, failed, first_refusal, first_downgrade, first_failure, .. } = tally;
        Self {
            refused: *refused,
            downgraded: *downgraded,
            failed: *failed,
            first_refusal: first_refusal.clone(),
            first_downgrade: first_downgrade.clone(),
            first_failure: first_failure.clone(),
        }
    }
}

impl Counter {
    /// All counters, in the order in which they are shown.
    pub(super) fn all(project: &str, states: &[v1::BudgetState]) -> Vec<Self> {
        let mut counters: Vec<_> = states.iter().map(|state| Self::new(project, state)).collect();
        counters.sort_by(|left, right| left.line.cmp(&right.line));
        counters
    }

    fn new(project: &str, state: &v1::BudgetState) -> Self {
        Self {
            budget_id: state.budget_id.clone(),
            per_values: state.per_values.clone().into_iter().collect(),
            limit: state.effective_limit.clone(),
            spent: state.spent.clone(),
            held: state.held.clone(),
            presumed: state.presumed.clone(),
            fired: state.fired().as_str_name().trim_start_matches("ACTION_").to_owned(),
            line: budget_line(&budget_name(project, state), state),
        }
    }
}

impl Timing {
    pub(super) fn new(tally: &Tally, start: Duration, replay: Duration) -> Self {
        let checks = u64::try_from(tally.checks()).unwrap_or(u64::MAX);
        Self {
            start_seconds: seconds(start),
            replay_seconds: seconds(replay),
            checks_per_second: per_second(checks, replay),
            records_per_second: per_second(tally.recorded.calls, replay),
            check: tally.check_latency(),
            record: tally.record_latency(),
        }
    }
}

impl Report {
    /// Writes it for people.
    ///
    /// # Errors
    /// Where the output is closed.
    pub(super) fn write(&self, output: &mut dyn Write) -> io::Result<()> {
        for summary in &self.summaries {
            writeln!(output, "\n{}", summary.table())?;
        }
        self.write_outcomes(output)?;
        self.write_timing(output)?;
        writeln!(output, "\nevery way to the figures of this run:")?;
        for Agreement { name, expected, told, holds } in &self.agreements {
            writeln!(output, "  {} {name}", mark(*holds))?;
            if !holds {
                let told = told.map_or_else(|| "nothing readable".to_owned(), |told| told.to_string());
                writeln!(output, "    recorded by the client: {expected}\n    told by the server: {told}")?;
            }
        }
        let events = &self.audit.events;
        writeln!(output, "\naudit of the whole ledger, {} events, {} USD:", grouped(events.attempts), events.usd)?;
        for check in &self.audit.checks {
            let rows = grouped(check.comparison.rows);
            writeln!(output, "  {} {}: {} ({rows} rows)", mark(check.holds()), check.name, check.rule)?;
            if !check.holds() {
                writeln!(output, "    {} rows drift: see `tollgate verify`", check.comparison.drifting)?;
            }
        }
        let verdict = if self.holds { "everything holds" } else { "something does not hold: see above" };
        writeln!(output, "\n{verdict}")
    }

    fn write_outcomes(&self, output: &mut dyn Write) -> io::Result<()> {
        writeln!(output, "\nrecorded {}", self.recorded.sums)?;
        let Outcomes { refused, downgraded, failed, first_refusal, first_downgrade, first_failure } = &self.outcomes;
        let lines = [
            ("refused", refused, first_refusal),
            ("downgraded", downgraded, first_downgrade),
            ("failed", failed, first_failure),
        ];
        for (what, calls, first) in lines {
            if let Some(first) = first {
                writeln!(output, "{what} {calls} calls, the first one: {first}")?;
            }
        }
        for counter in &self.budgets {
            writeln!(output, "  {}", counter.line)?;
        }
        for alert in &self.alerts {
            writeln!(output, "  ⚠ {}", alert.summary)?;
        }
        Ok(())
    }

    fn write_timing(&self, output: &mut dyn Write) -> io::Result<()> {
        let Timing { start_seconds, replay_seconds, checks_per_second, records_per_second, check, record } =
            &self.timing;
        writeln!(
            output,
            "\nstarted in {start_seconds} s, replayed in {replay_seconds} s: {checks_per_second} checks and \
             {records_per_second} records a second"
        )?;
        for (what, latency) in [("check", check), ("record", record)] {
            if let Some(Latency { p50_microseconds, p99_microseconds }) = latency {
                let (p50, p99) = (milliseconds(*p50_microseconds), milliseconds(*p99_microseconds));
                writeln!(output, "  {what}: p50 {p50}, p99 {p99}")?;
            }
        }
        Ok(())
    }
}

fn mark(holds: bool) -> &'static str {
    if holds { "✓" } else { "✗" }
}
