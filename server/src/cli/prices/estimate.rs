//! `tollgate prices estimate PROVIDER/MODEL`.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use jiff::Timestamp;
use tollgate_client::{Client, v1};
use tollgate_domain::price::{Catalog, FreeProviders, PriceBook};
use tollgate_proto::v1::estimate_cost_request::Usage;

use super::arguments::{InstantArgument, ModelArgument};
use super::import::text_of;
use super::json::CostJson;
use super::source::{Source, SourceArguments, reference};
use super::table::table;
use crate::app::prices::cost_of;
use crate::grpc::convert::cost::to_cost;
use crate::grpc::convert::values::to_timestamp;
use crate::grpc::quantities_of;

/// Options of `tollgate prices estimate`.
#[derive(Debug, Clone, Args)]
pub struct EstimateArguments {
    /// The model, such as openai/gpt-4o
    #[arg(value_name = "PROVIDER/MODEL")]
    model: ModelArgument,
    #[command(flatten)]
    source: SourceArguments,
    /// All input tokens, cached ones included
    #[arg(long, value_name = "TOKENS", conflicts_with = "text", required_unless_present = "text")]
    input: Option<u32>,
    /// Output tokens; unless given, the model's maximum
    #[arg(long, value_name = "TOKENS")]
    output: Option<u32>,
    /// How many of the input tokens are read from the prompt cache
    #[arg(long, value_name = "TOKENS")]
    cache_read: Option<u32>,
    /// Take the length of this file, or of the input with `-`, for the input: a token for every 3 characters
    #[arg(long, value_name = "FILE")]
    text: Option<PathBuf>,
    /// What the call uses besides tokens, such as web_search=2
    #[arg(long = "unit", value_name = "UNIT=QUANTITY", value_parser = unit)]
    units: Vec<v1::UnitCount>,
    /// In this service tier, such as batch
    #[arg(long)]
    tier: Option<String>,
    /// In this region
    #[arg(long)]
    region: Option<String>,
    /// For a call that starts then: an instant, a day, or now
    #[arg(long, value_name = "TIME", default_value = "now")]
    at: InstantArgument,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

fn unit(text: &str) -> Result<v1::UnitCount, String> {
    match text.split_once('=') {
        Some((unit, quantity)) if !unit.is_empty() && !quantity.is_empty() => {
            Ok(v1::UnitCount { unit: unit.to_owned(), quantity: quantity.to_owned() })
        }
        _ => Err("give UNIT=QUANTITY, for example web_search=2".to_owned()),
    }
}

impl EstimateArguments {
    fn request(&self) -> anyhow::Result<v1::EstimateCostRequest> {
        let tokens = |count: Option<u32>| count.map(i64::from);
        let characters = match &self.text {
            Some(file) => Some(i64::try_from(text_of(file)?.chars().count())?),
            None => None,
        };
        let exact = self.text.is_none() && self.output.is_some();
        let (usage, units) = if exact {
            let cached = v1::TokenPart {
                token_class: v1::TokenClass::CacheRead.into(),
                tokens: tokens(self.cache_read).unwrap_or_default(),
                cache_ttl: None,
            };
            let usage = v1::TokenUsage {
                total_input_tokens: tokens(self.input),
                total_output_tokens: tokens(self.output),
                parts: if cached.tokens > 0 { vec![cached] } else { Vec::new() },
                quality: v1::UsageQuality::Counted.into(),
                reported_total: None,
            };
            (Usage::Tokens(usage), self.units.clone())
        } else {
            let estimate = v1::Estimate {
                input_tokens: tokens(self.input),
                cache_read_tokens: tokens(self.cache_read),
                max_output_tokens: tokens(self.output),
                units: self.units.clone(),
                input_characters: characters,
                ..Default::default()
            };
            (Usage::Estimate(estimate), Vec::new())
        };
        Ok(v1::EstimateCostRequest {
            model: Some(self.model.reference(self.tier.as_deref(), self.region.as_deref())),
            usage: Some(usage),
            units,
            start_time: Some(to_timestamp(self.at.0)),
        })
    }
}

pub(super) async fn run(arguments: &EstimateArguments, output: &mut impl Write) -> anyhow::Result<ExitCode> {
    let request = arguments.request()?;
    let answer = match arguments.source.open()? {
        Source::Server(client) => ask(&client, request).await?,
        Source::Catalog(catalog) => compute(catalog, request, arguments.at.0)?,
    };
    let v1::EstimateCostResponse { cost, input_estimated } = answer;
    let cost = cost.unwrap_or_default();
    let known = !matches!(cost.state(), v1::PriceState::Unpriced | v1::PriceState::Unspecified);
    if arguments.json {
        serde_json::to_writer_pretty(&mut *output, &CostJson::new(cost, input_estimated))?;
        writeln!(output)?;
    } else {
        write_cost(output, &arguments.model, &cost, input_estimated)?;
    }
    Ok(if known { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn ask(client: &Client, request: v1::EstimateCostRequest) -> anyhow::Result<v1::EstimateCostResponse> {
    Ok(client.estimate_cost(request).await?)
}

/// The same as a server without prices of a tenant would answer.
fn compute(
    catalog: std::sync::Arc<Catalog>,
    request: v1::EstimateCostRequest,
    at: Timestamp,
) -> anyhow::Result<v1::EstimateCostResponse> {
    let model = reference(request.model.as_ref().unwrap_or(&v1::ModelRef::default()));
    let (quantities, input_estimated) = quantities_of(request.usage, request.units)?;
    let book = PriceBook::of_catalog(catalog, FreeProviders::default());
    let cost = cost_of(&book, &model, &quantities, at)?;
    Ok(v1::EstimateCostResponse { cost: Some(to_cost(&cost)), input_estimated })
}

fn write_cost(
    output: &mut impl Write,
    model: &ModelArgument,
    cost: &v1::Cost,
    input_estimated: bool,
) -> std::io::Result<()> {
    let v1::Cost { state: _, usd, lines, catalog_version, saved_usd: _ } = cost;
    let verdict = match cost.state() {
        v1::PriceState::Priced => format!("{usd} USD"),
        v1::PriceState::Free => "free".to_owned(),
        v1::PriceState::Partial => format!("at least {usd} USD: some of it has no price"),
        v1::PriceState::Unpriced | v1::PriceState::Unspecified => {
            return writeln!(
                output,
                "no price is known for {model}: `tollgate prices set {model} input=USD output=USD` sets one"
            );
        }
    };
    let mut table = table(&["line", "quantity", "USD for one", "USD", "price"]);
    for line in lines {
        table.add_row([&line.line, &line.quantity, &line.unit_price_usd, &line.usd, &line.price_id]);
    }
    writeln!(output, "{table}")?;
    let estimated = if input_estimated { ", input estimated from its characters" } else { "" };
    writeln!(output, "{model}: {verdict} (catalog {catalog_version}{estimated})")
}
