//! What is reported: a row per figure, as a table for people and as JSON lines for programs.

use serde::Serialize;

use crate::output;
use crate::rounds::{Ratio, Series};
use crate::statistics::{mebibytes, ratio, rounded};

/// What a figure ought to be.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Goal {
    /// The ratio to the baseline is at least this.
    RatioAtLeast(f64),
    /// The ratio to the baseline is at most this.
    RatioAtMost(f64),
    /// The value is at most this.
    AtMost(f64),
}

/// One figure.
#[derive(Debug, Clone, Default, Serialize)]
pub(crate) struct Row {
    /// The scenario, and what of it.
    pub(crate) scenario: String,
    /// The figure: of several rounds, the median.
    pub(crate) value: f64,
    /// Its unit.
    pub(crate) unit: &'static str,
    /// What it is compared with.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) baseline: Option<String>,
    /// The baseline's figure: of several rounds, the median.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) baseline_value: Option<f64>,
    /// The figure over the baseline's: of several rounds, the median of their ratios.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) ratio: Option<f64>,
    /// The lowest ratio of a round.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) ratio_low: Option<f64>,
    /// The highest ratio of a round.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) ratio_high: Option<f64>,
    /// Half of the calls were answered within so many microseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) p50_us: Option<u64>,
    /// 99 % of the calls were answered within so many microseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) p99_us: Option<u64>,
    /// What it ought to be.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) goal: Option<String>,
    /// Whether it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) met: Option<bool>,
    /// Processor seconds of the server over all rounds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) server_cpu_s: Option<f64>,
    /// Processor seconds of Postgres over all rounds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) postgres_cpu_s: Option<f64>,
    /// Processor seconds of the load over all rounds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) load_cpu_s: Option<f64>,
    /// Seconds that all rounds took.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) measured_s: Option<f64>,
    /// The most memory of the server, in MiB.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) server_rss_mib: Option<f64>,
    /// Memory of Postgres, in MiB.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) postgres_rss_mib: Option<f64>,
    /// What else there is to say.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) note: Option<String>,
}

impl Row {
    /// A figure alone.
    pub(crate) fn new(scenario: impl Into<String>, value: f64, unit: &'static str) -> Self {
        Self { scenario: scenario.into(), value: rounded(value), unit, ..Self::default() }
    }

    /// A rate with its latencies and what it cost.
    pub(crate) fn rate(scenario: impl Into<String>, series: &Series, unit: &'static str) -> Self {
        let (processor, elapsed) = series.processor();
        let memory = series.memory();
        Self {
            server_cpu_s: Some(rounded(processor.server.as_secs_f64())),
            postgres_cpu_s: Some(rounded(processor.postgres.as_secs_f64())),
            load_cpu_s: Some(rounded(processor.load.as_secs_f64())),
            measured_s: Some(rounded(elapsed)),
            server_rss_mib: Some(rounded(mebibytes(memory.server))),
            postgres_rss_mib: Some(rounded(mebibytes(memory.postgres))),
            ..Self::new(scenario, series.rate(), unit).latencies(series)
        }
    }

    /// With the latencies of these rounds.
    pub(crate) fn latencies(self, series: &Series) -> Self {
        Self { p50_us: Some(series.quantile(0.5)), p99_us: Some(series.quantile(0.99)), ..self }
    }

    /// Beside a baseline.
    pub(crate) fn beside(self, baseline: impl Into<String>, value: f64, ratio: Ratio) -> Self {
        Self {
            baseline: Some(baseline.into()),
            baseline_value: Some(rounded(value)),
            ratio: Some(rounded(ratio.median)),
            ratio_low: Some(rounded(ratio.low)),
            ratio_high: Some(rounded(ratio.high)),
            ..self
        }
    }

