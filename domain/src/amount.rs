//! Exact decimal quantities: money in US dollars and amounts in a budget's unit.
//!
//! Both carry at most 16 integer and 12 fractional digits, the shape of `NUMERIC(28,12)`, so that every value that the
//! database holds fits `rust_decimal` without loss. The smallest step of money is one picodollar.

mod picos;

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

use rust_decimal::{Decimal, RoundingStrategy};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use thiserror::Error;

use self::picos::Picos;
pub(crate) use self::picos::{ONE, divided_half_even, power_of_ten};

/// Fractional digits kept.
pub const SCALE: u32 = 12;

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

fn rounded(value: Decimal) -> Result<Picos, AmountError> {
    Picos::of(value.round_dp_with_strategy(SCALE, RoundingStrategy::MidpointNearestEven))
}

macro_rules! decimal_quantity {
    ($(#[$documentation:meta])* $name:ident) => {
        $(#[$documentation])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
        pub struct $name(Picos);

        impl $name {
            /// Nothing.
            pub const ZERO: Self = Self(Picos::known(0));

            /// The greatest that can be held.
            pub const MAX: Self = Self(Picos::known(picos::GREATEST));

            /// Takes a decimal that already fits the scale and the size.
            ///
            /// # Errors
            /// [`AmountError::TooFine`] and [`AmountError::TooLarge`].
            pub fn new(value: Decimal) -> Result<Self, AmountError> {
                Picos::of(value).map(Self)
            }

            /// Rounds half-even to the scale: the one rounding that a cost line gets (contract, decision 12).
            ///
            /// # Errors
            /// [`AmountError::TooLarge`].
            pub fn rounded(value: Decimal) -> Result<Self, AmountError> {
                rounded(value).map(Self)
            }

            /// The exact value, without trailing zeros.
            pub fn decimal(self) -> Decimal {
                self.0.decimal()
            }

            /// The exact value in 10^-12.
            pub fn picos(self) -> i128 {
                self.0.value()
            }

            /// So many 10^-12.
            ///
            /// # Errors
            /// [`AmountError::TooLarge`].
            pub fn from_picos(picos: i128) -> Result<Self, AmountError> {
                Picos::new(picos).map(Self)
            }

            /// Whether it is nothing.
            pub fn is_zero(self) -> bool {
                self == Self::ZERO
            }

            /// Whether it is below zero.
            pub fn is_negative(self) -> bool {
                self.picos() < 0
            }

            /// Exact sum.
            ///
            /// # Errors
            /// [`AmountError::TooLarge`].
            pub fn plus(self, other: Self) -> Result<Self, AmountError> {
                Self::from_picos(self.picos() + other.picos())
            }

            /// Exact difference.
            ///
            /// # Errors
            /// [`AmountError::TooLarge`].
            pub fn minus(self, other: Self) -> Result<Self, AmountError> {
                Self::from_picos(self.picos() - other.picos())
            }
        }

        impl PartialOrd for $name {
            fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
                Some(self.cmp(other))
            }
        }

        impl Ord for $name {
            fn cmp(&self, other: &Self) -> Ordering {
                self.picos().cmp(&other.picos())
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                Serialize::serialize(&self.decimal(), serializer)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                Self::new(<Decimal as Deserialize>::deserialize(deserializer)?).map_err(serde::de::Error::custom)
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
                fmt::Display::fmt(&self.decimal(), formatter)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(formatter, concat!(stringify!($name), "({})"), self.decimal())
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
        Self(Picos::known(i128::from(count) * ONE))
    }
}

impl Amount {
    /// A count of tokens, calls or attempts.
    ///
    /// # Errors
    /// [`AmountError::TooLarge`] from 10^16 on.
    pub fn from_count(count: u64) -> Result<Self, AmountError> {
        Self::from_picos(i128::from(count) * ONE)
    }

    /// The same as money, where the unit is US dollars.
    pub(crate) fn dollars(self) -> Usd {
        Usd(self.0)
    }

    /// The whole part of what is not below zero; else 0.
    pub fn whole(self) -> u64 {
        u64::try_from(self.picos() / ONE).unwrap_or(0)
    }

    /// So many times as much, rounded half-even to the scale.
    ///
    /// # Errors
    /// [`AmountError::TooLarge`].
    pub fn times(self, factor: Self) -> Result<Self, AmountError> {
        picos::product(self.0, factor.0).map(Self)
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
