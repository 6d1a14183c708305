//! What the commands take: models, prices of lines, instants.

use std::str::FromStr;

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use tollgate_domain::price::{LineKind, UnitPrice};
use tollgate_proto::v1;

/// A model as `PROVIDER/MODEL`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ModelArgument {
    pub(super) provider: String,
    pub(super) model: String,
}

impl ModelArgument {
    /// For the wire, in a tier and a region.
    pub(super) fn reference(&self, tier: Option<&str>, region: Option<&str>) -> v1::ModelRef {
        v1::ModelRef {
            provider_name: self.provider.clone(),
            model: self.model.clone(),
            provider_tier: tier.unwrap_or_default().to_owned(),
            region: region.unwrap_or_default().to_owned(),
        }
    }
}

impl FromStr for ModelArgument {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once('/') {
            Some((provider, model)) if !provider.is_empty() && !model.is_empty() => {
                Ok(Self { provider: provider.to_owned(), model: model.to_owned() })
            }
            _ => Err("name it as PROVIDER/MODEL, for example openai/gpt-4o".to_owned()),
        }
    }
}

impl std::fmt::Display for ModelArgument {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{}/{}", self.provider, self.model)
    }
}

/// The price of a line as `LINE[@ABOVE]=USD[/PER]`: `input=2.5/1M`, `input@200000=5/1M`, `web_search=10/1k`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct RateArgument(pub(super) v1::PriceRate);

impl FromStr for RateArgument {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let form = || format!("`{text}` is not LINE=USD/PER, for example input=2.5/1M or web_search=10/1k");
        let (name, price) = text.split_once('=').ok_or_else(form)?;
        let (line, above) = match name.split_once('@') {
            Some((line, above)) => (line, number(above)?),
            None => (name, 0),
        };
        let token_line = LineKind::token_line(line).is_some();
        let default_per = if token_line { i64::from(UnitPrice::TOKENS) } else { 1 };
        let (usd, per) = match price.split_once('/') {
            Some((usd, per)) => (usd, number(per)?),
            None => (price, default_per),
        };
        if line.is_empty() || usd.is_empty() {
            return Err(form());
        }
        Ok(Self(v1::PriceRate {
            line: line.to_owned(),
            usd: usd.to_owned(),
            per,
            above_input_tokens: above,
            ..Default::default()
        }))
    }
}

/// A whole number, perhaps of thousands (`k`) or millions (`M`).
fn number(text: &str) -> Result<i64, String> {
    let (digits, factor) = match text.strip_suffix(['k', 'K']) {
        Some(digits) => (digits, 1_000),
        None => match text.strip_suffix(['m', 'M']) {
            Some(digits) => (digits, 1_000_000),
            None => (text, 1),
        },
    };
    let parsed = digits.parse::<u32>().ok().and_then(|number| i64::from(number).checked_mul(factor));
    parsed.ok_or_else(|| format!("`{text}` is not a whole number such as 1000, 1k or 1M"))
}

/// An instant as RFC 3339, a day (its start in UTC), or `now`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::cli) struct InstantArgument(pub(in crate::cli) Timestamp);

impl FromStr for InstantArgument {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "now" {
            return Ok(Self(Timestamp::now()));
        }
        let start_of_day = || text.parse::<Date>().ok()?.to_zoned(TimeZone::UTC).ok().map(|start| start.timestamp());
        let instant = text.parse::<Timestamp>().ok().or_else(start_of_day);
        instant.map(Self).ok_or_else(|| "give an instant such as 2026-01-31T12:00:00Z, a day, or now".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_read_with_their_units_and_thresholds() {
        let read = |text: &str| {
            let v1::PriceRate { line, usd, per, above_input_tokens, .. } = text.parse::<RateArgument>().unwrap().0;
            (line, usd, per, above_input_tokens)
        };
        let expected = |line: &str, usd: &str, per, above| (line.to_owned(), usd.to_owned(), per, above);
        assert_eq!(read("input=2.5/1M"), expected("input", "2.5", 1_000_000, 0));
        assert_eq!(read("input=2.5"), expected("input", "2.5", 1_000_000, 0));
        assert_eq!(read("output@200k=15/1m"), expected("output", "15", 1_000_000, 200_000));
        assert_eq!(read("web_search=10/1k"), expected("web_search", "10", 1_000, 0));
        assert_eq!(read("page=0.01"), expected("page", "0.01", 1, 0));
        for bad in ["input", "=1", "input=", "input=1/x", "input@y=1"] {
            assert!(bad.parse::<RateArgument>().is_err(), "{bad}");
        }
    }

    #[test]
    fn models_and_instants_are_read_or_explained() {
        let model: ModelArgument = "openrouter/meta-llama/llama-3".parse().unwrap();
        assert_eq!((model.provider.as_str(), model.model.as_str()), ("openrouter", "meta-llama/llama-3"));
        assert!("gpt-4o".parse::<ModelArgument>().is_err() && "/x".parse::<ModelArgument>().is_err());
        let day: InstantArgument = "2026-01-31".parse().unwrap();
        assert_eq!(day.0.to_string(), "2026-01-31T00:00:00Z");
        assert!("now".parse::<InstantArgument>().is_ok() && "soon".parse::<InstantArgument>().is_err());
    }
}
