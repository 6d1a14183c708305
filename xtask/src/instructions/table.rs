//! How many instructions each routine needs.

use std::{
    collections::BTreeMap,
    fs,
    io::{self, Write as _},
    path::Path,
};

use anyhow::Context as _;

/// How much more a routine may need before it is a finding, in percent. Compilers and libraries move counts a little.
const TOLERANCE_PERCENT: u64 = 10;

/// Instructions of one run, by the name of the routine.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Table(pub(super) BTreeMap<String, u64>);

impl Table {
    /// As it was committed.
    pub(super) fn read(path: &Path) -> anyhow::Result<Self> {
        let text = fs::read_to_string(path).with_context(|| format!("read {}", path.display()))?;
        Ok(Self(serde_json::from_str(&text).with_context(|| format!("parse {}", path.display()))?))
    }

    pub(super) fn write(&self, path: &Path) -> anyhow::Result<()> {
        let text = serde_json::to_string_pretty(&self.0)?;
        fs::write(path, text + "\n").with_context(|| format!("write {}", path.display()))
    }

    /// Shows each count beside the committed one.
    pub(super) fn print(&self, committed: &Self) -> anyhow::Result<()> {
        let mut output = io::stdout().lock();
        for (name, count) in &self.0 {
            let before = committed.0.get(name).map_or_else(|| "new".to_owned(), ToString::to_string);
            writeln!(output, "{name:<28}{count:>12}{before:>12}")?;
        }
        Ok(())
    }

    /// What is wrong with these counts beside the committed ones.
    pub(super) fn findings(&self, committed: &Self) -> Vec<String> {
        let mut findings = Vec::new();
        for (name, count) in &self.0 {
            match committed.0.get(name) {
                None => findings.push(format!("{name}: is not in the table")),
                Some(before) if is_above(*count, *before) => {
                    findings.push(format!("{name}: {count} instructions, {before} in the table"));
                }
                Some(_) => {}
            }
        }
        let gone = committed.0.keys().filter(|name| !self.0.contains_key(*name));
        findings.extend(gone.map(|name| format!("{name}: is in the table and no longer there")));
        findings
    }
}

fn is_above(count: u64, before: u64) -> bool {
    u128::from(count) * 100 > u128::from(before) * u128::from(100 + TOLERANCE_PERCENT)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(counts: &[(&str, u64)]) -> Table {
        Table(counts.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect())
    }

    #[test]
    fn more_than_the_tolerance_is_found_and_less_is_not() {
        let committed = table(&[("a", 1_000), ("b", 1_000), ("c", 1_000)]);
        let counted = table(&[("a", 1_100), ("b", 1_101), ("c", 10)]);
        assert_eq!(counted.findings(&committed), ["b: 1101 instructions, 1000 in the table"]);
    }

    #[test]
    fn routines_come_and_go_with_the_table() {
        let findings = table(&[("new", 1)]).findings(&table(&[("old", 1)]));
        assert_eq!(findings, ["new: is not in the table", "old: is in the table and no longer there"]);
    }

    #[test]
    fn a_table_is_read_as_it_was_written() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("table.json");
        let written = table(&[("a", 1), ("b", u64::MAX)]);
        written.write(&path).unwrap();
        assert_eq!(Table::read(&path).unwrap(), written);
    }
}
