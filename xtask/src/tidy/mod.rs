//! Rules of the repository that no compiler checks.
//!
//! Each rule returns its findings, one line each, beginning with the file. A rule's exceptions stand beside it, each with
//! its reason; an exception that no longer applies is a finding, too, so that the lists do not rot.

mod boundaries;
mod source;
mod sql;
mod tenants;
mod text;

use anyhow::ensure;

use crate::folder;

/// Applies every rule.
///
/// # Errors
/// If a rule is broken: the message names every finding. If a file cannot be read.
pub(crate) fn check() -> anyhow::Result<()> {
    let sources = source::read_all(&folder::workspace()?)?;
    let findings: Vec<String> = [
        text::long_files(&sources),
        text::unfinished_work(&sources),
        text::machine_paths(&sources),
        sql::unused_or_shared(&sources),
        sql::without_tenant(&sources),
        sql::tables_without_tenant(&sources),
        boundaries::crate_arrows(&sources)?,
        boundaries::database_outside_store(&sources),
        boundaries::status_outside_one_file(&sources),
        tenants::unconfined(&sources),
    ]
    .concat();
    ensure!(findings.is_empty(), "{}", findings.join("\n"));
    Ok(())
}

/// A finding for each exception that no file needs any more.
fn unneeded<'a>(
    rule: &str,
    exceptions: impl IntoIterator<Item = &'a str>,
    needed: impl Fn(&str) -> bool,
) -> Vec<String> {
    exceptions
        .into_iter()
        .filter(|exception| !needed(exception))
        .map(|exception| {
            format!("xtask/src/tidy: the exception `{exception}` of the rule `{rule}` is no longer needed")
        })
        .collect()
}
