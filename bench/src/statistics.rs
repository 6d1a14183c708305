//! Rates, medians and ratios of what was measured.

#![expect(clippy::float_arithmetic, reason = "rates of measurements: no money is counted here")]

use std::time::Duration;

/// Operations a second.
pub(crate) fn rate(operations: u64, span: Duration) -> f64 {
    if span.is_zero() { 0.0 } else { operations as f64 / span.as_secs_f64() }
}

/// One figure over another; 0 where there is no other.
pub(crate) fn ratio(value: f64, of: f64) -> f64 {
    if of == 0.0 { 0.0 } else { value / of }
}

/// What is lost from `of` to `value`, as a share of `of`; less than 0 where there is more.
pub(crate) fn loss(value: f64, of: f64) -> f64 {
    if of == 0.0 { 0.0 } else { (of - value) / of }
}

/// A share in hundredths.
pub(crate) fn percent(share: f64) -> f64 {
    share * 100.0
}

/// The middle one, or the mean of both in the middle.
pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let upper = values.get(values.len() / 2).copied().unwrap_or_default();
    let lower = values.get(values.len().saturating_sub(1) / 2).copied().unwrap_or_default();
    f64::midpoint(lower, upper)
}

/// To thousandths, which is finer than any measurement here.
pub(crate) fn rounded(value: f64) -> f64 {
    (value * 1_000.0).round() / 1_000.0
}

/// Bytes in MiB.
pub(crate) fn mebibytes(bytes: u64) -> f64 {
    bytes as f64 / 1_048_576.0
}

/// Microseconds in milliseconds.
pub(crate) fn milliseconds(microseconds: u64) -> f64 {
    microseconds as f64 / 1_000.0
}

/// One whole number over another.
pub(crate) fn per(value: u64, of: u64) -> f64 {
    ratio(value as f64, of as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_in_the_middle() {
        assert_eq!(median(vec![3.0, 1.0, 2.0]).to_bits(), 2.0_f64.to_bits());
        assert_eq!(median(vec![4.0, 1.0]).to_bits(), 2.5_f64.to_bits());
        assert_eq!(median(Vec::new()).to_bits(), 0.0_f64.to_bits());
    }

    #[test]
    fn nothing_is_divided_by_nothing() {
        assert_eq!(rate(1, Duration::ZERO).to_bits(), 0.0_f64.to_bits());
        assert_eq!(per(1, 0).to_bits(), 0.0_f64.to_bits());
        assert_eq!(rounded(loss(90.0, 100.0)).to_bits(), 0.1_f64.to_bits());
    }
}
