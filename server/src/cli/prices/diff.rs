//! `tollgate prices diff OLD NEW`: what changed between two catalogs.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use clap::Args;
use serde::Serialize;
use tollgate_domain::price::{Catalog, CatalogPrice};

use super::table::{per, table};
use crate::prices::catalog_of;

/// The catalog that ships with this version.
const BUILTIN: &str = "builtin";
/// Changes shown of one provider; JSON has all of them.
const SHOWN: usize = 50;

/// Options of `tollgate prices diff`.
#[derive(Debug, Clone, Args)]
pub struct DiffArguments {
    /// The older catalog: a file, or `builtin`
    #[arg(value_name = "OLD")]
    old: PathBuf,
    /// The newer catalog: a file, or `builtin`
    #[arg(value_name = "NEW", default_value = BUILTIN)]
    new: PathBuf,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// What a price is for: of two with the same key, one replaced the other.
type Key = (String, String);

/// What happened to the prices of a provider.
#[derive(Debug, Default, Serialize)]
struct ProviderDifference {
    added: Vec<Listed>,
    removed: Vec<Listed>,
    changed: Vec<Changed>,
}

/// A price that only one catalog has.
#[derive(Debug, Serialize)]
struct Listed {
    model: String,
    price: String,
    lines: BTreeMap<String, String>,
}

/// A line that costs something else.
#[derive(Debug, Serialize)]
struct Changed {
    model: String,
    price: String,
    line: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    old: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    new: Option<String>,
}

#[derive(Debug, Serialize)]
struct Difference {
    old: String,
    new: String,
    providers: BTreeMap<String, ProviderDifference>,
}

pub(super) fn run(arguments: &DiffArguments, output: &mut impl Write) -> anyhow::Result<ExitCode> {
    let (old, new) = (read(&arguments.old)?, read(&arguments.new)?);
    let difference = compare(&old, &new);
    if arguments.json {
        serde_json::to_writer_pretty(&mut *output, &difference)?;
        writeln!(output)?;
    } else {
        write_difference(output, &difference)?;
    }
    Ok(ExitCode::SUCCESS)
}

fn read(path: &Path) -> anyhow::Result<Arc<Catalog>> {
    Ok(catalog_of(Some(path).filter(|path| *path != Path::new(BUILTIN)))?)
}

fn compare(old: &Catalog, new: &Catalog) -> Difference {
    let (before, after) = (by_key(old), by_key(new));
    let mut providers: BTreeMap<String, ProviderDifference> = BTreeMap::new();
    for (key, price) in &after {
        match before.get(key) {
            None => providers.entry(key.0.clone()).or_default().added.push(listed(price)),
            Some(known) => {
                let changes = changed(known, price);
                if !changes.is_empty() {
                    providers.entry(key.0.clone()).or_default().changed.extend(changes);
                }
            }
        }
    }
    for (key, price) in before.iter().filter(|(key, _)| !after.contains_key(*key)) {
        providers.entry(key.0.clone()).or_default().removed.push(listed(price));
    }
    Difference { old: old.version().to_owned(), new: new.version().to_owned(), providers }
}

/// The prices by provider and id: an id names a price for ever.
fn by_key(catalog: &Catalog) -> BTreeMap<Key, CatalogPrice<'_>> {
    catalog.prices().map(|price| ((price.provider_name.to_owned(), price.price_id.to_owned()), price)).collect()
}

/// What each line costs, as text, with what else decides about the price.
fn lines(price: &CatalogPrice<'_>) -> BTreeMap<String, String> {
    let mut lines: BTreeMap<String, String> = BTreeMap::new();
    for rate in price.rates {
        let above = rate.above_input_tokens.map(|above| format!(" above {above}")).unwrap_or_default();
        let minimum = rate.minimum.map(|minimum| format!(", at least {minimum}")).unwrap_or_default();
        let usd = format!("{}/{}{minimum}", rate.price.usd.normalize(), per(i64::from(rate.price.per)));
        lines.insert(format!("{}{above}", rate.line), usd);
    }
    let mut add = |name: &str, value: Option<String>| {
        if let Some(value) = value {
            lines.insert(format!("({name})"), value);
        }
    };
    add("factor", price.multiplier.map(|factor| factor.normalize().to_string()));
    add("from", price.from.map(|from| from.to_string()));
    add("until", price.until.map(|until| until.to_string()));
    add("daily", price.daily.clone());
    lines
}

fn listed(price: &CatalogPrice<'_>) -> Listed {
    Listed { model: price.model.to_owned(), price: price.price_id.to_owned(), lines: lines(price) }
}

