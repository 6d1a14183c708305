//! Who plays in the replay: which agent, user, session, task and model a call of the trace belongs to.
//!
//! Everything follows from the place of a call in the trace, counted from 0, so that a run can be repeated and summed up
//! by others: 32 consecutive calls are 4 workflows of 8 steps that run side by side. Call `i` is step `(i / 4) % 8` of
//! workflow `(i / 32) * 4 + i % 4`. `scripts/sum_trace.py` implements the same rule.

use tollgate_client::{Dimensions, Model};
use tollgate_domain::model::ModelRef;

use super::trace::TracedCall;

/// Workflows that run side by side.
const SIDE_BY_SIDE: usize = 4;

/// An agent.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Agent {
    id: &'static str,
    /// As people call it.
    pub(super) name: &'static str,
    tier: &'static str,
    role: &'static str,
}

const PLANNER: Agent = Agent { id: "agent-planner", name: "planner", tier: "lead", role: "orchestrator" };
const RESEARCHER: Agent = Agent { id: "agent-researcher", name: "researcher", tier: "worker", role: "retrieval" };
/// The one that is downgraded.
pub(super) const WRITER: Agent = Agent { id: "agent-writer", name: "writer", tier: "worker", role: "author" };
const REVIEWER: Agent = Agent { id: "agent-reviewer", name: "reviewer", tier: "worker", role: "critic" };

/// A model by its provider's and its own name.
pub(super) type ModelName = (&'static str, &'static str);

/// The model that the writer is downgraded to.
pub(super) const SMALL_MODEL: ModelName = ("openai", "gpt-4o-mini");

/// A step of every workflow.
#[derive(Debug)]
struct Step {
    name: &'static str,
    agent: &'static Agent,
    model: ModelName,
}

const STEPS: [Step; 8] = [
    Step { name: "plan", agent: &PLANNER, model: ("anthropic", "claude-3-5-sonnet-20241022") },
    Step { name: "search", agent: &RESEARCHER, model: ("gcp.gemini", "gemini-1.5-flash") },
    Step { name: "read", agent: &RESEARCHER, model: ("gcp.gemini", "gemini-1.5-flash") },
    Step { name: "extract", agent: &RESEARCHER, model: ("ollama", "llama3.2") },
    Step { name: "outline", agent: &WRITER, model: SMALL_MODEL },
    Step { name: "draft", agent: &WRITER, model: ("openai", "gpt-4o") },
    Step { name: "review", agent: &REVIEWER, model: SMALL_MODEL },
    Step { name: "revise", agent: &WRITER, model: ("openai", "gpt-4o") },
];

/// Business operations, by workflow.
const TASKS: [&str; 4] = ["presentation_generate", "market_research", "contract_review", "support_answer"];
/// Users, by workflow: the first one works more than the others and meets the end of the budget.
const USERS: [&str; 8] = ["ada", "ben", "ada", "chloe", "ada", "dmitri", "elif", "farah"];

/// A call with everything that is known about it before it runs.
#[derive(Debug, Clone)]
pub(super) struct PlannedCall {
    /// From the trace.
    pub(super) traced: TracedCall,
    /// The model that is asked for.
    pub(super) model: ModelName,
    /// The agent.
    pub(super) agent: &'static Agent,
    /// The user.
    pub(super) user: &'static str,
    /// Who and where, in full.
    pub(super) dimensions: Dimensions,
}

impl PlannedCall {
    /// Call number `index` of the trace, counted from 0, in the run that has this project for itself.
    pub(super) fn new(project: &str, index: usize, traced: TracedCall) -> Self {
        let lane = index % SIDE_BY_SIDE;
        let workflow = index / (SIDE_BY_SIDE * STEPS.len()) * SIDE_BY_SIDE + lane;
        let position = (index / SIDE_BY_SIDE) % STEPS.len();
        let Step { name, agent, model } = chosen(&STEPS, position);
        let (task, user) = (*chosen(&TASKS, workflow), *chosen(&USERS, workflow));
        let root = format!("{project}-workflow-{workflow}");
        let dimensions = Dimensions::new()
            .workspace("demo")
            .project(project)
            .team("content")
            .environment("demo")
            .user(user)
            .session(format!("{root}-{}", agent.name))
            .parent_session(&root)
            .root_session(&root)
            .service_type("agent")
            .service("orchestrator")
            .agent(agent.id)
            .agent_name(agent.name)
            .agent_tier(agent.tier)
            .agent_role(agent.role)
            .workflow(&root)
            .workflow_step(u32::try_from(position).unwrap_or_default())
            .workflow_step_name(*name)
            .task_name(task)
            .task(format!("{root}-{task}"));
        Self { traced, model: *model, agent, user, dimensions }
    }

    /// The most output that the caller asks for: a power of two, as people set it, and at least what the answer has.
    pub(super) fn output_limit(&self) -> u64 {
        self.traced.output_tokens.max(256).next_power_of_two()
    }

    /// The model as the client names it.
    pub(super) fn wanted(&self) -> Model {
        Model::from(self.model)
    }

    /// The model as the price catalog names it.
    pub(super) fn priced_model(&self) -> ModelRef {
        let (provider, model) = self.model;
        ModelRef::new(provider, model)
    }
}

/// The item at `position`, beginning again after the last one.
#[expect(clippy::indexing_slicing, reason = "the remainder is below the length, which the type shows not to be 0")]
fn chosen<T, const N: usize>(items: &'static [T; N], position: usize) -> &'static T {
    const { assert!(N > 0) };
    &items[position % N]
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::time::Duration;

    use tollgate_client::v1;

    use super::*;

    fn plan(index: usize) -> PlannedCall {
        PlannedCall::new("p", index, TracedCall { offset: Duration::ZERO, input_tokens: 1, output_tokens: 300 })
    }

    #[test]
    fn the_rule_places_every_call() {
        assert_eq!(
            [0, 4, 16, 21, 31, 32].map(|index| plan(index).model.1),
            [
                "claude-3-5-sonnet-20241022",
                "gemini-1.5-flash",
                "gpt-4o-mini",
                "gpt-4o",
                "gpt-4o",
                "claude-3-5-sonnet-20241022"
            ]
        );
        let dimensions: v1::Dimensions = plan(32 + 5).dimensions.into();
        assert_eq!(dimensions.root_session_id, "p-workflow-5");
        assert_eq!(dimensions.session_id, "p-workflow-5-researcher");
        assert_eq!(dimensions.workflow_step, Some(1));
        assert_eq!(dimensions.task_name, "market_research");
        assert_eq!(plan(0).output_limit(), 512);
    }

    #[test]
    fn one_user_works_three_times_as_much_as_each_other() {
        let mut calls = BTreeMap::new();
        for index in 0..64 {
            *calls.entry(plan(index).user).or_insert(0) += 1;
        }
        assert_eq!(calls.into_values().collect::<Vec<_>>(), [24, 8, 8, 8, 8, 8]);
    }
}