    /// With a goal, and whether it is met.
    pub(crate) fn against(self, goal: Goal) -> Self {
        let (text, met) = match goal {
            Goal::RatioAtLeast(least) => (format!("ratio >= {least}"), self.ratio.is_some_and(|ratio| ratio >= least)),
            Goal::RatioAtMost(most) => (format!("ratio <= {most}"), self.ratio.is_some_and(|ratio| ratio <= most)),
            Goal::AtMost(most) => (format!("<= {most}"), self.value <= most),
        };
        Self { goal: Some(text), met: Some(met), ..self }
    }

    /// With a remark.
    pub(crate) fn note(self, note: impl Into<String>) -> Self {
        Self { note: Some(note.into()), ..self }
    }

    /// Cores that the server, Postgres and the load kept busy.
    fn cores(&self) -> String {
        let Some(elapsed) = self.measured_s else { return String::new() };
        let busy = |time: Option<f64>| format!("{:.2}", ratio(time.unwrap_or_default(), elapsed));
        format!("{} {} {}", busy(self.server_cpu_s), busy(self.postgres_cpu_s), busy(self.load_cpu_s))
    }
}

/// Where rows go.
#[derive(Debug)]
pub(crate) struct Figures {
    json: bool,
    rows: Vec<Row>,
}

impl Figures {
    /// As lines of JSON at once, or as a table at the end.
    pub(crate) fn new(json: bool) -> Self {
        Self { json, rows: Vec::new() }
    }

    /// Adds a row.
    pub(crate) fn add(&mut self, row: Row) -> anyhow::Result<()> {
        if self.json {
            return output::json(&row);
        }
        self.rows.push(row);
        Ok(())
    }

    /// Prints what was collected.
    pub(crate) fn print(&mut self) -> anyhow::Result<()> {
        if self.rows.is_empty() {
            return Ok(());
        }
        let mut table = output::table(&[
            "scenario",
            "value",
            "unit",
            "baseline",
            "its value",
            "ratio",
            "p50 ms",
            "p99 ms",
            "goal",
            "",
            "cores: server Postgres load",
            "MiB",
            "note",
        ]);
        let text = |text: Option<String>| text.unwrap_or_default();
        let time = |time: Option<u64>| text(time.map(|time| format!("{:.2}", crate::statistics::milliseconds(time))));
        for row in self.rows.drain(..) {
            table.add_row([
                row.scenario.clone(),
                plain(row.value),
                row.unit.to_owned(),
                text(row.baseline.clone()),
                text(row.baseline_value.map(plain)),
                spread(&row),
                time(row.p50_us),
                time(row.p99_us),
                text(row.goal.clone()),
                text(row.met.map(|met| if met { "met" } else { "MISSED" }.to_owned())),
                row.cores(),
                text(row.server_rss_mib.map(|memory| format!("{memory:.0}"))),
                text(row.note.clone()),
            ]);
        }
        output::line(table.to_string())
    }
}

fn spread(row: &Row) -> String {
    let Some(ratio) = row.ratio else { return String::new() };
    match (row.ratio_low, row.ratio_high) {
        (Some(low), Some(high)) => format!("{ratio:.3} ({low:.3} to {high:.3})"),
        _ => format!("{ratio:.3}"),
    }
}

/// Large figures without a fraction.
fn plain(value: f64) -> String {
    if value.abs() >= 100.0 { format!("{value:.0}") } else { format!("{value:.3}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_goal_says_whether_it_is_met() {
        let ratio = Ratio { median: 0.3, low: 0.1, high: 0.5 };
        let row = Row::new("x", 30.0, "a second").beside("echo", 100.0, ratio);
        assert_eq!(row.clone().against(Goal::RatioAtLeast(0.3)).met, Some(true));
        assert_eq!(row.clone().against(Goal::RatioAtLeast(0.31)).met, Some(false));
        assert_eq!(row.clone().against(Goal::AtMost(29.0)).met, Some(false));
        assert_eq!(row.clone().against(Goal::RatioAtMost(0.3)).met, Some(true));
        assert_eq!(spread(&row), "0.300 (0.100 to 0.500)");
    }
}
