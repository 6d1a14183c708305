//! One attempt of one LLM call, as its caller tells it: validated, and comparable with an earlier telling.

mod canonical;

use jiff::Timestamp;
use uuid::Uuid;

use self::canonical::{Canonical, Plain};
use crate::amount::Usd;
use crate::digest::Digester;
use crate::dimensions::{Dimension, Dimensions};
use crate::extract::ModelUsage;
use crate::model::ModelRef;
use crate::price::{UnitCount, Used};
use crate::tokens::TokenUsage;

/// Version of the field list that makes the fingerprint; stored on every row, so that a later list can change.
pub const FINGERPRINT_VERSION: i16 = 1;

/// What makes an event itself, for any number of retries.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum EventKey {
    /// A UUIDv7 that the caller minted before its first send.
    Id(Uuid),
    /// A key of another system.
    External {
        /// The other system.
        source: String,
        /// Its key.
        key: String,
    },
}

/// How the attempt ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(i16)]
pub enum CallOutcome {
    /// Completed.
    Ok = 1,
    /// Ended early with a usable part.
    Partial = 2,
    /// The caller cancelled it.
    Cancelled = 3,
    /// Failed.
    Error = 4,
    /// Failed, and a later attempt of the same call healed it.
    Absorbed = 5,
}

impl CallOutcome {
    /// Whether the attempt counts as an error.
    pub fn is_error(self) -> bool {
        matches!(self, Self::Error | Self::Absorbed)
    }
}

/// Whether budgets are charged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(i16)]
pub enum Accounting {
    /// Budgets are charged.
    Enforced = 1,
    /// Shown, never charged to a budget.
    Memo = 2,
}

/// Where the event comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(i16)]
pub enum Origin {
    /// A call as it happened.
    Live = 1,
    /// A provider's batch job.
    BatchJob = 2,
    /// An import.
    Import = 3,
    /// OpenTelemetry.
    Otlp = 4,
}

macro_rules! stored_as_code {
    ($($name:ident: $($variant:ident),+;)+) => {
        $(impl $name {
            /// Its stable code in the database.
            pub const fn code(self) -> i16 {
                self as i16
            }

            /// The value of a stored code; `None` where a newer version wrote it.
            pub fn from_code(code: i16) -> Option<Self> {
                [$(Self::$variant),+].into_iter().find(|value| value.code() == code)
            }
        })+
    };
}

stored_as_code! {
    CallOutcome: Ok, Partial, Cancelled, Error, Absorbed;
    Accounting: Enforced, Memo;
    Origin: Live, BatchJob, Import, Otlp;
}

/// The reservation that an event settles or draws from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ReservationUse {
    /// Which one.
    pub reservation_id: Uuid,
    /// Whether more attempts follow under the same hold.
    pub keep_open: bool,
}

/// A validated event. Times are cut to microseconds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UsageEvent {
    /// What makes it itself.
    pub key: EventKey,
    /// Groups the attempts of one call; absent = the event itself.
    pub call_id: Option<String>,
    /// 1-based number of the attempt.
    pub attempt: i16,
    /// When the attempt started: prices it and places it in summaries.
    pub start_time: Timestamp,
    /// When it ended.
    pub end_time: Option<Timestamp>,
    /// Microseconds to the first token.
    pub time_to_first_token_micros: Option<i64>,
    /// Who and where.
    pub dimensions: Dimensions,
    /// OpenTelemetry operation name.
    pub operation_name: Option<String>,
    /// The model asked for.
    pub request_model: ModelRef,
    /// The model that answered.
    pub response_model: Option<ModelRef>,
    /// The provider's id of the response.
    pub response_id: Option<String>,
    /// The provider's batch job.
    pub batch_id: Option<String>,
    /// Tokens; absent = nothing is known.
    pub usage: Option<TokenUsage>,
    /// Other billed units.
    pub units: Vec<UnitCount>,
    /// Parts of the usage that are billed as other models.
    pub additional: Vec<ModelUsage>,
    /// The API whose own usage object the counts were read from; absent = the caller sent counts.
    pub usage_api: Option<String>,
    /// Digest of what the caller told, where the counts were read from a provider's object: the same bytes are the same
    /// event, also for a later version that reads them otherwise.
    pub told: Option<Uuid>,
    /// Whether a response cache answered instead of the provider.
    pub response_cache_hit: bool,
    /// How it ended.
    pub outcome: CallOutcome,
    /// OpenTelemetry `error.type`.
    pub error_type: Option<String>,
    /// The hold that it draws from.
    pub reservation: Option<ReservationUse>,
    /// What the provider says that it cost, in `reported_currency`.
    pub reported_cost: Option<Usd>,
    /// ISO 4217 code.
    pub reported_currency: Option<String>,
    /// Whether budgets are charged.
    pub accounting: Accounting,
    /// Where it comes from.
    pub origin: Origin,
    /// Trace id as the caller wrote it.
    pub trace_id: Option<String>,
    /// Span id as the caller wrote it.
    pub span_id: Option<String>,
    /// Opaque JSON of the caller.
    pub metadata_json: Option<String>,
}

