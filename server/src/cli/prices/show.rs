//! `tollgate prices show PROVIDER/MODEL`.

use std::io::Write;
use std::process::ExitCode;

use clap::Args;
use jiff::Timestamp;
use tollgate_proto::v1;

use super::arguments::{InstantArgument, ModelArgument};
use super::list::write_json;
use super::source::{Found, Source, SourceArguments, Wanted};
use super::table::{model_name, write_price};

/// Names that are suggested for a model without a price.
const SUGGESTIONS: usize = 8;

/// Options of `tollgate prices show`.
#[derive(Debug, Clone, Args)]
pub struct ShowArguments {
    /// The model, such as openai/gpt-4o
    #[arg(value_name = "PROVIDER/MODEL")]
    model: ModelArgument,
    #[command(flatten)]
    source: SourceArguments,
    /// As of then: an instant, a day, or now
    #[arg(long, value_name = "TIME", default_value = "now")]
    at: InstantArgument,
    /// Only what prices calls of this service tier, such as batch
    #[arg(long)]
    tier: Option<String>,
    /// Only what prices calls in this region
    #[arg(long)]
    region: Option<String>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(arguments: &ShowArguments, output: &mut impl Write) -> anyhow::Result<ExitCode> {
    let model = arguments.model.reference(arguments.tier.as_deref(), arguments.region.as_deref());
    let wanted = Wanted { model, at: Some(arguments.at.0), source: v1::price::Source::Unspecified };
    let source = arguments.source.open()?;
    let found = source.find(&wanted).await?;
    if found.prices.is_empty() {
        anyhow::bail!(unknown(&source, &arguments.model, arguments.at.0).await?);
    }
    if arguments.json {
        write_json(output, found)?;
        return Ok(ExitCode::SUCCESS);
    }
    let Found { catalog_version, prices } = found;
    writeln!(output, "{} at {}, catalog {catalog_version}", arguments.model, arguments.at.0)?;
    let several = prices.len() > 1;
    if several {
        writeln!(
            output,
            "a price of the tenant stands above the catalog, one of a tier or region above the standard one"
        )?;
    }
    for price in &prices {
        writeln!(output)?;
        write_price(output, price)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// That there is no price, and which models are called alike.
async fn unknown(source: &Source, model: &ModelArgument, at: Timestamp) -> anyhow::Result<String> {
    let of_provider = v1::ModelRef { provider_name: model.provider.clone(), ..Default::default() };
    let wanted = Wanted { model: of_provider, ..Default::default() };
    let known = source.find(&wanted).await?.prices;
    if known.is_empty() {
        return Ok(format!(
            "no price is known for {model} at {at}, nor any of the provider `{}`: \
             `tollgate prices list` shows all, `tollgate prices set {model} input=USD output=USD` sets one",
            model.provider
        ));
    }
    let start: String = model.model.to_lowercase().chars().take(5).collect();
    let mut alike: Vec<String> =
        known.iter().map(model_name).filter(|name| name.to_lowercase().contains(&start)).collect();
    alike.dedup();
    alike.truncate(SUGGESTIONS);
    let hint = if alike.is_empty() {
        format!("`tollgate prices list --provider {}` shows what is", model.provider)
    } else {
        format!("called alike are {}", alike.join(", "))
    };
    Ok(format!("no price is known for {model} at {at}: {hint}"))
}
