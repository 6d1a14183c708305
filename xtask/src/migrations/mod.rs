//! Rules of the schema: a released migration is never edited, and a new one leaves the release before it working.
//!
//! Replicas are upgraded one after the other, so that for a while two releases serve one database. A migration **expands**: it
//! adds what an older program does not look at. What an older program uses is taken away by a **contracting** migration of a later
//! release, whose name says which migration a program has to know to go on working: `0030_contract_0021_old_totals.sql`. The server
//! reads that name from the database (`server/src/store/migrations.rs`).

mod rules;
mod script;

use std::{collections::BTreeMap, fmt::Write as _, fs, path::Path};

use anyhow::{Context as _, ensure};
use sha2::{Digest as _, Sha256};

use self::rules::Finding;
use self::script::Statement;
use crate::folder;

/// Folder of the migrations, relative to the workspace.
const FOLDER: &str = "migrations";
/// The released migrations with their checksums, as `sha256sum --check` reads them.
const RELEASED: &str = "released.sha256";
/// First line of a migration that runs outside a transaction.
const NO_TRANSACTION: &str = "-- no-transaction";
/// How a comment begins that allows a statement what a rule forbids: `-- allow RULE: REASON`.
const ALLOW: &str = "allow ";
/// A reason has more than a word.
const SHORTEST_REASON: usize = 20;

/// Checksums of the released migrations, by name.
type Released = BTreeMap<String, String>;

/// Writes the checksums of all migrations: from now on none of them changes. Part of a release.
///
/// # Errors
/// If a rule is broken, or a file cannot be read or written.
pub(crate) fn release() -> anyhow::Result<()> {
    check()?;
    let folder = folder::workspace()?.join(FOLDER);
    let mut lines = String::new();
    for (name, text) in migrations(&folder)? {
        writeln!(lines, "{}  {name}", checksum(&text))?;
    }
    fs::write(folder.join(RELEASED), lines).context("write the checksums")
}

/// Checks every migration, and changes nothing.
///
/// # Errors
/// If a rule is broken: the message names every finding. If a file cannot be read.
pub(crate) fn check() -> anyhow::Result<()> {
    let folder = folder::workspace()?.join(FOLDER);
    let released = fs::read_to_string(folder.join(RELEASED)).context("read the checksums of released migrations")?;
    let findings = findings(&migrations(&folder)?, &parse(&released)?);
    ensure!(findings.is_empty(), "{}", findings.join("\n"));
    Ok(())
}

fn migrations(folder: &Path) -> anyhow::Result<BTreeMap<String, String>> {
    let files = folder::read(folder)?.into_iter().filter(|(name, _)| name.ends_with(".sql"));
    files.map(|(name, content)| Ok((name, String::from_utf8(content)?))).collect()
}

fn checksum(text: &str) -> String {
    Sha256::digest(text.as_bytes()).iter().fold(String::new(), |hex, byte| hex + &format!("{byte:02x}"))
}

fn parse(released: &str) -> anyhow::Result<Released> {
    let lines = released.lines().map(|line| line.split_once("  ").context("a line of checksums is broken"));
    lines.map(|line| line.map(|(checksum, name)| (name.to_owned(), checksum.to_owned()))).collect()
}

fn findings(migrations: &BTreeMap<String, String>, released: &Released) -> Vec<String> {
    let newest = released.keys().filter_map(|name| number(name)).max().unwrap_or(0);
    let mut findings: Vec<String> = released
        .keys()
        .filter(|name| !migrations.contains_key(*name))
        .map(|name| format!("{FOLDER}/{name}: was released and is gone: bring it back"))
        .collect();
    let mut numbers = BTreeMap::new();
    for (name, text) in migrations {
        let Some(number) = number(name) else {
            findings.push(format!("{FOLDER}/{name}: begin the name with four digits and `_`"));
            continue;
        };
        if let Some(other) = numbers.insert(number, name) {
            findings.push(format!("{FOLDER}/{name}: has the number of {other}"));
        }
        match released.get(name) {
            Some(expected) if *expected != checksum(text) => {
                findings.push(format!("{FOLDER}/{name}: was released and is edited: undo that, and add a migration"));
            }
            Some(_) => {}
            None if number <= newest => {
                findings
                    .push(format!("{FOLDER}/{name}: give it a number above {newest:04}, the newest that was released"));
            }
            None => findings.extend(of_migration(name, number, text)),
        }
    }
    findings
}

fn number(name: &str) -> Option<u32> {
    let (number, rest) = name.split_once('_')?;
    (number.len() == 4 && !rest.is_empty()).then(|| number.parse().ok())?
}

/// Which migration a program has to know to go on working after this one, where its name says so.
fn contracts_to(name: &str) -> Option<Result<u32, ()>> {
    let rest = name.split_once("_contract_")?.1;
    Some(rest.split('_').next().and_then(|number| number.parse().ok()).ok_or(()))
}

