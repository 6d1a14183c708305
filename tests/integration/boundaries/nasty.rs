//! What is nasty in a field, by its type.

use prost::Message as _;
use prost_reflect::{DynamicMessage, FieldDescriptor, Kind, MapKey, MessageDescriptor, MethodDescriptor, Value};

/// How deep messages within messages are gone into.
const DEEPEST: usize = 4;
/// A string just below the largest message.
const LONG: usize = 1_000_000;
/// More entries than any list may have.
const MANY: usize = 2_000;

/// A request with one nasty value.
pub(super) struct Attempt {
    pub(super) what: String,
    /// Names of the fields on the way to the value.
    pub(super) path: Vec<String>,
    pub(super) bytes: Vec<u8>,
}

/// Everything nasty in every field of a method's request; `good` makes a new request each time.
pub(super) fn attempts(method: &MethodDescriptor, good: impl Fn() -> DynamicMessage) -> Vec<Attempt> {
    let mut attempts = vec![Attempt { what: "as it is".to_owned(), path: Vec::new(), bytes: good().encode_to_vec() }];
    let mut paths = Vec::new();
    collect(&method.input(), &mut Vec::new(), &mut paths);
    for path in paths {
        let Some(field) = path.last() else { continue };
        let names: Vec<String> = path.iter().flat_map(names_of).collect();
        for (what, value) in values_of(field) {
            let mut message = good();
            put(&mut message, &path, value);
            let what = format!("{} = {what}", names.join("."));
            attempts.push(Attempt { what, path: names.clone(), bytes: message.encode_to_vec() });
        }
        if matches!(field.kind(), Kind::String) {
            let mut bytes = good().encode_to_vec();
            bytes.extend(on_the_wire(&path, b"\xff\xfe"));
            attempts.push(Attempt { what: format!("{} = invalid UTF-8", names.join(".")), path: names, bytes });
        }
    }
    let mut cut = good().encode_to_vec();
    if cut.pop().is_some() {
        attempts.push(Attempt { what: "cut short".to_owned(), path: Vec::new(), bytes: cut });
    }
    attempts.push(Attempt { what: "no message".to_owned(), path: Vec::new(), bytes: vec![0xff; 64] });
    attempts
}

/// What a refusal may call the field: by its own name, by that of the choice that it is one of, or as the other end of a time.
fn names_of(field: &FieldDescriptor) -> Vec<String> {
    let choice = field.containing_oneof().map(|choice| choice.name().to_owned());
    let other_end = match field.name() {
        "start_time" => Some("end_time"),
        "end_time" => Some("start_time"),
        // What only looks has no id.
        "mode" => Some("reservation_id"),
        // What is applied is asked for by an id.
        "apply" => Some("request_id"),
        _ => None,
    };
    [field.name().to_owned()].into_iter().chain(choice).chain(other_end.map(str::to_owned)).collect()
}

fn collect(message: &MessageDescriptor, before: &mut Vec<FieldDescriptor>, paths: &mut Vec<Vec<FieldDescriptor>>) {
    for field in message.fields() {
        before.push(field.clone());
        paths.push(before.clone());
        if let Kind::Message(inner) = field.kind()
            && !field.is_map()
            && before.len() < DEEPEST
        {
            collect(&inner, before, paths);
        }
        before.pop();
    }
}

/// Puts a value at the end of a path; messages on the way are made where they are missing.
fn put(message: &mut DynamicMessage, path: &[FieldDescriptor], value: Value) {
    let Some((field, rest)) = path.split_first() else { return };
    if rest.is_empty() {
        message.set_field(field, value);
        return;
    }
    let mut inner = message.get_field(field).into_owned();
    match &mut inner {
        Value::Message(inner) => put(inner, rest, value),
        Value::List(list) => {
            if list.is_empty()
                && let Kind::Message(descriptor) = field.kind()
            {
                list.push(Value::Message(DynamicMessage::new(descriptor)));
            }
            if let Some(Value::Message(first)) = list.first_mut() {
                put(first, rest, value);
            }
        }
        _ => {}
    }
    message.set_field(field, inner);
}

