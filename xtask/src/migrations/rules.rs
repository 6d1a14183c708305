//! What a migration may do while replicas of the release before go on working on the same tables.

use std::collections::BTreeSet;

use super::script::{STRING, Statement};

/// Why a statement needs a second thought.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Finding {
    /// Name of the rule, by which a comment allows it.
    pub(super) rule: &'static str,
    /// What happens.
    pub(super) why: &'static str,
    /// Whether a program that does not know the migration stops working: only a contracting migration may do that.
    pub(super) breaks_older: bool,
}

const fn breaks(rule: &'static str, why: &'static str) -> Finding {
    Finding { rule, why, breaks_older: true }
}

const fn costs(rule: &'static str, why: &'static str) -> Finding {
    Finding { rule, why, breaks_older: false }
}

const DROP: Finding = breaks("drop", "an older program still uses what is dropped");
const RENAME: Finding = breaks("rename", "an older program still uses the old name");
const TYPE: Finding =
    breaks("type", "an older program cannot read the new type, and the table is rewritten under a lock");
const NOT_NULL: Finding = breaks("not-null", "an older program does not fill the column: give it a default");
const NULLABLE: Finding = breaks("nullable", "an older program cannot read NULL there");
const NO_DEFAULT: Finding = breaks("no-default", "an older program counts on the default");
const CONSTRAINT: Finding =
    breaks("constraint", "an older program may write what is refused, and rows are checked under a lock");
const REVOKE: Finding = breaks("revoke", "an older program loses what it is allowed to do");
const ROW_SECURITY: Finding = costs("row-security", "an older program that names no tenant may see no rows");
const REWRITE: Finding = costs("rewrite", "the table is rewritten under a lock that stops all calls");
const INDEX: Finding =
    costs("index", "writers wait until the index is built: make it CONCURRENTLY, in a file of its own");
const INDEX_DROP: Finding = costs("index-drop", "a statement may count on the index, by its plan or in ON CONFLICT");
const REPLACED: Finding = costs("replaced", "what is dropped and made again is locked until the commit");
const ROWS: Finding = costs("rows", "rows of a table in use are written and stay locked until the commit");
const TRIGGER: Finding = costs("trigger", "the schema has no triggers, so that it can be distributed");
const PARTITION: Finding = costs("partition", "the table is locked, and perhaps read from end to end");
const MAINTENANCE: Finding = costs("maintenance", "the table is locked against everybody");
const BLOCK: Finding = costs("block", "what is done in code cannot be seen by these rules");
/// Postgres builds an index beside its writers only outside a transaction, so nothing else may stand in the file.
const NOT_ALONE: Finding =
    breaks("concurrently", "CONCURRENTLY needs `-- no-transaction` as the first line and a file of its own");

/// What is found in a migration, by statement.
pub(super) fn findings(statements: &[Statement], no_transaction: bool) -> Vec<(&Statement, Vec<Finding>)> {
    let created = names_after(statements, "CREATE");
    statements
        .iter()
        .map(|statement| {
            let alone = no_transaction && statements.len() == 1;
            (statement, of_statement(&words(statement), &created, alone))
        })
        .collect()
}

fn words(statement: &Statement) -> Vec<&str> {
    // Words that change nothing about what is done to whom.
    let quiet = |word: &&str| !matches!(*word, "ONLY");
    let mut words: Vec<&str> = statement.words.iter().map(String::as_str).filter(quiet).collect();
    for phrase in [&["IF", "NOT", "EXISTS"][..], &["IF", "EXISTS"], &["OR", "REPLACE"]] {
        while let Some(start) = words.windows(phrase.len()).position(|window| window == phrase) {
            words.drain(start..start.saturating_add(phrase.len()));
        }
    }
    words
}

/// Kinds and names of what the script makes: nobody uses it yet.
fn names_after(statements: &[Statement], verb: &str) -> BTreeSet<(String, String)> {
    let mut names = BTreeSet::new();
    for statement in statements {
        if let [first, kind, name, ..] = words(statement).as_slice()
            && *first == verb
        {
            names.insert(((*kind).to_owned(), (*name).to_owned()));
        }
    }
    names
}