fn changed(old: &CatalogPrice<'_>, new: &CatalogPrice<'_>) -> Vec<Changed> {
    let (before, after) = (lines(old), lines(new));
    let mut names: Vec<&String> = before.keys().chain(after.keys()).collect();
    names.sort();
    names.dedup();
    let moved = names.into_iter().filter(|name| before.get(*name) != after.get(*name));
    moved
        .map(|name| Changed {
            model: new.model.to_owned(),
            price: new.price_id.to_owned(),
            line: name.clone(),
            old: before.get(name).cloned(),
            new: after.get(name).cloned(),
        })
        .collect()
}

fn write_difference(output: &mut impl Write, difference: &Difference) -> std::io::Result<()> {
    let Difference { old, new, providers } = difference;
    writeln!(output, "catalog {old} to {new}")?;
    if providers.is_empty() {
        return writeln!(output, "no price differs");
    }
    let mut totals = [0_usize; 3];
    for (provider, ProviderDifference { added, removed, changed }) in providers {
        let counts = [added.len(), removed.len(), changed.len()];
        for (total, count) in totals.iter_mut().zip(counts) {
            *total = total.saturating_add(count);
        }
        let [added_count, removed_count, changed_count] = counts;
        writeln!(
            output,
            "\n{provider}: prices added {added_count}, removed {removed_count}; lines changed {changed_count}"
        )?;
        let mut table = table(&["", "price", "line", "old", "new"]);
        let whole = |listed: &Listed| {
            let lines: Vec<String> = listed.lines.iter().map(|(line, usd)| format!("{line} {usd}")).collect();
            lines.join(", ")
        };
        let mut rows: Vec<[String; 5]> = Vec::new();
        rows.extend(
            added.iter().map(|it| ["added".to_owned(), it.price.clone(), String::new(), String::new(), whole(it)]),
        );
        rows.extend(
            removed.iter().map(|it| ["removed".to_owned(), it.price.clone(), String::new(), whole(it), String::new()]),
        );
        rows.extend(changed.iter().map(|it| {
            let side = |value: &Option<String>| value.clone().unwrap_or_default();
            ["changed".to_owned(), it.price.clone(), it.line.clone(), side(&it.old), side(&it.new)]
        }));
        let more = rows.len().saturating_sub(SHOWN);
        for row in rows.into_iter().take(SHOWN) {
            table.add_row(row);
        }
        writeln!(output, "{table}")?;
        if more > 0 {
            writeln!(output, "and {more} more: --json has all")?;
        }
    }
    let [added, removed, changed] = totals;
    writeln!(output, "\nin all: prices added {added}, removed {removed}; lines changed {changed}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn catalog(version: &str, prices: &[(&str, &str)]) -> Catalog {
        let mut text = format!("{{\"catalog\":{{\"format\":1,\"version\":\"{version}\",\"sources\":[]}}}}\n");
        text.push_str("{\"provider\":\"p\"}\n");
        for (model, rates) in prices {
            text.push_str(&format!(
                "{{\"provider\":\"p\",\"model\":\"{model}\",\"match\":[{{\"equals\":\"{model}\"}}],\
                 \"prices\":[{{\"id\":\"p/{model}\",\"rates\":{rates}}}]}}\n"
            ));
        }
        Catalog::parse(&text).unwrap()
    }

    #[test]
    fn what_was_added_removed_and_changed_is_told_by_provider() {
        let old = catalog("1", &[("a", r#"{"input":"1","output":"2"}"#), ("b", r#"{"input":"1"}"#)]);
        let new = catalog("2", &[("a", r#"{"input":"1.5","page":"2"}"#), ("c", r#"{"input":"1"}"#)]);
        let difference = compare(&old, &new);
        let of_p = difference.providers.get("p").unwrap();
        let names = |listed: &[Listed]| listed.iter().map(|it| it.price.clone()).collect::<Vec<_>>();
        assert_eq!((names(&of_p.added), names(&of_p.removed)), (vec!["p/c".to_owned()], vec!["p/b".to_owned()]));
        let changes: Vec<(&str, Option<&str>, Option<&str>)> =
            of_p.changed.iter().map(|it| (it.line.as_str(), it.old.as_deref(), it.new.as_deref())).collect();
        assert_eq!(
            changes,
            [("input", Some("1/1M"), Some("1.5/1M")), ("output", Some("2/1M"), None), ("page", None, Some("2/1"))]
        );
        assert!(compare(&old, &old).providers.is_empty());
        let mut text = Vec::new();
        write_difference(&mut text, &difference).unwrap();
        let text = String::from_utf8(text).unwrap();
        assert!(text.contains("prices added 1, removed 1; lines changed 3"), "{text}");
    }
}
