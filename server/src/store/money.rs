//! Money as the database's NUMERIC: to its bytes and back without a detour over decimals of any scale.

use rust_decimal::Decimal;
use sqlx::encode::IsNull;
use sqlx::error::BoxDynError;
use sqlx::postgres::{PgArgumentBuffer, PgTypeInfo, PgValueFormat, PgValueRef};
use sqlx::{Decode, Encode, Postgres, Type};
use tollgate_domain::amount::{AmountError, Usd};

/// Money in a column of type NUMERIC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Money(pub(super) Usd);

/// What one digit of a NUMERIC counts to.
const BASE: u64 = 10_000;
/// Digits of a NUMERIC behind the point: as many as make 12 decimals.
const BEHIND: usize = 3;
/// Digits of a NUMERIC in all: 16 before the point of the usual kind, and 12 behind it.
const DIGITS: usize = 7;
/// Words in front of the digits: their number, the place of the first, the sign and the decimals that are shown.
const HEAD: usize = 4;
/// 10^-12 in one.
const ONE: u128 = 1_000_000_000_000;
/// How a NUMERIC says that it is above or below zero.
const POSITIVE: u16 = 0;
const NEGATIVE: u16 = 0x4000;

impl Type<Postgres> for Money {
    fn type_info() -> PgTypeInfo {
        <Decimal as Type<Postgres>>::type_info()
    }
}

impl Encode<'_, Postgres> for Money {
    fn encode_by_ref(&self, buffer: &mut PgArgumentBuffer) -> Result<IsNull, BoxDynError> {
        let magnitude = self.0.picos().unsigned_abs();
        let digits = digits(magnitude)?;
        let leading = digits.iter().take_while(|digit| **digit == 0).count();
        let trailing = digits.iter().rev().take_while(|digit| **digit == 0).count();
        let count = DIGITS.saturating_sub(leading + trailing);
        // The place of the first digit, in front of the point from 0 on.
        let weight = if count == 0 { 0 } else { i16::try_from(DIGITS - BEHIND)? - 1 - i16::try_from(leading)? };
        let sign = if self.0.is_negative() { NEGATIVE } else { POSITIVE };
        let scale = u16::try_from(self.0.decimal().scale())?;
        let head = [u16::try_from(count)?.to_be_bytes(), weight.to_be_bytes(), sign.to_be_bytes(), scale.to_be_bytes()];
        let digits = digits.iter().skip(leading).take(count).map(|digit| digit.to_be_bytes());
        // Appended at once: a piece at a time costs more than all that is in it.
        let mut bytes = [[0; 2]; HEAD + DIGITS];
        for (place, word) in bytes.iter_mut().zip(head.into_iter().chain(digits)) {
            *place = word;
        }
        let written = bytes.get(..HEAD + count).unwrap_or_default();
        buffer.extend_from_slice(written.as_flattened());
        Ok(IsNull::No)
    }
}

/// The digits of so many 10^-12, those of the greatest weight first.
fn digits(picos: u128) -> Result<[u16; DIGITS], BoxDynError> {
    let (whole, fraction) = (u64::try_from(picos / ONE)?, u64::try_from(picos % ONE)?);
    let mut digits = [0; DIGITS];
    let (before, behind) = digits.split_at_mut(DIGITS - BEHIND);
    for (part, mut rest) in [(before, whole), (behind, fraction)] {
        for digit in part.iter_mut().rev() {
            *digit = u16::try_from(rest % BASE)?;
            rest /= BASE;
        }
    }
    Ok(digits)
}

impl Decode<'_, Postgres> for Money {
    fn decode(value: PgValueRef<'_>) -> Result<Self, BoxDynError> {
        let usd = match value.format() {
            PgValueFormat::Binary => read(value.as_bytes()?)?,
            PgValueFormat::Text => value.as_str()?.parse()?,
        };
        Ok(Self(usd))
    }
}

/// Reads the bytes of a NUMERIC.
fn read(bytes: &[u8]) -> Result<Usd, BoxDynError> {
    let (words, []) = bytes.as_chunks::<2>() else { return Err("a NUMERIC has words of two bytes".into()) };
    let [_count, weight, sign, _scale, digits @ ..] = words else { return Err("a NUMERIC has a head".into()) };
    let mut place = i32::from(i16::from_be_bytes(*weight));
    let mut magnitude = 0_i128;
    for digit in digits {
        let digit = u16::from_be_bytes(*digit);
        let exponent = u32::try_from(place + 3).map_err(|_| AmountError::TooFine);
        // Digits too fine for money may be there as long as they are zero.
        if digit != 0 {
            let step = i128::from(BASE).checked_pow(exponent?).ok_or(AmountError::TooLarge)?;
            let value = step.checked_mul(digit.into()).and_then(|value| magnitude.checked_add(value));
            magnitude = value.ok_or(AmountError::TooLarge)?;
        }
        place -= 1;
    }
    Ok(Usd::from_picos(match u16::from_be_bytes(*sign) {
        POSITIVE => magnitude,
        NEGATIVE => -magnitude,
        _ => return Err("an amount has to be a number".into()),
    })?)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn bytes<'a>(value: impl Encode<'a, Postgres>) -> Vec<u8> {
        let mut buffer = PgArgumentBuffer::default();
        assert!(matches!(value.encode_by_ref(&mut buffer).unwrap(), IsNull::No));
        buffer.to_vec()
    }

    #[test]
    fn what_cannot_be_money_is_an_error() {
        let not_a_number = [0, 0, 0, 0, 0xc0, 0, 0, 0];
        assert!(read(&not_a_number).is_err());
        assert!(read(&[0, 1, 0]).is_err());
        assert!(read(&bytes(Decimal::new(1, 13))).is_err());
        assert!(read(&bytes(Decimal::from(10_000_000_000_000_000_u64))).is_err());
        assert_eq!(read(&bytes(Decimal::new(10, 13))).unwrap().to_string(), "0.000000000001");
    }

    proptest! {
        #[test]
        fn the_bytes_are_those_of_decimals(
            picos in -9_999_999_999_999_999_999_999_999_999_i128..=9_999_999_999_999_999_999_999_999_999,
            smaller in 0_u32..28, zeros in 0_u32..28,
        ) {
            for picos in [picos / 10_i128.pow(smaller), picos / 10_i128.pow(zeros) * 10_i128.pow(zeros)] {
                let usd = Usd::from_picos(picos).unwrap();
                let written = bytes(Money(usd));
                prop_assert_eq!(&written, &bytes(usd.decimal()));
                prop_assert_eq!(read(&written).unwrap(), usd);
            }
        }
    }
}
