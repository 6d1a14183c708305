//! Who is admitted.

use jiff::SignedDuration;
use rust_decimal::Decimal;

use super::counters::Reach;
use super::{
    Answer, Asked, CounterKey, CounterView, Definition, Judgement, Model, Need, Part, Phase, Rate, Reservation, Step,
    Verdict,
};
use crate::budget::{Action, Basis, Mode, Unit};

/// Output tokens beyond which nobody asks what is affordable.
const MOST_TOKENS: u64 = 1_000_000_000_000;

/// One call that may come of a check: on this model, with this much output.
#[derive(Debug, Clone)]
struct Call {
    model: String,
    rate: Rate,
    input: u64,
    output: u64,
}

impl Call {
    fn need(&self) -> Need {
        Need::of(self.rate, self.input, self.output)
    }

    fn with_output(&self, output: u64) -> Self {
        Self { output, ..self.clone() }
    }
}

/// Why a budget refuses, the least severe first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Refusal {
    Throttled,
    Exceeded,
    Unpriced,
    KeyMissing,
}

/// What one budget says.
struct Opinion {
    definition: Definition,
    limit: Decimal,
    key: Option<CounterKey>,
    hold: Option<Decimal>,
    fired: Vec<Step>,
    blocked: bool,
    refusal: Option<Refusal>,
    never: bool,
}

impl Opinion {
    fn binding_refusal(&self) -> Option<Refusal> {
        self.refusal.filter(|_| self.definition.mode == Mode::Enforced)
    }

    fn fired(&self) -> Option<Action> {
        if self.blocked { Some(Action::Block) } else { self.fired.iter().map(|step| step.action).max() }
    }
}

fn refusal(opinions: &[Opinion]) -> Option<Refusal> {
    opinions.iter().filter_map(Opinion::binding_refusal).max()
}

impl Model {
    pub(super) fn check(&mut self, asked: &Asked) -> Answer {
        if asked.id.is_some() {
            self.touch(&asked.who, self.now);
        }
        if let Some(id) = asked.id
            && let Some(known) = self.reservations.get(&id)
        {
            return self.same_again(asked, &known.clone());
        }
        let calls: Vec<Call> = asked.models.iter().map(|model| self.call(model, asked)).collect();
        let (verdict, calls, opinions) = self.decide(asked, calls);
        let affordable = opinions.iter().filter_map(|opinion| self.affordable(opinion, &calls)).min();
        let never_fits = opinions.iter().any(|opinion| opinion.never);
        let mut holds = Vec::new();
        if let (Some(id), Verdict::Allowed | Verdict::Downgraded(_)) = (asked.id, &verdict) {
            let mut parts = Vec::new();
            for opinion in &opinions {
                let (Some(key), Some(hold)) = (&opinion.key, opinion.hold) else { continue };
                self.note_limit(key);
                self.change(key, |tally| tally.held += hold);
                parts.push(Part { key: key.clone(), held: hold, charged: Decimal::ZERO, presumed: Decimal::ZERO });
            }
            let dearest = calls.iter().max_by_key(|call| call.need().usd);
            let reservation = Reservation {
                phase: Phase::Pending,
                asked: Some(asked.clone()),
                model: dearest.map(|call| call.model.clone()).unwrap_or_default(),
                downgraded: matches!(verdict, Verdict::Downgraded(_)),
                created: self.now,
                expires: self.now + SignedDuration::from_secs(asked.seconds),
                sequence: 0,
                running: None,
                parts,
                events: std::collections::BTreeSet::new(),
            };
            holds = reservation.view();
            self.reservations.insert(id, reservation);
        }
        let counters = opinions.iter().map(|opinion| self.shown(opinion)).collect();
        Answer::Checked(Judgement { verdict, affordable, never_fits, holds, counters })
    }

    /// The same id again: what it holds, or that it has ended.
    fn same_again(&mut self, asked: &Asked, known: &Reservation) -> Answer {
        if known.asked.as_ref().is_some_and(|first| Asked { seconds: asked.seconds, ..first.clone() } != *asked) {
            return Answer::Refused("RESERVATION_ID_REUSED");
        }
        let pending = known.phase == Phase::Pending;
        let verdict = match pending {
            false => Verdict::Denied("CLOSED"),
            true if known.downgraded => Verdict::Downgraded(known.model.clone()),
            true => Verdict::Allowed,
        };
        Answer::Checked(Judgement {
            verdict,
            affordable: None,
            never_fits: false,
            holds: if pending { known.view() } else { Vec::new() },
            counters: self.views(&known.parts),
        })
    }

