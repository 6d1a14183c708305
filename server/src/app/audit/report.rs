//! What an audit found.

use serde::Serialize;

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

/// An audit of one tenant in one snapshot. Amounts are decimal strings when it is serialised.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AuditReport {
    /// The tenant's number.
    pub tenant_id: i32,
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
