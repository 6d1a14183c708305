//! Keeps `.sqlx` in step with the statements in `server/sql` and the schema in `migrations`.
//!
//! The folder holds what the database says about each statement (types of parameters and columns), so that a build checks
//! them without a database. This chore asks a database that has just been migrated.

use std::{fs::File, time::SystemTime};

use anyhow::{Context as _, ensure};

use crate::{
    cargo::cargo,
    folder::{self, Files},
    postgres::ScratchDatabase,
};

/// The committed folder, relative to the workspace.
const DATA_FOLDER: &str = ".sqlx";
/// The only crate with statements.
const CRATE: &str = "tollgate-server";
/// What to run when the committed folder is out of date.
const REGENERATE: &str = "run `cargo xtask sqlx` and commit the result";

/// Asks the database about every statement and writes its answers, and removes those of statements that are gone.
///
/// # Errors
/// If there is no database, or a statement does not fit the schema.
pub(crate) fn write() -> anyhow::Result<()> {
    folder::replace(&folder::workspace()?.join(DATA_FOLDER), &describe()?)
}

/// Compares the committed folder with what the database says, and changes nothing.
///
/// # Errors
/// If a file differs, is missing or is stale: the message names every such file.
pub(crate) fn check() -> anyhow::Result<()> {
    let fresh = describe()?;
    let committed = folder::read(&folder::workspace()?.join(DATA_FOLDER))?;
    let lines: Vec<String> = folder::differences(DATA_FOLDER, &fresh)?
        .into_iter()
        .map(|(name, wrong)| {
            let content = fresh.get(&name).or_else(|| committed.get(&name));
            format!("{DATA_FOLDER}/{name} {wrong}: {}", content.map(|content| statement(content)).unwrap_or_default())
        })
        .collect();
    ensure!(lines.is_empty(), "{}\n{REGENERATE}", lines.join("\n"));
    Ok(())
}

/// What the database says about each statement, one file each.
fn describe() -> anyhow::Result<Files> {
    let workspace = folder::workspace()?;
    let database = ScratchDatabase::create()?;
    // Sorted by name, which starts with the number.
    let migrations = workspace.join("migrations");
    for name in folder::read(&migrations)?.keys().filter(|name| name.ends_with(".sql")) {
        database.apply(&migrations.join(name)).with_context(|| format!("apply migrations/{name}"))?;
    }
    let answers = tempfile::tempdir_in(folder::target()?).context("create a temporary folder")?;
    // The library alone: statements stand nowhere else, and tests under way cannot get in the way.
    // They are read while the crate is compiled, which cargo leaves out when no source is newer. Its dependencies are
    // those of every other check, so they are built once for all. Run no other build beside this one.
    let root = folder::workspace()?.join("server/src/lib.rs");
    File::options().append(true).open(&root).and_then(|file| file.set_modified(SystemTime::now()))?;
    let status = cargo()
        .args(["check", "--quiet", "--locked", "--package", CRATE, "--lib"])
        .current_dir(&workspace)
        .env("SQLX_OFFLINE", "false")
        .env("SQLX_OFFLINE_DIR", answers.path())
        .env("DATABASE_URL", database.url())
        .status()
        .context("run cargo")?;
    ensure!(status.success(), "the statements in server/sql do not fit the schema in migrations");
    let files = folder::read(answers.path())?;
    ensure!(!files.is_empty(), "no statement of {CRATE} was read");
    Ok(files)
}

/// The first line of the statement that a file is about, because its name is a number.
fn statement(content: &[u8]) -> String {
    let content: serde_json::Value = serde_json::from_slice(content).unwrap_or_default();
    let query = content.get("query").and_then(serde_json::Value::as_str).unwrap_or("not a statement");
    query.trim().lines().next().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_known_by_its_statement() {
        assert_eq!(statement(br#"{"query": "\nSELECT 1\nFROM a", "hash": "2"}"#), "SELECT 1");
        assert_eq!(statement(b"{"), "not a statement");
    }
}