impl UsageEvent {
    /// The model that is priced: the response's where it is known.
    pub fn model(&self) -> &ModelRef {
        self.response_model.as_ref().unwrap_or(&self.request_model)
    }

    /// Everything that it used, for its price.
    pub fn used(&self) -> Used<'_> {
        Used { usage: self.usage.as_ref(), units: &self.units, additional: &self.additional }
    }

    /// What the provider or a gateway says that it cost, where that is in US dollars.
    pub fn reported_usd(&self) -> Option<Usd> {
        self.reported_cost.filter(|_| self.reported_currency.as_deref().unwrap_or("USD") == "USD")
    }

    /// The number of calls that it stands for: a call is counted by its first attempt.
    pub fn calls(&self) -> u32 {
        u32::from(self.attempt <= 1)
    }

    /// Visits the fields by which two tellings are the same event (contract, decision 7), with canonical values: labels,
    /// metadata, latency and trace stay out.
    fn visit_identity(&self, visit: &mut dyn FnMut(&'static str, &dyn Canonical)) {
        let Self {
            key,
            call_id,
            attempt,
            start_time,
            end_time: _,
            time_to_first_token_micros: _,
            dimensions,
            operation_name,
            request_model,
            response_model,
            response_id,
            batch_id,
            usage,
            units,
            additional,
            usage_api: _,
            told: _,
            response_cache_hit,
            outcome,
            error_type,
            reservation,
            reported_cost,
            reported_currency,
            accounting,
            origin,
            trace_id: _,
            span_id: _,
            metadata_json: _,
        } = self;
        visit("key", key);
        visit("call_id", call_id);
        visit("attempt", attempt);
        visit("start_time", &start_time.as_microsecond());
        visit("operation_name", operation_name);
        visit("request_model", request_model);
        visit("response_model", response_model);
        visit("response_id", response_id);
        visit("batch_id", batch_id);
        visit("usage", usage);
        visit("units", units);
        visit("response_cache_hit", response_cache_hit);
        visit("outcome", &outcome.code());
        visit("error_type", error_type);
        visit("reservation", reservation);
        visit("reported_cost", reported_cost);
        visit("reported_currency", reported_currency);
        visit("accounting", &accounting.code());
        visit("origin", &origin.code());
        if !additional.is_empty() {
            visit("additional", additional);
        }
        for (dimension, value) in &dimensions.values {
            // Who sent it is the server's word: a retry with another key is the same event.
            if *dimension != Dimension::ApiKeyId {
                visit(dimension.name(), &Plain(value));
            }
        }
    }

    fn identity(&self) -> Vec<(&'static str, Vec<u8>)> {
        let mut fields = Vec::new();
        self.visit_identity(&mut |name, value| {
            let mut words = Vec::new();
            value.write(&mut words);
            fields.push((name, words));
        });
        fields
    }

    /// The digest of what the caller told: of the fields of its identity, unless that was read from a provider's object.
    pub fn fingerprint(&self) -> Uuid {
        if let Some(told) = self.told {
            return told;
        }
        let mut digester = Digester::new();
        self.visit_identity(&mut |name, value| {
            digester.field(name).written(|words| value.write(words));
        });
        digester.finish()
    }

    /// Names of the identity fields in which `other` differs.
    pub fn differing_fields(&self, other: &Self) -> Vec<&'static str> {
        let (mine, theirs) = (self.identity(), other.identity());
        let mut names: Vec<&'static str> = mine
            .iter()
            .filter(|field| !theirs.contains(field))
            .chain(theirs.iter().filter(|field| !mine.contains(field)))
            .map(|(name, _)| *name)
            .collect();
        names.sort_unstable();
        names.dedup();
        if names.is_empty() {
            // Both were read to the same, and told otherwise.
            names.push("usage");
        }
        names
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tokens::{TokenClass, TokenPart, UsageQuality};

    fn event() -> UsageEvent {
        UsageEvent {
            key: EventKey::Id(Uuid::from_u128(7)),
            call_id: None,
            attempt: 1,
            start_time: Timestamp::UNIX_EPOCH,
            end_time: None,
            time_to_first_token_micros: None,
            dimensions: Dimensions::default().with(Dimension::UserId, "u1"),
            operation_name: Some("chat".to_owned()),
            request_model: ModelRef::new("openai", "gpt-4o"),
            response_model: None,
            response_id: None,
            batch_id: None,
            usage: Some(TokenUsage::reported(10, 5)),
            units: Vec::new(),
            additional: Vec::new(),
            usage_api: None,
            told: None,
            response_cache_hit: false,
            outcome: CallOutcome::Ok,
            error_type: None,
            reservation: None,
            reported_cost: None,
            reported_currency: None,
            accounting: Accounting::Enforced,
            origin: Origin::Live,
            trace_id: None,
            span_id: None,
            metadata_json: None,
        }
    }

    #[test]
    fn decision_7_labels_latency_trace_and_metadata_stay_out_of_the_fingerprint() {
        let mut retry = event();
        retry.end_time = Some(Timestamp::UNIX_EPOCH);
        retry.time_to_first_token_micros = Some(1);
        retry.trace_id = Some("trace".to_owned());
        retry.metadata_json = Some("{}".to_owned());
        retry.dimensions.labels.insert("attempt".to_owned(), "2".to_owned());
        assert_eq!(event().fingerprint(), retry.fingerprint());
    }

    /// A retry may come across an upgrade: whoever changes what goes into the digest raises `FINGERPRINT_VERSION`.
    #[test]
    fn decision_7_the_fingerprint_of_version_1_never_changes() {
        assert_eq!(FINGERPRINT_VERSION, 1);
        assert_eq!(event().fingerprint().to_string(), "a0af5cf6-fba2-7f70-739c-a372ed2abc25");
        assert_eq!(full_event().fingerprint().to_string(), "892537fb-22da-ebf6-9928-051bc4317560");
    }

    /// An event with all that a fingerprint is made of.
    fn full_event() -> UsageEvent {
        let part = |class, tokens, cache_ttl_seconds| TokenPart { class, tokens, cache_ttl_seconds };
        let units = vec![UnitCount { unit: "web_search".to_owned(), quantity: "2.50".parse().unwrap() }];
        let usage = TokenUsage {
            reported_total: Some(4_608),
            parts: vec![
                part(TokenClass::CacheRead, 2_048, None),
                part(TokenClass::CacheWrite, 7, Some(300)),
                part(TokenClass::Reasoning, 128, None),
            ],
            quality: UsageQuality::Estimated,
            ..TokenUsage::reported(4_096, 512)
        };
        UsageEvent {
            key: EventKey::External { source: "a \"quoted\" source".to_owned(), key: "tab\there".to_owned() },
            call_id: Some("call-\u{e9}\u{200b}\u{1f600}".to_owned()),
            attempt: 3,
            start_time: Timestamp::from_microsecond(1_780_315_200_123_456).unwrap(),
            dimensions: event()
                .dimensions
                .with(Dimension::AgentName, "R\u{e9}sumeur \\ 'one'")
                .with(Dimension::WorkflowStep, "3"),
            response_model: Some(ModelRef {
                provider_tier: "flex".to_owned(),
                region: "eu\n".to_owned(),
                ..ModelRef::new("openai", "gpt-4o-2024-08-06")
            }),
            response_id: Some(String::new()),
            batch_id: Some("batch".to_owned()),
            additional: vec![ModelUsage { model: "other".to_owned(), usage: usage.clone(), units: units.clone() }],
            usage: Some(usage),
            units,
            response_cache_hit: true,
            outcome: CallOutcome::Absorbed,
            error_type: Some("timeout".to_owned()),
            reservation: Some(ReservationUse { reservation_id: Uuid::from_u128(u128::MAX), keep_open: true }),
            reported_cost: Some("0.012300".parse().unwrap()),
            reported_currency: Some("USD".to_owned()),
            accounting: Accounting::Memo,
            origin: Origin::Otlp,
            ..event()
        }
    }

    #[test]
    fn decision_7_the_api_key_stays_out_of_the_fingerprint() {
        let mut retry = event();
        retry.dimensions.set(Dimension::ApiKeyId, "another");
        assert_eq!(event().fingerprint(), retry.fingerprint());
    }

    #[test]
    fn decision_7_other_content_is_named() {
        let mut other = event();
        other.usage = Some(TokenUsage::reported(11, 5));
        other.dimensions.set(Dimension::UserId, "u2");
        assert_ne!(event().fingerprint(), other.fingerprint());
        assert_eq!(event().differing_fields(&other), ["usage", "user_id"]);
    }

    #[test]
    fn codes_survive_the_database() {
        assert_eq!(CallOutcome::from_code(CallOutcome::Absorbed.code()), Some(CallOutcome::Absorbed));
        assert_eq!(Origin::from_code(99), None);
    }
}
