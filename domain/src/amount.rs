//! Exact decimal quantities: money in US dollars and amounts in a budget's unit.
//!
//! Both carry at most 16 integer and 12 fractional digits, the shape of `NUMERIC(28,12)`, so that every value that the
//! database holds fits `rust_decimal` without loss. The smallest step of money is one picodollar.

use std::fmt;
use std::str::FromStr;

use rust_decimal::{Decimal, RoundingStrategy};
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// Fractional digits kept.
pub const SCALE: u32 = 12;

/// Largest magnitude that fits 16 integer digits.
const LIMIT: Decimal = Decimal::from_parts(1_874_919_424, 2_328_306, 0, false, 0);

/// Why a decimal is refused or a sum cannot be held.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum AmountError {
    /// Not a plain decimal number.
    #[error("must be a plain decimal number such as 12.50, without exponent, sign + or spaces")]
    Malformed,
    /// More than 16 digits before the point.
    #[error("must have at most 16 digits before the decimal point")]
    TooLarge,
    /// More than 12 digits after the point.
    #[error("must have at most 12 digits after the decimal point")]
    TooFine,
}

fn parse(text: &str) -> Result<Decimal, AmountError> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let (integer, fraction) = digits.split_once('.').unwrap_or((digits, "0"));
    let plain = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    if !plain(integer) || !plain(fraction) {
        return Err(AmountError::Malformed);
    }
    if fraction.trim_end_matches('0').len() > SCALE as usize {
        return Err(AmountError::TooFine);
    }
    if integer.trim_start_matches('0').len() > 16 {
        return Err(AmountError::TooLarge);
    }
    let sign = if digits.len() == text.len() { "" } else { "-" };
    let fraction = fraction.trim_end_matches('0');
    let integer = integer.trim_start_matches('0');
    let integer = if integer.is_empty() { "0" } else { integer };
    let canonical =
        if fraction.is_empty() { format!("{sign}{integer}") } else { format!("{sign}{integer}.{fraction}") };
    Decimal::from_str_exact(&canonical).map(|value| value.normalize()).map_err(|_| AmountError::Malformed)
}

macro_rules! decimal_quantity {
    ($(#[$documentation:meta])* $name:ident) => {
        $(#[$documentation])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(Decimal);

        impl $name {
            /// Nothing.
            pub const ZERO: Self = Self(Decimal::ZERO);

            /// The greatest that can be held.
            pub const MAX: Self = Self(Decimal::from_parts(268_435_455, 1_042_612_833, 542_101_086, false, SCALE));

            /// Takes a decimal that already fits the scale and the size.
            ///
            /// # Errors
            /// [`AmountError::TooFine`] and [`AmountError::TooLarge`].
            pub fn new(value: Decimal) -> Result<Self, AmountError> {
                let value = value.normalize();
                if value.scale() > SCALE {
                    return Err(AmountError::TooFine);
                }
                if value.abs() >= LIMIT {
                    return Err(AmountError::TooLarge);
                }
                Ok(Self(value))
            }

            /// Rounds half-even to the scale: the one rounding that a cost line gets (contract, decision 12).
            ///
            /// # Errors
            /// [`AmountError::TooLarge`].
            pub fn rounded(value: Decimal) -> Result<Self, AmountError> {
                Self::new(value.round_dp_with_strategy(SCALE, RoundingStrategy::MidpointNearestEven))
            }

            /// The exact value.
            pub fn decimal(self) -> Decimal {
                self.0
            }

            /// Whether it is nothing.
            pub fn is_zero(self) -> bool {
                self.0.is_zero()
            }

            /// Whether it is below zero.
            pub fn is_negative(self) -> bool {
                self.0.is_sign_negative() && !self.0.is_zero()
            }

            /// Exact sum.
            ///
            /// # Errors
            /// [`AmountError::TooLarge`].
            pub fn plus(self, other: Self) -> Result<Self, AmountError> {
                self.0.checked_add(other.0).ok_or(AmountError::TooLarge).and_then(Self::new)
            }

            /// Exact difference.
            ///
            /// # Errors
            /// [`AmountError::TooLarge`].
            pub fn minus(self, other: Self) -> Result<Self, AmountError> {
                self.0.checked_sub(other.0).ok_or(AmountError::TooLarge).and_then(Self::new)
            }
        }

        impl FromStr for $name {
            type Err = AmountError;

            fn from_str(text: &str) -> Result<Self, AmountError> {
                parse(text).and_then(Self::new)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0.normalize(), formatter)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(formatter, concat!(stringify!($name), "({})"), self.0.normalize())
            }
        }
    };
}

decimal_quantity! {
    /// Money in US dollars, exact to the picodollar.
    Usd
}

decimal_quantity! {
    /// A quantity in a budget's unit: dollars, tokens, calls or attempts.
    Amount
}

impl From<Usd> for Amount {
    fn from(usd: Usd) -> Self {
        Self(usd.0)
    }
}

impl From<u32> for Amount {
    fn from(count: u32) -> Self {
        Self(Decimal::from(count))
    }
}

impl Amount {
    /// A count of tokens, calls or attempts.
    ///
    /// # Errors
    /// [`AmountError::TooLarge`] from 10^16 on.
    pub fn from_count(count: u64) -> Result<Self, AmountError> {
        Self::new(Decimal::from(count))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_greatest_is_what_the_database_holds() {
        assert_eq!(Amount::MAX.to_string(), "9999999999999999.999999999999");
    }

    #[test]
    fn limit_is_ten_to_the_sixteenth() {
        assert_eq!(LIMIT, Decimal::from(10_000_000_000_000_000_u64));
    }

    #[test]
    fn parses_the_bounds_and_refuses_what_lies_beyond() {
        for good in ["0", "0.241975", "-1", "9999999999999999.999999999999", "000012.500000000000000"] {
            assert!(good.parse::<Usd>().is_ok(), "{good}");
        }
        let cases = [
            ("", AmountError::Malformed),
            ("1e3", AmountError::Malformed),
            ("+1", AmountError::Malformed),
            (".5", AmountError::Malformed),
            ("1.", AmountError::Malformed),
            ("1,5", AmountError::Malformed),
            ("NaN", AmountError::Malformed),
            ("0.0000000000001", AmountError::TooFine),
            ("10000000000000000", AmountError::TooLarge),
        ];
        for (text, error) in cases {
            assert_eq!(text.parse::<Usd>(), Err(error), "{text}");
        }
    }

    #[test]
    fn decision_12_rounds_half_to_even_at_the_picodollar() {
        let rounded = |text: &str| Usd::rounded(Decimal::from_str_exact(text).unwrap()).unwrap().to_string();
        assert_eq!(rounded("0.0000000000005"), "0");
        assert_eq!(rounded("0.0000000000015"), "0.000000000002");
        assert_eq!(rounded("0.0000000000025"), "0.000000000002");
    }

    #[test]
    fn prints_without_trailing_zeros() {
        assert_eq!("12.500".parse::<Usd>().unwrap().to_string(), "12.5");
        assert_eq!(format!("{:?}", "1.0".parse::<Amount>().unwrap()), "Amount(1)");
    }
}
