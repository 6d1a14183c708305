//! Every statement of the hot path, of summaries and of lists is planned with the index that it was written for.
//!
//! The tables are filled as after months of use and analysed; what the planner then chooses is compared with what is listed
//! for each file of `server/sql`. Whoever writes a statement, lists what it reads; whoever drops an index, sees who needs it.

mod budgets;
mod database;
mod ledger;
mod plan;
mod reading;
mod schema;
mod statement;
mod upkeep;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use self::database::{Filled, Reader};
use self::statement::{Case, Statement};

/// Folders of `server/sql` whose statements are all listed. The others read whole tables by intent (`audit`, `rebuild`), or
/// tables that stay small (`credential`, `price`, `tasks`), or none (`live`).
const FOLDERS: [&str; 11] = [
    "alert",
    "budget",
    "budget_backfill",
    "budget_override",
    "budget_period",
    "dictionary",
    "ledger",
    "reservation",
    "retention",
    "summary",
    "usage",
];

/// Tables that grow with usage: a case that reads one of them whole has to say that it is asked seldom.
const LARGE: [&str; 14] = [
    "usage_event",
    "usage_adjustment",
    "session_usage",
    "usage_rollup",
    "user_rollup",
    "reservation",
    "budget_window",
    "symbol",
    "shape",
    "price_sheet",
    "external_key",
    "alert",
    "alert_delivery",
    "adjustment_request",
];

fn statements() -> Vec<Statement> {
    [ledger::statements(), budgets::statements(), reading::statements(), upkeep::statements()].concat()
}

fn folder_of_statements() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("sql")
}

#[test]
fn every_statement_of_these_folders_is_listed_once() {
    let mut files = Vec::new();
    for folder in FOLDERS {
        for entry in std::fs::read_dir(folder_of_statements().join(folder)).unwrap() {
            files.push(format!("{folder}/{}", entry.unwrap().file_name().to_str().unwrap()));
        }
    }
    let mut listed: Vec<String> = statements().iter().map(|statement| statement.file.to_owned()).collect();
    files.sort_unstable();
    listed.sort_unstable();
    assert_eq!(listed, files, "list each statement once in tests/integration/plans, with what it reads");
}

#[tokio::test]
async fn every_statement_uses_the_index_it_was_written_for() {
    let mut filled = Filled::connect().await;
    let mut findings = Vec::new();
    for statement in statements() {
        filled.prepare(&statement).await;
        for case in &statement.cases {
            findings.extend(differences(&mut filled, &statement, case, Reader::Owner).await);
        }
    }
    assert!(findings.is_empty(), "{}", findings.join("\n"));
}

/// A policy is looked at before whatever might tell of a row: a condition that Postgres does not trust finds no index any more.
#[tokio::test]
async fn a_statement_that_is_confined_to_a_tenant_uses_the_same_indexes() {
    let mut filled = Filled::connect().await;
    let mut confined = 0;
    let mut findings = Vec::new();
    for statement in statements() {
        filled.prepare(&statement).await;
        filled.become_reader(Reader::Tenant).await;
        for case in &statement.cases {
            if filled.may_run(&statement, case).await {
                confined += 1;
                findings.extend(differences(&mut filled, &statement, case, Reader::Tenant).await);
            }
        }
        filled.become_reader(Reader::Owner).await;
    }
    assert!(findings.is_empty(), "{}", findings.join("\n"));
    assert!(confined > 50, "only {confined} cases may be run as a tenant");
}

#[tokio::test]
async fn a_statement_without_its_index_is_found() {
    let mut filled = Filled::connect().await;
    filled.execute("BEGIN; DROP INDEX reservation_expiring").await;
    let expired = statements().into_iter().find(|statement| statement.file == "reservation/expired.sql").unwrap();
    filled.prepare(&expired).await;
    let findings = differences(&mut filled, &expired, &expired.cases[0], Reader::Owner).await;
    filled.execute("ROLLBACK").await;
    assert!(findings.iter().any(|finding| finding.contains("reads")), "{findings:?}");
}

/// How a plan differs from what is listed.
async fn differences(filled: &mut Filled, statement: &Statement, case: &Case, reader: Reader) -> Vec<String> {
    let plan = filled.plan(statement, case).await;
    let reads = plan.reads(&filled.schema);
    let listed = case.confined_reads.as_ref().filter(|_| reader == Reader::Tenant).unwrap_or(&case.reads);
    let listed: BTreeSet<String> = listed.iter().map(|read| (*read).to_owned()).collect();
    let mut findings = Vec::new();
    if reads != listed {
        findings.push(format!("reads {reads:?}, listed are {listed:?}"));
    }
    for table in plan.tables_read_whole(&filled.schema) {
        if LARGE.contains(&table.as_str()) && !case.seldom {
            findings.push(format!("reads all of {table}, which is large"));
        }
    }
    if case.in_order && plan.sorts_everything() {
        findings.push("sorts all rows, where an index has them in order".to_owned());
    }
    if let Some(expected) = case.partitions {
        let partitions = filled.partitions_read(statement, case).await;
        if partitions.len() != expected {
            findings.push(format!("reads the partitions {partitions:?}, where {expected} would do"));
        }
    }
    findings.into_iter().map(|finding| format!("{} ({}): {finding}", statement.file, case.what)).collect()
}
