//! Building usage events.

use std::time::{Duration, SystemTime};

use rust_decimal::Decimal;
use tollgate_proto::v1::usage_event::{Key, Usage};
use tollgate_proto::v1::{self, Accounting, CallOutcome, Origin, TokenClass, UsageQuality};
use uuid::Uuid;

use crate::count::{count, small_count, wire_duration, wire_time};
use crate::dimensions::common_dimensions;
use crate::model::Model;
use crate::tokens::Tokens;

/// Where building an event starts: one function per operation of the OpenTelemetry GenAI conventions.
///
/// ```
/// use tollgate_client::{Event, v1::TokenClass};
///
/// let event = Event::chat("openai", "gpt-4o")
///     .session("session-1")
///     .user("user-7")
///     .tokens(1_200, 345)
///     .part(TokenClass::CacheRead, 1_000);
/// assert_eq!(event.event_id().map(str::len), Some(36));
/// ```
#[derive(Debug)]
pub struct Event;

impl Event {
    /// An event of any operation, for example `chat`.
    pub fn of(operation: impl Into<String>, model: impl Into<Model>) -> UsageEventBuilder {
        UsageEventBuilder::new(operation.into(), model.into())
    }

    /// A chat completion.
    pub fn chat(provider: impl Into<String>, model: impl Into<String>) -> UsageEventBuilder {
        Self::of("chat", Model::new(provider, model))
    }

    /// A multimodal generation.
    pub fn generate_content(provider: impl Into<String>, model: impl Into<String>) -> UsageEventBuilder {
        Self::of("generate_content", Model::new(provider, model))
    }

    /// A text completion.
    pub fn text_completion(provider: impl Into<String>, model: impl Into<String>) -> UsageEventBuilder {
        Self::of("text_completion", Model::new(provider, model))
    }

    /// A call that embeds text.
    pub fn embeddings(provider: impl Into<String>, model: impl Into<String>) -> UsageEventBuilder {
        Self::of("embeddings", Model::new(provider, model))
    }
}

/// One attempt of an LLM call, to be recorded.
///
/// The event's id is minted here, before the first send, so that every retry carries the same one and the event counts once.
/// To retry by yourself, clone the builder; never build the event anew.
#[derive(Debug, Clone, PartialEq)]
#[must_use = "an event counts only once it is recorded"]
pub struct UsageEventBuilder {
    message: v1::UsageEvent,
}

impl UsageEventBuilder {
    fn new(operation: String, model: Model) -> Self {
        Self {
            message: v1::UsageEvent {
                key: Some(Key::EventId(Uuid::now_v7().to_string())),
                start_time: Some(wire_time(SystemTime::now())),
                operation_name: operation,
                request_model: Some(model.into()),
                ..Default::default()
            },
        }
    }

    common_dimensions!();

    /// The event's id, unless it has a key of another system.
    #[must_use]
    pub fn event_id(&self) -> Option<&str> {
        match &self.message.key {
            Some(Key::EventId(id)) => Some(id),
            Some(Key::ExternalKey(_)) | None => None,
        }
    }

    /// Another id than the minted one, for an event whose id was kept somewhere. Must be a UUIDv7.
    pub fn id(mut self, event_id: Uuid) -> Self {
        self.message.key = Some(Key::EventId(event_id.to_string()));
        self
    }

    /// A key of another system in place of the minted id.
    pub fn external_key(mut self, source: impl Into<String>, key: impl Into<String>) -> Self {
        self.message.key = Some(Key::ExternalKey(v1::ExternalKey { source: source.into(), key: key.into() }));
        self
    }

    /// Which attempt of which call this is, counted from 1. Without it the event is a call by itself.
    pub fn attempt_of(mut self, call_id: impl Into<String>, attempt: u32) -> Self {
        self.message.call_id = call_id.into();
        self.message.attempt = small_count(attempt);
        self
    }

    /// When the call started. Unless set, when the builder was made.
    pub fn start_time(mut self, moment: SystemTime) -> Self {
        self.message.start_time = Some(wire_time(moment));
        self
    }

    /// When the call ended.
    pub fn end_time(mut self, moment: SystemTime) -> Self {
        self.message.end_time = Some(wire_time(moment));
        self
    }