fn of_migration(name: &str, number: u32, text: &str) -> Vec<String> {
    let contracts = contracts_to(name);
    let mut findings = Vec::new();
    if let Some(needed) = contracts
        && !needed.is_ok_and(|needed| needed < number)
    {
        findings.push(format!(
            "{FOLDER}/{name}: name the earlier migration that a program must know: NNNN_contract_MMMM_…"
        ));
    }
    let statements = script::statements(text);
    for (statement, found) in rules::findings(&statements, text.starts_with(NO_TRANSACTION)) {
        let place = format!("{FOLDER}/{name}:{}", statement.line);
        findings.extend(of_statement(&place, statement, &found, contracts.is_some()));
    }
    findings
}

fn of_statement(place: &str, statement: &Statement, found: &[Finding], contracting: bool) -> Vec<String> {
    let allowed: Vec<(&str, &str)> =
        statement.comments.iter().filter_map(|comment| comment.strip_prefix(ALLOW)?.split_once(": ")).collect();
    let reason = |rule: &str| allowed.iter().find(|(name, _)| *name == rule).map(|(_, reason)| reason.len());
    let mut findings = Vec::new();
    for Finding { rule, why, breaks_older } in found {
        let has_reason = reason(rule).is_some_and(|length| length >= SHORTEST_REASON);
        match (*breaks_older, contracting) {
            (true, false) => findings.push(format!(
                "{place}: {rule}: {why}: expand now, and contract in a later release, in a file NNNN_contract_MMMM_…"
            )),
            _ if !has_reason => {
                findings.push(format!("{place}: {rule}: {why}: or say why not, with `-- {ALLOW}{rule}: REASON`"));
            }
            _ => {}
        }
    }
    let unneeded = allowed.iter().filter(|(name, _)| !found.iter().any(|finding| finding.rule == *name));
    findings.extend(unneeded.map(|(name, _)| format!("{place}: nothing needs `{ALLOW}{name}`: remove it")));
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(migrations: &[(&str, &str)], released: &[(&str, &str)]) -> Vec<String> {
        let owned = |(name, text): &(&str, &str)| ((*name).to_owned(), (*text).to_owned());
        let released: Released = released.iter().map(|(name, text)| ((*name).to_owned(), checksum(text))).collect();
        findings(&migrations.iter().map(owned).collect(), &released)
    }

    #[test]
    fn a_released_migration_stays_as_it_is() {
        let released = [("0001_a.sql", "SELECT 1"), ("0003_c.sql", "SELECT 3")];
        assert_eq!(found(&released, &released), Vec::<String>::new());
        let edited = found(&[("0001_a.sql", "SELECT 2"), ("0003_c.sql", "SELECT 3")], &released);
        assert!(matches!(edited.as_slice(), [edited] if edited.contains("0001_a.sql: was released and is edited")));
        let gone = found(&released[1..], &released);
        assert!(matches!(gone.as_slice(), [gone] if gone.contains("0001_a.sql: was released and is gone")));
        let late = [("0001_a.sql", "SELECT 1"), ("0002_b.sql", "SELECT 2"), ("0003_c.sql", "SELECT 3")];
        assert!(matches!(found(&late, &released).as_slice(), [late] if late.contains("above 0003")));
    }

    #[test]
    fn numbers_are_given_once() {
        let names = [("0001_a.sql", ""), ("0001_b.sql", ""), ("1_c.sql", "")];
        let found = found(&names, &[]);
        assert_eq!(found.len(), 2, "{found:?}");
    }

    #[test]
    fn what_breaks_an_older_program_needs_a_contracting_name_and_a_reason() {
        let bare = "ALTER TABLE old DROP COLUMN x;";
        let reasoned = "-- allow drop: nothing has read it since migration 21\nALTER TABLE old DROP COLUMN x;";
        assert_eq!(found(&[("0030_less.sql", reasoned)], &[]).len(), 1);
        assert_eq!(found(&[("0030_contract_0021_less.sql", bare)], &[]).len(), 1);
        assert_eq!(found(&[("0030_contract_0021_less.sql", reasoned)], &[]), Vec::<String>::new());
        assert_eq!(found(&[("0030_contract_0030_less.sql", reasoned)], &[]).len(), 1);
        assert_eq!(found(&[("0030_contract_less.sql", reasoned)], &[]).len(), 1);
    }

    #[test]
    fn what_costs_needs_a_reason_and_a_reason_needs_a_cost() {
        let index = "CREATE INDEX old_x ON old (x);";
        let reason = "-- allow index: a tenant has at most a few hundred rows of it\n";
        assert_eq!(found(&[("0030_more.sql", index)], &[]).len(), 1);
        assert_eq!(found(&[("0030_more.sql", &format!("-- allow index: so\n{index}"))], &[]).len(), 1);
        assert_eq!(found(&[("0030_more.sql", &format!("{reason}{index}"))], &[]), Vec::<String>::new());
        let unneeded = found(&[("0030_more.sql", &format!("{reason}SELECT 1;"))], &[]);
        assert!(matches!(unneeded.as_slice(), [unneeded] if unneeded.contains("remove it")), "{unneeded:?}");
    }
}
