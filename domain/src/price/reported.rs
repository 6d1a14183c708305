//! What providers and gateways say that a call cost, beside our own figure.

use rust_decimal::Decimal;

use super::cost::{Cost, PriceState};
use crate::amount::Usd;

/// How far a reported cost may lie from ours before somebody should look. Both must be exceeded: small calls differ by
/// rounding, and large ones by little.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReportedCostTolerance {
    /// Share of the greater of the two figures, from 0 to 1.
    pub fraction: Decimal,
    /// Difference in US dollars.
    pub usd: Usd,
}

impl Default for ReportedCostTolerance {
    /// 5 % and a tenth of a cent.
    fn default() -> Self {
        Self { fraction: Decimal::new(5, 2), usd: Usd::new(Decimal::new(1, 3)).unwrap_or_default() }
    }
}

impl ReportedCostTolerance {
    /// Whether `reported` lies too far from `own`. A cost that is not fully priced says so itself, and no figure of others
    /// can be compared with it.
    pub fn is_exceeded(&self, reported: Usd, own: &Cost) -> bool {
        if !matches!(own.state, PriceState::Priced | PriceState::Free) {
            return false;
        }
        let (reported, own) = (reported.decimal(), own.usd.decimal());
        let difference = (reported - own).abs();
        let share = self.fraction.checked_mul(reported.max(own)).unwrap_or(Decimal::MAX);
        difference > self.usd.decimal() && difference > share
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exceeded(reported: &str, own: &str, state: PriceState) -> bool {
        let own = Cost { state, usd: own.parse().unwrap(), ..Cost::unpriced() };
        ReportedCostTolerance::default().is_exceeded(reported.parse().unwrap(), &own)
    }

    #[test]
    fn both_bounds_must_be_exceeded() {
        assert!(exceeded("1.06", "1", PriceState::Priced));
        assert!(exceeded("1", "1.06", PriceState::Priced), "in both directions");
        assert!(!exceeded("1.05", "1", PriceState::Priced), "below 5 %");
        assert!(!exceeded("0.002", "0.001", PriceState::Priced), "a tenth of a cent is not above it");
        assert!(exceeded("0.01", "0", PriceState::Free), "what is free to us costs somebody");
        assert!(!exceeded("1", "0", PriceState::Unpriced), "unpriced says so itself");
        assert!(!exceeded("1", "0.1", PriceState::Partial));
    }
}
