//! Sums over calls, as the client adds them up and as the server tells them.

use rust_decimal::Decimal;
use serde::{Serialize, Serializer};
use tollgate_client::v1;

/// Calls, tokens and dollars.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub(super) struct Sums {
    /// Calls.
    pub(super) calls: u64,
    /// Tokens of their prompts.
    pub(super) input_tokens: u64,
    /// Tokens of their answers.
    pub(super) output_tokens: u64,
    /// What they cost.
    #[serde(serialize_with = "plain")]
    pub(super) usd: Decimal,
}

/// Without trailing zeros, so that equal amounts are equal texts.
fn plain<S: Serializer>(usd: &Decimal, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&usd.normalize().to_string())
}

impl Sums {
    /// Adds others. At the end of a number, sums stay there: they disagree with the server's then, as they must.
    pub(super) fn add(&mut self, other: &Self) {
        self.calls = self.calls.saturating_add(other.calls);
        self.input_tokens = self.input_tokens.saturating_add(other.input_tokens);
        self.output_tokens = self.output_tokens.saturating_add(other.output_tokens);
        self.usd = self.usd.saturating_add(other.usd);
    }

    /// As the server tells them; `None` where it tells what no sum can be.
    pub(super) fn told(totals: &v1::UsageTotals) -> Option<Self> {
        let tokens = totals.tokens.clone().unwrap_or_default();
        let usd = if totals.usd.is_empty() { Decimal::ZERO } else { Decimal::from_str_exact(&totals.usd).ok()? };
        Some(Self {
            calls: u64::try_from(totals.calls).ok()?,
            input_tokens: u64::try_from(tokens.total_input_tokens).ok()?,
            output_tokens: u64::try_from(tokens.total_output_tokens).ok()?,
            usd,
        })
    }
}

impl std::fmt::Display for Sums {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { calls, input_tokens, output_tokens, usd } = self;
        let usd = usd.normalize();
        write!(formatter, "{calls} calls, {input_tokens} input tokens, {output_tokens} output tokens, {usd} USD")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_are_compared_by_value_to_the_last_digit() {
        let tokens = v1::TokenTotals { total_input_tokens: 10, total_output_tokens: 5, parts: Vec::new() };
        let told = |usd: &str| {
            let totals =
                v1::UsageTotals { calls: 1, tokens: Some(tokens.clone()), usd: usd.to_owned(), ..Default::default() };
            Sums::told(&totals)
        };
        let mut own = Sums::default();
        own.add(&Sums { calls: 1, input_tokens: 10, output_tokens: 5, usd: Decimal::new(5, 1) });
        assert_eq!(told("0.500000000000"), Some(own));
        assert_ne!(told("0.500000000001"), Some(own));
        assert_eq!(told("five"), None);
        assert_eq!(own.to_string(), "1 calls, 10 input tokens, 5 output tokens, 0.5 USD");
    }
}
