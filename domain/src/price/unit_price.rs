//! What a quantity costs.

use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

use super::cost::PriceError;
use crate::amount::{Amount, AmountError, ONE, SCALE, Usd, divided_half_even, power_of_ten};

/// US dollars for a number of tokens or units, kept as it is published: a price per hour has no exact price per second.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct UnitPrice {
    /// US dollars for `per`, exact, never negative.
    pub usd: Decimal,
    /// How many tokens or units that buys, at least 1.
    pub per: u32,
}

impl UnitPrice {
    /// How many tokens published token prices are for.
    pub const TOKENS: u32 = 1_000_000;

    /// US dollars for one token or unit.
    pub fn each(usd: Decimal) -> Self {
        Self { usd: usd.normalize(), per: 1 }
    }

    /// US dollars for one: exact where the quotient ends within 28 digits, as those of all token prices do.
    pub fn per_unit(&self) -> Decimal {
        self.usd.checked_div(Decimal::from(self.per)).unwrap_or_default().normalize()
    }

    /// Whether everything is free at this price.
    pub fn is_zero(&self) -> bool {
        self.usd.is_zero()
    }

    /// Whether no quantity of whole tokens is ever rounded: its price has at most 12 decimals.
    pub fn never_rounds(&self) -> bool {
        let per_unit = self.per_unit();
        per_unit.scale() <= SCALE && per_unit.checked_mul(Decimal::from(self.per)) == Some(self.usd)
    }

    /// `quantity` times the price, exact, then rounded once, half-even, to 12 decimals (contract, decision 12).
    ///
    /// `Decimal`'s own multiplication rounds a product of more than 28 digits without saying so, which would be a second
    /// rounding. Multiplying the integer coefficients keeps every digit of the product until the rounding that counts.
    ///
    /// # Errors
    /// [`PriceError::TooLarge`] where the product has more than 38 digits or the result does not fit [`Usd`],
    /// [`PriceError::Negative`] where a factor is below zero.
    pub fn of(&self, quantity: Amount) -> Result<Usd, PriceError> {
        let usd = self.usd.mantissa();
        if quantity.is_negative() || usd < 0 {
            return Err(PriceError::Negative);
        }
        let Some(product) = quantity.picos().checked_mul(usd) else { return self.of_large(quantity) };
        Ok(Usd::from_picos(divided_half_even(product, self.divisor()))?)
    }

    /// The same where the product has to be kept short for it to fit.
    fn of_large(&self, quantity: Amount) -> Result<Usd, PriceError> {
        let quantity = quantity.decimal();
        let usd = self.usd.normalize();
        let coefficient = quantity.mantissa().checked_mul(usd.mantissa()).ok_or(PriceError::TooLarge)?;
        let (divisor, zeros) = without_zeros(self.per);
        let scale = quantity.scale() + usd.scale() + zeros;
        let numerator = scaled(coefficient, SCALE.saturating_sub(scale))?;
        let denominator = scaled(divisor, scale.saturating_sub(SCALE))?;
        let rounded = divided_half_even(numerator, denominator);
        Ok(Usd::from_picos(rounded)?)
    }

    /// By what a quantity times the digits of the price has to be divided; less than 10^38.
    fn divisor(&self) -> i128 {
        power_of_ten(self.usd.scale()) * i128::from(self.per.max(1))
    }

    /// How many whole tokens or units cost at most `usd`, rounding included; `None` where everything is free or the numbers are too
    /// large to say so at once.
    pub(super) fn affords(&self, usd: Usd) -> Option<u64> {
        // A product that lies half a step of money above `usd` is rounded to the even neighbour, which `usd` may be.
        let steps = usd.picos();
        let twice = steps.checked_mul(2)?.checked_add(1)?.checked_mul(self.divisor())? - (steps & 1);
        let each = self.usd.mantissa().checked_mul(2)?.checked_mul(ONE)?;
        u64::try_from(twice.checked_div(each)?).ok()
    }

    /// The price times `factor`, exact.
    ///
    /// # Errors
    /// [`AmountError::TooFine`] where the product has more digits than a decimal holds.
    pub fn times(&self, factor: Decimal) -> Result<Self, AmountError> {
        let (usd, factor) = (self.usd.normalize(), factor.normalize());
        let coefficient = usd.mantissa().checked_mul(factor.mantissa()).ok_or(AmountError::TooLarge)?;
        let product = Decimal::try_from_i128_with_scale(coefficient, usd.scale() + factor.scale())
            .map_err(|_| AmountError::TooFine)?;
        Ok(Self { usd: product.normalize(), per: self.per })
    }
}

/// `per` as a number without trailing zeros, and how many they were: the digits are then free for the product.
fn without_zeros(per: u32) -> (i128, u32) {
    let (mut rest, mut zeros) = (per.max(1), 0);
    while rest % 10 == 0 {
        rest /= 10;
        zeros += 1;
    }
    (i128::from(rest), zeros)
}

