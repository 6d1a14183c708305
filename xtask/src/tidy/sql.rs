//! Rules about the statements in `server/sql`.

use std::collections::BTreeSet;

use super::source::Source;
use super::unneeded;

/// Folder of the statements; a macro names them relative to the crate.
const CRATE_FOLDER: &str = "server/";
const STATEMENTS: &str = "server/sql/";
/// Folder of the schema.
const MIGRATIONS: &str = "migrations/";
/// Column that every tenant's row has.
const TENANT_COLUMN: &str = "tenant_id";
/// What a statement's tables follow.
const BEFORE_TABLES: [&str; 4] = ["FROM", "INTO", "JOIN", "UPDATE"];
/// What a migration's tables and views follow.
const BEFORE_NEW_TABLES: [&str; 2] = ["TABLE", "VIEW"];

/// Statements that touch no tenant's rows, and what they touch.
const WITHOUT_TENANT: [&str; 15] = [
    // A notification; its payload names the tenant.
    "server/sql/live/send_touches.sql",
    // The settings of the transaction.
    "server/sql/audit/bound_time.sql",
    // The lock of one tenant's audit, by its number.
    "server/sql/audit/lock.sql",
    // An advisory lock.
    "server/sql/tasks/lock_partitions.sql",
    // The lock under which tenants are numbered.
    "server/sql/credential/lock_tenants.sql",
    // The lock of one tenant's budgets, by its number.
    "server/sql/ledger/lock_budgets.sql",
    // The locks of budgets, by their numbers.
    "server/sql/budget_period/lock.sql",
    // The catalog of tables.
    "server/sql/tasks/partitions.sql",
    // The settings of the server.
    "server/sql/tasks/settings.sql",
    // The settings of the server, again for an examination.
    "server/sql/doctor/settings.sql",
    // The clock.
    "server/sql/doctor/clock.sql",
    // A number, there and back.
    "server/sql/doctor/echo.sql",
    // A number, there and back.
    "server/sql/doctor/negate.sql",
    // A notification without content.
    "server/sql/doctor/notify.sql",
    // The catalog of roles.
    "server/sql/tasks/tenant_role.sql",
];

/// Statements that no source file uses, or more than one: each belongs to one file of `server/src/store`.
pub(super) fn unused_or_shared(sources: &[Source]) -> Vec<String> {
    let mut findings = Vec::new();
    for statement in statements(sources) {
        let name = format!("\"{}\"", statement.path.trim_start_matches(CRATE_FOLDER));
        let users: Vec<&str> = sources
            .iter()
            .filter(|source| source.ends_with(".rs") && source.path.starts_with(CRATE_FOLDER))
            .filter(|source| source.text.contains(&name))
            .map(|source| source.path.as_str())
            .collect();
        match users.as_slice() {
            [] => findings.push(format!("{}: nothing uses it: remove it", statement.path)),
            [_] => {}
            several => {
                findings.push(format!("{}: belongs to one file, used by {}", statement.path, several.join(", ")));
            }
        }
    }
    findings
}

/// Statements that do not name the tenant.
pub(super) fn without_tenant(sources: &[Source]) -> Vec<String> {
    let without: Vec<&str> = statements(sources)
        .filter(|statement| !names_tenant(statement))
        .map(|statement| statement.path.as_str())
        .collect();
    let mut findings = unneeded("every statement names its tenant", WITHOUT_TENANT, |path| without.contains(&path));
    findings.extend(
        without
            .iter()
            .filter(|path| !WITHOUT_TENANT.contains(path))
            .map(|path| format!("{path}: name {TENANT_COLUMN}, so that no tenant sees another's rows")),
    );
    findings
}

