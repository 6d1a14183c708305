//! Asking before a call whether it may run.

use std::time::Duration;

use rust_decimal::Decimal;
use tollgate_proto::v1::{self, CheckMode, ResponseView};
use uuid::Uuid;

use crate::count::{count, local_amount, local_duration, small_count, wire_duration};
use crate::dimensions::common_dimensions;
use crate::error::Error;
use crate::model::Model;
use crate::unreachable::Choice;

/// A question to Tollgate: may this call run, and will you hold its worst case for me?
///
/// The reservation's id is minted here, before the first send, so that every retry asks for the same hold.
#[derive(Debug, Clone, PartialEq)]
#[must_use = "a request does nothing until it is sent"]
pub struct CheckRequest {
    message: v1::CheckBudgetRequest,
}

impl CheckRequest {
    /// Looks and holds nothing, so that the answer may be stale before it arrives.
    pub fn peek(model: impl Into<Model>) -> Self {
        Self::new(CheckMode::Peek).model(model)
    }

    /// Holds the worst case in every matching budget, or in none.
    pub fn reserve(model: impl Into<Model>) -> Self {
        Self::new(CheckMode::Reserve).model(model)
    }

    /// Admits the call while any headroom is left, and holds what there is of the worst case: for callers that cannot bound
    /// their output.
    pub fn reserve_headroom(model: impl Into<Model>) -> Self {
        Self::new(CheckMode::ReserveHeadroom).model(model)
    }

    /// Holds an amount in USD as it is, and nothing is computed: for tools and for prices of one's own.
    pub fn reserve_amount(usd: Decimal) -> Self {
        let mut request = Self::new(CheckMode::Reserve);
        request.estimate_mut().amount_usd = usd.to_string();
        request
    }

    fn new(mode: CheckMode) -> Self {
        let reservation_id = match mode {
            CheckMode::Peek | CheckMode::Unspecified => String::new(),
            CheckMode::Reserve | CheckMode::ReserveHeadroom => Uuid::now_v7().to_string(),
        };
        Self { message: v1::CheckBudgetRequest { mode: mode.into(), reservation_id, ..Default::default() } }
    }

    common_dimensions!();

    /// The id of the reservation that a hold will have; empty when peeking.
    #[must_use]
    pub fn reservation_id(&self) -> &str {
        &self.message.reservation_id
    }

    /// Whether something will be held.
    #[must_use]
    pub fn reserves(&self) -> bool {
        matches!(self.message.mode(), CheckMode::Reserve | CheckMode::ReserveHeadroom)
    }

    /// The model that the caller wants.
    pub fn model(mut self, model: impl Into<Model>) -> Self {
        self.message.model = Some(model.into().into());
        self
    }

    /// A model to which the caller may switch by itself. At most 8; the dearest of all is held.
    pub fn fallback(mut self, model: impl Into<Model>) -> Self {
        self.message.fallbacks.push(model.into().into());
        self
    }

    /// The input tokens, cached ones included.
    pub fn input_tokens(mut self, tokens: u64) -> Self {
        self.estimate_mut().input_tokens = Some(count(tokens));
        self
    }

    /// The length of the input in characters, for callers that do not count tokens: Tollgate estimates them.
    pub fn input_characters(mut self, characters: u64) -> Self {
        self.estimate_mut().input_characters = Some(count(characters));
        self
    }

    /// How many of the input tokens will surely be read from the prompt cache.
    pub fn cache_read_tokens(mut self, tokens: u64) -> Self {
        self.estimate_mut().cache_read_tokens = Some(count(tokens));
        self
    }

    /// The most output tokens of one choice, reasoning included. Unless set, the model's maximum.
    pub fn max_output_tokens(mut self, tokens: u64) -> Self {
        self.estimate_mut().max_output_tokens = Some(count(tokens));
        self
    }

    /// How many choices are asked for. Multiplies the output. Unless set, 1.
    pub fn choices(mut self, choices: u32) -> Self {
        self.estimate_mut().choices = small_count(choices);
        self
    }

