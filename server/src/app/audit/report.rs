//! What an audit found.

use jiff::Timestamp;
use serde::Serialize;
use tollgate_domain::window::Bounds;

use crate::store::audit::{Comparison, LedgerTotals};

/// One rule, checked over all rows that it speaks of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Check {
    /// Its stable name.
    pub name: &'static str,
    /// What must hold.
    pub rule: &'static str,
    /// What was found.
    #[serde(flatten)]
    pub comparison: Comparison,
}

impl Check {
    pub(super) fn new(name: &'static str, rule: &'static str, comparison: Comparison) -> Self {
        Self { name, rule, comparison }
    }

    /// Whether no row drifts.
    pub fn holds(&self) -> bool {
        self.comparison.drifting == 0
    }
}

/// A stretch of start times.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct AuditedRange {
    /// Its start, a quarter hour.
    pub start: Timestamp,
    /// Its end, not included, a quarter hour.
    pub end: Timestamp,
}

impl From<Bounds> for AuditedRange {
    fn from(range: Bounds) -> Self {
        Self { start: range.start, end: range.end }
    }
}

/// An audit of one tenant in one snapshot. Amounts are decimal strings when it is serialised.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AuditReport {
    /// The tenant's number.
    pub tenant_id: i32,
    /// What was looked at; absent = everything.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub range: Option<AuditedRange>,
    /// What the ledger holds.
    pub events: LedgerTotals,
    /// Every rule.
    pub checks: Vec<Check>,
}

impl AuditReport {
    /// Whether every rule holds.
    pub fn holds(&self) -> bool {
        self.checks.iter().all(Check::holds)
    }
}

impl AuditReport {
    /// The name of every check, and the rows that drift.
    pub fn drifting(&self) -> impl Iterator<Item = (&'static str, u64)> {
        self.checks.iter().map(|check| (check.name, check.comparison.drifting))
    }
}