/// The bytes at the end of a path, as they are merged into what is before them.
fn on_the_wire(path: &[FieldDescriptor], bytes: &[u8]) -> Vec<u8> {
    let mut content = bytes.to_vec();
    for field in path.iter().rev() {
        let mut outer = Vec::new();
        prost::encoding::encode_key(field.number(), prost::encoding::WireType::LengthDelimited, &mut outer);
        prost::encoding::encode_varint(content.len() as u64, &mut outer);
        outer.extend(content);
        content = outer;
    }
    content
}

/// What is nasty in this field, with how it is called.
fn values_of(field: &FieldDescriptor) -> Vec<(String, Value)> {
    if field.is_map() {
        return maps(field);
    }
    let singles = singles(&field.kind());
    if !field.is_list() {
        return singles;
    }
    let mut values = vec![("no entries".to_owned(), Value::List(Vec::new()))];
    if let Some((_, one)) = singles.first() {
        values.push((format!("{MANY} entries"), Value::List(vec![one.clone(); MANY])));
    }
    values.extend(singles.into_iter().map(|(what, value)| (format!("[{what}]"), Value::List(vec![value]))));
    values
}

fn singles(kind: &Kind) -> Vec<(String, Value)> {
    let named = |values: Vec<(&str, Value)>| values.into_iter().map(|(what, value)| (what.to_owned(), value)).collect();
    match kind {
        Kind::String => texts(),
        Kind::Bytes => named(vec![
            ("no bytes", Value::Bytes(Vec::new().into())),
            ("many bytes", Value::Bytes(vec![0xff; LONG].into())),
        ]),
        Kind::Bool => named(vec![("false", Value::Bool(false)), ("true", Value::Bool(true))]),
        Kind::Int32 | Kind::Sint32 | Kind::Sfixed32 => [0, 1, -1, i32::MAX, i32::MIN, 1_001]
            .into_iter()
            .map(|number| (number.to_string(), Value::I32(number)))
            .collect(),
        Kind::Int64 | Kind::Sint64 | Kind::Sfixed64 => [0, 1, -1, i64::MAX, i64::MIN, 1 << 53, 1_000_000_001]
            .into_iter()
            .map(|number| (number.to_string(), Value::I64(number)))
            .collect(),
        Kind::Uint32 | Kind::Fixed32 => {
            [0, 1, u32::MAX].into_iter().map(|number| (number.to_string(), Value::U32(number))).collect()
        }
        Kind::Uint64 | Kind::Fixed64 => {
            [0, 1, u64::MAX].into_iter().map(|number| (number.to_string(), Value::U64(number))).collect()
        }
        Kind::Float => [0.0, f32::NAN, f32::INFINITY, -1.0]
            .into_iter()
            .map(|number| (number.to_string(), Value::F32(number)))
            .collect(),
        Kind::Double => [0.0, f64::NAN, f64::INFINITY, -1.0]
            .into_iter()
            .map(|number| (number.to_string(), Value::F64(number)))
            .collect(),
        Kind::Enum(values) => {
            let known = values.values().map(|value| value.number());
            let numbers = known.chain([-1, 99, i32::MAX, i32::MIN]);
            numbers.map(|number| (format!("enum {number}"), Value::EnumNumber(number))).collect()
        }
        Kind::Message(message) => messages(message),
    }
}