/// Statements that look at more tables than they name tenants for: a table that is joined without its tenant shows every tenant's
/// rows to whoever is not confined.
pub(super) fn tables_without_tenant(sources: &[Source]) -> Vec<String> {
    let tables: BTreeSet<String> = sources
        .iter()
        .filter(|source| source.path.starts_with(MIGRATIONS))
        .flat_map(|source| names_behind(source, &BEFORE_NEW_TABLES))
        .collect();
    statements(sources)
        .filter_map(|statement| {
            let used = names_behind(statement, &BEFORE_TABLES).into_iter().filter(|name| tables.contains(name)).count();
            let named = words(statement).into_iter().filter(|word| word == TENANT_COLUMN).count();
            (used > named).then(|| {
                format!("{}: names {TENANT_COLUMN} {named} times for {used} tables: name it for each", statement.path)
            })
        })
        .collect()
}

/// The words that follow one of these.
fn names_behind(source: &Source, before: &[&str]) -> Vec<String> {
    let words = words(source);
    let pairs = words.iter().zip(words.iter().skip(1));
    pairs.filter(|(first, _)| before.contains(&first.as_str())).map(|(_, name)| name.clone()).collect()
}

/// Names and keywords, without comments.
fn words(source: &Source) -> Vec<String> {
    let is_part = |character: char| character.is_alphanumeric() || character == '_';
    let lines = source.code_lines().map(|(_, line)| line.split("--").next().unwrap_or_default());
    let words = lines.flat_map(|line| line.split(move |character| !is_part(character)));
    words.filter(|word| !word.is_empty()).map(str::to_owned).collect()
}

fn statements(sources: &[Source]) -> impl Iterator<Item = &Source> {
    sources.iter().filter(|source| source.path.starts_with(STATEMENTS) && source.ends_with(".sql"))
}

fn names_tenant(statement: &Source) -> bool {
    statement.code_lines().any(|(_, line)| line.contains(TENANT_COLUMN))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tidy::source::source;

    #[test]
    fn a_statement_belongs_to_exactly_one_file() {
        let statements = ["none", "one", "two"].map(|name| source(&format!("server/sql/a/{name}.sql"), "SELECT 1"));
        let uses =
            |names: &[&str]| names.iter().map(|name| format!("query!(\"sql/a/{name}.sql\")\n")).collect::<String>();
        let mut sources = statements.to_vec();
        sources.push(source("server/src/store/a.rs", &uses(&["one", "one", "two"])));
        sources.push(source("server/src/store/b.rs", &uses(&["two"])));
        let findings = unused_or_shared(&sources);
        assert_eq!(findings.len(), 2, "{findings:?}");
        assert!(findings[0].starts_with("server/sql/a/none.sql: nothing"));
        assert!(findings[1].ends_with("used by server/src/store/a.rs, server/src/store/b.rs"));
    }

    #[test]
    fn every_table_of_a_statement_has_its_tenant() {
        let schema = source("migrations/0001_a.sql", "CREATE TABLE event (a int);\nCREATE VIEW wide AS SELECT 1");
        let findings = |text: &str| tables_without_tenant(&[schema.clone(), source("server/sql/a/b.sql", text)]);
        assert_eq!(findings("SELECT 1 FROM unnest($1) AS id JOIN event ON event.tenant_id = $2").len(), 0);
        assert_eq!(findings("SELECT 1 FROM wide JOIN event USING (id) WHERE wide.tenant_id = $1").len(), 1);
        assert_eq!(findings("UPDATE event SET a = 1 -- tenant_id").len(), 1);
        assert_eq!(findings("INSERT INTO event (tenant_id, a) VALUES ($1, $2)").len(), 0);
    }

    #[test]
    fn a_comment_does_not_name_the_tenant() {
        let findings = without_tenant(&[
            source("server/sql/a/comment.sql", "-- of one tenant_id\nSELECT 1 FROM usage_event"),
            source("server/sql/a/named.sql", "SELECT 1 FROM usage_event\nWHERE tenant_id = $1"),
        ]);
        let broken: Vec<_> = findings.iter().filter(|finding| finding.starts_with("server/sql/a/")).collect();
        assert_eq!(broken.len(), 1, "{findings:?}");
        assert!(broken[0].starts_with("server/sql/a/comment.sql"));
    }
}
