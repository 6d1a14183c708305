//! One tenant's lane: what waits, by how much it matters that it comes soon.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use tokio::time::Instant;
use uuid::Uuid;

use super::forming::Forming;
use crate::ledger::command::Command;

/// Batches smaller than this have no room for shares: what came first is served first.
const SHARED_FROM: usize = 8;
/// Longest time for which a lane with whole batches in it lets those go first that have less to do: a few lone calls' worth. A tenant
/// with much to do so begins a batch in each such time, whoever else is there.
const COURTESY: Duration = Duration::from_millis(10);

/// A command that waits.
#[derive(Debug)]
pub(super) struct Queued {
    pub(super) command: Command,
    /// What it weighs, as it was counted.
    pub(super) weight: usize,
    /// When its caller stops waiting.
    deadline: Option<Instant>,
    /// Its place in the order of arrival.
    arrival: u64,
    class: Class,
}

/// How much it matters that a command comes soon.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Class {
    /// What was used, and what makes room: calls that ran must be counted, and what they held freed.
    Settling,
    /// Checks.
    Checks,
    /// What nobody waits for in front of a model: expiries and corrections.
    Background,
}

/// What waits of one tenant. Checks come in the order of their arrival, whatever passes them.
#[derive(Debug, Default)]
pub(super) struct Lane {
    settling: VecDeque<Queued>,
    checks: VecDeque<Queued>,
    background: VecDeque<Queued>,
    /// Where the commands of a reservation wait, and how many: later ones stand behind them, whatever they are.
    reservations: HashMap<Uuid, (Class, usize)>,
    arrivals: u64,
    /// Places that are taken for commands to come.
    pub(super) claimed: usize,
    /// What it weighs.
    pub(super) bytes: usize,
    /// Whether the next batch has to wait for the locks of the one before.
    pub(super) turn_taken: bool,
    /// Batches that are under way.
    pub(super) under_way: usize,
    /// Since when it stands among those that can be served: with whole batches in it, since the latest of them was taken.
    pub(super) ready_since: Option<Instant>,
    /// Since when it has neither commands nor batches; `None` = it has.
    pub(super) idle_since: Option<Instant>,
}

/// What a lane gave.
#[derive(Debug, Default)]
pub(super) struct Taken {
    /// For one transaction.
    pub(super) commands: Vec<Command>,
    /// Too late: nobody waits for these any more, and nothing of them was done.
    pub(super) expired: Vec<Command>,
    pub(super) items: usize,
    pub(super) bytes: usize,
}

impl Lane {
    /// How many commands wait.
    pub(super) fn len(&self) -> usize {
        self.settling.len() + self.checks.len() + self.background.len()
    }

    /// Whether nothing waits.
    pub(super) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether it may be forgotten: nothing waits or is about to, and nothing is under way.
    pub(super) fn is_idle(&self) -> bool {
        self.is_empty() && self.claimed == 0 && !self.turn_taken && self.under_way == 0
    }

    /// Whether nothing ever waited in it.
    pub(super) fn is_new(&self) -> bool {
        self.arrivals == 0
    }

    /// How much longer it lets others go first.
    pub(super) fn courtesy_left(&self, now: Instant) -> Duration {
        self.ready_since.map_or(Duration::ZERO, |since| (since + COURTESY).saturating_duration_since(now))
    }

    /// Puts a command at the end of its class.
    pub(super) fn push(&mut self, command: Command, weight: usize, deadline: Option<Instant>) {
        let own = Class::of(&command);
        let class = match command.reservation_id() {
            None => own,
            Some(id) => {
                let entry = self.reservations.entry(id).or_insert((own, 0));
                entry.1 += 1;
                entry.0
            }
        };
        self.arrivals += 1;
        self.bytes += weight;
        self.idle_since = None;
        let queued = Queued { command, weight, deadline, arrival: self.arrivals, class };
        self.class_mut(class).push_back(queued);
    }

    /// Takes a batch of up to `limit` commands: what settles before checks before the rest, but an eighth is kept for the rest and a
    /// quarter for checks, so that nobody waits for ever.
    pub(super) fn take(&mut self, limit: usize, now: Instant) -> Taken {
        let mut taken = Taken::default();
        self.expire(now, limit, &mut taken);
        let mut forming = Forming::default();
        if limit < SHARED_FROM {
            let mut all = self.in_order_of_arrival();
            forming.take_from(&mut all, limit);
            for queued in all {
                self.class_mut(queued.class).push_back(queued);
            }
        } else {
            let for_background = self.background.len().min(limit / 8);
            let for_checks = self.checks.len().min(limit / 4);
            forming.take_from(&mut self.settling, limit - for_background - for_checks);
            forming.take_from(&mut self.checks, limit - for_background);
            forming.take_from(&mut self.background, limit);
        }
        for queued in forming.taken {
            self.left(&queued, &mut taken);
            taken.commands.push(queued.command);
        }
        taken
    }

    /// Drops what nobody waits for any more, from the front of each class: before it is in a transaction, never after.
    fn expire(&mut self, now: Instant, limit: usize, taken: &mut Taken) {
        for class in [Class::Settling, Class::Checks, Class::Background] {
            let waiting = self.class_mut(class);
            // What is looked at is what may be taken: a batch's worth, or everything that is too late in front of it.
            let mut kept = VecDeque::new();
            let mut expired = Vec::new();
            while kept.len() < limit {
                let Some(queued) = waiting.pop_front() else { break };
                if queued.deadline.is_some_and(|deadline| deadline <= now) {
                    expired.push(queued);
                } else {
                    kept.push_back(queued);
                }
            }
            kept.append(waiting);
            *waiting = kept;
            for queued in expired {
                self.left(&queued, taken);
                taken.expired.push(queued.command);
            }
        }
    }

    fn in_order_of_arrival(&mut self) -> VecDeque<Queued> {
        let mut all: Vec<Queued> =
            self.settling.drain(..).chain(self.checks.drain(..)).chain(self.background.drain(..)).collect();
        all.sort_by_key(|queued| queued.arrival);
        all.into()
    }

    fn left(&mut self, queued: &Queued, taken: &mut Taken) {
        taken.items += 1;
        taken.bytes += queued.weight;
        self.bytes = self.bytes.saturating_sub(queued.weight);
        let Some(id) = queued.command.reservation_id() else { return };
        let Some((_, waiting)) = self.reservations.get_mut(&id) else { return };
        *waiting -= 1;
        if *waiting == 0 {
            self.reservations.remove(&id);
        }
    }

    fn class_mut(&mut self, class: Class) -> &mut VecDeque<Queued> {
        match class {
            Class::Settling => &mut self.settling,
            Class::Checks => &mut self.checks,
            Class::Background => &mut self.background,
        }
    }
}

impl Class {
    fn of(command: &Command) -> Self {
        match command {
            Command::Record(..) | Command::Extend(..) | Command::Release { .. } | Command::Withdraw { .. } => {
                Self::Settling
            }
            Command::Reserve(..) => Self::Checks,
            Command::Adjust(..) | Command::Expire { .. } => Self::Background,
        }
    }
}
