//! How reservations go on and end, and what events charge.

use jiff::{SignedDuration, Timestamp};
use rust_decimal::Decimal;
use uuid::Uuid;

use super::counters::Reach;
use super::{
    Answer, CounterKey, Event, Extension, Model, Need, Part, Phase, Rate, Receipt, Recorded, Reservation, Standing, Who,
};
use crate::budget::{Mode, Unit};

impl Model {
    pub(super) fn need(&self, model: &str, input: u64, output: u64, attempt: u64) -> Need {
        let rate = self.rates.get(model).copied().unwrap_or(Rate::Unpriced);
        Need { calls: u64::from(attempt <= 1), ..Need::of(rate, input, output) }
    }

    /// The counters that an event is charged to: budgets that bind, watch or only count.
    pub(super) fn charged(&self, who: &Who, model: &str, at: Timestamp) -> Vec<CounterKey> {
        self.budgets
            .iter()
            .filter(|one| one.counts_at(at) && one.definition.counts(model))
            .filter_map(|one| match one.reach(who, at) {
                Reach::Counter(key) => Some(key),
                Reach::Outside | Reach::KeyMissing => None,
            })
            .collect()
    }

    pub(super) fn record(&mut self, event: &Event) -> Answer {
        if let Some(known) = self.events.get(&event.id) {
            if known.told != *event {
                return Answer::Refused("EVENT_ID_REUSED");
            }
            return Answer::Recorded(Receipt { duplicate: true, counters: Vec::new(), ..known.receipt.clone() });
        }
        let paying = event.reservation.map(|(id, _)| id);
        let was_known = paying.is_some_and(|id| self.reservations.contains_key(&id));
        if let Some(id) = paying {
            // Told before its check: that check is refused when it comes.
            self.reservations.entry(id).or_insert_with(|| Reservation::tombstone(self.now));
        }
        let mut reservation = paying.and_then(|id| self.reservations.get(&id).cloned());
        let asked = reservation.as_ref().and_then(|one| one.asked.clone());
        let charge_time = match (&reservation, &asked) {
            (Some(reservation), Some(_)) => reservation.created,
            _ => event.start.min(self.now),
        };
        let who = asked.as_ref().map_or_else(|| event.who.clone(), |asked| asked.who.clone());
        let need = self.need(&event.model, event.input, event.output, event.attempt);
        let targets = self.charged(&who, &event.model, charge_time);
        let mut notices = Vec::new();
        let late = was_known && reservation.as_ref().is_some_and(|one| one.phase != Phase::Pending);
        if late {
            notices.push("LATE");
        }
        let deciding = || {
            targets
                .iter()
                .filter_map(|key| Some((key, self.managed(&key.budget)?)))
                .filter(|(_, one)| one.is_in_force())
        };
        match (&reservation, &asked) {
            (Some(one), Some(_)) => {
                if deciding().any(|(key, _)| !one.parts.iter().any(|part| part.key.budget == key.budget)) {
                    notices.push("NOT_HELD");
                }
            }
            _ => {
                if deciding().any(|(_, managed)| managed.definition.is_hard()) {
                    notices.push("UNRESERVED");
                }
            }
        }
        let ended = |key: &CounterKey| {
            self.managed(&key.budget)
                .is_some_and(|one| one.definition.period.bounds(charge_time).1.is_some_and(|end| end <= self.now))
        };
        if targets.iter().any(ended) {
            notices.push("CLOSED_WINDOW");
        }
        let keep_open = event.reservation.is_some_and(|(_, keep_open)| keep_open);
        let live = reservation.as_ref().is_some_and(|one| !one.phase.is_final());
        let mut overrun = false;
        for key in &targets {
            let Some(managed) = self.managed(&key.budget) else { continue };
            let (unit, counts_overrun) = (managed.definition.unit, managed.is_in_force());
            let amount = need.in_unit(unit);
            self.tally(key, charge_time);
            if let Some(part) = reservation.as_mut().filter(|_| live).and_then(|one| one.part(&key.budget)) {
                let taken = part.take(amount, keep_open);
                self.change(key, |tally| {
                    tally.held -= taken.held;
                    tally.presumed -= taken.presumed;
                });
            }
            self.note_limit(key);
            self.change(key, |tally| tally.spent += amount);
            overrun |= self.book_excess(key) && counts_overrun;
        }
        if overrun {
            notices.push("OVERRUN");
        }
        if let (Some(id), Some(mut one)) = (paying, reservation) {
            one.events.insert(event.id);
            if live && !keep_open {
                self.free(&mut one);
                one.phase = if one.phase == Phase::Expired { Phase::SettledLate } else { Phase::Settled };
            }
            self.reservations.insert(id, one);
        }
        notices.sort_unstable();
        let counters = targets.iter().map(|key| self.view(key, None, false)).collect();
        let receipt = Receipt { duplicate: false, usd: need.usd, charge_time, notices, counters };
        let stands = Some(Standing { who: who.clone(), model: event.model.clone(), need, charge_time });
        let recorded = Recorded { told: event.clone(), receipt: receipt.clone(), revision: 1, stands, who };
        self.events.insert(event.id, recorded);
        Answer::Recorded(receipt)
    }

