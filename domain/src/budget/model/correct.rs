//! Corrections of events.

use std::collections::BTreeMap;

use jiff::Timestamp;
use rust_decimal::Decimal;

use super::{Amendment, Answer, Correction, CounterKey, Model, Standing};

impl Model {
    /// Every counter moves once, by the difference between what was charged and what should have been.
    pub(super) fn amend(&mut self, correction: &Correction) -> Answer {
        let Some(event) = self.events.get(&correction.event).cloned() else {
            return Answer::Refused("EVENT_NOT_FOUND");
        };
        if event.revision != correction.expected {
            return Answer::Refused("REVISION_MISMATCH");
        }
        let stands = match (&correction.change, &event.stands) {
            (Amendment::Cancel | Amendment::Reattribute(_), None) => return Answer::Refused("EVENT_CANCELLED"),
            (Amendment::Cancel, Some(_)) => None,
            (Amendment::Reattribute(who), Some(before)) => Some(Standing { who: who.clone(), ..before.clone() }),
            (Amendment::Replace { who, model, input, output }, _) => Some(Standing {
                // Where a reservation paid, it also says for whom.
                who: if event.told.reservation.is_some() { event.who.clone() } else { who.clone() },
                model: model.clone(),
                need: self.need(model, *input, *output, event.told.attempt),
                charge_time: event.receipt.charge_time,
            }),
        };
        let mut differences: BTreeMap<CounterKey, (Decimal, Timestamp)> = BTreeMap::new();
        for (sign, standing) in [(-Decimal::ONE, &event.stands), (Decimal::ONE, &stands)] {
            let Some(standing) = standing else { continue };
            for key in self.charged(&standing.who, &standing.model, standing.charge_time) {
                let unit = self.managed(&key.budget).map(|managed| managed.definition.unit);
                let amount = unit.map(|unit| standing.need.in_unit(unit)).unwrap_or_default();
                self.tally(&key, standing.charge_time);
                differences.entry(key).or_insert((Decimal::ZERO, standing.charge_time)).0 += sign * amount;
            }
        }
        for (key, (difference, _)) in differences.iter().filter(|(_, (difference, _))| !difference.is_zero()) {
            self.note_limit(key);
            self.change(key, |tally| tally.spent += *difference);
            if *difference > Decimal::ZERO {
                self.book_excess(key);
            }
        }
        let usd = |standing: &Option<Standing>| standing.as_ref().map_or(Decimal::ZERO, |one| one.need.usd);
        let (revision, usd_delta) = (event.revision + 1, usd(&stands) - usd(&event.stands));
        if let Some(known) = self.events.get_mut(&correction.event) {
            known.revision = revision;
            if let Some(standing) = &stands {
                known.who = standing.who.clone();
            }
            known.stands = stands;
        }
        Answer::Amended { revision, usd_delta }
    }
}