    fn call(&self, model: &str, asked: &Asked) -> Call {
        let rate = self.rates.get(model).copied().unwrap_or(Rate::Unpriced);
        Call { model: model.to_owned(), rate, input: asked.input, output: asked.output }
    }

    /// A check that may hold uses every counter in force that selects it.
    pub(super) fn touch(&mut self, who: &super::Who, at: jiff::Timestamp) {
        let deciding: Vec<CounterKey> = self
            .budgets
            .iter()
            .filter(|one| one.is_in_force() && one.counts_at(at))
            .filter_map(|one| match one.reach(who, at) {
                Reach::Counter(key) => Some(key),
                Reach::Outside | Reach::KeyMissing => None,
            })
            .collect();
        for key in deciding {
            self.tally(&key, at);
        }
    }

    fn decide(&self, asked: &Asked, calls: Vec<Call>) -> (Verdict, Vec<Call>, Vec<Opinion>) {
        let opinions = self.opinions(&asked.who, &calls);
        let refused = refusal(&opinions);
        let offered = self.offered(&opinions, &calls);
        if refused.is_none() && offered.is_empty() {
            return (Verdict::Allowed, calls, opinions);
        }
        if asked.headroom
            && refused == Some(Refusal::Exceeded)
            && let Some(tokens) = opinions.iter().filter_map(|opinion| self.affordable(opinion, &calls)).min()
            && tokens > 0
        {
            let capped: Vec<Call> = calls.iter().map(|call| call.with_output(tokens)).collect();
            let second = self.opinions(&asked.who, &capped);
            if refusal(&second).is_none() {
                return (Verdict::Allowed, capped, second);
            }
        }
        if refused != Some(Refusal::KeyMissing) {
            for model in &offered {
                let other = vec![self.call(model, asked)];
                let second = self.opinions(&asked.who, &other);
                if refusal(&second).is_none() {
                    return (Verdict::Downgraded(model.clone()), other, second);
                }
            }
        }
        let verdict = match refused {
            Some(Refusal::KeyMissing) => Verdict::Denied("PER_KEY_MISSING"),
            Some(Refusal::Unpriced) => Verdict::Denied("UNPRICED"),
            Some(Refusal::Exceeded) => Verdict::Denied("BUDGET_EXCEEDED"),
            Some(Refusal::Throttled) => Verdict::Throttled,
            None => Verdict::Denied("DOWNGRADE_UNAVAILABLE"),
        };
        (verdict, calls, opinions)
    }

    /// The models that fired rules of binding budgets name, in the order of budgets and rules; none where every call runs on
    /// one of those already.
    fn offered(&self, opinions: &[Opinion], calls: &[Call]) -> Vec<String> {
        let binding = || opinions.iter().filter(|opinion| opinion.definition.mode == Mode::Enforced);
        let news = binding().any(|opinion| {
            opinion.fired.iter().any(|step| {
                let mut counted = calls.iter().filter(|call| opinion.definition.counts(&call.model));
                step.action == Action::Downgrade && counted.any(|call| !step.downgrade_to.contains(&call.model))
            })
        });
        if !news {
            return Vec::new();
        }
        binding().flat_map(|opinion| &opinion.fired).flat_map(|step| step.downgrade_to.iter().cloned()).collect()
    }

    fn opinions(&self, who: &super::Who, calls: &[Call]) -> Vec<Opinion> {
        let mut opinions = Vec::new();
        for managed in self.budgets.iter().filter(|one| one.is_in_force() && one.counts_at(self.now)) {
            let definition = managed.definition.clone();
            let mut opinion = Opinion {
                limit: definition.limit,
                definition,
                key: None,
                hold: None,
                fired: Vec::new(),
                blocked: false,
                refusal: None,
                never: false,
            };
            match managed.reach(who, self.now) {
                Reach::Outside => continue,
                Reach::KeyMissing => {
                    opinion.blocked = true;
                    opinion.refusal = Some(Refusal::KeyMissing);
                }
                Reach::Counter(key) => {
                    opinion.limit = managed.limit(&key.scope);
                    self.judge(&mut opinion, &key, calls);
                    opinion.key = Some(key);
                }
            }
            opinions.push(opinion);
        }
        opinions
    }

