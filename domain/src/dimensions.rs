//! Who made a call and where: the named dimensions, free labels, and matches on them.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt::Display;

use serde::{Deserialize, Serialize};

use crate::violation::{Violation, Violations};

/// Longest dimension value, in bytes.
pub const VALUE_BYTES_LIMIT: usize = 256;
/// Most labels of one event.
pub const LABELS_LIMIT: usize = 16;
/// Longest label key, in bytes.
pub const LABEL_KEY_BYTES_LIMIT: usize = 64;
/// Longest label value, in bytes.
pub const LABEL_VALUE_BYTES_LIMIT: usize = 256;
/// Most values of one match.
pub const MATCH_VALUES_LIMIT: usize = 100;

macro_rules! dimensions {
    ($($(#[$documentation:meta])* $variant:ident = $number:literal $name:literal $kind:ident),+ $(,)?) => {
        /// A named dimension. The number is its stable code in the database.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[repr(i16)]
        pub enum Dimension {
            $($(#[$documentation])* $variant = $number,)+
        }

        impl Dimension {
            /// Every dimension, in the order of the codes.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];

            /// Its field name on the wire.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)+ }
            }

            /// How its values spread and where it is known.
            pub const fn kind(self) -> DimensionKind {
                match self { $(Self::$variant => DimensionKind::$kind,)+ }
            }
        }
    };
}

/// How a dimension's values spread and where they are known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DimensionKind {
    /// Few values: part of an event's shape, covered by the rollups.
    Shape,
    /// Many values: a column of its own on the event.
    Entity,
    /// A small number that places the call in its workflow or panel.
    Position,
    /// Says how the call ran, not who made it: few values, part of the shape, unknown to budgets' selectors.
    Call,
}

dimensions! {
    /// Workspace within the tenant.
    WorkspaceId = 1 "workspace_id" Shape,
    /// Project within the tenant.
    ProjectId = 2 "project_id" Shape,
    /// Team within the tenant.
    TeamId = 3 "team_id" Shape,
    /// The caller's own paying customer.
    CustomerId = 4 "customer_id" Entity,
    /// The customer's plan.
    CustomerTier = 5 "customer_tier" Shape,
    /// The person on whose behalf the call runs.
    UserId = 6 "user_id" Entity,
    /// `production`, `staging`, ….
    Environment = 7 "environment" Shape,
    /// The session (conversation, run) whose totals the call adds to.
    SessionId = 8 "session_id" Entity,
    /// The session that started this one.
    ParentSessionId = 9 "parent_session_id" Entity,
    /// The session at the root of the tree; absent = the session itself.
    RootSessionId = 10 "root_session_id" Entity,
    /// Thread.
    ThreadId = 11 "thread_id" Entity,
    /// Room.
    RoomId = 12 "room_id" Entity,
    /// Process or pod that made the call.
    InstanceId = 13 "instance_id" Entity,
    /// Kind of service.
    ServiceType = 14 "service_type" Shape,
    /// Service.
    ServiceId = 15 "service_id" Shape,
    /// Service, as people call it.
    ServiceName = 16 "service_name" Shape,
    /// Agent.
    AgentId = 17 "agent_id" Shape,
    /// Agent, as people call it.
    AgentName = 18 "agent_name" Shape,
    /// Agent's tier.
    AgentTier = 19 "agent_tier" Shape,
    /// Agent's role.
    AgentRole = 20 "agent_role" Shape,
    /// Workflow run.
    WorkflowId = 21 "workflow_id" Entity,
    /// Step within the workflow.
    WorkflowStep = 22 "workflow_step" Position,
    /// Name of the step.
    WorkflowStepName = 23 "workflow_step_name" Shape,
    /// Panel of agents.
    PanelId = 24 "panel_id" Entity,
    /// Place in the panel.
    PanelPosition = 25 "panel_position" Position,
    /// Size of the panel.
    PanelSize = 26 "panel_size" Position,
    /// Business operation, for example `presentation_generate`.
    TaskName = 27 "task_name" Shape,
    /// One run of the business operation.
    TaskId = 28 "task_id" Entity,
    /// The API key that made the call, stamped by the server.
    ApiKeyId = 29 "api_key_id" Shape,
    /// OpenTelemetry operation: `chat`, `embeddings`, ….
    OperationName = 41 "operation_name" Call,
    /// Provider of the model that ran.
    ProviderName = 42 "provider_name" Call,
    /// The model that ran: the response's, else the request's.
    Model = 43 "model" Call,
    /// Service tier of the call.
    ProviderTier = 44 "provider_tier" Call,
    /// Region of the call.
    Region = 45 "region" Call,
}

impl Dimension {
    /// The dimension of this wire name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|dimension| dimension.name() == name)
    }

    /// Its stable code in the database.
    pub const fn code(self) -> i16 {
        self as i16
    }

    /// The dimension whose values these are: sessions stay the same, whether they are the call's own, its parent or its
    /// root.
    pub const fn value_space(self) -> Self {
        match self {
            Self::ParentSessionId | Self::RootSessionId => Self::SessionId,
            own => own,
        }
    }

    /// Whether the value is part of an event's shape.
    pub fn is_in_shape(self) -> bool {
        matches!(self.kind(), DimensionKind::Shape | DimensionKind::Call)
    }
}

impl Serialize for Dimension {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

impl<'de> Deserialize<'de> for Dimension {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        Self::from_name(&name).ok_or_else(|| serde::de::Error::custom(format!("unknown dimension `{name}`")))
    }
}

/// The dimensions of one call. A missing key is absent, which is not the same as any value.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Dimensions {
    /// Values by dimension; positions as decimal text.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub values: BTreeMap<Dimension, String>,
    /// Free labels.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
}

