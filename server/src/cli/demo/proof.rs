//! What must hold after a run: every way to the same figures leads to the same figures.

use std::collections::BTreeMap;

use serde::Serialize;

use super::summaries::RunSummary;
use super::sums::Sums;

/// Two ways to the same figures.
#[derive(Debug, Serialize)]
pub(super) struct Agreement {
    /// What is compared.
    pub(super) name: String,
    /// What the client added up from its own calls and their receipts.
    pub(super) expected: Sums,
    /// What the server told; absent = nothing that can be read.
    pub(super) told: Option<Sums>,
    /// Whether they are equal, to the last digit.
    pub(super) holds: bool,
}

impl Agreement {
    fn new(name: impl Into<String>, expected: Sums, told: Option<Sums>) -> Self {
        Self { name: name.into(), expected, told, holds: told == Some(expected) }
    }
}

/// Compares what was streamed and summed up with what the client counted.
pub(super) fn agreements(
    recorded: &Sums,
    by_model: &BTreeMap<String, Sums>,
    streamed: Option<Sums>,
    summaries: &[RunSummary],
) -> Vec<Agreement> {
    let mut agreements = vec![Agreement::new("stream", *recorded, streamed)];
    for summary in summaries {
        agreements.push(Agreement::new(format!("summary by {}: total", summary.by), *recorded, Some(summary.total)));
        agreements.push(Agreement::new(format!("summary by {}: rows", summary.by), *recorded, Some(summary.added())));
    }
    for (model, sums) in by_model {
        let rows = summaries.iter().find(|summary| summary.by == "model").map(|summary| &summary.rows);
        let told = rows.and_then(|rows| rows.iter().find(|row| row.group == *model)).map(|row| row.sums);
        agreements.push(Agreement::new(format!("summary of model {model}"), *sums, told));
    }
    agreements
}

#[cfg(test)]
mod tests {
    use rust_decimal::Decimal;

    use super::super::summaries::SummaryRow;
    use super::*;

    fn sums(usd: &str) -> Sums {
        Sums { calls: 2, input_tokens: 20, output_tokens: 10, usd: Decimal::from_str_exact(usd).unwrap() }
    }

    #[test]
    fn one_picodollar_is_a_disagreement() {
        let by_model = BTreeMap::from([("m".to_owned(), sums("0.5"))]);
        let rows = vec![SummaryRow { group: "m".to_owned(), sums: sums("0.500000000000") }];
        let summaries = [RunSummary { by: "model", rows, total: sums("0.500000000001") }];
        let found = agreements(&sums("0.5"), &by_model, Some(sums("0.5")), &summaries);
        let broken: Vec<_> = found.iter().filter(|found| !found.holds).map(|found| found.name.as_str()).collect();
        assert_eq!(broken, ["summary by model: total"]);
        assert_eq!(found.len(), 4);
        assert!(!agreements(&sums("0.5"), &BTreeMap::new(), None, &[])[0].holds);
    }
}