    /// Gives back all that a reservation still holds.
    fn free(&mut self, reservation: &mut Reservation) {
        for part in &mut reservation.parts {
            let (held, presumed) = (part.held, part.presumed);
            self.change(&part.key, |tally| {
                tally.held -= held;
                tally.presumed -= presumed;
            });
            part.held = Decimal::ZERO;
            part.presumed = Decimal::ZERO;
        }
    }

    pub(super) fn release(&mut self, id: Uuid) -> Answer {
        let now = self.now;
        let mut one = self.reservations.get(&id).cloned().unwrap_or_else(|| Reservation::tombstone(now));
        if !one.phase.is_final() {
            self.free(&mut one);
            one.phase = if one.events.is_empty() { Phase::Released } else { Phase::Settled };
        }
        let answer = Answer::Released { phase: one.phase, counters: self.views(&one.parts) };
        self.reservations.insert(id, one);
        answer
    }

    pub(super) fn expire(&mut self, id: Uuid) -> Answer {
        let now = self.now;
        let Some(mut one) = self.reservations.get(&id).cloned() else { return Answer::Done };
        if one.phase != Phase::Pending || one.expires > now {
            return Answer::Done;
        }
        for part in &mut one.parts {
            let Some(managed) = self.managed(&part.key.budget) else { continue };
            let unit = managed.definition.unit;
            // A hard budget goes on as if the call had been billed: by what is known of it, else by all that was held.
            let known = one.running.filter(|_| !matches!(unit, Unit::Calls | Unit::Attempts));
            let billed = known.map_or(part.held, |running| (running.in_unit(unit) - part.charged).max(Decimal::ZERO));
            let presumed = if managed.definition.is_hard() { billed.min(part.held) } else { Decimal::ZERO };
            let held = part.held;
            self.change(&part.key, |tally| {
                tally.held -= held;
                tally.presumed += presumed;
            });
            part.held = Decimal::ZERO;
            part.presumed += presumed;
        }
        one.phase = Phase::Expired;
        self.reservations.insert(id, one);
        Answer::Done
    }

    pub(super) fn extend(&mut self, extension: &Extension) -> Answer {
        let Some(mut one) = self.reservations.get(&extension.id).cloned() else {
            return Answer::Refused("RESERVATION_NOT_FOUND");
        };
        let who = one.asked.as_ref().map(|asked| asked.who.clone()).unwrap_or_default();
        if extension.raise.is_some() {
            self.touch(&who, one.created);
        }
        if one.phase != Phase::Pending {
            return Answer::Refused("RESERVATION_ENDED");
        }
        let mut granted = true;
        if extension.sequence >= one.sequence {
            one.sequence = extension.sequence;
            if let Some(seconds) = extension.seconds {
                one.expires = one.expires.max(self.now + SignedDuration::from_secs(seconds));
            }
            let running = extension.running.map(|(input, output)| self.need(&one.model, input, output, 1));
            one.running = running.or(one.running);
            let raised =
                extension.raise.as_ref().map(|(model, input, output)| (model, self.need(model, *input, *output, 1)));
            granted = self.raise(&mut one, &who, running, raised);
            if let (true, Some((model, _, _))) = (granted, &extension.raise) {
                one.model = model.clone();
            }
        }
        let answer = Answer::Extended { granted, holds: one.view(), counters: self.views(&one.parts) };
        self.reservations.insert(extension.id, one);
        answer
    }

