//! What a rebuild changed.

use serde::Serialize;
use tollgate_domain::measures::Measures;

use crate::store::audit::{Difference, Example};

/// Most rows of a kind that are named.
const NAMED: usize = 20;

/// What is rebuilt together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Totals of sessions and of their roots.
    SessionTotals,
    /// Both grains of the rollup by shape.
    UsageRollup,
    /// Both grains of the rollup by user.
    UserRollup,
    /// Counters of budgets.
    BudgetCounters,
}

impl Kind {
    /// In the order in which they are rebuilt.
    pub const ALL: [Self; 4] = [Self::SessionTotals, Self::UsageRollup, Self::UserRollup, Self::BudgetCounters];

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::SessionTotals => "session totals",
            Self::UsageRollup => "rollup",
            Self::UserRollup => "rollup by user",
            Self::BudgetCounters => "budget counters",
        }
    }
}

/// What differed in one kind.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct KindReport {
    /// Which one.
    pub kind: Kind,
    /// Rows compared.
    pub rows: u64,
    /// Rows that differed.
    pub differing: u64,
    /// The first of them.
    pub examples: Vec<Example>,
}

impl KindReport {
    pub(super) fn new(kind: Kind) -> Self {
        Self { kind, rows: 0, differing: 0, examples: Vec::new() }
    }

    pub(super) fn differs(&mut self, id: impl FnOnce() -> String, differences: Vec<Difference>) {
        self.differing += 1;
        if self.examples.len() < NAMED {
            self.examples.push(Example { id: id(), differences });
        }
    }
}

/// What a rebuild of one tenant changed, or would change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RebuildReport {
    /// By kind.
    pub kinds: Vec<KindReport>,
}

impl RebuildReport {
    /// How many rows differed.
    pub fn differing(&self) -> u64 {
        self.kinds.iter().map(|kind| kind.differing).sum()
    }
}

/// How a figure of totals is shown.
type Figure = fn(&Measures) -> String;

/// In what two rows of totals differ; an absent one is not there.
pub(super) fn differences(ledger: Option<&Measures>, stored: Option<&Measures>) -> Vec<Difference> {
    let figures: [(&str, Figure); 7] = [
        ("calls", |measures| measures.calls.to_string()),
        ("attempts", |measures| measures.attempts.to_string()),
        ("errors", |measures| measures.errors.to_string()),
        ("input_tokens", |measures| measures.input_tokens.to_string()),
        ("output_tokens", |measures| measures.output_tokens.to_string()),
        ("usd", |measures| measures.usd.to_string()),
        ("memo_usd", |measures| measures.memo_usd.to_string()),
    ];
    let mut found: Vec<Difference> = figures
        .into_iter()
        .map(|(name, read)| Difference { figure: name.to_owned(), ledger: ledger.map(read), stored: stored.map(read) })
        .filter(|difference| difference.ledger != difference.stored)
        .collect();
    if found.is_empty() {
        found.push(Difference { figure: "another figure".to_owned(), ledger: None, stored: None });
    }
    found
}
