//! `tollgate prices import FILE`: one price a line, each set by itself.

use std::io::{Read as _, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::Args;
use serde::Serialize;
use tollgate_client::Client;
use tollgate_proto::v1;

use super::json::PriceJson;
use super::source::ServerArguments;
use super::table::model_name;

/// Options of `tollgate prices import`.
#[derive(Debug, Clone, Args)]
pub struct ImportArguments {
    /// A file of prices, one JSON object a line in the shape of `tollgate.v1.Price`; `-` for the input
    #[arg(value_name = "FILE")]
    file: PathBuf,
    #[command(flatten)]
    server: ServerArguments,
    /// Only say what would happen
    #[arg(long)]
    dry_run: bool,
    /// Print JSON: one object a line
    #[arg(long)]
    json: bool,
}

/// What became of a line.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Outcome {
    line: usize,
    model: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    price_id: Option<String>,
    superseded: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

pub(super) async fn run(arguments: &ImportArguments, output: &mut impl Write) -> anyhow::Result<ExitCode> {
    let client = arguments.server.required()?;
    let text = text_of(&arguments.file)?;
    let (mut set, mut failed) = (0_usize, 0_usize);
    for (position, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let outcome = import(&client, position + 1, line, arguments.dry_run).await;
        if outcome.error.is_some() {
            failed += 1;
        } else {
            set += 1;
        }
        if arguments.json {
            writeln!(output, "{}", serde_json::to_string(&outcome)?)?;
        } else {
            write_outcome(output, &outcome, arguments.dry_run)?;
        }
    }
    if !arguments.json {
        let done = if arguments.dry_run { "would be set" } else { "set" };
        writeln!(output, "{set} {done}, {failed} failed")?;
    }
    Ok(if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Sets the price of one line; what fails is told, and the next one is tried.
async fn import(client: &Client, line: usize, text: &str, dry_run: bool) -> Outcome {
    let mut outcome = Outcome { line, model: String::new(), price_id: None, superseded: 0, error: None };
    let read = serde_json::from_str::<PriceJson>(text).map_err(anyhow::Error::from).and_then(PriceJson::into_price);
    let price: v1::Price = match read {
        Ok(price) => price,
        Err(error) => {
            outcome.error = Some(format!("it is no price: {error}"));
            return outcome;
        }
    };
    outcome.model = model_name(&price);
    let answer = if dry_run { client.preview_price(price).await } else { client.set_price(price).await };
    match answer {
        Ok(answer) => {
            outcome.price_id = answer.price.map(|price| price.price_id).filter(|id| !id.is_empty());
            outcome.superseded = answer.superseded.len();
        }
        Err(error) => outcome.error = Some(error.to_string()),
    }
    outcome
}

fn write_outcome(output: &mut impl Write, outcome: &Outcome, dry_run: bool) -> std::io::Result<()> {
    let Outcome { line, model, price_id, superseded, error } = outcome;
    if let Some(error) = error {
        return writeln!(output, "line {line}: FAILED {model}: {error}");
    }
    let done = if dry_run { "would be set" } else { "set" };
    let id = price_id.as_deref().map(|id| format!(" as {id}")).unwrap_or_default();
    let ended = if *superseded > 0 { format!(", supersedes {superseded}") } else { String::new() };
    writeln!(output, "line {line}: {model} {done}{id}{ended}")
}

/// The content of a file, or the input.
pub(super) fn text_of(file: &std::path::Path) -> anyhow::Result<String> {
    if file.as_os_str() == "-" {
        let mut text = String::new();
        std::io::stdin().read_to_string(&mut text).context("the input cannot be read as text")?;
        return Ok(text);
    }
    std::fs::read_to_string(file).with_context(|| format!("{} cannot be read as text", file.display()))
}
