//! `tollgate prices set PROVIDER/MODEL LINE=USD ...`.

use std::io::Write;
use std::process::ExitCode;

use clap::Args;
use tollgate_domain::price::LineKind;
use tollgate_proto::v1;

use super::arguments::{InstantArgument, ModelArgument, RateArgument};
use super::json::PriceJson;
use super::source::ServerArguments;
use super::table::write_price;
use crate::grpc::convert::values::to_timestamp;
use crate::prices::catalog_of;

/// Options of `tollgate prices set`.
#[derive(Debug, Clone, Args)]
pub struct SetArguments {
    /// The model, such as openai/gpt-4o; a `*` at the end stands for any rest
    #[arg(value_name = "PROVIDER/MODEL")]
    model: ModelArgument,
    /// Prices of lines: input=2.5/1M, web_search=10/1k; token lines are per million where nothing is said, units per one;
    /// input@200000=5/1M is for calls with more input tokens
    #[arg(value_name = "LINE=USD[/PER]")]
    rates: Vec<RateArgument>,
    #[command(flatten)]
    server: ServerArguments,
    /// Factor on every line after everything else, such as 0.85
    #[arg(long, value_name = "FACTOR")]
    multiplier: Option<String>,
    /// From when: an instant, a day, or now
    #[arg(long, value_name = "TIME", default_value = "now")]
    from: InstantArgument,
    /// Until when; unless given, until another price supersedes it
    #[arg(long, value_name = "TIME")]
    until: Option<InstantArgument>,
    /// Only for calls of this service tier
    #[arg(long)]
    tier: Option<String>,
    /// Only for calls in this region
    #[arg(long)]
    region: Option<String>,
    /// Replace only these lines; without it, a line that is not named has no price
    #[arg(long)]
    lines_only: bool,
    /// Where the price was read, or with whom it was agreed
    #[arg(long, default_value = "")]
    note: String,
    /// Only say what would happen
    #[arg(long)]
    dry_run: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl SetArguments {
    fn price(&self) -> v1::Price {
        // A factor alone can only be meant for the lines that there are.
        let lines = self.lines_only || self.rates.is_empty();
        let coverage = if lines { v1::price::Coverage::Lines } else { v1::price::Coverage::Model };
        v1::Price {
            model: Some(self.model.reference(self.tier.as_deref(), self.region.as_deref())),
            coverage: coverage.into(),
            rates: self.rates.iter().map(|rate| rate.0.clone()).collect(),
            multiplier: self.multiplier.clone().unwrap_or_default(),
            start_time: Some(to_timestamp(self.from.0)),
            end_time: self.until.map(|until| to_timestamp(until.0)),
            note: self.note.clone(),
            ..Default::default()
        }
    }
}

pub(super) async fn run(arguments: &SetArguments, output: &mut impl Write) -> anyhow::Result<ExitCode> {
    anyhow::ensure!(
        !arguments.rates.is_empty() || arguments.multiplier.is_some(),
        "nothing is set: give prices of lines such as input=2.5/1M output=10/1M, or --multiplier"
    );
    let client = arguments.server.required()?;
    let price = arguments.price();
    let answer = if arguments.dry_run { client.preview_price(price).await? } else { client.set_price(price).await? };
    let v1::SetPriceResponse { price, superseded } = answer;
    let price = price.unwrap_or_default();
    if arguments.json {
        let superseded: Vec<PriceJson> = superseded.into_iter().map(PriceJson::from).collect();
        let answer = serde_json::json!({
            "dryRun": arguments.dry_run, "price": PriceJson::from(price), "superseded": superseded,
        });
        writeln!(output, "{answer:#}")?;
        return Ok(ExitCode::SUCCESS);
    }
    writeln!(output, "{}", if arguments.dry_run { "would be set:" } else { "set:" })?;
    write_price(output, &price)?;
    for other in &superseded {
        let happens = if arguments.dry_run { "would end" } else { "ended" };
        write!(output, "{happens}: ")?;
        write_price(output, other)?;
    }
    for line in unfamiliar(&price)? {
        writeln!(
            output,
            "note: `{line}` is no token line and no unit of the catalog: is it spelt as calls report it?"
        )?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Lines that may be misspelt: units that no price of the built-in catalog knows.
fn unfamiliar(price: &v1::Price) -> anyhow::Result<Vec<String>> {
    let catalog = catalog_of(None)?;
    let known = |name: &str| {
        let line = LineKind::token_line(name).unwrap_or_else(|| LineKind::Unit(name.to_owned()));
        !matches!(line, LineKind::Unit(_))
            || catalog.prices().any(|price| price.rates.iter().any(|rate| rate.line == line))
    };
    Ok(price.rates.iter().map(|rate| rate.line.clone()).filter(|line| !known(line)).collect())
}