    /// How many calls the reservation is for, as for a batch or an agent run. Multiplies everything. Unless set, 1.
    pub fn calls(mut self, calls: u32) -> Self {
        self.estimate_mut().calls = small_count(calls);
        self
    }

    /// What one call will use besides tokens, for example 2 of `web_search`.
    pub fn unit(mut self, unit: impl Into<String>, quantity: impl Into<Decimal>) -> Self {
        let quantity = quantity.into().to_string();
        self.estimate_mut().units.push(v1::UnitCount { unit: unit.into(), quantity });
        self
    }

    /// How long the hold lasts unless extended: from 1 second to 7 days. Unless set, 5 minutes.
    pub fn ttl(mut self, ttl: Duration) -> Self {
        self.message.ttl = Some(wire_duration(ttl));
        self
    }

    /// How much of the answer is wanted. Less is cheaper.
    pub fn view(mut self, view: ResponseView) -> Self {
        self.message.view = view.into();
        self
    }

    /// The message as it is sent.
    #[must_use]
    pub fn into_proto(self) -> v1::CheckBudgetRequest {
        self.message
    }

    pub(crate) fn message(&self) -> &v1::CheckBudgetRequest {
        &self.message
    }

    fn estimate_mut(&mut self) -> &mut v1::Estimate {
        self.message.estimate.get_or_insert_default()
    }
}

impl From<v1::CheckBudgetRequest> for CheckRequest {
    fn from(message: v1::CheckBudgetRequest) -> Self {
        Self { message }
    }
}

/// What Tollgate decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Decision {
    /// The call may run.
    Allowed,
    /// The call may run with [`CheckAnswer::use_model`].
    Downgraded,
    /// The call may be asked for again after [`CheckAnswer::retry_after`].
    Throttled,
    /// The call may not run. Also what a decision means that is newer than this client.
    Denied,
}

impl Decision {
    pub(crate) fn from_wire(value: i32) -> Self {
        match v1::Decision::try_from(value) {
            Ok(v1::Decision::Allowed) => Self::Allowed,
            Ok(v1::Decision::Downgraded) => Self::Downgraded,
            Ok(v1::Decision::Throttled) => Self::Throttled,
            Ok(v1::Decision::Denied | v1::Decision::Unspecified) | Err(_) => Self::Denied,
        }
    }

    /// Whether the call may run, perhaps with another model.
    #[must_use]
    pub fn may_run(self) -> bool {
        matches!(self, Self::Allowed | Self::Downgraded)
    }
}

/// Tollgate's answer to a check. A refusal by a budget is an ordinary answer and needs no retry.
#[derive(Debug, Clone, PartialEq)]
pub struct CheckAnswer {
    message: v1::CheckBudgetResponse,
}

impl CheckAnswer {
    pub(crate) fn new(message: v1::CheckBudgetResponse) -> Self {
        Self { message }
    }

    /// What was decided.
    #[must_use]
    pub fn decision(&self) -> Decision {
        Decision::from_wire(self.message.decision)
    }

    /// Why the call is not simply allowed, for example `BUDGET_EXCEEDED`. An open set; empty when allowed.
    #[must_use]
    pub fn reason(&self) -> &str {
        &self.message.reason
    }

    /// The decision in a sentence, for people.
    #[must_use]
    pub fn explanation(&self) -> &str {
        &self.message.explanation
    }

    /// What is held, if anything is.
    #[must_use]
    pub fn reservation(&self) -> Option<&v1::Reservation> {
        self.message.reservation.as_ref()
    }

    /// The model to use instead, if the call was downgraded.
    #[must_use]
    pub fn use_model(&self) -> Option<&v1::ModelRef> {
        self.message.use_model.as_ref()
    }

