//! Who makes the calls that are measured: agents of teams, for users, in sessions. What goes together in real life goes together
//! here: a session has one user and two agents, a user one team, an agent one model.

use std::time::{Duration, SystemTime};

use prost_types::Timestamp;
use rand::Rng as _;
use rand::rngs::StdRng;
use tollgate_proto::v1;
use tollgate_proto::v1::usage_event::{Key, Usage};

use crate::calls::{TracedCall, traced};

/// Teams, each with a project of its own.
const TEAMS: usize = 10;
/// Time to the first token, and for each of the output.
const FIRST_TOKEN: Duration = Duration::from_millis(350);
const EACH_TOKEN: Duration = Duration::from_millis(12);
/// Of how many calls one fails.
const FAILURES: u32 = 100;

struct Agent {
    name: &'static str,
    role: &'static str,
    task: &'static str,
    provider: &'static str,
    model: &'static str,
}

const AGENTS: [Agent; 8] = [
    agent("planner", "orchestrator", "plan", "anthropic", "claude-sonnet-4-5"),
    agent("researcher", "retrieval", "search", "gcp.gemini", "gemini-2.5-flash"),
    agent("reader", "retrieval", "read", "openai", "gpt-4o-mini"),
    agent("writer", "author", "draft", "openai", "gpt-4o"),
    agent("reviewer", "critic", "review", "anthropic", "claude-haiku-4-5"),
    agent("coder", "author", "change", "openai", "gpt-5"),
    agent("tester", "critic", "test", "openai", "gpt-5-mini"),
    agent("support", "front", "answer", "gcp.gemini", "gemini-2.5-pro"),
];

const fn agent(
    name: &'static str,
    role: &'static str,
    task: &'static str,
    provider: &'static str,
    model: &'static str,
) -> Agent {
    Agent { name, role, task, provider, model }
}

/// The callers, and what they ask for.
#[derive(Debug, Clone)]
pub(crate) struct Population {
    /// Sessions that take turns at random.
    pub(crate) sessions: usize,
    /// Users that these belong to, in turn.
    pub(crate) users: usize,
    calls: Vec<TracedCall>,
}

impl Population {
    /// So many sessions of so many users.
    pub(crate) fn new(sessions: usize, users: usize) -> anyhow::Result<Self> {
        Ok(Self { sessions, users, calls: traced()? })
    }

    /// A session, by chance.
    pub(crate) fn any_session(&self, rng: &mut StdRng) -> usize {
        rng.random_range(0..self.sessions.max(1))
    }

    /// What a session is called.
    pub(crate) fn session_id(session: usize) -> String {
        format!("session-{session:08}")
    }

    /// What a user is called.
    pub(crate) fn user_id(user: usize) -> String {
        format!("user-{user:06}")
    }

    /// The user of a session.
    pub(crate) fn user_of(&self, session: usize) -> usize {
        session.checked_rem(self.users).unwrap_or_default()
    }

    /// A call from this session that began then. Its id is `event_id`.
    pub(crate) fn event(&self, session: usize, at: SystemTime, event_id: String, rng: &mut StdRng) -> v1::UsageEvent {
        let (dimensions, agent) = self.cast(session, rng);
        let call = self.call(rng);
        let span = FIRST_TOKEN + EACH_TOKEN * u32::try_from(call.output).unwrap_or_default();
        let failed = rng.random_ratio(1, FAILURES);
        let cached = (call.cache_read > 0).then(|| v1::TokenPart {
            token_class: v1::TokenClass::CacheRead.into(),
            tokens: call.cache_read,
            cache_ttl: None,
        });
        v1::UsageEvent {
            key: Some(Key::EventId(event_id)),
            start_time: Some(Timestamp::from(at)),
            end_time: Some(Timestamp::from(at + span)),
            time_to_first_token: prost_types::Duration::try_from(FIRST_TOKEN).ok(),
            dimensions: Some(dimensions),
            operation_name: "chat".to_owned(),
            request_model: Some(model(agent)),
            usage: Some(Usage::Tokens(v1::TokenUsage {
                total_input_tokens: Some(call.input),
                total_output_tokens: Some(call.output),
                reported_total: None,
                parts: cached.into_iter().collect(),
                quality: v1::UsageQuality::Reported.into(),
            })),
            outcome: if failed { v1::CallOutcome::Error } else { v1::CallOutcome::Ok }.into(),
            error_type: if failed { "timeout".to_owned() } else { String::new() },
            trace_id: format!("{:032x}", rng.random::<u128>()),
            span_id: format!("{:016x}", rng.random::<u64>()),
            ..Default::default()
        }
    }

    /// A check before a call from this session.
    pub(crate) fn check(&self, session: usize, reservation_id: String, rng: &mut StdRng) -> v1::CheckBudgetRequest {
        let (dimensions, agent) = self.cast(session, rng);
        let call = self.call(rng);
        let peeks = reservation_id.is_empty();
        v1::CheckBudgetRequest {
            mode: if peeks { v1::CheckMode::Peek } else { v1::CheckMode::Reserve }.into(),
            reservation_id,
            dimensions: Some(dimensions),
            model: Some(model(agent)),
            estimate: Some(v1::Estimate {
                input_tokens: Some(call.input),
                max_output_tokens: Some(4_096),
                ..Default::default()
            }),
            view: v1::ResponseView::Ack.into(),
            ..Default::default()
        }
    }

    fn call(&self, rng: &mut StdRng) -> TracedCall {
        let index = rng.random_range(0..self.calls.len().max(1));
        self.calls.get(index).copied().unwrap_or(TracedCall { input: 1, output: 1, cache_read: 0 })
    }

    fn cast(&self, session: usize, rng: &mut StdRng) -> (v1::Dimensions, &'static Agent) {
        let user = self.user_of(session);
        let team = user % TEAMS;
        let second = usize::from(rng.random_ratio(1, 3));
        let agent = chosen(session + second * 3);
        let dimensions = v1::Dimensions {
            workspace_id: "main".to_owned(),
            project_id: format!("project-{team}"),
            team_id: format!("team-{team}"),
            user_id: Self::user_id(user),
            environment: "production".to_owned(),
            session_id: Self::session_id(session),
            service_type: "agent".to_owned(),
            service_id: "orchestrator".to_owned(),
            agent_id: format!("agent-{}", agent.name),
            agent_name: agent.name.to_owned(),
            agent_role: agent.role.to_owned(),
            task_name: agent.task.to_owned(),
            ..Default::default()
        };
        (dimensions, agent)
    }
}

fn model(agent: &Agent) -> v1::ModelRef {
    v1::ModelRef { provider_name: agent.provider.to_owned(), model: agent.model.to_owned(), ..Default::default() }
}

#[expect(clippy::indexing_slicing, reason = "the remainder is below the length, which the type shows not to be 0")]
fn chosen(position: usize) -> &'static Agent {
    &AGENTS[position % AGENTS.len()]
}
