//! The price catalog.

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;

use super::finding::Finding;
use crate::config::PricesConfig;
use crate::prices::{CatalogFile, catalog_of};

const CHECK: &str = "prices.catalog";
/// From how many days on prices are old: providers change theirs several times a year.
const OLD_DAYS: i32 = 90;

/// Whether it can be used, and how old it is by its version, which begins with its day.
pub(super) fn catalog(config: &PricesConfig, now: Timestamp) -> Finding {
    let read = match &config.catalog_file {
        Some(file) => CatalogFile::new(file).read(),
        None => catalog_of(None),
    };
    let catalog = match read {
        Ok(catalog) => catalog,
        Err(error) => {
            return Finding::fail(CHECK, error.to_string(), "correct the file, or unset prices.catalog_file");
        }
    };
    let (providers, models) = catalog.size();
    let version = catalog.version();
    let Some(age) = age_in_days(version, now) else {
        return Finding::ok(CHECK, format!("version {version}, {models} models of {providers} providers"));
    };
    let found = format!("version {version}, {age} days old, {models} models of {providers} providers");
    if age < OLD_DAYS {
        return Finding::ok(CHECK, found);
    }
    Finding::warn(CHECK, found, "install a newer version of tollgate, or set prices.catalog_file to a newer catalog")
}

fn age_in_days(version: &str, now: Timestamp) -> Option<i32> {
    let day: Date = version.get(..10)?.parse().ok()?;
    let today = now.to_zoned(TimeZone::UTC).date();
    Some(today.since(day).ok()?.get_days())
}

#[cfg(test)]
mod tests {
    use super::super::finding::Verdict;
    use super::*;

    #[test]
    fn a_catalog_grows_old() {
        let config = PricesConfig::default();
        let version = catalog_of(None).unwrap().version().to_owned();
        let made: Date = version[..10].parse().unwrap();
        let after = |days: i64| {
            let noon = made.to_zoned(TimeZone::UTC).unwrap().timestamp();
            noon.checked_add(jiff::SignedDuration::from_hours(24 * days)).unwrap()
        };
        assert_eq!(catalog(&config, after(10)).verdict, Verdict::Ok);
        assert_eq!(catalog(&config, after(91)).verdict, Verdict::Warn);
        let missing = PricesConfig { catalog_file: Some("/nowhere/catalog.jsonl".into()), ..config };
        assert_eq!(catalog(&missing, after(10)).verdict, Verdict::Fail);
    }
}
