//! What came of each line, by category.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::output;

/// What came of one line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "verdict")]
pub(crate) enum Verdict {
    /// Equal to the last digit.
    Matched,
    /// Contested, and the catalog's corrections decide.
    Decided {
        /// What differs.
        difference: String,
        /// Why the catalog says otherwise.
        reason: String,
    },
    /// Not equal, and nothing says why.
    Differing {
        /// What differs.
        difference: String,
    },
}

/// A line with its verdict.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Judged {
    pub(crate) id: String,
    pub(crate) category: String,
    /// Provider and model.
    pub(crate) subject: String,
    #[serde(flatten)]
    pub(crate) verdict: Verdict,
}

/// All lines.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    judged: Vec<Judged>,
}

#[derive(Debug, Default, Serialize)]
struct Counts {
    matched: usize,
    decided: usize,
    differing: usize,
}

impl Counts {
    fn add(&mut self, verdict: &Verdict) {
        match verdict {
            Verdict::Matched => self.matched += 1,
            Verdict::Decided { .. } => self.decided += 1,
            Verdict::Differing { .. } => self.differing += 1,
        }
    }
}

#[derive(Debug, Serialize)]
struct CategoryLine<'a> {
    category: &'a str,
    #[serde(flatten)]
    counts: &'a Counts,
}

impl Tally {
    /// Adds a line.
    pub(crate) fn add(&mut self, judged: Judged) {
        self.judged.push(judged);
    }

    /// Whether no line differs without a reason, and there was one.
    pub(crate) fn is_good(&self) -> bool {
        !self.judged.is_empty() && !self.judged.iter().any(|line| matches!(line.verdict, Verdict::Differing { .. }))
    }

    /// Prints what differs, then the counts by category and in all.
    pub(crate) fn print(&self, json: bool) -> anyhow::Result<()> {
        let mut categories: BTreeMap<&str, Counts> = BTreeMap::new();
        let mut all = Counts::default();
        for line in &self.judged {
            categories.entry(&line.category).or_default().add(&line.verdict);
            all.add(&line.verdict);
        }
        let unequal = self.judged.iter().filter(|line| line.verdict != Verdict::Matched);
        if json {
            unequal.clone().try_for_each(output::json)?;
            for (category, counts) in &categories {
                output::json(&CategoryLine { category, counts })?;
            }
            return output::json(&CategoryLine { category: "all", counts: &all });
        }
        for Judged { id, category, subject, verdict } in unequal {
            match verdict {
                Verdict::Matched => {}
                Verdict::Decided { difference, reason } => {
                    output::line(format!("decided   {id} {category} {subject}: {difference}; {reason}"))?;
                }
                Verdict::Differing { difference } => {
                    output::line(format!("DIFFERING {id} {category} {subject}: {difference}"))?;
                }
            }
        }
        let mut table = output::table(&["category", "matched", "decided", "differing"]);
        for (category, counts) in categories.iter().map(|(name, counts)| (*name, counts)).chain([("all", &all)]) {
            let numbers = [counts.matched, counts.decided, counts.differing].map(|count| count.to_string());
            table.add_row(std::iter::once(category.to_owned()).chain(numbers));
        }
        output::line(table.to_string())
    }
}