    /// Raises every hold to what the whole call needs, less what was charged on the way: all of them or none.
    fn raise(
        &mut self,
        one: &mut Reservation,
        who: &Who,
        running: Option<Need>,
        raised: Option<(&String, Need)>,
    ) -> bool {
        let mut wanted: Vec<(CounterKey, Decimal)> = Vec::new();
        for managed in &self.budgets {
            let definition = &managed.definition;
            let counted = raised.filter(|(model, _)| definition.counts(model)).map(|(_, need)| need);
            let whole = |need: Option<Need>| need.map(|need| need.in_unit(definition.unit));
            if let Some(part) = one.parts.iter().find(|part| part.key.budget == definition.id) {
                let asked = whole(running).into_iter().chain(whole(counted)).max().unwrap_or_default();
                wanted.push((part.key.clone(), (asked - part.charged).max(part.held)));
            }
            let (Some((model, _)), Some(need)) = (raised, counted) else { continue };
            if !managed.is_in_force() || !managed.counts_at(one.created) {
                continue;
            }
            let Reach::Counter(key) = managed.reach(who, one.created) else { continue };
            let unpriced = self.rates.get(model).is_none_or(|rate| *rate == Rate::Unpriced);
            if unpriced && definition.unit == Unit::Usd && definition.is_hard() && definition.mode == Mode::Enforced {
                return false;
            }
            if !one.parts.iter().any(|part| part.key.budget == definition.id) {
                wanted.push((key, need.in_unit(definition.unit)));
            }
        }
        let held = |one: &Reservation, key: &CounterKey| {
            one.parts.iter().find(|part| part.key == *key).map_or(Decimal::ZERO, |part| part.held)
        };
        for (key, amount) in &wanted {
            let Some(managed) = self.managed(&key.budget) else { continue };
            let more = *amount - held(one, key);
            let room = self.room(&managed.definition, key, managed.limit(&key.scope));
            if more > Decimal::ZERO && room.is_some_and(|room| room < more) {
                return false;
            }
        }
        for (key, amount) in wanted {
            let more = amount - held(one, &key);
            self.note_raised_limit(&key);
            self.change(&key, |tally| tally.held += more);
            match one.part(&key.budget) {
                Some(part) => part.held = amount,
                None => one.parts.push(Part { key, held: amount, charged: Decimal::ZERO, presumed: Decimal::ZERO }),
            }
        }
        true
    }

    /// What is admitted by a limit may reach that limit, in a window that has ended, too.
    fn note_raised_limit(&mut self, key: &CounterKey) {
        let limit = self.managed(&key.budget).map(|one| one.limit(&key.scope)).unwrap_or_default();
        self.change(key, |tally| tally.highest = tally.highest.max(limit));
    }
}

/// What a charge takes out of a hold.
struct Taken {
    held: Decimal,
    presumed: Decimal,
}

impl Part {
    /// The last event frees all; one that others follow takes what it used, first of what is held, then of what is presumed.
    fn take(&mut self, amount: Decimal, keep_open: bool) -> Taken {
        let held = if keep_open { amount.min(self.held) } else { self.held };
        let presumed = if keep_open { (amount - held).min(self.presumed) } else { self.presumed };
        self.held -= held;
        self.presumed -= presumed;
        self.charged += amount;
        Taken { held, presumed }
    }
}

impl Reservation {
    fn part(&mut self, budget: &str) -> Option<&mut Part> {
        self.parts.iter_mut().find(|part| part.key.budget == budget)
    }
}
