//! One counter of a budget in one window, and the only ways in which it moves.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::amount::{Amount, AmountError};

/// Why commitments rose above the limit although callers reserve (design, invariant 4).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OverrunCause {
    /// The call cost more than was held for it.
    EstimateLow,
    /// The call was never reserved.
    NotReserved,
    /// The reservation had ended before the call was recorded.
    Late,
    /// The budget was created over spend that was there already.
    BudgetCreated,
    /// A change of the budget left commitments above every limit of the window.
    BudgetChanged,
    /// The call was priced again, and cost more.
    Repriced,
    /// The event was replaced by one that cost more, or that counts here.
    Amended,
    /// The event was moved here from another user, team or other key.
    Reattributed,
}

impl OverrunCause {
    /// Its name, as it is stored.
    pub const fn name(self) -> &'static str {
        match self {
            Self::EstimateLow => "estimate_low",
            Self::NotReserved => "not_reserved",
            Self::Late => "late",
            Self::BudgetCreated => "budget_created",
            Self::BudgetChanged => "budget_changed",
            Self::Repriced => "repriced",
            Self::Amended => "amended",
            Self::Reattributed => "reattributed",
        }
    }
}

/// Sums of one window. `spent + held + presumed` is what is committed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Counter {
    /// Charged by events.
    pub spent: Amount,
    /// Held by open reservations.
    pub held: Amount,
    /// Held by expired reservations whose call may have been billed.
    pub presumed: Amount,
    /// How far commitments were lifted above the limit, cumulated over the window.
    pub overrun: Amount,
    /// The same by cause.
    pub overrun_causes: BTreeMap<OverrunCause, Amount>,
    /// The highest limit that was in force in the window, with what it carries.
    pub highest_limit: Amount,
    /// What the window took over from the one before it: below zero where that one overran.
    pub carried: Amount,
}

impl Counter {
    /// Spent, held and presumed together.
    ///
    /// # Errors
    /// [`AmountError::TooLarge`], as for every sum here.
    pub fn committed(&self) -> Result<Amount, AmountError> {
        self.spent.plus(self.held)?.plus(self.presumed)
    }

    /// What `limit` leaves; below zero where it is exceeded.
    ///
    /// # Errors
    /// [`AmountError::TooLarge`].
    pub fn available(&self, limit: Amount) -> Result<Amount, AmountError> {
        limit.minus(self.committed()?)
    }

    /// Notes the limit in force.
    pub fn note_limit(&mut self, limit: Amount) {
        self.highest_limit = self.highest_limit.max(limit);
    }

    /// Holds `amount` for an admitted call.
    ///
    /// # Errors
    /// [`AmountError::TooLarge`].
    pub fn hold(&mut self, amount: Amount) -> Result<(), AmountError> {
        self.held = self.held.plus(amount)?;
        Ok(())
    }

    /// Frees `amount` of what is held.
    ///
    /// # Errors
    /// [`AmountError::TooLarge`].
    pub fn free(&mut self, amount: Amount) -> Result<(), AmountError> {
        self.held = self.held.minus(amount)?;
        Ok(())
    }

    /// Moves `amount` from held to presumed.
    ///
    /// # Errors
    /// [`AmountError::TooLarge`].
    pub fn presume(&mut self, amount: Amount) -> Result<(), AmountError> {
        self.free(amount)?;
        self.presumed = self.presumed.plus(amount)?;
        Ok(())
    }

    /// Takes `amount` back out of presumed.
    ///
    /// # Errors
    /// [`AmountError::TooLarge`].
    pub fn reverse_presumed(&mut self, amount: Amount) -> Result<(), AmountError> {
        self.presumed = self.presumed.minus(amount)?;
        Ok(())
    }

    /// Charges `amount` in full, whatever the limit; says by how much it lifted commitments above every limit of the
    /// window.
    ///
    /// # Errors
    /// [`AmountError::TooLarge`].
    pub fn charge(&mut self, amount: Amount, limit: Amount, cause: OverrunCause) -> Result<Amount, AmountError> {
        self.note_limit(limit);
        self.spent = self.spent.plus(amount)?;
        self.book_excess(cause)
    }

