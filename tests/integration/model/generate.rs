//! Random programs, from a seed.

use std::collections::BTreeMap;
use std::fmt;

use jiff::{SignedDuration, Timestamp};
use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;
use rand::{Rng as _, SeedableRng as _};
use rust_decimal::Decimal;
use tollgate_domain::budget::model::{
    Amendment, Asked, Correction, Definition, Event, Extension, Model, Operation, Period, Step, Who,
};
use tollgate_domain::budget::{Action, Basis, Mode, Unit};
use uuid::Uuid;

use super::world::{MODELS, ZONE, beginning, rates};

/// How the operations of a program follow each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// One after the other.
    InTurn,
    /// In bursts.
    AtOnce,
}

/// What happens at a time.
#[derive(Debug, Clone)]
pub(super) enum Round {
    /// One operation, alone.
    Alone(Operation),
    /// The clock moves, and what is due then runs out before anything else happens.
    Clock(Timestamp),
    /// These events in one BatchRecordUsage.
    Batch(Vec<Event>),
    /// All at once, by turns through two replicas.
    Burst(Vec<Operation>),
}

/// A program.
#[derive(Debug, Clone)]
pub(super) struct Program {
    pub(super) kind: Kind,
    pub(super) rounds: Vec<Round>,
}

impl fmt::Display for Program {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.rounds.iter().try_for_each(|round| writeln!(formatter, "  {round:?}"))
    }
}

impl Program {
    pub(super) fn generate(kind: Kind, seed: u64) -> Self {
        let mut generator = Generator::new(seed);
        let mut rounds = generator.beginning();
        let length = if kind == Kind::InTurn { 60 } else { 12 };
        for _ in 0..length {
            rounds.push(generator.round(kind));
        }
        Self { kind, rounds }
    }

    /// How many steps there are.
    pub(super) fn len(&self) -> usize {
        self.rounds.iter().map(weight).sum()
    }

    /// The same without the step at `place`.
    pub(super) fn without(&self, mut place: usize) -> Self {
        let mut program = self.clone();
        for (position, round) in program.rounds.iter_mut().enumerate() {
            let steps = weight(round);
            if place >= steps {
                place -= steps;
                continue;
            }
            match round {
                Round::Batch(events) if events.len() > 1 => drop(events.remove(place)),
                Round::Burst(operations) if operations.len() > 1 => drop(operations.remove(place)),
                _ => drop(program.rounds.remove(position)),
            }
            break;
        }
        program
    }
}

fn weight(round: &Round) -> usize {
    match round {
        Round::Alone(_) | Round::Clock(_) => 1,
        Round::Batch(events) => events.len(),
        Round::Burst(operations) => operations.len(),
    }
}

/// Carries the model along, so that what it makes is mostly about things that are there.
struct Generator {
    random: StdRng,
    model: Model,
    budgets: Vec<Definition>,
    checks: Vec<Asked>,
    reservations: Vec<Uuid>,
    events: Vec<Event>,
    revisions: BTreeMap<Uuid, i64>,
    sequence: i64,
}

impl Generator {
    fn new(seed: u64) -> Self {
        Self {
            random: StdRng::seed_from_u64(seed),
            model: Model::new(beginning(), rates()),
            budgets: Vec::new(),
            checks: Vec::new(),
            reservations: Vec::new(),
            events: Vec::new(),
            revisions: BTreeMap::new(),
            sequence: 0,
        }
    }

    fn one_of<T: Clone>(&mut self, choices: &[T]) -> T {
        choices.choose(&mut self.random).unwrap().clone()
    }

    fn chance(&mut self, percent: u32) -> bool {
        self.random.random_ratio(percent, 100)
    }

    /// Minted now, with random bits from the seed.
    fn id(&mut self) -> Uuid {
        let milliseconds = u64::try_from(Timestamp::now().as_millisecond()).unwrap();
        uuid::Builder::from_unix_timestamp_millis(milliseconds, &self.random.random()).into_uuid()
    }

    fn beginning(&mut self) -> Vec<Round> {
        let budgets = self.random.random_range(2..=4);
        let mut rounds = Vec::new();
        for _ in 0..budgets {
            let operation = self.create();
            rounds.push(self.alone(operation));
        }
        rounds
    }

    fn alone(&mut self, operation: Operation) -> Round {
        self.model.apply(&operation);
        Round::Alone(operation)
    }

    fn round(&mut self, kind: Kind) -> Round {
        match self.random.random_range(0..100) {
            0..8 => self.clock(),
            8..14 => self.batch(),
            _ if kind == Kind::AtOnce => {
                let length = self.random.random_range(3..=6);
                let mut burst: Vec<Operation> = Vec::new();
                for _ in 0..length {
                    let operation = self.operation();
                    self.model.apply(&operation);
                    burst.push(operation);
                    // The same again, at the same time.
                    if burst.len() < 6 && self.chance(10) {
                        burst.extend(burst.last().cloned());
                    }
                }
                burst.truncate(6);
                Round::Burst(burst)
            }
            _ => {
                let operation = self.operation();
                self.alone(operation)
            }
        }
    }