    /// The call ends now.
    pub fn ended_now(self) -> Self {
        self.end_time(SystemTime::now())
    }

    /// How long the first token took to arrive.
    pub fn time_to_first_token(mut self, span: Duration) -> Self {
        self.message.time_to_first_token = Some(wire_duration(span));
        self
    }

    /// The service tier of the requested model, for example `batch`.
    pub fn tier(mut self, tier: impl Into<String>) -> Self {
        self.message.request_model.get_or_insert_default().provider_tier = tier.into();
        self
    }

    /// The region of the requested model.
    pub fn region(mut self, region: impl Into<String>) -> Self {
        self.message.request_model.get_or_insert_default().region = region.into();
        self
    }

    /// The model that answered, if it is not the one that was asked for. It is the one that is priced.
    pub fn response_model(mut self, model: impl Into<Model>) -> Self {
        self.message.response_model = Some(model.into().into());
        self
    }

    /// The provider's identifier of the response.
    pub fn response_id(mut self, id: impl Into<String>) -> Self {
        self.message.response_id = id.into();
        self
    }

    /// The provider's batch job.
    pub fn batch_id(mut self, id: impl Into<String>) -> Self {
        self.message.batch_id = id.into();
        self
    }

    /// All input tokens and all output tokens, as the provider reported them. Parts that were set stay.
    pub fn tokens(self, input: u64, output: u64) -> Self {
        self.change_tokens(|tokens| {
            tokens.total_input_tokens = Some(count(input));
            tokens.total_output_tokens = Some(count(output));
        })
    }

    /// How many of the tokens were of a class. Each class at most once.
    pub fn part(self, class: TokenClass, tokens: u64) -> Self {
        let part: v1::TokenUsage = Tokens::unreported().part(class, tokens).into();
        self.change_tokens(|tokens| tokens.parts.extend(part.parts))
    }

    /// How many of the input tokens were written to the prompt cache for a given time to live.
    pub fn cache_write(self, tokens: u64, ttl: Duration) -> Self {
        let part: v1::TokenUsage = Tokens::unreported().cache_write(tokens, ttl).into();
        self.change_tokens(|tokens| tokens.parts.extend(part.parts))
    }

    /// How the counts were obtained. Unless set, the provider reported them.
    pub fn quality(self, quality: UsageQuality) -> Self {
        self.change_tokens(|tokens| tokens.quality = quality.into())
    }

    /// All counts at once, in place of those set so far.
    pub fn usage(mut self, tokens: Tokens) -> Self {
        self.message.usage = Some(Usage::Tokens(tokens.into()));
        self
    }

    /// The provider's usage object as it was received, in place of counts: the server normalises it. `api` names its form,
    /// for example `openai.chat`; the JSON may have at most 16 KiB.
    pub fn provider_usage(mut self, api: impl Into<String>, json: impl Into<Vec<u8>>) -> Self {
        self.message.usage = Some(Usage::ProviderUsage(v1::ProviderUsage { api: api.into(), json: json.into() }));
        self
    }

    /// A quantity besides tokens, for example 2 of `web_search`.
    pub fn unit(mut self, unit: impl Into<String>, quantity: impl Into<Decimal>) -> Self {
        self.message.units.push(v1::UnitCount { unit: unit.into(), quantity: quantity.into().to_string() });
        self
    }

    /// The answer came from the caller's own response cache: charged 0, and its price kept as saved.
    pub fn response_cache_hit(mut self) -> Self {
        self.message.response_cache_hit = true;
        self
    }

    /// How the call ended. Unless set, well.
    pub fn outcome(mut self, outcome: CallOutcome) -> Self {
        self.message.outcome = outcome.into();
        self
    }

    /// The call failed, for example with `timeout`.
    pub fn failed(mut self, error_type: impl Into<String>) -> Self {
        self.message.outcome = CallOutcome::Error.into();
        self.message.error_type = error_type.into();
        self
    }

    /// The reservation that pays, which this event settles and ends.
    pub fn reservation(mut self, reservation_id: impl Into<String>) -> Self {
        let reservation_id = reservation_id.into();
        self.message.reservation = Some(v1::ReservationUse { reservation_id, keep_open: false });
        self
    }

