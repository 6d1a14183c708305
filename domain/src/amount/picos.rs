//! Whole numbers of 10^-12, in which quantities are kept: sums and products of them are integers, and nothing has to be brought
//! to a common scale first.

use rust_decimal::Decimal;

use super::{AmountError, SCALE};

/// How many make one.
pub(crate) const ONE: i128 = 1_000_000_000_000;

/// 10^28: what no magnitude reaches, for 16 digits before the point.
const LIMIT: i128 = 10_000_000_000_000_000 * ONE;

/// The greatest magnitude.
pub(super) const GREATEST: i128 = LIMIT - 1;

/// Powers of ten that a number may end in, each half of the one before: together they find up to 15 zeros.
const ZEROS: [(u32, u64); 4] = [(8, 100_000_000), (4, 10_000), (2, 100), (1, 10)];

/// A whole number of 10^-12 below [`LIMIT`]: 95 bits with its sign, kept in twelve bytes, so that many of them that may be absent
/// take little room.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub(super) struct Picos {
    low: [u8; 8],
    high: [u8; 4],
}

impl Picos {
    /// `value`, whose magnitude must be at most [`GREATEST`].
    pub(super) const fn known(value: i128) -> Self {
        let [a, b, c, d, e, f, g, h, i, j, k, l, ..] = value.to_le_bytes();
        Self { low: [a, b, c, d, e, f, g, h], high: [i, j, k, l] }
    }

    /// `value`, where it fits.
    pub(super) fn new(value: i128) -> Result<Self, AmountError> {
        if (-GREATEST..=GREATEST).contains(&value) { Ok(Self::known(value)) } else { Err(AmountError::TooLarge) }
    }

    /// The exact value of a decimal.
    pub(super) fn of(decimal: Decimal) -> Result<Self, AmountError> {
        let (mantissa, scale) = (decimal.mantissa(), decimal.scale());
        let value = match SCALE.checked_sub(scale) {
            Some(missing) => mantissa.checked_mul(power_of_ten(missing)).ok_or(AmountError::TooLarge)?,
            None => {
                let beyond = power_of_ten(scale - SCALE);
                if mantissa % beyond != 0 {
                    return Err(AmountError::TooFine);
                }
                mantissa / beyond
            }
        };
        Self::new(value)
    }

    pub(super) const fn value(self) -> i128 {
        ((i32::from_le_bytes(self.high) as i128) << 64) | (u64::from_le_bytes(self.low) as i128)
    }

    /// The same as a decimal without trailing zeros.
    pub(super) fn decimal(self) -> Decimal {
        let value = self.value();
        let (mantissa, scale) = without_zeros(value.unsigned_abs());
        let [a, b, c, d, e, f, g, h, i, j, k, l, ..] = mantissa.to_le_bytes();
        let [low, middle, high] = [[a, b, c, d], [e, f, g, h], [i, j, k, l]].map(u32::from_le_bytes);
        Decimal::from_parts(low, middle, high, value < 0, scale)
    }
}

/// 10^`exponent`; the greatest that is held from 10^38 on.
pub(crate) fn power_of_ten(exponent: u32) -> i128 {
    match 10_u64.checked_pow(exponent) {
        Some(power) => power.into(),
        None => 10_i128.saturating_pow(exponent),
    }
}

/// `numerator` ÷ `denominator`, neither below zero, ties to the even neighbour.
pub(crate) fn divided_half_even(numerator: i128, denominator: i128) -> i128 {
    let quotient = numerator / denominator;
    let rest = numerator - quotient * denominator;
    // Compares the rest with what is missing to the next whole, as doubling it might overflow.
    let up = match rest.cmp(&(denominator - rest)) {
        std::cmp::Ordering::Less => false,
        std::cmp::Ordering::Equal => quotient & 1 == 1,
        std::cmp::Ordering::Greater => true,
    };
    quotient + i128::from(up)
}