fn of_statement(words: &[&str], created: &BTreeSet<(String, String)>, alone: bool) -> Vec<Finding> {
    let is_new = |kind: &str, name: &str| created.contains(&(kind.to_owned(), name.to_owned()));
    match words {
        ["ALTER", "TABLE", name, actions @ ..] if !is_new("TABLE", name) => {
            actions_of(actions).into_iter().flat_map(of_action).collect()
        }
        ["ALTER", "TABLE", ..] => Vec::new(),
        ["ALTER", _, _, "RENAME", ..] => vec![RENAME],
        ["DROP", "INDEX", ..] => vec![INDEX_DROP],
        ["DROP", "TABLE", name, ..] if is_new("TABLE", name) => Vec::new(),
        ["DROP", kind @ ("VIEW" | "FUNCTION" | "TRIGGER" | "POLICY"), name, ..] if is_new(kind, name) => vec![REPLACED],
        ["DROP", ..] => vec![DROP],
        ["CREATE", "TRIGGER", ..] => vec![TRIGGER],
        ["CREATE", "UNIQUE", "INDEX", rest @ ..] => of_index(rest, true, alone, &is_new),
        ["CREATE", "INDEX", rest @ ..] => of_index(rest, false, alone, &is_new),
        ["UPDATE", name, ..]
        | ["DELETE", "FROM", name, ..]
        | ["TRUNCATE", "TABLE", name, ..]
        | ["TRUNCATE", name, ..]
            if !is_new("TABLE", name) =>
        {
            vec![ROWS]
        }
        ["LOCK" | "CLUSTER" | "REINDEX" | "VACUUM", ..] => vec![MAINTENANCE],
        ["REVOKE", ..] => vec![REVOKE],
        ["DO", ..] => vec![BLOCK],
        _ => Vec::new(),
    }
}

fn of_index(rest: &[&str], unique: bool, alone: bool, is_new: &impl Fn(&str, &str) -> bool) -> Vec<Finding> {
    let on = rest.iter().position(|word| *word == "ON");
    let table = on.and_then(|on| rest.get(on.saturating_add(1)));
    if table.is_some_and(|table| is_new("TABLE", table)) {
        return Vec::new();
    }
    let mut findings = Vec::new();
    match rest.first() {
        Some(&"CONCURRENTLY") if alone => {}
        Some(&"CONCURRENTLY") => findings.push(NOT_ALONE),
        _ => findings.push(INDEX),
    }
    findings.extend(unique.then_some(CONSTRAINT));
    findings
}