fn scaled(value: i128, digits: u32) -> Result<i128, PriceError> {
    10_i128.checked_pow(digits).and_then(|factor| value.checked_mul(factor)).ok_or(PriceError::TooLarge)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn price(usd: &str, per: u32) -> UnitPrice {
        UnitPrice { usd: Decimal::from_str_exact(usd).unwrap(), per }
    }

    fn multiplied(quantity: &str, usd: &str, per: u32) -> Result<Usd, PriceError> {
        price(usd, per).of(quantity.parse().unwrap())
    }

    #[test]
    fn decision_12_a_line_is_rounded_once_half_even() {
        let cases = [
            ("1", "0.0000000000005", 1, "0"),
            ("3", "0.0000000000005", 1, "0.000000000002"),
            ("5", "0.0000000000005", 1, "0.000000000002"),
            ("1", "0.00000000000050000001", 1, "0.000000000001"),
            ("45230", "2.5", 1_000_000, "0.113075"),
            ("1740", "2.04", 3_600, "0.986"),
            ("1", "0.111", 3_600, "0.000030833333"),
            ("1", "0.04", 3, "0.013333333333"),
            ("1", "0.05", 3, "0.016666666667"),
        ];
        for (quantity, usd, per, expected) in cases {
            let result = multiplied(quantity, usd, per).unwrap();
            assert_eq!(result.to_string(), expected, "{quantity} x {usd}/{per}");
        }
    }

    #[test]
    fn decision_12_more_digits_than_a_decimal_holds_are_rounded_once() {
        // The exact product ends in …369|452011: cut to 28 digits first, it would end in …3695 and round to …370.
        let exact = multiplied("9475895478660361", "0.338308899696237651", 1).unwrap();
        assert_eq!(exact.to_string(), "3205779773022139.934036549369");
        let twice = Decimal::from(9_475_895_478_660_361_u64) * Decimal::from_str_exact("0.338308899696237651").unwrap();
        assert_ne!(Usd::rounded(twice).unwrap(), exact, "the case no longer shows what it is for");
    }

    #[test]
    fn what_is_afforded_counts_with_the_even_neighbour() {
        let half_a_step = price("0.0000000000005", 1);
        let affords = |text: &str| half_a_step.affords(text.parse().unwrap());
        assert_eq!(affords("0.000000000001"), Some(2), "three cost two steps");
        assert_eq!(affords("0.000000000002"), Some(5), "five cost two steps");
        assert_eq!(price("0", 1).affords(Usd::ZERO), None);
    }

    #[test]
    fn what_does_not_fit_is_an_error() {
        assert_eq!(multiplied("9999999999999999", "2", 1), Err(PriceError::TooLarge));
        let digits = multiplied("7000000000000000.123456789012", "0.1234567890123456789012345678", 1);
        assert_eq!(digits, Err(PriceError::TooLarge));
        assert_eq!(multiplied("-1", "2", 1), Err(PriceError::Negative));
        assert_eq!(multiplied("1", "-2", 1), Err(PriceError::Negative));
        assert!(price("0.1234567890123456789012345678", 1).times(Decimal::new(123_456, 6)).is_err());
    }

    #[test]
    fn a_price_per_unit_says_whether_it_is_exact() {
        assert_eq!(price("2.5", 1_000_000).per_unit().to_string(), "0.0000025");
        assert!(price("2.5", 1_000_000).never_rounds());
        assert!(!price("0.111", 3_600).never_rounds());
        assert!(!price("0.00000025", 1_000_000).never_rounds(), "14 decimals");
        assert_eq!(price("2.5", 1_000_000).times(Decimal::new(85, 2)).unwrap(), price("2.125", 1_000_000));
    }

    proptest! {
        #[test]
        fn decision_12_agrees_with_decimal_where_decimal_is_exact(
            quantity in 0_u32..=1_000_000_000, coefficient in 0_i64..1_000_000_000_000, scale in 0_u32..=18,
        ) {
            let price = UnitPrice::each(Decimal::new(coefficient, scale));
            let expected = Usd::rounded(Decimal::from(quantity) * price.usd);
            prop_assert_eq!(price.of(Amount::from(quantity)).ok(), expected.ok());
        }

        #[test]
        fn a_short_product_is_that_of_the_long_way(
            picos in 0_i64..=i64::MAX, coefficient in 0_i64..=i64::MAX, scale in 0_u32..=18, per in 1_u32..5_000,
        ) {
            let price = UnitPrice { usd: Decimal::new(coefficient, scale), per };
            let quantity = Amount::from_picos(picos.into()).unwrap();
            prop_assert_eq!(price.of(quantity), price.of_large(quantity));
        }

        #[test]
        fn what_is_afforded_is_not_a_step_off(
            picos in 0_i64..10_000_000_000_000, coefficient in 1_i64..1_000_000_000, scale in 3_u32..=18, per in 1_u32..5_000,
        ) {
            let price = UnitPrice { usd: Decimal::new(coefficient, scale), per };
            let usd = Usd::from_picos(picos.into()).unwrap();
            let count = price.affords(usd).unwrap();
            let cost = |count: u64| Amount::from_count(count).map_err(PriceError::from).and_then(|count| price.of(count));
            prop_assert!(!cost(count).is_ok_and(|cost| cost > usd), "{count}");
            prop_assert!(!cost(count + 1).is_ok_and(|cost| cost <= usd), "{count}");
        }

        #[test]
        fn a_price_for_many_is_the_price_for_one(
            quantity in 0_u32..=1_000_000_000, coefficient in 0_i64..1_000_000, zeros in 0_u32..=6,
        ) {
            let many = UnitPrice { usd: Decimal::new(coefficient, 3), per: 10_u32.pow(zeros) };
            let one = UnitPrice::each(Decimal::new(coefficient, 3 + zeros));
            prop_assert_eq!(many.of(Amount::from(quantity)), one.of(Amount::from(quantity)));
        }
    }
}
