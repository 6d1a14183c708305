//! What is left of a sum when a part of it is taken away: the events without a user are those of the rollup by shape that
//! are in no rollup by user.

use tollgate_domain::amount::{AmountError, Usd};
use tollgate_domain::measures::Measures;

/// `whole` without `part`; `None` where no event is left.
///
/// Sums are exact. A part that was reported but of which nothing is left counts as not reported, and the times are those
/// of the whole: a difference cannot tell either more closely.
///
/// # Errors
/// [`AmountError::TooLarge`] where a difference cannot be held.
pub(super) fn remainder(whole: &Measures, part: &Measures) -> Result<Option<Measures>, AmountError> {
    if whole.attempts == part.attempts { Ok(None) } else { difference(whole, part).map(Some) }
}

/// `whole` less `part`, of which nothing is known but the sums.
///
/// # Errors
/// [`AmountError::TooLarge`] where a difference cannot be held.
pub(super) fn difference(whole: &Measures, part: &Measures) -> Result<Measures, AmountError> {
    let mut left = Measures {
        calls: whole.calls - part.calls,
        attempts: whole.attempts - part.attempts,
        errors: whole.errors - part.errors,
        unpriced: whole.unpriced - part.unpriced,
        estimated: whole.estimated - part.estimated,
        response_cache_hits: whole.response_cache_hits - part.response_cache_hits,
        input_tokens: whole.input_tokens - part.input_tokens,
        output_tokens: whole.output_tokens - part.output_tokens,
        usd: whole.usd.minus(part.usd)?,
        memo_usd: whole.memo_usd.minus(part.memo_usd)?,
        saved_usd: money_left(whole.saved_usd, part.saved_usd)?,
        reported_usd: money_left(whole.reported_usd, part.reported_usd)?,
        reported_own_usd: money_left(whole.reported_own_usd, part.reported_own_usd)?,
        first_time: whole.first_time,
        last_time: whole.last_time,
        ..Measures::default()
    };
    let tokens = whole.class_tokens.into_iter().zip(part.class_tokens);
    for (left, (whole, part)) in left.class_tokens.iter_mut().zip(tokens) {
        *left = whole.map(|whole| whole - part.unwrap_or(0)).filter(|left| part.is_none() || *left != 0);
    }
    let costs = whole.class_usd.into_iter().zip(part.class_usd);
    for (left, (whole, part)) in left.class_usd.iter_mut().zip(costs) {
        *left = money_left(whole, part)?;
    }
    Ok(left)
}

fn money_left(whole: Option<Usd>, part: Option<Usd>) -> Result<Option<Usd>, AmountError> {
    let Some(whole) = whole else { return Ok(None) };
    let Some(part) = part else { return Ok(Some(whole)) };
    whole.minus(part).map(|left| Some(left).filter(|left| !left.is_zero()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_is_part_and_remainder() {
        let mut part = Measures { calls: 1, attempts: 2, input_tokens: 5, ..Measures::default() };
        part.class_tokens[0] = Some(3);
        part.usd = "0.25".parse().unwrap();
        let mut rest = Measures { calls: 4, attempts: 4, output_tokens: 7, ..Measures::default() };
        rest.class_tokens[1] = Some(0);
        rest.usd = "0.5".parse().unwrap();
        let mut whole = part.clone();
        whole.add(&rest).unwrap();
        assert_eq!(remainder(&whole, &part).unwrap(), Some(rest));
        assert_eq!(remainder(&whole, &whole).unwrap(), None);
    }
}
