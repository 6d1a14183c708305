//! Numbers read from their JSON text: a float would turn 0.0177 into something near it.

use rust_decimal::Decimal;

use crate::amount::SCALE;
use crate::tokens::TOKENS_LIMIT;

/// A JSON number that is not negative: `digits` × 10^-`scale`, without leading or trailing zeros; no digits is zero.
struct Digits {
    digits: String,
    scale: i64,
}

impl Digits {
    /// Reads a valid JSON number; `None` for other JSON, negative numbers and exponents beyond reason.
    fn parse(text: &str) -> Option<Self> {
        let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
        let (negative, mantissa) = mantissa.strip_prefix('-').map_or((false, mantissa), |rest| (true, rest));
        let (integer, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        if integer.is_empty() || !integer.bytes().chain(fraction.bytes()).all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        let all = format!("{integer}{fraction}");
        let digits = all.trim_end_matches('0');
        let dropped = all.len() - digits.len();
        let digits = digits.trim_start_matches('0').to_owned();
        if digits.is_empty() {
            return Some(Self { digits, scale: 0 });
        }
        let exponent = i64::from(exponent.strip_prefix('+').unwrap_or(exponent).parse::<i32>().ok()?);
        let scale = i64::try_from(fraction.len()).ok()? - i64::try_from(dropped).ok()? - exponent;
        (!negative).then_some(Self { digits, scale })
    }

    /// How many digits stand before the decimal point; zero or less for fractions.
    fn integer_digits(&self) -> i64 {
        i64::try_from(self.digits.len()).unwrap_or(i64::MAX).saturating_sub(self.scale)
    }
}

/// A count from 0 to [`TOKENS_LIMIT`]: `12` and `12.0`, but neither `-1` nor `1.5` nor `"12"`.
pub(super) fn count(text: &str) -> Option<u64> {
    let number = Digits::parse(text)?;
    if number.digits.is_empty() {
        return Some(0);
    }
    if number.scale > 0 || number.integer_digits() > 10 {
        return None;
    }
    let value = number.digits.parse::<u64>().ok()?.checked_mul(power_of_ten(-number.scale)?)?;
    (value <= TOKENS_LIMIT).then_some(value)
}

/// A decimal from 0 to [`TOKENS_LIMIT`] after moving its point `places` to the left, rounded half-even to 12 decimals.
pub(super) fn decimal(text: &str, places: i64) -> Option<Decimal> {
    let number = Digits::parse(text)?;
    if number.digits.is_empty() {
        return Some(Decimal::ZERO);
    }
    let number = Digits { scale: number.scale.checked_add(places)?, ..number };
    let integer_digits = number.integer_digits();
    if integer_digits > 10 {
        return None;
    }
    let steps = steps_half_even(&number.digits, integer_digits + i64::from(SCALE))?;
    let value = Decimal::try_from_i128_with_scale(steps, SCALE).ok()?;
    (value <= Decimal::from(TOKENS_LIMIT)).then_some(value)
}

/// The first `kept` digits as a number, padded with zeros where there are fewer, ties to the even neighbour.
fn steps_half_even(digits: &str, kept: i64) -> Option<i128> {
    let Ok(kept) = usize::try_from(kept) else { return Some(0) };
    let Some((head, tail)) = digits.split_at_checked(kept) else {
        return format!("{digits:0<kept$}").parse().ok();
    };
    let steps: i128 = if head.is_empty() { 0 } else { head.parse().ok()? };
    let up = match tail.as_bytes() {
        // No trailing zeros are left, so a lone 5 is the exact half.
        [b'5'] => steps % 2 == 1,
        [first, ..] => *first >= b'5',
        [] => false,
    };
    Some(steps + i128::from(up))
}

fn power_of_ten(exponent: i64) -> Option<u64> {
    10_u64.checked_pow(u32::try_from(exponent).ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_numbers_are_counts_however_they_are_written() {
        for (text, expected) in
            [("0", 0), ("-0", 0), ("0.0e9", 0), ("12", 12), ("12.0", 12), ("1.2e1", 12), ("1E+3", 1000)]
        {
            assert_eq!(count(text), Some(expected), "{text}");
        }
        assert_eq!(count("1000000000"), Some(TOKENS_LIMIT));
        for text in
            ["-1", "1.5", "\"12\"", "1000000001", "1e999999999999", "1e-1", "true", "{}", "99999999999999999999"]
        {
            assert_eq!(count(text), None, "{text}");
        }
    }

    #[test]
    fn money_keeps_its_digits_and_rounds_half_even_at_the_picodollar() {
        let shown = |text: &str, places| decimal(text, places).map(|value| value.normalize().to_string());
        for (text, places, expected) in [
            ("0.0177", 0, "0.0177"),
            ("1.77e-2", 0, "0.0177"),
            ("0.017700000000000001", 0, "0.0177"),
            ("0.0000000000005", 0, "0"),
            ("0.00000000000050000000000000000000000000000001", 0, "0.000000000001"),
            ("0.0000000000015", 0, "0.000000000002"),
            ("0.0000000000025", 0, "0.000000000002"),
            ("0.9999999999999", 0, "1"),
            ("1e-400", 0, "0"),
            ("482631500", 10, "0.04826315"),
            ("1", 10, "0.0000000001"),
            ("12.5", 0, "12.5"),
            ("1000000000", 0, "1000000000"),
        ] {
            assert_eq!(shown(text, places).as_deref(), Some(expected), "{text}");
        }
        for text in ["-0.1", "1e10", "1000000000.1", "\"1\"", "null"] {
            assert_eq!(decimal(text, 0), None, "{text}");
        }
    }
}
