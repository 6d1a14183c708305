//! How fast prices are found, how long the catalog takes to load, and how much memory it keeps.

use std::collections::HashMap;
use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use jiff::Timestamp;
use serde::Serialize;
use tollgate_domain::model::ModelRef;
use tollgate_domain::price::{Catalog, PriceSheet};

use crate::output;

/// How often the product and its baseline take turns.
const ROUNDS: usize = 5;

/// One figure.
#[derive(Debug, Serialize)]
struct Figure {
    scenario: &'static str,
    value: u64,
    unit: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    baseline: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    baseline_value: Option<u64>,
    /// In thousandths.
    #[serde(skip_serializing_if = "Option::is_none")]
    ratio_permille: Option<u64>,
}

/// Measures and prints.
pub(crate) fn run(text: &str, seconds: u64, json: bool) -> anyhow::Result<()> {
    let before = resident_kilobytes()?;
    let catalog = Catalog::parse(text)?;
    let memory = resident_kilobytes()?.saturating_sub(before);
    let load = median((0..ROUNDS).map(|_| timed(|| Catalog::parse(text).map(drop))).collect::<Result<Vec<_>, _>>()?);

    let models: Vec<ModelRef> = catalog.ids().map(|(provider, id)| ModelRef::new(provider, id)).collect();
    let now = Timestamp::now();
    // The floor under any look-up by name: a hash table of exactly these names, that knows one price for each.
    let table: HashMap<(&str, &str), Arc<PriceSheet>> = models
        .iter()
        .filter_map(|model| Some(((&*model.provider_name, &*model.model), catalog.find(model, now)?)))
        .collect();
    let (mut product, mut baseline) = (Vec::new(), Vec::new());
    let turn = Duration::from_secs(seconds.max(1)) / u32::try_from(ROUNDS)?;
    for _ in 0..ROUNDS {
        product.push(rate(turn, &models, |model| catalog.find(model, now)));
        baseline.push(rate(turn, &models, |model| table.get(&(&*model.provider_name, &*model.model)).cloned()));
    }
    let (product, baseline) = (median(product), median(baseline));
    let (providers, listed) = catalog.size();
    let plain = |scenario, value: u64, unit| Figure {
        scenario,
        value,
        unit,
        baseline: None,
        baseline_value: None,
        ratio_permille: None,
    };
    let figures = [
        Figure {
            baseline: Some("hash table of the same names"),
            baseline_value: Some(baseline),
            ratio_permille: (product * 1_000).checked_div(baseline),
            ..plain("price look-ups", product, "a second on one core")
        },
        plain("names looked up", u64::try_from(models.len())?, "names"),
        plain("models", u64::try_from(listed)?, "models"),
        plain("providers", u64::try_from(providers)?, "providers"),
        plain("catalog load", load, "microseconds"),
        plain("catalog memory", memory, "KiB resident"),
        plain("catalog file", u64::try_from(text.len())?, "bytes"),
    ];
    if json {
        return figures.iter().try_for_each(output::json);
    }
    let mut table = output::table(&["what", "value", "unit", "baseline", "baseline's value", "ratio"]);
    for figure in figures {
        let ratio = figure.ratio_permille.map(|ratio| format!("{}.{:03}", ratio / 1_000, ratio % 1_000));
        table.add_row([
            figure.scenario.to_owned(),
            figure.value.to_string(),
            figure.unit.to_owned(),
            figure.baseline.unwrap_or_default().to_owned(),
            figure.baseline_value.map(|value| value.to_string()).unwrap_or_default(),
            ratio.unwrap_or_default(),
        ]);
    }
    output::line(table.to_string())
}

/// Look-ups a second over all models in turn.
fn rate<T>(turn: Duration, models: &[ModelRef], find: impl Fn(&ModelRef) -> T) -> u64 {
    let (start, mut done) = (Instant::now(), 0_u128);
    while start.elapsed() < turn {
        for model in models {
            black_box(find(black_box(model)));
        }
        done += models.len() as u128;
    }
    u64::try_from(done * 1_000_000 / start.elapsed().as_micros().max(1)).unwrap_or(u64::MAX)
}

/// Microseconds that `run` takes.
fn timed<E>(run: impl FnOnce() -> Result<(), E>) -> Result<u64, E> {
    let start = Instant::now();
    run()?;
    Ok(u64::try_from(start.elapsed().as_micros()).unwrap_or(u64::MAX))
}

fn median(mut values: Vec<u64>) -> u64 {
    values.sort_unstable();
    values.get(values.len() / 2).copied().unwrap_or_default()
}

/// Memory of this process that is in RAM.
fn resident_kilobytes() -> anyhow::Result<u64> {
    let status = std::fs::read_to_string("/proc/self/status").context("cannot read /proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("VmRSS is not there")?;
    Ok(line.trim().trim_end_matches(" kB").parse()?)
}