fn texts() -> Vec<(String, Value)> {
    const TEXTS: [&str; 24] = [
        "",
        "a\0b",
        "\u{feff}",
        "\u{202e}abc",
        "NaN",
        "Infinity",
        "-1",
        "0",
        "1e308",
        "1e-400",
        "0x10",
        "1.0000000000001",
        "9999999999999999999999999999999999",
        "79228162514264337593543950335",
        "-0",
        "+1",
        "1_000",
        "00000000-0000-0000-0000-000000000000",
        "ffffffff-ffff-ffff-ffff-ffffffffffff",
        "018f0000-0000-4000-8000-000000000000",
        "{\"a\":",
        "[[[[[[[[[[[[[[[[",
        "'; DROP TABLE usage_event; --",
        "__other__",
    ];
    let mut texts: Vec<(String, Value)> =
        TEXTS.iter().map(|text| (format!("{text:?}"), Value::String((*text).to_owned()))).collect();
    for (what, text) in [
        ("1 MB", "x".repeat(LONG)),
        ("257 bytes", "x".repeat(257)),
        ("emoji", "🦀".repeat(100)),
        ("deep JSON", format!("{}1{}", "[".repeat(2_000), "]".repeat(2_000))),
        ("many digits", "1".repeat(1_000)),
    ] {
        texts.push((what.to_owned(), Value::String(text)));
    }
    texts
}

fn messages(message: &MessageDescriptor) -> Vec<(String, Value)> {
    let made = |fields: [(&str, Value); 2]| {
        let mut made = DynamicMessage::new(message.clone());
        for (name, value) in fields {
            made.set_field_by_name(name, value);
        }
        Value::Message(made)
    };
    let mut values = vec![("empty".to_owned(), Value::Message(DynamicMessage::new(message.clone())))];
    let seconds: &[(&str, i64, i32)] = match message.full_name() {
        "google.protobuf.Timestamp" => &[
            ("year 1", -62_135_596_800, 0),
            ("year 9999", 253_402_300_799, 999_999_999),
            ("before year 1", -62_135_596_801, 0),
            ("after year 9999", 253_402_300_800, 0),
            ("the end of numbers", i64::MAX, i32::MAX),
            ("the start of numbers", i64::MIN, i32::MIN),
            ("year 2500", 16_725_225_600, 0),
            ("year 1969", -1, 0),
            ("negative nanos", 1, -1),
            ("too many nanos", 1, 1_000_000_000),
        ],
        "google.protobuf.Duration" => &[
            ("nothing", 0, 0),
            ("a nanosecond", 0, 1),
            ("negative", -1, 0),
            ("mixed signs", 1, -1),
            ("10,000 years", 315_576_000_000, 0),
            ("beyond 10,000 years", 315_576_000_001, 0),
            ("the end of numbers", i64::MAX, i32::MAX),
            ("the start of numbers", i64::MIN, i32::MIN),
        ],
        _ => &[],
    };
    for (what, seconds, nanos) in seconds {
        let value = made([("seconds", Value::I64(*seconds)), ("nanos", Value::I32(*nanos))]);
        values.push(((*what).to_owned(), value));
    }
    values
}

/// Maps with nasty keys or nasty values.
fn maps(field: &FieldDescriptor) -> Vec<(String, Value)> {
    let Kind::Message(entry) = field.kind() else { return Vec::new() };
    let one = |key: MapKey, value: Value| Value::Map([(key, value)].into_iter().collect());
    let mut maps = Vec::new();
    if matches!(entry.map_entry_value_field().kind(), Kind::String) {
        for (what, value) in texts() {
            let Value::String(text) = &value else { continue };
            maps.push((format!("{{{what}: x}}"), one(MapKey::String(text.clone()), Value::String("x".to_owned()))));
            maps.push((format!("{{x: {what}}}"), one(MapKey::String("x".to_owned()), value)));
        }
        let many = (0..MANY).map(|number| (MapKey::String(number.to_string()), Value::String("x".to_owned())));
        maps.push((format!("{MANY} entries"), Value::Map(many.collect())));
    } else {
        for (what, value) in singles(&entry.map_entry_value_field().kind()) {
            maps.push((format!("{{x: {what}}}"), one(MapKey::String("x".to_owned()), value)));
        }
    }
    maps
}