    fn judge(&self, opinion: &mut Opinion, key: &CounterKey, calls: &[Call]) {
        let definition = &opinion.definition;
        let unit = definition.unit;
        let counted: Vec<&Call> = calls.iter().filter(|call| definition.counts(&call.model)).collect();
        let Some(amount) = counted.iter().map(|call| call.need().in_unit(unit)).max() else { return };
        opinion.hold = Some(amount);
        let in_dollars = unit == Unit::Usd;
        if in_dollars && counted.iter().all(|call| call.rate == Rate::Free) {
            return;
        }
        opinion.never = definition.mode == Mode::Enforced
            && definition.steps.iter().any(|step| {
                step.action == Action::Block && step.basis == Basis::Committed && amount > step.at * opinion.limit
            });
        if in_dollars && definition.is_hard() && counted.iter().any(|call| call.rate == Rate::Unpriced) {
            opinion.blocked = true;
            opinion.refusal = Some(Refusal::Unpriced);
            return;
        }
        let tally = self.tallies.get(key).cloned().unwrap_or_default();
        let fires = |step: &&Step| match step.basis {
            Basis::Spent => tally.spent >= step.at * opinion.limit,
            Basis::Committed => tally.committed() + amount > step.at * opinion.limit,
        };
        opinion.fired = definition.steps.iter().filter(fires).cloned().collect();
        opinion.refusal = match opinion.fired.iter().map(|step| step.action).max() {
            Some(Action::Block) => Some(Refusal::Exceeded),
            Some(Action::Throttle) => Some(Refusal::Throttled),
            _ => None,
        };
    }

    /// What binding BLOCK rules leave in a counter; `None` = no bound.
    pub(super) fn room(&self, definition: &Definition, key: &CounterKey, limit: Decimal) -> Option<Decimal> {
        if definition.mode != Mode::Enforced {
            return None;
        }
        let tally = self.tallies.get(key).cloned().unwrap_or_default();
        let blocks = definition.steps.iter().filter(|step| step.action == Action::Block);
        let left = blocks.filter_map(|step| match step.basis {
            Basis::Committed => Some((step.at * limit - tally.committed()).max(Decimal::ZERO)),
            Basis::Spent => (tally.spent >= step.at * limit).then_some(Decimal::ZERO),
        });
        left.min()
    }

    fn affordable(&self, opinion: &Opinion, calls: &[Call]) -> Option<u64> {
        let room = self.room(&opinion.definition, opinion.key.as_ref()?, opinion.limit)?;
        let unit = opinion.definition.unit;
        let counted = calls.iter().filter(|call| opinion.definition.counts(&call.model));
        counted.filter_map(|call| most_output(call, unit, room)).min()
    }

    fn shown(&self, opinion: &Opinion) -> CounterView {
        let refused = opinion.refusal.is_some();
        match &opinion.key {
            Some(key) => self.view(key, opinion.fired(), refused),
            // Without its key there is no counter to show.
            None => CounterView {
                budget: opinion.definition.id.clone(),
                scope: None,
                spent: Decimal::ZERO,
                held: Decimal::ZERO,
                presumed: Decimal::ZERO,
                overrun: Decimal::ZERO,
                limit: opinion.limit,
                available: opinion.limit,
                fired: opinion.fired(),
                refused,
            },
        }
    }
}

/// The largest output with which the call stays within `room`, by halving; `None` where output makes no difference.
fn most_output(call: &Call, unit: Unit, room: Decimal) -> Option<u64> {
    let amount = |output: u64| call.with_output(output).need().in_unit(unit);
    if amount(MOST_TOKENS) == amount(0) {
        return None;
    }
    let (mut fits, mut beyond) = (0, MOST_TOKENS);
    while beyond - fits > 1 {
        let middle = fits + (beyond - fits) / 2;
        if amount(middle) <= room { fits = middle } else { beyond = middle }
    }
    Some(fits)
}