    fn clock(&mut self) -> Round {
        let minutes = self.one_of(&[1, 1, 40, 40, 180, 780]);
        let now = self.model.now() + SignedDuration::from_mins(minutes);
        self.model.apply(&Operation::Clock(now));
        for id in self.model.due() {
            self.model.apply(&Operation::Expire(id));
        }
        Round::Clock(now)
    }

    /// New ones and old ones mixed; none names a reservation, so that their order makes no difference.
    fn batch(&mut self) -> Round {
        let mut events: Vec<Event> = Vec::new();
        for _ in 0..self.random.random_range(2..=4) {
            let plain: Vec<Event> = self.events.iter().filter(|event| event.reservation.is_none()).cloned().collect();
            let event = if !plain.is_empty() && self.chance(40) { self.one_of(&plain) } else { self.event(None) };
            if !events.iter().any(|known| known.id == event.id) {
                events.push(event);
            }
        }
        for event in &events {
            self.model.apply(&Operation::Record(event.clone()));
        }
        Round::Batch(events)
    }

    fn operation(&mut self) -> Operation {
        match self.random.random_range(0..100) {
            0..38 => self.check(),
            38..64 => self.record(),
            64..72 => self.extend(),
            72..78 => Operation::Release(self.reservation()),
            78..83 => self.limit(),
            83..86 => self.mode(),
            86..90 => self.other_limit(),
            90..97 => self.amend(),
            _ => self.create(),
        }
    }

    fn who(&mut self) -> Who {
        let mut who = Who::new();
        if let Some(user) = self.one_of(&[Some("ada"), Some("ada"), Some("eve"), None]) {
            who.insert("user_id".to_owned(), user.to_owned());
        }
        if let Some(agent) = self.one_of(&[Some("planner"), Some("writer"), None]) {
            who.insert("agent_name".to_owned(), agent.to_owned());
        }
        who
    }

    fn model_name(&mut self) -> String {
        let place = self.one_of(&[0, 0, 0, 0, 1, 1, 2, 3]);
        MODELS[place].0.to_owned()
    }

    fn check(&mut self) -> Operation {
        if !self.checks.is_empty() && self.chance(8) {
            let known = self.checks.clone();
            return Operation::Check(self.one_of(&known));
        }
        let model = self.model_name();
        let mut models = vec![model];
        if self.chance(15) {
            let fallback = self.model_name();
            if !models.contains(&fallback) {
                models.push(fallback);
            }
        }
        // Sometimes an id that was ended before its check comes.
        let id = if !self.reservations.is_empty() && self.chance(6) { self.reservation() } else { self.id() };
        let asked = Asked {
            id: (!self.chance(12)).then_some(id),
            who: self.who(),
            models,
            input: self.one_of(&[100, 500, 1_000]),
            output: self.one_of(&[100, 500, 1_000, 2_000, 9_000]),
            headroom: self.chance(20),
            seconds: self.one_of(&[60, 1_800, 7_200]),
        };
        if let Some(id) = asked.id {
            self.reservations.push(id);
            self.checks.push(asked.clone());
        } else {
            return Operation::Check(Asked { headroom: false, ..asked });
        }
        Operation::Check(asked)
    }

    fn reservation(&mut self) -> Uuid {
        if self.reservations.is_empty() || self.chance(5) {
            let id = self.id();
            self.reservations.push(id);
            return id;
        }
        // Mostly recent ones.
        let recent = self.reservations.len().saturating_sub(6);
        let place = self.random.random_range(recent..self.reservations.len());
        self.reservations[place]
    }

    fn event(&mut self, reservation: Option<(Uuid, bool)>) -> Event {
        let output = self.one_of(&[0, 100, 500, 1_000, 3_000]);
        let earlier = self.one_of(&[0, 0, 0, 30, 300]);
        let event = Event {
            id: self.id(),
            who: self.who(),
            model: self.model_name(),
            input: self.one_of(&[0, 100, 500, 1_000]),
            output,
            reasoning: self.one_of(&[0, output / 2, output]),
            attempt: self.one_of(&[1, 1, 1, 2]),
            start: self.model.now() - SignedDuration::from_mins(earlier),
            reservation,
        };
        self.events.push(event.clone());
        self.revisions.insert(event.id, 1);
        event
    }

    fn record(&mut self) -> Operation {
        if !self.events.is_empty() && self.chance(15) {
            let known = self.events.clone();
            let event = self.one_of(&known);
            // Now and then the same id with something else.
            return Operation::Record(if self.chance(20) { Event { input: event.input + 1, ..event } } else { event });
        }
        let paying = if self.chance(70) { Some((self.reservation(), self.chance(25))) } else { None };
        Operation::Record(self.event(paying))
    }