    /// Moves what was spent by the difference that a correction makes; says by how much it lifted commitments above every
    /// limit of the window. The limit in force now is not noted: the window may have closed under another one.
    ///
    /// # Errors
    /// [`AmountError::TooLarge`].
    pub fn correct(&mut self, difference: Amount, cause: OverrunCause) -> Result<Amount, AmountError> {
        self.spent = self.spent.plus(difference)?;
        if difference.is_negative() {
            // Giving back lifts nothing: an excess that is left was booked when it arose.
            return Ok(Amount::ZERO);
        }
        self.book_excess(cause)
    }

    /// Moves what was spent of a counter that is not in force yet: nothing is compared with a limit.
    ///
    /// # Errors
    /// [`AmountError::TooLarge`].
    pub fn count(&mut self, amount: Amount) -> Result<(), AmountError> {
        self.spent = self.spent.plus(amount)?;
        Ok(())
    }

    fn book_excess(&mut self, cause: OverrunCause) -> Result<Amount, AmountError> {
        let bound = self.highest_limit.plus(self.overrun)?;
        let excess = self.committed()?.minus(bound)?.max(Amount::ZERO);
        if !excess.is_zero() {
            self.overrun = self.overrun.plus(excess)?;
            let by_cause = self.overrun_causes.entry(cause).or_default();
            *by_cause = by_cause.plus(excess)?;
        }
        Ok(excess)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn amount(text: &str) -> Amount {
        text.parse().unwrap()
    }

    #[test]
    fn overrun_counts_each_excess_once_and_keeps_the_bound() {
        let mut counter = Counter::default();
        counter.charge(amount("8"), amount("10"), OverrunCause::NotReserved).unwrap();
        assert_eq!(counter.overrun, Amount::ZERO);
        counter.charge(amount("5"), amount("10"), OverrunCause::EstimateLow).unwrap();
        assert_eq!(counter.overrun, amount("3"));
        counter.charge(amount("1"), amount("20"), OverrunCause::Late).unwrap();
        assert_eq!(counter.overrun, amount("3"), "a raised limit makes room first");
        assert_eq!(counter.overrun_causes, BTreeMap::from([(OverrunCause::EstimateLow, amount("3"))]));
        assert!(counter.committed().unwrap() <= counter.highest_limit.plus(counter.overrun).unwrap());
    }

    #[test]
    fn a_correction_moves_spend_both_ways_and_books_only_new_excess() {
        let mut counter = Counter::default();
        counter.charge(amount("8"), amount("10"), OverrunCause::NotReserved).unwrap();
        assert_eq!(counter.correct(amount("5"), OverrunCause::Repriced).unwrap(), amount("3"));
        assert_eq!(counter.correct(amount("-5"), OverrunCause::Amended).unwrap(), Amount::ZERO);
        assert_eq!((counter.spent, counter.overrun), (amount("8"), amount("3")));
        // Up to the bound that was lifted before, nothing new is booked.
        assert_eq!(counter.correct(amount("6"), OverrunCause::Reattributed).unwrap(), amount("1"));
        assert_eq!(
            counter.overrun_causes,
            BTreeMap::from([(OverrunCause::Repriced, amount("3")), (OverrunCause::Reattributed, amount("1"))])
        );
        assert!(counter.committed().unwrap() <= counter.highest_limit.plus(counter.overrun).unwrap());
    }

    #[test]
    fn a_presumed_hold_is_never_spend_and_still_not_available() {
        let mut counter = Counter::default();
        counter.hold(amount("4")).unwrap();
        counter.presume(amount("4")).unwrap();
        assert_eq!((counter.spent, counter.held, counter.presumed), (Amount::ZERO, Amount::ZERO, amount("4")));
        assert_eq!(counter.available(amount("10")).unwrap(), amount("6"));
        counter.reverse_presumed(amount("4")).unwrap();
        assert_eq!(counter.available(amount("10")).unwrap(), amount("10"));
    }
}