    /// How long to wait before asking again, if the call was throttled.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        self.message.retry_after.as_ref().map(local_duration)
    }

    /// How many output tokens of one choice the tightest budget can still pay, if one bounds them.
    #[must_use]
    pub fn affordable_output_tokens(&self) -> Option<u64> {
        self.message.affordable_output_tokens.map(|tokens| u64::try_from(tokens).unwrap_or(0))
    }

    /// Whether the call would not even fit an empty window, so that waiting does not help.
    #[must_use]
    pub fn never_fits(&self) -> bool {
        self.message.never_fits
    }

    /// The worst case in USD that was weighed, if it has a price.
    #[must_use]
    pub fn estimated_usd(&self) -> Option<Decimal> {
        let cost = self.message.estimate.as_ref()?;
        match cost.state() {
            v1::PriceState::Priced | v1::PriceState::Free => local_amount(&cost.usd),
            v1::PriceState::Partial | v1::PriceState::Unpriced | v1::PriceState::Unspecified => None,
        }
    }

    /// The counters that matched. With [`ResponseView::Ack`] only those that refused.
    #[must_use]
    pub fn budgets(&self) -> &[v1::BudgetState] {
        &self.message.budgets
    }

    /// The counters that refused the call, with their limits and the time until they reset.
    pub fn refusing_budgets(&self) -> impl Iterator<Item = &v1::BudgetState> {
        self.message.budgets.iter().filter(|budget| budget.refused)
    }

    /// Whether the answer comes from the last known state, so that nothing is held.
    #[must_use]
    pub fn is_degraded(&self) -> bool {
        self.message.degraded
    }

    /// The message as it was received.
    #[must_use]
    pub fn into_proto(self) -> v1::CheckBudgetResponse {
        self.message
    }
}

impl std::fmt::Display for CheckAnswer {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.decision() {
            Decision::Allowed => formatter.write_str("allowed")?,
            Decision::Downgraded => formatter.write_str("downgraded")?,
            Decision::Throttled => formatter.write_str("throttled")?,
            Decision::Denied => formatter.write_str("denied")?,
        }
        if !self.reason().is_empty() {
            write!(formatter, " ({})", self.reason())?;
        }
        if !self.explanation().is_empty() {
            write!(formatter, ": {}", self.explanation())?;
        }
        Ok(())
    }
}

/// What a check came to. Never an error just because Tollgate is away: the caller always knows whether to go on.
#[derive(Debug, Clone)]
pub enum CheckOutcome {
    /// Tollgate answered.
    Answered(Box<CheckAnswer>),
    /// Tollgate could not be reached in time, or was overloaded for all of it.
    Unreachable {
        /// What to do with the call.
        choice: Choice,
        /// Whether Tollgate itself said so before; otherwise it is the default that the client was built with.
        remembered: bool,
        /// Why there was no answer.
        cause: Error,
    },
}

impl CheckOutcome {
    /// Whether the call may run, perhaps with another model.
    #[must_use]
    pub fn may_run(&self) -> bool {
        match self {
            Self::Answered(answer) => answer.decision().may_run(),
            Self::Unreachable { choice, .. } => *choice == Choice::Allow,
        }
    }

    /// The answer, if there was one.
    #[must_use]
    pub fn answer(&self) -> Option<&CheckAnswer> {
        match self {
            Self::Answered(answer) => Some(answer),
            Self::Unreachable { .. } => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_decision_that_is_not_known_is_a_denial() {
        assert_eq!(Decision::from_wire(1), Decision::Allowed);
        assert_eq!(Decision::from_wire(0), Decision::Denied);
        assert_eq!(Decision::from_wire(99), Decision::Denied);
    }

    #[test]
    fn only_what_reserves_has_an_id() {
        assert_eq!(CheckRequest::peek(("openai", "gpt-4o")).reservation_id(), "");
        let request = CheckRequest::reserve(("openai", "gpt-4o"));
        assert_eq!(Uuid::parse_str(request.reservation_id()).unwrap().get_version_num(), 7);
    }
}
