//! What holds after every step, computed again from what is behind it.

use std::collections::BTreeMap;

use rust_decimal::Decimal;

use super::{CounterKey, Model, Phase};
use crate::budget::Mode;

impl Model {
    /// The first invariant that does not hold, in words.
    ///
    /// - I1: held and presumed are the sums over the parts of reservations; only open ones hold, only expired ones presume.
    /// - I2: spent is the sum over the events as they stand.
    /// - I3, I4: what binds stays within the highest limit of its window and its overrun.
    /// - I5: what has ended holds nothing.
    pub fn broken_invariant(&self) -> Option<String> {
        self.wrong_holds().or_else(|| self.wrong_spend()).or_else(|| self.wrong_bound())
    }

    fn wrong_holds(&self) -> Option<String> {
        let mut sums: BTreeMap<&CounterKey, (Decimal, Decimal)> = BTreeMap::new();
        for (id, one) in &self.reservations {
            for part in &one.parts {
                let holds = !part.held.is_zero() && one.phase != Phase::Pending;
                let presumes = !part.presumed.is_zero() && one.phase != Phase::Expired;
                if holds || presumes || part.held < Decimal::ZERO || part.presumed < Decimal::ZERO {
                    return Some(format!("I5: reservation {id} is {:?} with {part:?}", one.phase));
                }
                let sum = sums.entry(&part.key).or_default();
                *sum = (sum.0 + part.held, sum.1 + part.presumed);
            }
        }
        self.tallies.iter().find_map(|(key, tally)| {
            let (held, presumed) = sums.get(key).copied().unwrap_or_default();
            let wrong = tally.held != held || tally.presumed != presumed;
            wrong.then(|| format!("I1: {key:?} is {tally:?}, its parts hold {held} and presume {presumed}"))
        })
    }

    fn wrong_spend(&self) -> Option<String> {
        let mut sums: BTreeMap<CounterKey, Decimal> = BTreeMap::new();
        for standing in self.events.values().filter_map(|event| event.stands.as_ref()) {
            for key in self.charged(&standing.who, &standing.model, standing.charge_time) {
                let unit = self.managed(&key.budget).map(|managed| managed.definition.unit);
                *sums.entry(key).or_default() += unit.map(|unit| standing.need.in_unit(unit)).unwrap_or_default();
            }
        }
        self.tallies.iter().find_map(|(key, tally)| {
            let spent = sums.get(key).copied().unwrap_or_default();
            (tally.spent != spent).then(|| format!("I2: {key:?} spent {}, its events {spent}", tally.spent))
        })
    }

    fn wrong_bound(&self) -> Option<String> {
        self.tallies.iter().find_map(|(key, tally)| {
            let managed = self.managed(&key.budget)?;
            let bound = tally.highest + tally.overrun;
            let binds = managed.definition.is_hard() && managed.definition.mode == Mode::Enforced;
            (binds && tally.committed() > bound).then(|| format!("I4: {key:?} commits {tally:?}, above {bound}"))
        })
    }
}
