//! Prices as JSON: the shape that the protobuf JSON mapping gives `tollgate.v1.Price`. Written by `--json`, read by
//! `import`, so that what one command prints another takes.

use jiff::Timestamp;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use tollgate_proto::v1;

/// `tollgate.v1.Price`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(super) struct PriceJson {
    #[serde(alias = "price_id", skip_serializing_if = "String::is_empty")]
    price_id: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    source: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    model: Option<ModelJson>,
    #[serde(skip_serializing_if = "String::is_empty")]
    coverage: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    rates: Vec<RateJson>,
    #[serde(skip_serializing_if = "String::is_empty")]
    multiplier: String,
    #[serde(alias = "start_time", skip_serializing_if = "Option::is_none")]
    start_time: Option<Timestamp>,
    #[serde(alias = "end_time", skip_serializing_if = "Option::is_none")]
    end_time: Option<Timestamp>,
    #[serde(skip_serializing_if = "String::is_empty")]
    note: String,
    #[serde(alias = "create_time", skip_serializing_if = "Option::is_none")]
    create_time: Option<Timestamp>,
    #[serde(skip_serializing_if = "String::is_empty")]
    daily: String,
}

/// `tollgate.v1.ModelRef`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(super) struct ModelJson {
    #[serde(alias = "provider_name", skip_serializing_if = "String::is_empty")]
    provider_name: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    model: String,
    #[serde(alias = "provider_tier", skip_serializing_if = "String::is_empty")]
    provider_tier: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    region: String,
}

/// `tollgate.v1.PriceRate`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(super) struct RateJson {
    #[serde(skip_serializing_if = "String::is_empty")]
    line: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    usd: String,
    #[serde(serialize_with = "as_text", deserialize_with = "text_or_number", skip_serializing_if = "is_zero")]
    per: i64,
    #[serde(
        alias = "above_input_tokens",
        serialize_with = "as_text",
        deserialize_with = "text_or_number",
        skip_serializing_if = "is_zero"
    )]
    above_input_tokens: i64,
    #[serde(alias = "cache_ttl", deserialize_with = "seconds", skip_serializing_if = "String::is_empty")]
    cache_ttl: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    minimum: String,
}

/// `tollgate.v1.Cost`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct CostJson {
    state: &'static str,
    usd: String,
    lines: Vec<LineJson>,
    catalog_version: String,
    input_estimated: bool,
}

/// `tollgate.v1.CostLine`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
struct LineJson {
    line: String,
    quantity: String,
    unit_price_usd: String,
    usd: String,
    price_id: String,
    model: String,
}

fn is_zero(number: &i64) -> bool {
    *number == 0
}

fn as_text<S: Serializer>(number: &i64, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(number)
}

fn text_or_number<'de, D: Deserializer<'de>>(deserializer: D) -> Result<i64, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Number {
        Number(i64),
        Text(String),
    }
    match Number::deserialize(deserializer)? {
        Number::Number(number) => Ok(number),
        Number::Text(text) => text.parse().map_err(serde::de::Error::custom),
    }
}

/// Checked here, as the wire has no place for what is not a duration.
fn seconds<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let text = String::deserialize(deserializer)?;
    let whole = text.strip_suffix('s').is_some_and(|digits| digits.parse::<u32>().is_ok());
    if whole { Ok(text) } else { Err(serde::de::Error::custom("cacheTtl must be whole seconds such as \"300s\"")) }
}

fn instant(at: Option<prost_types::Timestamp>) -> Option<Timestamp> {
    at.and_then(|at| Timestamp::new(at.seconds, at.nanos).ok())
}

impl From<v1::Price> for PriceJson {
    fn from(price: v1::Price) -> Self {
        let (source, coverage) = (price.source().as_str_name(), price.coverage().as_str_name());
        let v1::Price {
            price_id,
            source: _,
            model,
            coverage: _,
            rates,
            multiplier,
            start_time,
            end_time,
            note,
            create_time,
            daily,
        } = price;
        Self {
            price_id,
            source: source.to_owned(),
            model: model.map(|model| {
                let v1::ModelRef { provider_name, model, provider_tier, region } = model;
                ModelJson { provider_name, model, provider_tier, region }
            }),
            coverage: coverage.to_owned(),
            rates: rates.into_iter().map(RateJson::from).collect(),
            multiplier,
            start_time: instant(start_time),
            end_time: instant(end_time),
            note,
            create_time: instant(create_time),
            daily,
        }
    }
}

