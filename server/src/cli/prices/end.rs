//! `tollgate prices end PRICE_ID`.

use std::io::Write;
use std::process::ExitCode;

use clap::Args;

use super::arguments::InstantArgument;
use super::json::PriceJson;
use super::source::ServerArguments;
use super::table::write_price;

/// Options of `tollgate prices end`.
#[derive(Debug, Clone, Args)]
pub struct EndArguments {
    /// The price, as `list --json` and `show` name it
    #[arg(value_name = "PRICE_ID")]
    price_id: String,
    #[command(flatten)]
    server: ServerArguments,
    /// From when it no longer applies; unless given, now
    #[arg(long, value_name = "TIME")]
    at: Option<InstantArgument>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(arguments: &EndArguments, output: &mut impl Write) -> anyhow::Result<ExitCode> {
    let client = arguments.server.required()?;
    let price = client.end_price(&arguments.price_id, arguments.at.map(|at| at.0.into())).await?;
    if arguments.json {
        serde_json::to_writer_pretty(&mut *output, &PriceJson::from(price))?;
        writeln!(output)?;
    } else {
        write!(output, "ended: ")?;
        write_price(output, &price)?;
    }
    Ok(ExitCode::SUCCESS)
}
