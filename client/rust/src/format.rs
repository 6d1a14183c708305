//! Totals in one line, for people.

use tollgate_proto::v1;

/// The least decimals of an amount.
const LEAST_DECIMALS: usize = 4;

/// Totals in one line, for example `⚡ 1,234 tokens  |  $ 0.0456`. The amount is exact, with at least 4 decimals. While some events
/// have no price it is a lower bound, shown as `$ ≥ 0.0456`.
#[must_use]
pub fn format_totals(totals: &v1::UsageTotals) -> String {
    let tokens =
        totals.tokens.as_ref().map_or(0, |tokens| tokens.total_input_tokens.saturating_add(tokens.total_output_tokens));
    let bound = if totals.unpriced > 0 { "≥ " } else { "" };
    format!("⚡ {} tokens  |  $ {bound}{}", grouped(&tokens.to_string()), amount(&totals.usd))
}

/// A decimal string with its thousands grouped, surplus zeros cut, and at least four decimals. Digits are moved, never computed.
fn amount(usd: &str) -> String {
    let (whole, decimals) = usd.split_once('.').unwrap_or((usd, ""));
    let whole = if whole.is_empty() { "0" } else { whole };
    let decimals = decimals.trim_end_matches('0');
    format!("{}.{decimals:0<LEAST_DECIMALS$}", grouped(whole))
}

/// A whole number with a comma between thousands.
fn grouped(number: &str) -> String {
    let (sign, digits) = number.strip_prefix('-').map_or(("", number), |digits| ("-", digits));
    let mut text = String::from(sign);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn totals(input: i64, output: i64, usd: &str, unpriced: i64) -> v1::UsageTotals {
        v1::UsageTotals {
            tokens: Some(v1::TokenTotals { total_input_tokens: input, total_output_tokens: output, parts: Vec::new() }),
            usd: usd.to_owned(),
            unpriced,
            ..Default::default()
        }
    }

    #[test]
    fn totals_read_as_designed() {
        assert_eq!(format_totals(&totals(1_000, 234, "0.045600000000", 0)), "⚡ 1,234 tokens  |  $ 0.0456");
        assert_eq!(format_totals(&v1::UsageTotals::default()), "⚡ 0 tokens  |  $ 0.0000");
        assert_eq!(format_totals(&totals(1_234_567, 0, "1234567", 0)), "⚡ 1,234,567 tokens  |  $ 1,234,567.0000");
        assert_eq!(format_totals(&totals(12, 0, "0.000123456789", 0)), "⚡ 12 tokens  |  $ 0.000123456789");
        assert_eq!(format_totals(&totals(100, 0, "-100.5", 0)), "⚡ 100 tokens  |  $ -100.5000");
    }

    #[test]
    fn an_amount_that_lacks_prices_says_so() {
        assert_eq!(format_totals(&totals(1, 1, "0.5", 2)), "⚡ 2 tokens  |  $ ≥ 0.5000");
    }
}