    /// The reservation that pays, which stays open for further events.
    pub fn keep_reservation_open(mut self, reservation_id: impl Into<String>) -> Self {
        let reservation_id = reservation_id.into();
        self.message.reservation = Some(v1::ReservationUse { reservation_id, keep_open: true });
        self
    }

    /// A cost that the provider or a gateway reported, in a currency named by its ISO 4217 code.
    pub fn reported_cost(mut self, amount: Decimal, currency: impl Into<String>) -> Self {
        self.message.reported_cost = amount.to_string();
        self.message.reported_currency = currency.into();
        self
    }

    /// Shown, but never charged to budgets.
    pub fn memo(mut self) -> Self {
        self.message.accounting = Accounting::Memo.into();
        self
    }

    /// How the event came to be recorded. Unless set, live.
    pub fn origin(mut self, origin: Origin) -> Self {
        self.message.origin = origin.into();
        self
    }

    /// The trace and the span of the call, as 32 and 16 lower-case hexadecimal digits.
    pub fn trace(mut self, trace_id: impl Into<String>, span_id: impl Into<String>) -> Self {
        self.message.trace_id = trace_id.into();
        self.message.span_id = span_id.into();
        self
    }

    /// Anything else to keep, as JSON text of at most 4 KiB.
    pub fn metadata_json(mut self, json: impl Into<String>) -> Self {
        self.message.metadata_json = json.into();
        self
    }

    /// The message as it is sent.
    #[must_use]
    pub fn into_proto(self) -> v1::UsageEvent {
        self.message
    }

    /// Changes the counts, in place of a usage object of the provider if there is one.
    /// What was said of the usage so far.
    #[cfg(feature = "tokenizer")]
    pub(crate) fn reported(&self) -> Option<&Usage> {
        self.message.usage.as_ref()
    }

    /// The model whose tokenizer counts: the one that answered, else the one asked for.
    #[cfg(feature = "tokenizer")]
    pub(crate) fn model_id(&self) -> &str {
        let model = self.message.response_model.as_ref().or(self.message.request_model.as_ref());
        model.map(|model| model.model.as_str()).unwrap_or_default()
    }

    pub(crate) fn change_tokens(mut self, change: impl FnOnce(&mut v1::TokenUsage)) -> Self {
        let mut tokens = match self.message.usage.take() {
            Some(Usage::Tokens(tokens)) => tokens,
            Some(Usage::ProviderUsage(_)) | None => Tokens::unreported().into(),
        };
        change(&mut tokens);
        self.message.usage = Some(Usage::Tokens(tokens));
        self
    }
}

impl From<UsageEventBuilder> for v1::UsageEvent {
    fn from(event: UsageEventBuilder) -> Self {
        event.message
    }
}

impl From<v1::UsageEvent> for UsageEventBuilder {
    fn from(message: v1::UsageEvent) -> Self {
        Self { message }
    }
}

/// Completes an event before its first send: one without a key gets its id now, so that retries carry the same one.
pub(crate) fn complete(event: impl Into<v1::UsageEvent>) -> v1::UsageEvent {
    let mut event = event.into();
    event.key.get_or_insert_with(|| Key::EventId(Uuid::now_v7().to_string()));
    event.start_time.get_or_insert_with(|| wire_time(SystemTime::now()));
    event
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_complete_from_the_start() {
        let event =
            Event::chat("openai", "gpt-4o").session("s").label("k", "v").tokens(10, 5).part(TokenClass::Reasoning, 2);
        let id = Uuid::parse_str(event.event_id().unwrap()).unwrap();
        assert_eq!(id.get_version_num(), 7);
        assert_eq!(event.clone().event_id(), event.event_id());
        let message = event.into_proto();
        assert!(message.start_time.is_some());
        let Some(Usage::Tokens(tokens)) = &message.usage else { panic!("no tokens") };
        assert_eq!((tokens.total_input_tokens, tokens.total_output_tokens), (Some(10), Some(5)));
        assert_eq!(tokens.quality(), UsageQuality::Reported);
        assert_eq!(tokens.parts.len(), 1);
        assert_eq!(complete(message.clone()), message);
    }

    #[test]
    fn a_raw_event_gets_its_id_once() {
        let event = complete(v1::UsageEvent::default());
        assert!(matches!(event.key, Some(Key::EventId(_))));
        assert_eq!(complete(event.clone()), event);
    }
}
