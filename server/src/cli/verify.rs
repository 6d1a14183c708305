//! `tollgate verify`: audits every tenant and shows each figure on both sides.

use std::io::{self, Write};

use clap::Args;
use comfy_table::Table;
use serde::Serialize;
use sqlx::PgPool;
use thiserror::Error;

use crate::app::AppError;
use crate::app::audit::{AuditReport, Check, audit, tenants};
use crate::store::audit::{Example, LedgerTotals};
use crate::store::dictionary::Dictionary;

/// Differences of one row that are shown; JSON has all of them.
const DIFFERENCES_SHOWN: usize = 6;

/// Options of `tollgate verify`.
#[derive(Debug, Clone, Default, Args)]
pub struct VerifyArguments {
    /// Print JSON: one object per tenant, in an array
    #[arg(long)]
    pub json: bool,
}

/// Why nothing could be verified.
#[derive(Debug, Error)]
pub enum VerifyError {
    /// The database did not answer.
    #[error("the ledger cannot be read: {0}")]
    Audit(#[from] AppError),
    /// The output is closed.
    #[error("the report cannot be written")]
    Output(#[from] io::Error),
    /// The report cannot be serialised.
    #[error("the report cannot be serialised")]
    Json(#[from] serde_json::Error),
}

#[derive(Serialize)]
struct TenantReport {
    tenant: String,
    holds: bool,
    #[serde(flatten)]
    report: AuditReport,
}

/// Audits every tenant, each in a snapshot of its own, and writes what was found. Says whether every rule holds.
///
/// # Errors
/// [`VerifyError`]; a drift is no error.
pub async fn run(
    pool: &PgPool,
    arguments: &VerifyArguments,
    output: &mut (dyn Write + Send),
) -> Result<bool, VerifyError> {
    let dictionary = Dictionary::default();
    let mut reports = Vec::new();
    for (tenant, name) in tenants(pool).await? {
        let report = audit(pool, &dictionary, tenant).await?;
        reports.push(TenantReport { tenant: name, holds: report.holds(), report });
    }
    if arguments.json {
        serde_json::to_writer_pretty(&mut *output, &reports)?;
        writeln!(output)?;
    } else {
        for report in &reports {
            write_report(output, report)?;
        }
    }
    output.flush()?;
    Ok(reports.iter().all(|report| report.holds))
}

fn write_report(output: &mut (dyn Write + Send), report: &TenantReport) -> io::Result<()> {
    let LedgerTotals { as_of, attempts, calls, input_tokens, output_tokens, usd, memo_usd } = &report.report.events;
    writeln!(output, "tenant {}, as of {as_of}", report.tenant)?;
    writeln!(
        output,
        "{attempts} events, {calls} calls, {input_tokens} input tokens, {output_tokens} output tokens, \
         {usd} USD charged, {memo_usd} USD memo"
    )?;
    let mut table = Table::new();
    table.load_style(comfy_table::presets::ASCII_MARKDOWN);
    table.set_header(["check", "rows", "drifting", "USD drift", "figure", "ledger", "stored"]);
    for check in &report.report.checks {
        add_rows(&mut table, check);
    }
    writeln!(output, "{table}")?;
    for check in report.report.checks.iter().filter(|check| !check.holds()) {
        writeln!(output, "DRIFT {}: broken is \"{}\"", check.name, check.rule)?;
        for example in &check.comparison.examples {
            write_example(output, example)?;
        }
    }
    let verdict = if report.holds { "every check holds" } else { "the ledger drifts: see above" };
    writeln!(output, "{verdict}\n")
}

fn add_rows(table: &mut Table, check: &Check) {
    let found = &check.comparison;
    let drift = found.usd_drift.map(|usd| usd.to_string()).unwrap_or_default();
    let head = [check.name.to_owned(), found.rows.to_string(), found.drifting.to_string(), drift];
    let empty = [const { String::new() }; 4];
    let figures = found.figures.iter().map(|figure| [figure.name, &figure.ledger, &figure.stored]);
    let none = found.figures.is_empty().then_some([""; 3]);
    for (position, figure) in figures.chain(none).enumerate() {
        let left = if position == 0 { &head } else { &empty };
        table.add_row(left.iter().map(String::as_str).chain(figure));
    }
}

fn write_example(output: &mut (dyn Write + Send), example: &Example) -> io::Result<()> {
    writeln!(output, "  {}", example.id)?;
    for difference in example.differences.iter().take(DIFFERENCES_SHOWN) {
        let side = |value: &Option<String>| value.clone().unwrap_or_else(|| "nothing".to_owned());
        let (ledger, stored) = (side(&difference.ledger), side(&difference.stored));
        writeln!(output, "    {}: the ledger says {ledger}, stored is {stored}", difference.figure)?;
    }
    let more = example.differences.len().saturating_sub(DIFFERENCES_SHOWN);
    if more > 0 {
        writeln!(output, "    and {more} more")?;
    }
    Ok(())
}
