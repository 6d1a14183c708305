//! Counts the instructions of the inner loops, which a busy machine does not change: the guard against getting slower unseen.

mod count;
mod table;

use std::path::PathBuf;

use anyhow::ensure;

use self::count::Counter;
use self::table::Table;
use crate::folder;

/// The committed counts, relative to the workspace.
const TABLE: &str = "bench/instructions.json";
/// What to run when a change is meant.
const RENEW: &str = "if that is meant, run `cargo xtask instructions` and commit the result";

/// Counts every routine and writes the table.
///
/// # Errors
/// If the routines cannot be built or counted.
pub(crate) fn write() -> anyhow::Result<()> {
    Counter::build()?.count_all()?.write(&path()?)
}

/// Compares every routine with the table, and changes nothing.
///
/// # Errors
/// If a routine needs more instructions than the tolerance allows, or is not in the table: the message names every such one.
pub(crate) fn check() -> anyhow::Result<()> {
    let committed = Table::read(&path()?)?;
    let counted = Counter::build()?.count_all()?;
    counted.print(&committed)?;
    let findings = counted.findings(&committed);
    ensure!(findings.is_empty(), "{}\n{RENEW}", findings.join("\n"));
    Ok(())
}

fn path() -> anyhow::Result<PathBuf> {
    Ok(folder::workspace()?.join(TABLE))
}
