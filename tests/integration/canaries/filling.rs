//! Messages of the contract with something in every field, made from their descriptors.

use prost_reflect::{DynamicMessage, FieldDescriptor, Kind, MapKey, MessageDescriptor, Value};
use uuid::Uuid;

use crate::harness::time::seconds_from_now;

/// Stands in for what must reach neither logs nor errors: prompts, users, sessions, labels, notes.
pub(super) const CONTENT: &str = "canary-content";
/// Stands in for names that callers choose: their own answer may tell them, nobody else's, and no log.
pub(super) const NAME: &str = "canary-name";

/// Messages within messages that are filled.
const DEPTH: usize = 7;

/// How a message is filled.
#[derive(Debug, Clone, Copy)]
pub(super) struct Filling {
    /// Whether texts are what the server might take; else each of them is a canary.
    pub(super) plausible: bool,
    /// Which variant of a choice is set, counted round.
    pub(super) variant: usize,
}

impl Filling {
    pub(super) fn message(self, descriptor: &MessageDescriptor) -> DynamicMessage {
        self.filled(descriptor, DEPTH)
    }

    fn filled(self, descriptor: &MessageDescriptor, depth: usize) -> DynamicMessage {
        let mut message = DynamicMessage::new(descriptor.clone());
        match descriptor.full_name() {
            "google.protobuf.Timestamp" => {
                message.set_field_by_name("seconds", Value::I64(seconds_from_now(0).seconds));
                return message;
            }
            "google.protobuf.Duration" => {
                message.set_field_by_name("seconds", Value::I64(1));
                return message;
            }
            _ => {}
        }
        for field in descriptor.fields() {
            if let Some(choice) = field.containing_oneof() {
                let chosen = choice.fields().nth(self.variant % choice.fields().count());
                if chosen.as_ref() != Some(&field) {
                    continue;
                }
            }
            if let Some(value) = self.value(&field, depth) {
                message.set_field(&field, value);
            }
        }
        message
    }

    fn value(self, field: &FieldDescriptor, depth: usize) -> Option<Value> {
        if field.is_map() {
            let Kind::Message(entry) = field.kind() else { return None };
            let value = self.single(&entry.map_entry_value_field(), depth)?;
            let value = if matches!(value, Value::String(_)) { Value::String(CONTENT.to_owned()) } else { value };
            return Some(Value::Map([(MapKey::String(NAME.to_owned()), value)].into()));
        }
        let value = self.single(field, depth)?;
        Some(if field.is_list() { Value::List(vec![value]) } else { value })
    }

    fn single(self, field: &FieldDescriptor, depth: usize) -> Option<Value> {
        Some(match field.kind() {
            Kind::Message(inner) => {
                if depth == 0 {
                    return None;
                }
                Value::Message(self.filled(&inner, depth - 1))
            }
            Kind::String => Value::String(self.text(field)),
            // An answer that is no JSON at all is a prompt's worth of text.
            Kind::Bytes if self.variant % 2 == 1 => Value::Bytes(CONTENT.into()),
            Kind::Bytes => {
                Value::Bytes(format!(r#"{{"usage":{{"prompt_tokens":"{CONTENT}"}},"{CONTENT}":"{CONTENT}"}}"#).into())
            }
            Kind::Bool => Value::Bool(false),
            Kind::Enum(_) => Value::EnumNumber(1),
            Kind::Int32 | Kind::Sint32 | Kind::Sfixed32 => Value::I32(1),
            Kind::Int64 | Kind::Sint64 | Kind::Sfixed64 => Value::I64(1),
            Kind::Uint32 | Kind::Fixed32 => Value::U32(1),
            Kind::Uint64 | Kind::Fixed64 => Value::U64(1),
            Kind::Float => Value::F32(1.0),
            Kind::Double => Value::F64(1.0),
        })
    }

    fn text(self, field: &FieldDescriptor) -> String {
        let is_content = field.parent_message().name() == "Dimensions"
            || ["reason", "note", "display_name", "error_type", "metadata_json", "values"].contains(&field.name());
        let canary = if is_content { CONTENT } else { NAME };
        if !self.plausible {
            return canary.repeat(self.variant * 40 + 1);
        }
        match (field.parent_message().name(), field.name()) {
            ("DimensionKey", "name") => "user_id".to_owned(),
            ("DimensionKey", "label") => String::new(),
            (_, "metadata_json") => format!(r#"{{"prompt":"{CONTENT}"}}"#),
            (_, "event_id" | "reservation_id" | "request_id" | "alert_id" | "price_id" | "erasure_id") => {
                Uuid::now_v7().to_string()
            }
            (_, "time_zone") => "UTC".to_owned(),
            (_, "limit" | "at_fraction" | "quantity" | "usd" | "amount" | "factor" | "reported_cost_usd") => {
                "1".to_owned()
            }
            (_, "operation_name") => "chat".to_owned(),
            (_, "trace_id" | "span_id" | "etag" | "page_token" | "reported_currency") => String::new(),
            (_, "api") => "openai.chat".to_owned(),
            _ => canary.to_owned(),
        }
    }
}