impl Dimensions {
    /// The value of a dimension.
    pub fn get(&self, dimension: Dimension) -> Option<&str> {
        self.values.get(&dimension).map(String::as_str)
    }

    /// The value of a dimension or label.
    pub fn get_key(&self, key: &DimensionKey) -> Option<&str> {
        match key {
            DimensionKey::Dimension(dimension) => self.get(*dimension),
            DimensionKey::Label(label) => self.labels.get(label).map(String::as_str),
        }
    }

    /// Sets a dimension; an empty value leaves it absent.
    pub fn set(&mut self, dimension: Dimension, value: impl Into<String>) {
        let value = value.into();
        if !value.is_empty() {
            self.values.insert(dimension, value);
        }
    }

    /// The same with `dimension` set.
    #[must_use]
    pub fn with(mut self, dimension: Dimension, value: impl Into<String>) -> Self {
        self.set(dimension, value);
        self
    }

    /// Puts in what the server says, over what the caller sent.
    pub fn stamp(&mut self, stamp: &Self) {
        let Self { values, labels } = stamp;
        self.values.extend(values.iter().map(|(dimension, value)| (*dimension, value.clone())));
        self.labels.extend(labels.iter().map(|(key, value)| (key.clone(), value.clone())));
    }

    /// Whether these have every value of `pins`.
    pub fn carries(&self, pins: &Self) -> bool {
        let Self { values, labels } = pins;
        values.iter().all(|(dimension, value)| self.get(*dimension) == Some(value.as_str()))
            && labels.iter().all(|(key, value)| self.labels.get(key) == Some(value))
    }

    /// Without the API key: the same content sent with another one is told again, not another content.
    pub fn without_api_key(&self) -> Cow<'_, Self> {
        match self.get(Dimension::ApiKeyId) {
            None => Cow::Borrowed(self),
            Some(_) => {
                let mut told = self.clone();
                told.values.remove(&Dimension::ApiKeyId);
                Cow::Owned(told)
            }
        }
    }

    /// The session at the root of the tree: `root_session_id`, else `session_id`.
    pub fn root_session(&self) -> Option<&str> {
        self.get(Dimension::RootSessionId).or_else(|| self.get(Dimension::SessionId))
    }

    /// Checks lengths and counts.
    ///
    /// # Errors
    /// Every violation, with field paths below `path`.
    pub fn validate(&self, path: impl Display) -> Result<(), Vec<Violation>> {
        let mut violations = Violations::new();
        for (dimension, value) in &self.values {
            check_text(&mut violations, format_args!("{path}.{}", dimension.name()), value, VALUE_BYTES_LIMIT);
        }
        if self.labels.len() > LABELS_LIMIT {
            violations.add(format_args!("{path}.labels"), format_args!("must have at most {LABELS_LIMIT} entries"));
            return violations.into_result(());
        }
        for (key, value) in &self.labels {
            let shown =
                key.char_indices().nth(LABEL_KEY_BYTES_LIMIT).and_then(|(end, _)| key.get(..end)).unwrap_or(key);
            violations.add_if(key.is_empty(), format_args!("{path}.labels"), "must not have an empty key");
            check_text(&mut violations, format_args!("{path}.labels key `{shown}`"), key, LABEL_KEY_BYTES_LIMIT);
            check_text(&mut violations, format_args!("{path}.labels[{shown}]"), value, LABEL_VALUE_BYTES_LIMIT);
        }
        let orphan = self.get(Dimension::SessionId).is_none() && self.get(Dimension::RootSessionId).is_some();
        violations.add_if(
            orphan,
            format_args!("{path}.root_session_id"),
            "needs session_id as well: the tree's totals are the sum of its sessions",
        );
        violations.into_result(())
    }
}

/// Checks one text: its length in bytes, and that it can be stored (Postgres text holds no NUL).
pub fn check_text(violations: &mut Violations, field: impl Display, value: &str, bytes_limit: usize) {
    if value.len() > bytes_limit {
        violations.add(field, format_args!("must be at most {bytes_limit} bytes"));
    } else if value.as_bytes().contains(&0) {
        violations.add(field, "must not contain a NUL character");
    }
}

