//! What is seen while the trace is replayed: bars where standard error is a terminal, else a line now and then.

use std::collections::BTreeMap;
use std::io::{IsTerminal as _, Write as _};
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tollgate_client::{format_totals, v1};

use super::budgets::{PROJECT_BUDGET, USER_BUDGET, WRITER_BUDGET};
use super::figures::budget_line;
use super::live::Latest;
use super::replay::{SharedTally, with_tally};

/// Time between two drawings on a terminal.
const FRAME: Duration = Duration::from_millis(100);
/// Time between two lines elsewhere.
const LINE: Duration = Duration::from_secs(2);

/// Where progress is shown.
#[derive(Debug)]
enum Medium {
    /// Bars that move.
    Terminal(Box<Bars>),
    /// Lines that follow each other.
    Lines,
}

/// Shows progress on standard error.
#[derive(Debug)]
pub(super) struct Screen {
    medium: Medium,
    project: String,
    calls: u64,
    tally: SharedTally,
    latest: watch::Receiver<Latest>,
    alerts: Option<watch::Receiver<Vec<v1::Alert>>>,
    told: Told,
}

/// What was told already, as it is told once.
#[derive(Debug, Default)]
struct Told {
    refusal: bool,
    downgrade: bool,
    failure: bool,
    alerts: usize,
}

impl Screen {
    /// Shows the run of this project, of so many calls.
    pub(super) fn new(project: &str, calls: u64, tally: SharedTally, latest: watch::Receiver<Latest>) -> Self {
        let terminal = std::io::stderr().is_terminal();
        let medium = if terminal { Medium::Terminal(Box::new(Bars::new(calls))) } else { Medium::Lines };
        Self { medium, project: project.to_owned(), calls, tally, latest, alerts: None, told: Told::default() }
    }

    /// Shows alerts, too.
    pub(super) fn with_alerts(mut self, alerts: Option<watch::Receiver<Vec<v1::Alert>>>) -> Self {
        self.alerts = alerts;
        self
    }

    /// Draws until `end`, and then for the last time.
    pub(super) async fn run(mut self, end: CancellationToken) {
        let period = if matches!(self.medium, Medium::Terminal(_)) { FRAME } else { LINE };
        let mut frames = tokio::time::interval(period);
        loop {
            tokio::select! {
                _ = frames.tick() => self.draw(),
                () = end.cancelled() => break,
            }
        }
        self.draw();
        if let Medium::Terminal(bars) = &self.medium {
            bars.finish();
        }
    }

    fn draw(&mut self) {
        let latest = self.latest.borrow().scope.clone();
        let notices = self.notices();
        let (ended, refused, downgraded) =
            with_tally(&self.tally, |tally| (tally.ended(), tally.refused, tally.downgraded));
        let totals = format_totals(&latest.totals.clone().unwrap_or_default());
        let asides = format!("{refused} refused, {downgraded} downgraded");
        match &mut self.medium {
            Medium::Terminal(bars) => {
                for notice in notices {
                    bars.say(&notice);
                }
                bars.show(&self.project, ended, &format!("{totals}  |  {asides}"), &latest);
            }
            Medium::Lines => {
                let mut errors = std::io::stderr().lock();
                for notice in notices {
                    let _unseen = writeln!(errors, "{notice}");
                }
                // Nobody may be reading: the replay goes on all the same.
                let _unseen = writeln!(errors, "{ended}/{} calls  |  {totals}  |  {asides}", self.calls);
            }
        }
    }

    /// What happened for the first time, and what was raised since the last drawing.
    fn notices(&mut self) -> Vec<String> {
        let mut notices = Vec::new();
        let (refusal, downgrade, failure) = with_tally(&self.tally, |tally| {
            (tally.first_refusal.clone(), tally.first_downgrade.clone(), tally.first_failure.clone())
        });
        let mut once = |told: &mut bool, notice: Option<String>| {
            if let Some(notice) = notice.filter(|_| !*told) {
                *told = true;
                notices.push(notice);
            }
        };
        once(&mut self.told.downgrade, downgrade.map(|why| format!("↓ first downgrade: {why}")));
        once(&mut self.told.refusal, refusal.map(|why| format!("✗ first refusal: {why}")));
        once(&mut self.told.failure, failure.map(|why| format!("✗ first failure: {why}")));
        if let Some(alerts) = &self.alerts {
            let alerts = alerts.borrow();
            notices.extend(alerts.iter().skip(self.told.alerts).map(|alert| format!("⚠ alert: {}", alert.summary)));
            self.told.alerts = alerts.len();
        }
        notices
    }
}

/// A counter as people call it.
pub(super) fn budget_name(project: &str, state: &v1::BudgetState) -> String {
    let own = state.budget_id.strip_prefix(project).and_then(|rest| rest.strip_prefix('-'));
    match own {
        Some(USER_BUDGET) => {
            let user = state.per_values.get("user_id").map_or("?", String::as_str);
            format!("user {user}, day")
        }
        Some(PROJECT_BUDGET) => "project, month".to_owned(),
        Some(WRITER_BUDGET) => "writer, lifetime".to_owned(),
        _ => state.budget_id.clone(),
    }
}

/// The bars of a terminal: calls and totals, then agents, then budgets.
#[derive(Debug)]
struct Bars {
    all: MultiProgress,
    calls: ProgressBar,
    totals: ProgressBar,
    lines: BTreeMap<String, ProgressBar>,
}

impl Bars {
    fn new(calls: u64) -> Self {
        let all = MultiProgress::new();
        let style =
            ProgressStyle::with_template("{spinner} {wide_bar:.cyan/blue} {pos}/{len} calls  {elapsed_precise}")
                .unwrap_or_else(|_| ProgressStyle::default_bar());
        let calls = all.add(ProgressBar::new(calls).with_style(style));
        let totals = all.add(text_line());
        Self { all, calls, totals, lines: BTreeMap::new() }
    }

    fn say(&self, notice: &str) {
        // A terminal that is gone shows nothing more.
        let _unseen = self.all.println(notice);
    }

    fn show(&mut self, project: &str, ended: u64, totals: &str, latest: &v1::ScopeTotals) {
        self.calls.set_position(ended);
        self.totals.set_message(totals.to_owned());
        for part in &latest.parts {
            let Some(v1::group_value::Kind::Value(agent)) = part.group.as_ref().and_then(|group| group.kind.clone())
            else {
                continue;
            };
            let totals = format_totals(&part.totals.clone().unwrap_or_default());
            self.line(&format!("agent {agent}")).set_message(format!("{agent:<24} {totals}"));
        }
        for state in &latest.budgets {
            let name = budget_name(project, state);
            self.line(&format!("budget {name}")).set_message(budget_line(&name, state));
        }
    }

    /// The line of this key, made where it is new: agents stand above budgets, both by name.
    fn line(&mut self, key: &str) -> &ProgressBar {
        let before = self.lines.range(..key.to_owned()).next_back().map(|(_, bar)| bar.clone());
        self.lines
            .entry(key.to_owned())
            .or_insert_with(|| self.all.insert_after(&before.unwrap_or_else(|| self.totals.clone()), text_line()))
    }

    /// Leaves everything on the screen as it is.
    fn finish(&self) {
        for bar in self.lines.values().chain([&self.totals, &self.calls]) {
            bar.abandon();
        }
    }
}

fn text_line() -> ProgressBar {
    let style = ProgressStyle::with_template("  {msg}").unwrap_or_else(|_| ProgressStyle::default_spinner());
    ProgressBar::no_length().with_style(style)
}
