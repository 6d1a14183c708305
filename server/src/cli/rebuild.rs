//! `tollgate rebuild`: derives totals, rollups and counters from the events again, and shows what differed.

use std::io::{self, Write};

use clap::Args;
use serde::Serialize;
use sqlx::PgPool;
use thiserror::Error;

use crate::app::AppError;
use crate::app::audit::tenants;
use crate::app::rebuild::{RebuildError, RebuildReport, rebuild};
use crate::store::dictionary::Dictionary;

/// Options of `tollgate rebuild`.
#[derive(Debug, Clone, Default, Args)]
pub struct RebuildArguments {
    /// Change nothing: only say what differs; exits with 1 where something does
    #[arg(long)]
    pub dry_run: bool,
    /// Print JSON: one object per tenant, in an array
    #[arg(long)]
    pub json: bool,
}

/// Why nothing, or not everything, was rebuilt.
#[derive(Debug, Error)]
pub enum RebuildCommandError {
    /// The database did not answer.
    #[error("the ledger cannot be read: {0}")]
    Tenants(#[from] AppError),
    /// It cannot be rebuilt.
    #[error("the ledger cannot be rebuilt: {0}")]
    Rebuild(#[from] RebuildError),
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
    dry_run: bool,
    differing: u64,
    #[serde(flatten)]
    report: RebuildReport,
}

/// Rebuilds every tenant and writes what differed. Says how many rows did.
///
/// # Errors
/// [`RebuildCommandError`].
pub async fn run(
    pool: &PgPool,
    arguments: &RebuildArguments,
    output: &mut (dyn Write + Send),
) -> Result<u64, RebuildCommandError> {
    let dictionary = Dictionary::default();
    let mut reports = Vec::new();
    for (tenant, name) in tenants(pool).await? {
        let report = rebuild(pool, &dictionary, tenant, arguments.dry_run).await?;
        reports.push(TenantReport { tenant: name, dry_run: arguments.dry_run, differing: report.differing(), report });
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
    Ok(reports.iter().map(|report| report.differing).sum())
}

fn write_report(output: &mut (dyn Write + Send), report: &TenantReport) -> io::Result<()> {
    writeln!(output, "tenant {}", report.tenant)?;
    for kind in &report.report.kinds {
        let verb = if report.dry_run { "differ" } else { "differed and were put right" };
        writeln!(output, "{}: {} of {} rows {verb}", kind.kind.name(), kind.differing, kind.rows)?;
        for example in &kind.examples {
            writeln!(output, "  {}", example.id)?;
            for difference in &example.differences {
                let side = |value: &Option<String>| value.clone().unwrap_or_else(|| "nothing".to_owned());
                let (ledger, stored) = (side(&difference.ledger), side(&difference.stored));
                writeln!(output, "    {}: the ledger says {ledger}, stored was {stored}", difference.figure)?;
            }
        }
    }
    Ok(())
}
