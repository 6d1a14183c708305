//! A reservation: the hold of one call (or of several attempts) on every budget that applied at the check. It ends
//! once (invariant 5), pinned to the windows in which it was made.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::amount::{Amount, AmountError};
use crate::budget::{Counter, OnExpire, OverrunCause};

/// Where a reservation stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(i16)]
pub enum State {
    /// It holds.
    Pending = 1,
    /// Its last event settled it.
    Settled = 2,
    /// It was released before anything was charged.
    Released = 3,
    /// Its time ran out.
    Expired = 4,
    /// It was settled after its time ran out.
    SettledLate = 5,
    /// It was ended before its check arrived: a tombstone that refuses that check.
    Void = 6,
}

impl State {
    /// Its stable code in the database.
    pub const fn code(self) -> i16 {
        self as i16
    }

    /// The value of a stored code; `None` where a newer version wrote it.
    pub fn from_code(code: i16) -> Option<Self> {
        [Self::Pending, Self::Settled, Self::Released, Self::Expired, Self::SettledLate, Self::Void]
            .into_iter()
            .find(|state| state.code() == code)
    }

    /// Whether nothing can change it any more.
    pub fn is_final(self) -> bool {
        matches!(self, Self::Settled | Self::Released | Self::SettledLate | Self::Void)
    }
}

/// The hold on one counter.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    /// The budget's number in the database.
    pub budget: i64,
    /// Digest of the counter's `per` values.
    pub scope: Uuid,
    /// Start of the window in which the hold was made.
    pub window_start: Timestamp,
    /// Still held.
    pub held: Amount,
    /// Charged so far.
    pub charged: Amount,
    /// Presumed since the reservation expired.
    pub presumed: Amount,
}

/// How a charge met the hold that was made for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Charged {
    /// By how much it lifted commitments above the limit.
    pub overrun: Amount,
}

impl Part {
    /// A fresh hold.
    pub fn new(budget: i64, scope: Uuid, window_start: Timestamp, held: Amount) -> Self {
        Self { budget, scope, window_start, held, charged: Amount::ZERO, presumed: Amount::ZERO }
    }

    /// Charges `amount` against this hold: the charge is taken out of what is held (or presumed), and, unless more
    /// attempts follow, the rest is freed. `late`: the reservation has run out.
    ///
    /// # Errors
    /// [`AmountError::TooLarge`].
    pub fn charge(
        &mut self,
        counter: &mut Counter,
        amount: Amount,
        keep_open: bool,
        late: bool,
        limit: Amount,
    ) -> Result<Charged, AmountError> {
        let held = if keep_open { self.held.min(amount) } else { self.held };
        counter.free(held)?;
        self.held = self.held.minus(held)?;
        let left = amount.minus(held)?.max(Amount::ZERO);
        let presumed = if keep_open { self.presumed.min(left) } else { self.presumed };
        counter.reverse_presumed(presumed)?;
        self.presumed = self.presumed.minus(presumed)?;
        self.charged = self.charged.plus(amount)?;
        let cause = if late { OverrunCause::Late } else { OverrunCause::EstimateLow };
        let overrun = counter.charge(amount, limit, cause)?;
        Ok(Charged { overrun })
    }

    /// Frees what is left, presumed included: an explicit release says that nothing more was billed.
    ///
    /// # Errors
    /// [`AmountError::TooLarge`].
    pub fn release(&mut self, counter: &mut Counter) -> Result<(), AmountError> {
        counter.free(self.held)?;
        counter.reverse_presumed(self.presumed)?;
        self.held = Amount::ZERO;
        self.presumed = Amount::ZERO;
        Ok(())
    }

    /// Ends the hold for time: freed, or presumed as far as `running` (the last known usage, less what was charged) or,
    /// without it, the whole hold says.
    ///
    /// # Errors
    /// [`AmountError::TooLarge`].
    pub fn expire(
        &mut self,
        counter: &mut Counter,
        on_expire: OnExpire,
        running: Option<Amount>,
    ) -> Result<(), AmountError> {
        let presumed = match (on_expire, running) {
            (OnExpire::Release, _) => Amount::ZERO,
            (OnExpire::Presume, None) => self.held,
            (OnExpire::Presume, Some(running)) => self.held.min(running.minus(self.charged)?.max(Amount::ZERO)),
        };
        counter.presume(presumed)?;
        counter.free(self.held.minus(presumed)?)?;
        self.presumed = self.presumed.plus(presumed)?;
        self.held = Amount::ZERO;
        Ok(())
    }

    /// Raises the hold to `amount` (never lowers it).
    ///
    /// # Errors
    /// [`AmountError::TooLarge`].
    pub fn raise(&mut self, counter: &mut Counter, amount: Amount) -> Result<(), AmountError> {
        let more = amount.minus(self.held)?.max(Amount::ZERO);
        counter.hold(more)?;
        self.held = self.held.plus(more)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn amount(text: &str) -> Amount {
        text.parse().unwrap()
    }

    fn held(text: &str) -> (Part, Counter) {
        let part = Part::new(1, Uuid::nil(), Timestamp::UNIX_EPOCH, amount(text));
        let mut counter = Counter::default();
        counter.note_limit(amount("100"));
        counter.hold(amount(text)).unwrap();
        (part, counter)
    }

    #[test]
    fn the_last_settle_frees_the_rest() {
        let (mut part, mut counter) = held("10");
        part.charge(&mut counter, amount("4"), false, false, amount("100")).unwrap();
        assert_eq!((counter.spent, counter.held), (amount("4"), Amount::ZERO));
    }

    #[test]
    fn decision_3_one_hold_spans_many_attempts() {
        let (mut part, mut counter) = held("10");
        part.charge(&mut counter, amount("4"), true, false, amount("100")).unwrap();
        assert_eq!((counter.spent, counter.held), (amount("4"), amount("6")));
        part.charge(&mut counter, amount("7"), true, false, amount("100")).unwrap();
        assert_eq!((counter.spent, counter.held), (amount("11"), Amount::ZERO));
        part.release(&mut counter).unwrap();
        assert_eq!((part.charged, counter.held), (amount("11"), Amount::ZERO));
    }

    #[test]
    fn decision_4_a_presumed_hold_is_reversed_by_a_late_settle() {
        let (mut part, mut counter) = held("10");
        part.expire(&mut counter, OnExpire::Presume, None).unwrap();
        assert_eq!((counter.held, counter.presumed), (Amount::ZERO, amount("10")));
        part.charge(&mut counter, amount("4"), false, false, amount("100")).unwrap();
        assert_eq!((counter.spent, counter.presumed), (amount("4"), Amount::ZERO));
    }

    #[test]
    fn decision_4_presumes_the_last_running_usage_where_it_is_known() {
        let (mut part, mut counter) = held("10");
        part.expire(&mut counter, OnExpire::Presume, Some(amount("3"))).unwrap();
        assert_eq!((counter.held, counter.presumed), (Amount::ZERO, amount("3")));
    }
}