impl From<v1::PriceRate> for RateJson {
    fn from(rate: v1::PriceRate) -> Self {
        let v1::PriceRate { line, usd, per, above_input_tokens, cache_ttl, minimum } = rate;
        let cache_ttl = cache_ttl.map(|ttl| format!("{}s", ttl.seconds)).unwrap_or_default();
        Self { line, usd, per, above_input_tokens, cache_ttl, minimum }
    }
}

impl PriceJson {
    /// The price to set; what a server fills in is left out.
    ///
    /// # Errors
    /// A coverage that there is not.
    pub(super) fn into_price(self) -> anyhow::Result<v1::Price> {
        let Self { price_id: _, source: _, model, coverage, rates, multiplier, start_time, end_time, note, .. } = self;
        let known = v1::price::Coverage::from_str_name(&coverage);
        let coverage = known
            .ok_or_else(|| anyhow::anyhow!("coverage must be COVERAGE_MODEL or COVERAGE_LINES, not `{coverage}`"))?;
        let wire = crate::grpc::convert::values::to_timestamp;
        Ok(v1::Price {
            model: model.map(|model| {
                let ModelJson { provider_name, model, provider_tier, region } = model;
                v1::ModelRef { provider_name, model, provider_tier, region }
            }),
            coverage: coverage.into(),
            rates: rates.into_iter().map(v1::PriceRate::from).collect(),
            multiplier,
            start_time: start_time.map(wire),
            end_time: end_time.map(wire),
            note,
            ..Default::default()
        })
    }
}

impl From<RateJson> for v1::PriceRate {
    fn from(rate: RateJson) -> Self {
        let RateJson { line, usd, per, above_input_tokens, cache_ttl, minimum } = rate;
        let seconds = cache_ttl.strip_suffix('s').and_then(|digits| digits.parse().ok());
        let cache_ttl = seconds.map(|seconds| prost_types::Duration { seconds, nanos: 0 });
        Self { line, usd, per, above_input_tokens, cache_ttl, minimum }
    }
}

impl CostJson {
    /// A cost, and whether its input was estimated.
    pub(super) fn new(cost: v1::Cost, input_estimated: bool) -> Self {
        let state = cost.state().as_str_name();
        let v1::Cost { state: _, usd, lines, catalog_version, saved_usd: _ } = cost;
        let line = |line: v1::CostLine| {
            let v1::CostLine { line, quantity, unit_price_usd, usd, price_id, model } = line;
            LineJson { line, quantity, unit_price_usd, usd, price_id, model }
        };
        Self { state, usd, lines: lines.into_iter().map(line).collect(), catalog_version, input_estimated }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_again() {
        let price = v1::Price {
            model: Some(v1::ModelRef { provider_name: "p".into(), model: "m*".into(), ..Default::default() }),
            coverage: v1::price::Coverage::Lines.into(),
            rates: vec![v1::PriceRate {
                line: "cache_write".into(),
                usd: "2.5".into(),
                per: 1_000_000,
                above_input_tokens: 7,
                cache_ttl: Some(prost_types::Duration { seconds: 300, nanos: 0 }),
                minimum: "1".into(),
            }],
            multiplier: "0.85".into(),
            start_time: Some(prost_types::Timestamp { seconds: 5, nanos: 0 }),
            note: "why".into(),
            ..Default::default()
        };
        let text = serde_json::to_string(&PriceJson::from(price.clone())).unwrap();
        assert!(text.contains(r#""per":"1000000""#) && text.contains(r#""cacheTtl":"300s""#), "{text}");
        assert_eq!(serde_json::from_str::<PriceJson>(&text).unwrap().into_price().unwrap(), price);
    }

    #[test]
    fn names_of_the_proto_and_plain_numbers_are_read_too() {
        let text = r#"{"model":{"provider_name":"p","model":"m"},"coverage":"COVERAGE_MODEL",
            "rates":[{"line":"input","usd":"1","per":1000000}],"start_time":"2026-01-01T00:00:00Z"}"#;
        let price = serde_json::from_str::<PriceJson>(text).unwrap().into_price().unwrap();
        assert_eq!(price.rates.first().map(|rate| rate.per), Some(1_000_000));
        for bad in [r#"{"coverage":"MODEL"}"#, "{}"] {
            assert!(serde_json::from_str::<PriceJson>(bad).unwrap().into_price().is_err(), "{bad}");
        }
        for bad in [r#"{"colour":1}"#, r#"{"rates":[{"cacheTtl":"5m"}]}"#, r#"{"rates":[{"usd":2.5}]}"#] {
            assert!(serde_json::from_str::<PriceJson>(bad).is_err(), "{bad}");
        }
    }
}
