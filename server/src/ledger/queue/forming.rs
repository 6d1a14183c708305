//! What of a lane shares one transaction.

use std::collections::{HashMap, HashSet, VecDeque};

use tollgate_domain::tokens::UsageQuality;
use uuid::Uuid;

use super::lane::Queued;
use crate::ledger::adjust::Adjust;
use crate::ledger::command::Command;

/// Most events and requests of the corrections of one batch.
const CORRECTED_LIMIT: usize = 500;

/// What a batch's commands do with a reservation: many events may settle one, but a check, an extension, a release or
/// an expiry is alone with it, so that each sees the committed state.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Access {
    Shared,
    Alone,
}

/// A batch that is made up.
#[derive(Default)]
pub(super) struct Forming {
    pub(super) taken: Vec<Queued>,
    reservations: HashMap<Uuid, Access>,
    /// Reservations of commands that were passed over: later ones wait behind them.
    blocked: HashSet<Uuid>,
    /// Events and requests of corrections: two of the same never share a batch, so that each sees the committed state.
    corrected: HashSet<Uuid>,
}

impl Forming {
    /// Takes what can share the batch, until it has `limit` commands; what cannot stays in its place.
    pub(super) fn take_from(&mut self, waiting: &mut VecDeque<Queued>, limit: usize) {
        let mut passed_over = VecDeque::new();
        while self.taken.len() < limit && passed_over.len() < limit {
            let Some(next) = waiting.pop_front() else { break };
            passed_over.extend(self.offer(next));
        }
        // What was passed over arrived before what was never looked at.
        while let Some(queued) = passed_over.pop_back() {
            waiting.push_front(queued);
        }
    }

    /// Takes the command, or gives it back where it must wait for the next batch.
    fn offer(&mut self, queued: Queued) -> Option<Queued> {
        let command = &queued.command;
        if let Some(id) = command.reservation_id() {
            let together = match self.reservations.get(&id) {
                None => true,
                Some(access) => *access == Access::Shared && access_of(command) == Access::Shared,
            };
            if !together || self.blocked.contains(&id) {
                self.blocked.insert(id);
                return Some(queued);
            }
        }
        if let Some(adjust) = command.adjust() {
            let ids: Vec<Uuid> = corrected_ids(adjust).collect();
            let room = self.corrected.is_empty() || self.corrected.len() + ids.len() <= CORRECTED_LIMIT;
            if !room || ids.iter().any(|id| self.corrected.contains(id)) {
                // Later ones of the same events wait behind it.
                self.corrected.extend(ids);
                return Some(queued);
            }
            self.corrected.extend(ids);
        }
        if let Some(id) = command.reservation_id() {
            self.reservations.insert(id, access_of(command));
        }
        self.taken.push(queued);
        None
    }
}

/// The events that it corrects, and its request.
fn corrected_ids(adjust: &Adjust) -> impl Iterator<Item = Uuid> {
    adjust.corrections.iter().map(|correction| correction.event_id).chain([adjust.key.request_id])
}

/// An event whose usage nobody knows is charged what others left: it has to see them committed.
fn access_of(command: &Command) -> Access {
    match command {
        Command::Record(record, _) => {
            let unknown = record.event.usage.as_ref().is_some_and(|usage| usage.quality == UsageQuality::Unknown);
            if unknown { Access::Alone } else { Access::Shared }
        }
        _ => Access::Alone,
    }
}