/// The actions of ALTER TABLE: what its commas part that stand in no brackets.
fn actions_of<'a>(words: &'a [&'a str]) -> Vec<&'a [&'a str]> {
    let mut depth = 0_usize;
    let is_end = |word: &&str| {
        match *word {
            "(" => depth = depth.saturating_add(1),
            ")" => depth = depth.saturating_sub(1),
            _ => {}
        }
        *word == "," && depth == 0
    };
    words.split(is_end).collect()
}

fn of_action(action: &[&str]) -> Vec<Finding> {
    match action {
        ["RENAME", ..] => vec![RENAME],
        ["DROP", "CONSTRAINT", ..] => vec![CONSTRAINT],
        ["DROP", ..] => vec![DROP],
        ["ALTER", "CONSTRAINT", ..] => vec![CONSTRAINT],
        ["ALTER", "COLUMN", _, change @ ..] | ["ALTER", _, change @ ..] => of_column_change(change),
        ["ADD", "CONSTRAINT" | "PRIMARY" | "UNIQUE" | "CHECK" | "FOREIGN" | "EXCLUDE", ..] => vec![CONSTRAINT],
        ["ADD", "COLUMN", _, column @ ..] | ["ADD", _, column @ ..] => of_new_column(column),
        ["SET", "LOGGED" | "UNLOGGED" | "TABLESPACE" | "ACCESS", ..] => vec![REWRITE],
        ["ENABLE" | "FORCE", "ROW", ..] => vec![ROW_SECURITY],
        ["ENABLE", ..] => vec![TRIGGER],
        ["ATTACH" | "DETACH", ..] => vec![PARTITION],
        ["VALIDATE", ..] => vec![PARTITION],
        _ => Vec::new(),
    }
}

fn of_column_change(change: &[&str]) -> Vec<Finding> {
    match change {
        ["TYPE", ..] | ["SET", "DATA", ..] => vec![TYPE],
        ["SET", "NOT", "NULL"] => vec![NOT_NULL],
        ["DROP", "NOT", "NULL"] => vec![NULLABLE],
        ["DROP", "DEFAULT" | "IDENTITY" | "EXPRESSION"] => vec![NO_DEFAULT],
        _ => Vec::new(),
    }
}

fn of_new_column(column: &[&str]) -> Vec<Finding> {
    let has = |phrase: &[&str]| column.windows(phrase.len()).any(|window| window == phrase);
    let is_generated = has(&["GENERATED"]) || column.first().is_some_and(|kind| kind.ends_with("SERIAL"));
    let default = column.iter().position(|word| *word == "DEFAULT").and_then(|start| column.get(start..));
    let mut findings = Vec::new();
    if has(&["NOT", "NULL"]) && default.is_none() && !is_generated {
        findings.push(NOT_NULL);
    }
    // A constant is kept once for all rows; what is computed is computed for each of them.
    if is_generated || default.is_some_and(is_computed) {
        findings.push(REWRITE);
    }
    if has(&["UNIQUE"]) || has(&["PRIMARY", "KEY"]) || has(&["REFERENCES"]) || has(&["CHECK"]) {
        findings.push(CONSTRAINT);
    }
    findings
}

/// Whether a default calls a function, other than the time of the transaction.
fn is_computed(default: &[&str]) -> bool {
    let until_check = default.split(|word| *word == "CHECK").next().unwrap_or_default();
    until_check.windows(2).any(|pair| matches!(pair, [name, "("] if is_function(name)))
}

fn is_function(name: &str) -> bool {
    let is_type_with_bounds = ["NUMERIC", "VARCHAR", "CHAR", "BIT"].contains(&name);
    name != STRING && !is_type_with_bounds && !matches!(name, "NOW" | "DEFAULT" | "(")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::migrations::script::statements;

    fn rules(script: &str) -> Vec<&'static str> {
        let statements = statements(script);
        let found = findings(&statements, script.starts_with("-- no-transaction"));
        found.into_iter().flat_map(|(_, findings)| findings).map(|finding| finding.rule).collect()
    }

    #[test]
    fn what_expands_is_free() {
        for script in [
            "CREATE TABLE a (id integer NOT NULL UNIQUE); CREATE UNIQUE INDEX a_id ON a (id); ALTER TABLE a DROP COLUMN id",
            "ALTER TABLE old ADD COLUMN x numeric(28,12), ADD COLUMN y text COLLATE \"C\" NOT NULL DEFAULT ''",
            "ALTER TABLE old ADD COLUMN IF NOT EXISTS made timestamptz NOT NULL DEFAULT now()",
            "ALTER TABLE old SET (fillfactor = 70); CREATE OR REPLACE VIEW v AS SELECT 1; GRANT SELECT ON old TO reader",
            "-- no-transaction\nCREATE INDEX CONCURRENTLY old_x ON old (x)",
            "INSERT INTO setting VALUES ('DROP TABLE old; UPDATE old SET x = 1')",
        ] {
            assert_eq!(rules(script), Vec::<&str>::new(), "{script}");
        }
    }

    #[test]
    fn what_breaks_or_stops_others_is_found() {
        for (script, expected) in [
            ("ALTER TABLE old DROP COLUMN x", vec!["drop"]),
            ("ALTER TABLE IF EXISTS ONLY old DROP x", vec!["drop"]),
            ("DROP TABLE old", vec!["drop"]),
            ("DROP VIEW v; CREATE VIEW v AS SELECT 1", vec!["replaced"]),
            ("ALTER TABLE old RENAME TO older", vec!["rename"]),
            ("ALTER TABLE old RENAME COLUMN x TO y", vec!["rename"]),
            ("ALTER VIEW v RENAME TO w", vec!["rename"]),
            ("ALTER TABLE old ALTER COLUMN x TYPE bigint, ALTER y SET NOT NULL", vec!["type", "not-null"]),
            ("ALTER TABLE old ALTER x DROP NOT NULL, ALTER x DROP DEFAULT", vec!["nullable", "no-default"]),
            ("ALTER TABLE old ADD COLUMN x integer NOT NULL", vec!["not-null"]),
            ("ALTER TABLE old ADD x uuid DEFAULT gen_random_uuid()", vec!["rewrite"]),
            ("ALTER TABLE old ADD x bigserial", vec!["rewrite"]),
            ("ALTER TABLE old ADD x integer CHECK (x > 0)", vec!["constraint"]),
            ("ALTER TABLE old ADD CHECK (x > 0), DROP CONSTRAINT y", vec!["constraint", "constraint"]),
            ("ALTER TABLE old FORCE ROW LEVEL SECURITY", vec!["row-security"]),
            ("ALTER TABLE old SET UNLOGGED", vec!["rewrite"]),
            ("CREATE INDEX old_x ON old (x)", vec!["index"]),
            ("CREATE UNIQUE INDEX CONCURRENTLY old_x ON old (x)", vec!["concurrently", "constraint"]),
            ("-- no-transaction\nCREATE INDEX CONCURRENTLY a ON old (x); SELECT 1", vec!["concurrently"]),
            ("DROP INDEX old_x", vec!["index-drop"]),
            ("UPDATE old SET x = 1; DELETE FROM old; TRUNCATE old", vec!["rows", "rows", "rows"]),
            ("CREATE TRIGGER t BEFORE INSERT ON old EXECUTE FUNCTION f()", vec!["trigger"]),
            ("DO $$ BEGIN DROP TABLE old; END $$", vec!["block"]),
            ("REVOKE SELECT ON old FROM reader; LOCK TABLE old", vec!["revoke", "maintenance"]),
        ] {
            assert_eq!(rules(script), expected, "{script}");
        }
    }
}