/// A named dimension or a free label.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DimensionKey {
    /// A named dimension.
    Dimension(Dimension),
    /// A free label of this key.
    Label(String),
}

impl DimensionKey {
    /// How it is shown and keyed in maps: the field name, or `label:KEY`.
    pub fn display_name(&self) -> String {
        match self {
            Self::Dimension(dimension) => dimension.name().to_owned(),
            Self::Label(label) => format!("label:{label}"),
        }
    }

    /// The reverse of [`Self::display_name`].
    pub fn from_display_name(name: &str) -> Option<Self> {
        match name.strip_prefix("label:") {
            Some(label) if !label.is_empty() => Some(Self::Label(label.to_owned())),
            Some(_) => None,
            None => Dimension::from_name(name).map(Self::Dimension),
        }
    }
}

/// A condition on one dimension: the value is one of `values`, or absent where `absent`; `negate` turns it around.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct DimensionMatch {
    /// Which dimension.
    pub key: DimensionKey,
    /// Values that match, at most [`MATCH_VALUES_LIMIT`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub values: Vec<String>,
    /// Whether a missing key matches.
    #[serde(default)]
    pub absent: bool,
    /// Turns the condition around.
    #[serde(default)]
    pub negate: bool,
}

impl DimensionMatch {
    /// Matches one value.
    pub fn equals(key: DimensionKey, value: impl Into<String>) -> Self {
        Self { key, values: vec![value.into()], absent: false, negate: false }
    }

    /// Whether `value` (absent = `None`) meets the condition.
    pub fn accepts(&self, value: Option<&str>) -> bool {
        let found = match value {
            Some(value) => self.values.iter().any(|wanted| wanted == value),
            None => self.absent,
        };
        found != self.negate
    }

    /// Checks that it says something and stays within bounds.
    pub fn check(&self, violations: &mut Violations, path: impl Display) {
        violations.add_if(
            self.values.is_empty() && !self.absent,
            format_args!("{path}.values"),
            "must have a value, or absent must be set",
        );
        violations.add_if(
            self.values.len() > MATCH_VALUES_LIMIT,
            format_args!("{path}.values"),
            format_args!("must have at most {MATCH_VALUES_LIMIT} entries"),
        );
        for (position, value) in self.values.iter().take(MATCH_VALUES_LIMIT).enumerate() {
            check_text(violations, format_args!("{path}.values[{position}]"), value, VALUE_BYTES_LIMIT);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_codes_are_unique() {
        let names: std::collections::HashSet<_> = Dimension::ALL.iter().map(|dimension| dimension.name()).collect();
        let codes: std::collections::HashSet<_> = Dimension::ALL.iter().map(|dimension| dimension.code()).collect();
        assert_eq!((names.len(), codes.len()), (Dimension::ALL.len(), Dimension::ALL.len()));
    }

    #[test]
    fn absent_is_no_value_and_negation_turns_both_around() {
        let key = DimensionKey::Dimension(Dimension::UserId);
        let mut condition = DimensionMatch::equals(key, "u1");
        assert!(condition.accepts(Some("u1")) && !condition.accepts(Some("u2")) && !condition.accepts(None));
        condition.negate = true;
        assert!(!condition.accepts(Some("u1")) && condition.accepts(Some("u2")) && condition.accepts(None));
    }

    #[test]
    fn a_root_session_needs_a_session() {
        let dimensions = Dimensions::default().with(Dimension::RootSessionId, "root");
        assert!(dimensions.validate("event.dimensions").is_err());
        assert!(dimensions.with(Dimension::SessionId, "leaf").validate("event.dimensions").is_ok());
    }

    #[test]
    fn a_stamp_wins_and_the_api_key_is_left_out_of_what_was_told() {
        let mut dimensions = Dimensions::default().with(Dimension::UserId, "sent").with(Dimension::TeamId, "t");
        let told = dimensions.clone().with(Dimension::UserId, "pinned");
        let stamp = Dimensions::default().with(Dimension::UserId, "pinned").with(Dimension::ApiKeyId, "k");
        dimensions.stamp(&stamp);
        assert_eq!(dimensions.get(Dimension::ApiKeyId), Some("k"));
        assert_eq!(*dimensions.without_api_key(), told);
    }

    #[test]
    fn serialises_by_field_name() {
        let dimensions = Dimensions::default().with(Dimension::AgentName, "planner");
        let json = serde_json::to_string(&dimensions).unwrap();
        assert_eq!(json, r#"{"values":{"agent_name":"planner"}}"#);
        assert_eq!(serde_json::from_str::<Dimensions>(&json).unwrap(), dimensions);
    }
}
