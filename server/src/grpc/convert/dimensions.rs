//! Dimensions, their keys and matches, and model references.

use std::collections::BTreeMap;
use std::fmt::Display;

use tollgate_domain::dimensions::{
    Dimension, DimensionKey, DimensionMatch, Dimensions, LABEL_KEY_BYTES_LIMIT, check_text,
};
use tollgate_domain::model::ModelRef;
use tollgate_domain::violation::Violations;
use tollgate_proto::v1;

use super::values::text;

/// Longest field of a model reference, in bytes.
const MODEL_BYTES_LIMIT: usize = 256;

/// Validated dimensions of a call: what the caller sends, with what the server stamps on it, which wins.
pub fn stamped(
    violations: &mut Violations,
    path: impl Display + Copy,
    message: Option<v1::Dimensions>,
    stamp: &Dimensions,
) -> Dimensions {
    let mut dimensions = sent(violations, path, message);
    dimensions.stamp(stamp);
    checked(violations, path, dimensions)
}

/// Validated dimensions.
pub fn dimensions(
    violations: &mut Violations,
    path: impl Display + Copy,
    message: Option<v1::Dimensions>,
) -> Dimensions {
    let dimensions = sent(violations, path, message);
    checked(violations, path, dimensions)
}

fn checked(violations: &mut Violations, path: impl Display, dimensions: Dimensions) -> Dimensions {
    if let Err(found) = dimensions.validate(path) {
        violations.extend(found);
    }
    dimensions
}

fn sent(violations: &mut Violations, path: impl Display + Copy, message: Option<v1::Dimensions>) -> Dimensions {
    let Some(message) = message else { return Dimensions::default() };
    let v1::Dimensions {
        workspace_id,
        project_id,
        team_id,
        customer_id,
        customer_tier,
        user_id,
        environment,
        session_id,
        parent_session_id,
        root_session_id,
        thread_id,
        room_id,
        instance_id,
        service_type,
        service_id,
        service_name,
        agent_id,
        agent_name,
        agent_tier,
        agent_role,
        workflow_id,
        workflow_step,
        workflow_step_name,
        panel_id,
        panel_position,
        panel_size,
        task_name,
        task_id,
        labels,
    } = message;
    let mut dimensions = Dimensions::default();
    let texts = [
        (Dimension::WorkspaceId, workspace_id),
        (Dimension::ProjectId, project_id),
        (Dimension::TeamId, team_id),
        (Dimension::CustomerId, customer_id),
        (Dimension::CustomerTier, customer_tier),
        (Dimension::UserId, user_id),
        (Dimension::Environment, environment),
        (Dimension::SessionId, session_id),
        (Dimension::ParentSessionId, parent_session_id),
        (Dimension::RootSessionId, root_session_id),
        (Dimension::ThreadId, thread_id),
        (Dimension::RoomId, room_id),
        (Dimension::InstanceId, instance_id),
        (Dimension::ServiceType, service_type),
        (Dimension::ServiceId, service_id),
        (Dimension::ServiceName, service_name),
        (Dimension::AgentId, agent_id),
        (Dimension::AgentName, agent_name),
        (Dimension::AgentTier, agent_tier),
        (Dimension::AgentRole, agent_role),
        (Dimension::WorkflowId, workflow_id),
        (Dimension::WorkflowStepName, workflow_step_name),
        (Dimension::PanelId, panel_id),
        (Dimension::TaskName, task_name),
        (Dimension::TaskId, task_id),
    ];
    for (dimension, value) in texts {
        dimensions.set(dimension, value);
    }
    let positions = [
        (Dimension::WorkflowStep, workflow_step),
        (Dimension::PanelPosition, panel_position),
        (Dimension::PanelSize, panel_size),
    ];
    for (dimension, value) in positions {
        if let Some(value) = value {
            let least = i32::from(dimension == Dimension::PanelSize);
            let field = format_args!("{path}.{}", dimension.name());
            violations.add_if(value < least, field, format_args!("must be at least {least}"));
            dimensions.set(dimension, value.to_string());
        }
    }
    dimensions.labels = labels.into_iter().collect::<BTreeMap<_, _>>();
    dimensions
}