    fn extend(&mut self) -> Operation {
        self.sequence += 1;
        let stale = self.chance(10);
        let sequence = if stale { self.sequence - 2 } else { self.sequence };
        let sizes = [100, 1_000, 2_000, 5_000];
        let running = if self.chance(50) { Some((self.one_of(&sizes), self.one_of(&sizes))) } else { None };
        let raise =
            if self.chance(50) { Some((self.model_name(), self.one_of(&sizes), self.one_of(&sizes))) } else { None };
        Operation::Extend(Extension {
            id: self.reservation(),
            sequence: sequence.max(1),
            seconds: if self.chance(50) { Some(self.one_of(&[60, 3_600])) } else { None },
            running,
            raise,
        })
    }

    fn budget(&mut self) -> Definition {
        let known = self.budgets.clone();
        self.one_of(&known)
    }

    fn limit(&mut self) -> Operation {
        let budget = self.budget();
        let limit = self.amount(budget.unit);
        Operation::Limit { budget: budget.id, limit }
    }

    fn mode(&mut self) -> Operation {
        let mode = self.one_of(&[Mode::Enforced, Mode::Disabled, Mode::Shadow]);
        Operation::Mode { budget: self.budget().id, mode }
    }

    fn other_limit(&mut self) -> Operation {
        let budget = self.budget();
        let scope = budget.per.as_ref().map(|_| self.one_of(&["ada", "eve"]).to_owned());
        let limit = if self.chance(75) { Some(self.amount(budget.unit)) } else { None };
        Operation::Override { budget: budget.id, scope, limit }
    }

    fn amend(&mut self) -> Operation {
        let Some(event) = self.events.choose(&mut self.random).cloned() else { return self.record() };
        let change = match self.random.random_range(0..3) {
            0 => Amendment::Cancel,
            1 => Amendment::Reattribute(self.who()),
            _ => Amendment::Replace {
                who: self.who(),
                model: self.model_name(),
                input: self.one_of(&[0, 500, 1_000]),
                output: self.one_of(&[0, 1_000, 4_000]),
            },
        };
        let expected = self.revisions.get(&event.id).copied().unwrap_or(1);
        let correction = Correction { event: event.id, expected, change };
        // What it comes to decides which revision the next one must name.
        let answer = self.model.clone().apply(&Operation::Amend(correction.clone()));
        if let tollgate_domain::budget::model::Answer::Amended { revision, .. } = answer {
            self.revisions.insert(event.id, revision);
        }
        Operation::Amend(correction)
    }

    /// A few calls fit.
    fn amount(&mut self, unit: Unit) -> Decimal {
        match unit {
            Unit::Usd => Decimal::new(self.random.random_range(5..=60), 3),
            Unit::Tokens | Unit::InputTokens | Unit::OutputTokens => {
                Decimal::from(self.random.random_range(1..=12) * 500)
            }
            Unit::Calls | Unit::Attempts => Decimal::from(self.random.random_range(1..=6)),
        }
    }

    fn create(&mut self) -> Operation {
        let unit = self.one_of(&[
            Unit::Usd,
            Unit::Usd,
            Unit::Usd,
            Unit::Tokens,
            Unit::InputTokens,
            Unit::OutputTokens,
            Unit::Calls,
            Unit::Attempts,
        ]);
        let period = self.one_of(&[Period::Lifetime, Period::Hours, Period::Days(ZONE.to_owned())]);
        let step = |at: i64, action: Action| Step {
            at: Decimal::new(at, 1),
            basis: Basis::Committed,
            action,
            downgrade_to: Vec::new(),
        };
        let block = step(10, Action::Block);
        let spent = Step { basis: Basis::Spent, ..block.clone() };
        let downgrade =
            Step { downgrade_to: vec!["llama3".to_owned(), "gpt-4o-mini".to_owned()], ..step(6, Action::Downgrade) };
        let mut rules = vec![
            vec![block.clone()],
            vec![block.clone()],
            vec![step(5, Action::Alert), block.clone()],
            vec![downgrade, block.clone()],
            vec![step(8, Action::Alert)],
            vec![spent],
        ];
        if period != Period::Lifetime {
            rules.push(vec![step(7, Action::Throttle), block]);
        }
        let number = self.budgets.len();
        let definition = Definition {
            id: format!("b{number}"),
            per: self.one_of(&[None, Some("user_id".to_owned())]),
            selects: self.one_of(&[None, None, Some(("agent_name".to_owned(), "planner".to_owned()))]),
            models: self.one_of(&[vec![], vec![], vec![], vec!["gpt-4o".to_owned()], vec!["gpt-4o-mini".to_owned()]]),
            unit,
            period,
            limit: self.amount(unit),
            steps: self.one_of(&rules),
            mode: self.one_of(&[Mode::Enforced, Mode::Enforced, Mode::Enforced, Mode::Shadow]),
        };
        self.budgets.push(definition.clone());
        Operation::Create(definition)
    }
}
