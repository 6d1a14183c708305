//! Remembers what to do with calls while Tollgate cannot be reached.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use tollgate_proto::v1;

use crate::count::local_duration;

/// What becomes of a call that cannot be checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Choice {
    /// The call may not run.
    Deny,
    /// The call may run, unreserved.
    Allow,
}

/// The most scopes that are remembered.
const MAX_SCOPES: usize = 4096;

/// The part of a check that budgets tell calls apart by for longer than one session: calls that agree in it are treated alike.
/// Sessions, threads, tasks and labels are left out, since almost every call would have a scope of its own with them.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Scope {
    workspace: String,
    project: String,
    team: String,
    customer: String,
    user: String,
    environment: String,
    agent: String,
    provider: String,
    model: String,
}

impl Scope {
    fn of(request: &v1::CheckBudgetRequest) -> Self {
        let dimensions = request.dimensions.clone().unwrap_or_default();
        let model = request.model.clone().unwrap_or_default();
        Self {
            workspace: dimensions.workspace_id,
            project: dimensions.project_id,
            team: dimensions.team_id,
            customer: dimensions.customer_id,
            user: dimensions.user_id,
            environment: dimensions.environment,
            agent: dimensions.agent_id,
            provider: model.provider_name,
            model: model.model,
        }
    }
}

#[derive(Debug)]
struct Remembered {
    choice: Choice,
    until: Instant,
}

/// The last word of Tollgate per scope, and what goes for scopes of which it said nothing.
#[derive(Debug)]
pub(crate) struct Memory {
    default: Choice,
    scopes: Mutex<HashMap<Scope, Remembered>>,
}

impl Memory {
    pub(crate) fn new(default: Choice) -> Self {
        Self { default, scopes: Mutex::default() }
    }

    /// Remembers what an answer says about calls like this one.
    pub(crate) fn learn(&self, request: &v1::CheckBudgetRequest, answer: &v1::CheckBudgetResponse, now: Instant) {
        let ttl = answer.when_unreachable_ttl.as_ref().map(local_duration).unwrap_or_default();
        let choice = match v1::Choice::try_from(answer.when_unreachable) {
            Ok(v1::Choice::Deny) => Some(Choice::Deny),
            Ok(v1::Choice::Allow) => Some(Choice::Allow),
            Ok(v1::Choice::Unspecified) | Err(_) => None,
        };
        let mut scopes = self.scopes.lock().unwrap_or_else(PoisonError::into_inner);
        let scope = Scope::of(request);
        match (choice, now.checked_add(ttl)) {
            (Some(choice), Some(until)) if until > now => {
                make_room(&mut scopes, now);
                scopes.insert(scope, Remembered { choice, until });
            }
            _ => {
                scopes.remove(&scope);
            }
        }
    }

    /// What to do with a call like this one, and whether Tollgate said so.
    pub(crate) fn choose(&self, request: &v1::CheckBudgetRequest, now: Instant) -> (Choice, bool) {
        let scopes = self.scopes.lock().unwrap_or_else(PoisonError::into_inner);
        match scopes.get(&Scope::of(request)) {
            Some(remembered) if remembered.until > now => (remembered.choice, true),
            _ => (self.default, false),
        }
    }
}

/// Keeps the memory bounded: what has expired goes first, then what expires next.
fn make_room(scopes: &mut HashMap<Scope, Remembered>, now: Instant) {
    if scopes.len() < MAX_SCOPES {
        return;
    }
    scopes.retain(|_, remembered| remembered.until > now);
    if scopes.len() < MAX_SCOPES {
        return;
    }
    let next = scopes.iter().min_by_key(|(_, remembered)| remembered.until).map(|(scope, _)| scope.clone());
    if let Some(scope) = next {
        scopes.remove(&scope);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::CheckRequest;
    use std::time::Duration;

    fn says(choice: v1::Choice, seconds: i64) -> v1::CheckBudgetResponse {
        v1::CheckBudgetResponse {
            when_unreachable: choice.into(),
            when_unreachable_ttl: Some(prost_types::Duration { seconds, nanos: 0 }),
            ..Default::default()
        }
    }

    fn asks(user: &str) -> v1::CheckBudgetRequest {
        CheckRequest::peek(("openai", "gpt-4o")).user(user).into_proto()
    }

    #[test]
    fn the_last_word_counts_until_it_expires() {
        let memory = Memory::new(Choice::Deny);
        let now = Instant::now();
        memory.learn(&asks("a"), &says(v1::Choice::Allow, 60), now);
        assert_eq!(memory.choose(&asks("a"), now), (Choice::Allow, true));
        assert_eq!(memory.choose(&asks("b"), now), (Choice::Deny, false));
        assert_eq!(memory.choose(&asks("a"), now + Duration::from_secs(60)), (Choice::Deny, false));
    }

    #[test]
    fn an_answer_without_a_word_forgets() {
        let memory = Memory::new(Choice::Allow);
        let now = Instant::now();
        memory.learn(&asks("a"), &says(v1::Choice::Deny, 60), now);
        memory.learn(&asks("a"), &says(v1::Choice::Unspecified, 60), now);
        assert_eq!(memory.choose(&asks("a"), now), (Choice::Allow, false));
    }

    #[test]
    fn the_memory_is_bounded() {
        let memory = Memory::new(Choice::Deny);
        let now = Instant::now();
        for user in 0..MAX_SCOPES + 10 {
            memory.learn(&asks(&user.to_string()), &says(v1::Choice::Allow, 60), now);
        }
        assert_eq!(memory.scopes.lock().unwrap().len(), MAX_SCOPES);
    }
}
