//! Where the tokens and the money of the run went: by agent, by model and by hour, as GetSummary tells it.

use std::time::{Duration, SystemTime};

use anyhow::Context as _;
use comfy_table::{CellAlignment, Table};
use jiff::Timestamp;
use serde::Serialize;
use tollgate_client::v1::get_summary_response::Row;
use tollgate_client::{Client, SummaryRequest, dimension, is_one_of, v1};

use super::figures::grouped;
use super::sums::Sums;

/// One row of a summary.
#[derive(Debug, Serialize)]
pub(super) struct SummaryRow {
    /// The agent, the model or the hour.
    pub(super) group: String,
    /// Its sums.
    #[serde(flatten)]
    pub(super) sums: Sums,
}

/// A summary of the run.
#[derive(Debug, Serialize)]
pub(super) struct RunSummary {
    /// By what.
    pub(super) by: &'static str,
    /// The rows, in the server's order.
    pub(super) rows: Vec<SummaryRow>,
    /// The grand total that the server tells with them.
    pub(super) total: Sums,
}

/// Asks for the three summaries of a project whose calls began at `start`.
///
/// # Errors
/// What the server refuses.
pub(super) async fn ask(client: &Client, project: &str, start: SystemTime) -> anyhow::Result<Vec<RunSummary>> {
    // What began last may lie after the present of this process by the difference of clocks.
    let end = SystemTime::now() + Duration::from_secs(3_600);
    let request = || SummaryRequest::between(start, end).only(is_one_of(dimension("project_id"), [project]));
    let questions = [
        ("agent", request().group_by(dimension("agent_name"))),
        ("model", request().group_by(dimension("model"))),
        ("hour", request().every(v1::Granularity::Hour, "UTC")),
    ];
    let mut summaries = Vec::new();
    for (by, question) in questions {
        let answer = client.summary(question).await.with_context(|| format!("the summary by {by} was not answered"))?;
        let rows = answer.rows.iter().map(row).collect::<Option<_>>();
        let total = answer.total.unwrap_or_default().totals.unwrap_or_default();
        let (Some(rows), Some(total)) = (rows, Sums::told(&total)) else {
            anyhow::bail!("the summary by {by} holds figures that cannot be read");
        };
        summaries.push(RunSummary { by, rows, total });
    }
    Ok(summaries)
}

fn row(row: &Row) -> Option<SummaryRow> {
    let group = match (&row.bucket_start, row.groups.first()) {
        (_, Some(group)) => match &group.kind {
            Some(v1::group_value::Kind::Value(value)) => value.clone(),
            Some(v1::group_value::Kind::Other(_)) => "(other)".to_owned(),
            Some(v1::group_value::Kind::Absent(_)) | None => "(absent)".to_owned(),
        },
        (Some(bucket), None) => Timestamp::new(bucket.seconds, bucket.nanos).ok()?.to_string(),
        (None, None) => "(all)".to_owned(),
    };
    let totals = row.measures.clone().unwrap_or_default().totals.unwrap_or_default();
    Some(SummaryRow { group, sums: Sums::told(&totals)? })
}

impl RunSummary {
    /// What the rows add up to.
    pub(super) fn added(&self) -> Sums {
        let mut sums = Sums::default();
        for row in &self.rows {
            sums.add(&row.sums);
        }
        sums
    }

    /// As a table.
    pub(super) fn table(&self) -> Table {
        let mut table = Table::new();
        table.load_style(comfy_table::presets::ASCII_MARKDOWN);
        table.set_header([self.by, "calls", "input tokens", "output tokens", "USD"]);
        for SummaryRow { group, sums } in &self.rows {
            table.add_row(cells(group, sums));
        }
        table.add_row(cells("total", &self.total));
        for column in table.column_iter_mut().skip(1) {
            column.set_cell_alignment(CellAlignment::Right);
        }
        table
    }
}

fn cells(group: &str, sums: &Sums) -> [String; 5] {
    let Sums { calls, input_tokens, output_tokens, usd } = sums;
    [group.to_owned(), grouped(*calls), grouped(*input_tokens), grouped(*output_tokens), usd.normalize().to_string()]
}
