//! What owners of budgets do.

use std::collections::BTreeMap;

use rust_decimal::Decimal;

use super::counters::Reach;
use super::{Answer, CounterKey, Definition, Managed, Model};
use crate::budget::Mode;

impl Model {
    /// A new budget counts what was charged since its window began, and no hold that was made before it.
    pub(super) fn create(&mut self, definition: &Definition) -> Answer {
        if self.managed(&definition.id).is_some() {
            return Answer::Refused("BUDGET_ALREADY_EXISTS");
        }
        let (start, _) = definition.period.bounds(self.now);
        let managed = Managed { definition: definition.clone(), counted_from: start, overrides: BTreeMap::new() };
        let earlier: Vec<(CounterKey, Decimal, jiff::Timestamp)> = self
            .events
            .values()
            .filter_map(|event| event.stands.as_ref())
            .filter(|stands| managed.counts_at(stands.charge_time) && definition.counts(&stands.model))
            .filter_map(|stands| match managed.reach(&stands.who, stands.charge_time) {
                Reach::Counter(key) => Some((key, stands.need.in_unit(definition.unit), stands.charge_time)),
                Reach::Outside | Reach::KeyMissing => None,
            })
            .collect();
        self.budgets.push(managed);
        for (key, amount, at) in &earlier {
            self.tally(key, *at).spent += *amount;
        }
        for (key, _, _) in &earlier {
            self.book_excess(key);
        }
        Answer::Done
    }

    pub(super) fn change_limit(&mut self, id: &str, limit: Decimal) -> Answer {
        self.change_budget(id, |_| true, |managed| managed.definition.limit = limit)
    }

    /// A budget that begins to bind books what it let pass before, in windows that have ended, too.
    pub(super) fn change_mode(&mut self, id: &str, mode: Mode) -> Answer {
        let bound = self.managed(id).is_some_and(|managed| managed.definition.mode == Mode::Enforced);
        let answer = self.change_budget(id, |_| true, |managed| managed.definition.mode = mode);
        if mode == Mode::Enforced && !bound && self.managed(id).is_some_and(|managed| managed.definition.is_hard()) {
            let all: Vec<CounterKey> = self.tallies.keys().filter(|key| key.budget == id).cloned().collect();
            for key in all {
                self.book_excess(&key);
            }
        }
        answer
    }

    pub(super) fn change_override(&mut self, id: &str, scope: &Option<String>, limit: Option<Decimal>) -> Answer {
        let own = |key: &CounterKey| key.scope == *scope;
        self.change_budget(id, own, |managed| match limit {
            Some(limit) => drop(managed.overrides.insert(scope.clone(), limit)),
            None => drop(managed.overrides.remove(scope)),
        })
    }

    /// What a change leaves above every limit of an open window is an overrun of the counters that it concerns.
    fn change_budget(
        &mut self,
        id: &str,
        concerns: impl Fn(&CounterKey) -> bool,
        change: impl FnOnce(&mut Managed),
    ) -> Answer {
        let Some(managed) = self.budgets.iter_mut().find(|one| one.definition.id == id) else {
            return Answer::Refused("BUDGET_NOT_FOUND");
        };
        change(managed);
        let now = self.now;
        let open: Vec<CounterKey> = self
            .tallies
            .iter()
            .filter(|(key, tally)| key.budget == id && concerns(key) && tally.end.is_none_or(|end| end > now))
            .map(|(key, _)| key.clone())
            .collect();
        for key in open {
            self.note_limit(&key);
            self.book_excess(&key);
        }
        Answer::Done
    }
}