/// For the wire.
pub fn to_dimensions(dimensions: &Dimensions) -> v1::Dimensions {
    let text = |dimension: Dimension| dimensions.get(dimension).unwrap_or_default().to_owned();
    let position = |dimension: Dimension| dimensions.get(dimension).and_then(|value| value.parse().ok());
    v1::Dimensions {
        workspace_id: text(Dimension::WorkspaceId),
        project_id: text(Dimension::ProjectId),
        team_id: text(Dimension::TeamId),
        customer_id: text(Dimension::CustomerId),
        customer_tier: text(Dimension::CustomerTier),
        user_id: text(Dimension::UserId),
        environment: text(Dimension::Environment),
        session_id: text(Dimension::SessionId),
        parent_session_id: text(Dimension::ParentSessionId),
        root_session_id: text(Dimension::RootSessionId),
        thread_id: text(Dimension::ThreadId),
        room_id: text(Dimension::RoomId),
        instance_id: text(Dimension::InstanceId),
        service_type: text(Dimension::ServiceType),
        service_id: text(Dimension::ServiceId),
        service_name: text(Dimension::ServiceName),
        agent_id: text(Dimension::AgentId),
        agent_name: text(Dimension::AgentName),
        agent_tier: text(Dimension::AgentTier),
        agent_role: text(Dimension::AgentRole),
        workflow_id: text(Dimension::WorkflowId),
        workflow_step: position(Dimension::WorkflowStep),
        workflow_step_name: text(Dimension::WorkflowStepName),
        panel_id: text(Dimension::PanelId),
        panel_position: position(Dimension::PanelPosition),
        panel_size: position(Dimension::PanelSize),
        task_name: text(Dimension::TaskName),
        task_id: text(Dimension::TaskId),
        labels: dimensions.labels.clone().into_iter().collect(),
    }
}

/// A key of a dimension or label.
pub fn key(
    violations: &mut Violations,
    path: impl Display + Copy,
    message: Option<v1::DimensionKey>,
) -> Option<DimensionKey> {
    let Some(v1::DimensionKey { name, label }) = message else {
        violations.add(path, "must be set");
        return None;
    };
    if name == "label" {
        violations.add_if(label.is_empty(), format_args!("{path}.label"), "must be set when name is `label`");
        check_text(violations, format_args!("{path}.label"), &label, LABEL_KEY_BYTES_LIMIT);
        return Some(DimensionKey::Label(label));
    }
    violations.add_if(!label.is_empty(), format_args!("{path}.label"), "may be set only when name is `label`");
    let found = Dimension::from_name(&name);
    violations.add_if(
        found.is_none(),
        format_args!("{path}.name"),
        "must be the name of a dimension such as `agent_name`, or `label`",
    );
    found.map(DimensionKey::Dimension)
}

/// For the wire.
pub fn to_key(key: &DimensionKey) -> v1::DimensionKey {
    match key {
        DimensionKey::Dimension(dimension) => {
            v1::DimensionKey { name: dimension.name().to_owned(), label: String::new() }
        }
        DimensionKey::Label(label) => v1::DimensionKey { name: "label".to_owned(), label: label.clone() },
    }
}

/// Conditions on dimensions.
pub fn matches(
    violations: &mut Violations,
    path: impl Display + Copy,
    messages: Vec<v1::DimensionMatch>,
) -> Vec<DimensionMatch> {
    let mut found = Vec::with_capacity(messages.len());
    for (position, message) in messages.into_iter().enumerate() {
        let field = format_args!("{path}[{position}]");
        let v1::DimensionMatch { key: message_key, values, absent, negate } = message;
        if let Some(key) = key(violations, format_args!("{field}.key"), message_key) {
            let condition = DimensionMatch { key, values, absent, negate };
            condition.check(violations, field);
            found.push(condition);
        }
    }
    found
}

/// For the wire.
pub fn to_match(condition: &DimensionMatch) -> v1::DimensionMatch {
    let DimensionMatch { key, values, absent, negate } = condition;
    v1::DimensionMatch { key: Some(to_key(key)), values: values.clone(), absent: *absent, negate: *negate }
}

/// A model reference.
pub fn model(violations: &mut Violations, path: impl Display + Copy, message: v1::ModelRef) -> ModelRef {
    let v1::ModelRef { provider_name, model, provider_tier, region } = message;
    let mut field = |name: &str, value: String| {
        text(violations, format_args!("{path}.{name}"), value, MODEL_BYTES_LIMIT).unwrap_or_default()
    };
    ModelRef {
        provider_name: field("provider_name", provider_name),
        model: field("model", model),
        provider_tier: field("provider_tier", provider_tier),
        region: field("region", region),
    }
}

/// A model reference that names a model.
pub fn required_model(
    violations: &mut Violations,
    path: impl Display + Copy,
    message: Option<v1::ModelRef>,
) -> ModelRef {
    let found = message.map(|message| model(violations, path, message)).unwrap_or_default();
    violations.add_if(found.model.is_empty(), format_args!("{path}.model"), "must be set");
    found
}

/// For the wire.
pub fn to_model(model: &ModelRef) -> v1::ModelRef {
    let ModelRef { provider_name, model, provider_tier, region } = model;
    v1::ModelRef {
        provider_name: provider_name.clone(),
        model: model.clone(),
        provider_tier: provider_tier.clone(),
        region: region.clone(),
    }
}
