//! What a call costs, line by line.

use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::line::LineKind;
use super::sheet::Rate;
use crate::amount::{Amount, AmountError, SCALE, Usd};

/// How far a call could be priced.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PriceState {
    /// Everything that was used has a rate.
    Priced,
    /// Everything that was used has a rate of zero.
    Free,
    /// Something that was used has no rate: the cost is what the rest costs.
    Partial,
    /// The model has no price: the cost is unknown, and its zero no price.
    Unpriced,
}

/// A count of something other than tokens.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct UnitCount {
    /// What was counted, for example `web_search`.
    pub unit: String,
    /// How many.
    pub quantity: Amount,
}

/// Why a cost cannot be computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum PriceError {
    /// A product or a sum outgrows what money can hold.
    #[error("the cost is too large to be held: send smaller quantities")]
    TooLarge,
    /// A quantity or a rate is below zero.
    #[error("a quantity or a rate is negative: it must be zero or more")]
    Negative,
}

impl From<AmountError> for PriceError {
    fn from(_: AmountError) -> Self {
        Self::TooLarge
    }
}

/// One line: a quantity at a price.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct CostLine {
    /// What was used, also where a parent's rate prices it.
    pub line: LineKind,
    /// Tokens or units.
    pub quantity: Amount,
    /// US dollars for one token or one unit, exact.
    pub usd_per_unit: Decimal,
    /// Their product, rounded once, half-even, to 12 decimals (contract, decision 12).
    pub usd: Usd,
    /// The catalog's price entry.
    pub price_id: String,
    /// The catalog's name of the model: one answer can bill two.
    pub model: String,
}

impl CostLine {
    /// Charges `quantity` of `line` at `rate`.
    ///
    /// # Errors
    /// [`PriceError`] where the product does not fit or a factor is negative.
    pub fn new(line: LineKind, quantity: Amount, rate: &Rate, model: &str) -> Result<Self, PriceError> {
        Ok(Self {
            line,
            quantity,
            usd_per_unit: rate.usd_per_unit,
            usd: product(quantity, rate.usd_per_unit)?,
            price_id: rate.price_id.clone(),
            model: model.to_owned(),
        })
    }
}

/// What a call costs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cost {
    /// How far it could be priced.
    pub state: PriceState,
    /// The exact sum of the lines, never rounded.
    pub usd: Usd,
    /// One line for each thing that was used and has a rate; a quantity of zero has none.
    pub lines: Vec<CostLine>,
    /// The version of the catalog; empty where no price was found.
    pub catalog_version: String,
}

impl Cost {
    /// The cost of a call whose model has no price.
    pub fn unpriced() -> Self {
        Self { state: PriceState::Unpriced, usd: Usd::ZERO, lines: Vec::new(), catalog_version: String::new() }
    }
}

/// `quantity` × `usd_per_unit`, exact, then rounded once.
///
/// `Decimal`'s own multiplication rounds a product of more than 28 digits without saying so, which would be a second
/// rounding. Multiplying the integer coefficients keeps every digit of the product until the rounding that counts.
///
/// # Errors
/// [`PriceError::TooLarge`] where the product has more than 38 digits or the result does not fit [`Usd`],
/// [`PriceError::Negative`] where a factor is below zero.
pub(super) fn product(quantity: Amount, usd_per_unit: Decimal) -> Result<Usd, PriceError> {
    let quantity = quantity.decimal().normalize();
    let usd_per_unit = usd_per_unit.normalize();
    if quantity.mantissa() < 0 || usd_per_unit.mantissa() < 0 {
        return Err(PriceError::Negative);
    }
    let coefficient = quantity.mantissa().checked_mul(usd_per_unit.mantissa()).ok_or(PriceError::TooLarge)?;
    let scale = quantity.scale() + usd_per_unit.scale();
    let excess = scale.saturating_sub(SCALE);
    let rounded = divided_half_even(coefficient, excess)?;
    let value = Decimal::try_from_i128_with_scale(rounded, scale - excess).map_err(|_| PriceError::TooLarge)?;
    Ok(Usd::new(value)?)
}

/// `coefficient` ÷ 10^`digits` for a coefficient of zero or more, ties to the even neighbour.
fn divided_half_even(coefficient: i128, digits: u32) -> Result<i128, PriceError> {
    let divisor = 10_i128.checked_pow(digits).ok_or(PriceError::TooLarge)?;
    let (quotient, rest) = (coefficient / divisor, coefficient % divisor);
    // Compares the rest with what is missing to the next whole, as doubling it might overflow.
    let up = match rest.cmp(&(divisor - rest)) {
        std::cmp::Ordering::Less => false,
        std::cmp::Ordering::Equal => quotient % 2 == 1,
        std::cmp::Ordering::Greater => true,
    };
    Ok(quotient + i128::from(up))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn multiplied(quantity: &str, usd_per_unit: &str) -> Result<Usd, PriceError> {
        product(quantity.parse().unwrap(), Decimal::from_str_exact(usd_per_unit).unwrap())
    }

    #[test]
    fn decision_12_a_line_is_rounded_once_half_even() {
        let cases = [
            ("1", "0.0000000000005", "0"),
            ("3", "0.0000000000005", "0.000000000002"),
            ("5", "0.0000000000005", "0.000000000002"),
            ("1", "0.00000000000050000001", "0.000000000001"),
            ("45230", "0.0000025", "0.113075"),
        ];
        for (quantity, rate, usd) in cases {
            assert_eq!(multiplied(quantity, rate).unwrap().to_string(), usd, "{quantity} x {rate}");
        }
    }

    #[test]
    fn decision_12_more_digits_than_a_decimal_holds_are_rounded_once() {
        // The exact product ends in …369|452011: cut to 28 digits first, it would end in …3695 and round to …370.
        let exact = multiplied("9475895478660361", "0.338308899696237651").unwrap();
        assert_eq!(exact.to_string(), "3205779773022139.934036549369");
        let twice = Decimal::from(9_475_895_478_660_361_u64) * Decimal::from_str_exact("0.338308899696237651").unwrap();
        assert_ne!(Usd::rounded(twice).unwrap(), exact, "the case no longer shows what it is for");
    }

    #[test]
    fn what_does_not_fit_is_an_error() {
        assert_eq!(multiplied("9999999999999999", "2"), Err(PriceError::TooLarge));
        assert_eq!(
            multiplied("7000000000000000.123456789012", "0.1234567890123456789012345678"),
            Err(PriceError::TooLarge)
        );
        assert_eq!(multiplied("-1", "2"), Err(PriceError::Negative));
        assert_eq!(multiplied("1", "-2"), Err(PriceError::Negative));
    }

    proptest! {
        #[test]
        fn decision_12_agrees_with_decimal_where_decimal_is_exact(
            quantity in 0_u32..=1_000_000_000, coefficient in 0_i64..1_000_000_000_000, scale in 0_u32..=18,
        ) {
            let rate = Decimal::new(coefficient, scale);
            let expected = Usd::rounded(Decimal::from(quantity) * rate);
            prop_assert_eq!(product(Amount::from(quantity), rate).ok(), expected.ok());
        }
    }
}