/// The product of two numbers of 10^-12, rounded half-even to such a number.
///
/// A product of more digits than a [`Decimal`] holds is rounded to those first.
pub(super) fn product(left: Picos, right: Picos) -> Result<Picos, AmountError> {
    let (left_value, right_value) = (left.value(), right.value());
    let ((left_digits, left_scale), (right_digits, right_scale)) =
        (without_zeros(left_value.unsigned_abs()), without_zeros(right_value.unsigned_abs()));
    let digits = left_digits.checked_mul(right_digits).filter(|digits| *digits < 1 << 96);
    let Some(digits) = digits.and_then(|digits| i128::try_from(digits).ok()) else {
        let product = left.decimal().checked_mul(right.decimal()).ok_or(AmountError::TooLarge)?;
        return super::rounded(product);
    };
    let scale = left_scale + right_scale;
    let magnitude = match SCALE.checked_sub(scale) {
        Some(missing) => digits.checked_mul(power_of_ten(missing)).ok_or(AmountError::TooLarge)?,
        None => divided_half_even(digits, power_of_ten(scale - SCALE)),
    };
    Picos::new(if (left_value < 0) == (right_value < 0) { magnitude } else { -magnitude })
}

/// The digits of a number of 10^-12 without trailing zeros after the point, and how many stand after it.
fn without_zeros(magnitude: u128) -> (u128, u32) {
    let mut scale = SCALE;
    // Nearly all quantities fit a word, which is divided many times faster than two.
    if let Ok(mut digits) = u64::try_from(magnitude) {
        for (zeros, power) in ZEROS {
            if scale >= zeros && digits.is_multiple_of(power) {
                digits /= power;
                scale -= zeros;
            }
        }
        return (digits.into(), scale);
    }
    let mut digits = magnitude;
    for (zeros, power) in ZEROS {
        if scale >= zeros && digits.is_multiple_of(power.into()) {
            digits /= u128::from(power);
            scale -= zeros;
        }
    }
    (digits, scale)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn every_number_of_zeros_is_found() {
        for scale in 0..=SCALE {
            for digits in [7, 7_000_000_000_000_003] {
                let value = digits * power_of_ten(SCALE - scale);
                let expected = Decimal::from_i128_with_scale(digits, scale);
                let decimal = Picos::known(value).decimal();
                assert_eq!((decimal, decimal.scale()), (expected, scale));
            }
        }
        assert_eq!(Picos::default().decimal().serialize(), Decimal::ZERO.serialize());
    }

    #[test]
    fn what_may_be_absent_takes_little_room() {
        assert!(size_of::<Option<Picos>>() <= 13);
    }

    proptest! {
        #[test]
        fn a_number_is_kept_exactly(value in -GREATEST..=GREATEST) {
            let picos = Picos::new(value).unwrap();
            prop_assert_eq!(picos.value(), value);
            let decimal = picos.decimal();
            prop_assert_eq!(decimal.serialize(), Decimal::from_i128_with_scale(value, SCALE).normalize().serialize());
            prop_assert_eq!(Picos::of(decimal).ok(), Some(picos));
        }

        #[test]
        fn a_decimal_is_taken_where_it_fits(mantissa in -(1_i128 << 95)..(1_i128 << 95), zeros in 0_u32..=12, scale in 0_u32..=28) {
            let decimal = Decimal::from_i128_with_scale(mantissa / power_of_ten(zeros) * power_of_ten(zeros), scale);
            let expected = if decimal.normalize().scale() > SCALE {
                Err(AmountError::TooFine)
            } else if decimal.abs() >= Decimal::from(10_000_000_000_000_000_u64) {
                Err(AmountError::TooLarge)
            } else {
                Ok(decimal)
            };
            prop_assert_eq!(Picos::of(decimal).map(Picos::decimal), expected);
        }

        #[test]
        fn a_product_is_that_of_decimals(
            left in -GREATEST..=GREATEST, right in -GREATEST..=GREATEST,
            smaller in 0_u32..=20, coarser in 0_u32..=20,
        ) {
            let left = Picos::known(left / power_of_ten(smaller));
            let right = Picos::known(right / power_of_ten(20) / power_of_ten(coarser / 2) * power_of_ten(coarser));
            let decimals = left.decimal().checked_mul(right.decimal());
            let expected = decimals.ok_or(AmountError::TooLarge).and_then(super::super::rounded);
            prop_assert_eq!(product(left, right), expected);
        }
    }
}
