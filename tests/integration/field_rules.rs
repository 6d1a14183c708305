//! Every field rule of every request: what breaks it is refused by name, what just meets it is taken, and nothing that
//! was refused leaves a trace.

mod batch;
mod budget;
mod check;
mod list;
mod record;
mod stream;
mod summary;

use std::fmt::Debug;

use tollgate_proto::v1;
use tonic::{Code, Response, Status};

use crate::harness::refusal::Refusal;

/// Sets one text of a request.
type Text<M> = (&'static str, usize, fn(&mut M) -> &mut String);

/// Changes a good request.
type Change<M> = Box<dyn Fn(&mut M) + Send>;

/// A good request with one change.
struct Case<M> {
    what: String,
    change: Change<M>,
    refusal: Refusal,
}

/// Must be refused as INVALID_FIELD, naming exactly these fields.
fn case<M>(what: &str, fields: &[&str], change: impl Fn(&mut M) + Send + 'static) -> Case<M> {
    let refusal = Refusal::new(Code::InvalidArgument, "INVALID_FIELD", fields);
    Case { what: what.to_owned(), change: Box::new(change), refusal }
}

impl<M> Case<M> {
    /// Must be refused with another reason.
    fn because(mut self, code: Code, reason: &str) -> Self {
        self.refusal.code = code;
        self.refusal.reason = reason.to_owned();
        self
    }
}

/// One byte more than `limit`, and a NUL: both are refused.
fn texts<M: 'static>(path: &str, texts: &[Text<M>]) -> Vec<Case<M>> {
    let mut cases = Vec::new();
    for (name, limit, text) in texts {
        let (field, limit, text) = (format!("{path}{name}"), *limit, *text);
        cases.push(case(&format!("{field} of {} bytes", limit + 1), &[&field], move |message: &mut M| {
            *text(message) = "x".repeat(limit + 1);
        }));
        cases.push(case(&format!("{field} with a NUL"), &[&field], move |message: &mut M| {
            *text(message) = "a\0b".to_owned();
        }));
    }
    cases
}

/// Exactly as long as allowed: each is taken.
fn longest<M: 'static>(texts: &[Text<M>]) -> Vec<(String, Change<M>)> {
    let taken = |(name, limit, text): &Text<M>| {
        let (limit, text) = (*limit, *text);
        let change = move |message: &mut M| *text(message) = "x".repeat(limit);
        (format!("{name} of {limit} bytes"), Box::new(change) as Change<M>)
    };
    texts.iter().map(taken).collect()
}

/// The case of a message, for the request that carries it.
fn within<M: 'static, R: 'static>(cases: Vec<Case<M>>, message: fn(&mut R) -> &mut M) -> Vec<Case<R>> {
    let lifted = |case: Case<M>| {
        let Case { what, change, refusal } = case;
        Case { what, change: Box::new(move |request: &mut R| change(message(request))), refusal }
    };
    cases.into_iter().map(lifted).collect()
}

/// Sends every case and compares: all that differ are shown at once.
async fn assert_refused<M, A, F>(good: &M, cases: Vec<Case<M>>, send: impl Fn(M) -> F)
where
    M: Clone,
    A: Debug,
    F: Future<Output = Result<Response<A>, Status>>,
{
    let mut wrong = Vec::new();
    for Case { what, change, refusal } in cases {
        let mut request = good.clone();
        change(&mut request);
        match send(request).await {
            Ok(answer) => wrong.push(format!("{what}: taken: {:?}", answer.into_inner())),
            Err(status) => {
                let found = Refusal::of(&status);
                if found != refusal {
                    wrong.push(format!("{what}: {found:?}, expected {refusal:?}"));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Sends every request and shows all that are refused.
async fn assert_taken<M, A, F>(requests: Vec<(String, M)>, send: impl Fn(M) -> F)
where
    F: Future<Output = Result<Response<A>, Status>>,
{
    let mut wrong = Vec::new();
    for (what, request) in requests {
        if let Err(status) = send(request).await {
            wrong.push(format!("{what}: {:?}: {}", Refusal::of(&status), status.message()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Texts of dimensions.
const DIMENSIONS: [Text<v1::Dimensions>; 25] = [
    ("workspace_id", 256, |one| &mut one.workspace_id),
    ("project_id", 256, |one| &mut one.project_id),
    ("team_id", 256, |one| &mut one.team_id),
    ("customer_id", 256, |one| &mut one.customer_id),
    ("customer_tier", 256, |one| &mut one.customer_tier),
    ("user_id", 256, |one| &mut one.user_id),
    ("environment", 256, |one| &mut one.environment),
    ("session_id", 256, |one| &mut one.session_id),
    ("parent_session_id", 256, |one| &mut one.parent_session_id),
    ("root_session_id", 256, |one| &mut one.root_session_id),
    ("thread_id", 256, |one| &mut one.thread_id),
    ("room_id", 256, |one| &mut one.room_id),
    ("instance_id", 256, |one| &mut one.instance_id),
    ("service_type", 256, |one| &mut one.service_type),
    ("service_id", 256, |one| &mut one.service_id),
    ("service_name", 256, |one| &mut one.service_name),
    ("agent_id", 256, |one| &mut one.agent_id),
    ("agent_name", 256, |one| &mut one.agent_name),
    ("agent_tier", 256, |one| &mut one.agent_tier),
    ("agent_role", 256, |one| &mut one.agent_role),
    ("workflow_id", 256, |one| &mut one.workflow_id),
    ("workflow_step_name", 256, |one| &mut one.workflow_step_name),
    ("panel_id", 256, |one| &mut one.panel_id),
    ("task_name", 256, |one| &mut one.task_name),
    ("task_id", 256, |one| &mut one.task_id),
];

/// Texts of a model reference.
const MODEL: [Text<v1::ModelRef>; 4] = [
    ("provider_name", 256, |one| &mut one.provider_name),
    ("model", 256, |one| &mut one.model),
    ("provider_tier", 256, |one| &mut one.provider_tier),
    ("region", 256, |one| &mut one.region),
];

/// What breaks dimensions at `path`.
fn dimensions(path: &str) -> Vec<Case<v1::Dimensions>> {
    let at = |name: &str| format!("{path}.{name}");
    let mut cases = texts(&format!("{path}."), &DIMENSIONS);
    cases.extend([
        case("two bytes a letter", &[&at("user_id")], |one: &mut v1::Dimensions| one.user_id = "é".repeat(129)),
        case("a step below 0", &[&at("workflow_step")], |one: &mut v1::Dimensions| one.workflow_step = Some(-1)),
        case("a position below 0", &[&at("panel_position")], |one: &mut v1::Dimensions| one.panel_position = Some(-1)),
        case("a panel below 0", &[&at("panel_size")], |one: &mut v1::Dimensions| one.panel_size = Some(i32::MIN)),
        case("a root without a session", &[&at("root_session_id")], |one: &mut v1::Dimensions| {
            one.session_id.clear();
            one.root_session_id = "root".to_owned();
        }),
        case("17 labels", &[&at("labels")], |one: &mut v1::Dimensions| one.labels = labels(17)),
        case("a label without a key", &[&at("labels")], |one: &mut v1::Dimensions| label(one, "", "value")),
        case("a label of 257 bytes", &[&at("labels[tier]")], |one: &mut v1::Dimensions| {
            label(one, "tier", &"x".repeat(257));
        }),
        case("a label with a NUL", &[&at("labels[tier]")], |one: &mut v1::Dimensions| label(one, "tier", "\0")),
        case(
            "a label's key of 65 bytes",
            &[&at(&format!("labels key `{}`", "x".repeat(64)))],
            |one: &mut v1::Dimensions| {
                label(one, &"x".repeat(65), "value");
            },
        ),
        case("a label's key with a NUL", &[&at("labels key `a\0`")], |one: &mut v1::Dimensions| {
            label(one, "a\0", "value");
        }),
    ]);
    cases
}

/// So many labels.
fn labels(count: usize) -> std::collections::HashMap<String, String> {
    (0..count).map(|number| (format!("label_{number}"), "value".to_owned())).collect()
}

fn label(dimensions: &mut v1::Dimensions, key: &str, value: &str) {
    dimensions.labels.insert(key.to_owned(), value.to_owned());
}

/// What breaks other units at `path`.
fn units<M: 'static>(path: &str, units: fn(&mut M) -> &mut Vec<v1::UnitCount>) -> Vec<Case<M>> {
    let at = |name: &str| format!("{path}[0].{name}");
    let one = move |what: &str, field: &str, unit: &str, quantity: &str| {
        let count = count(unit, quantity);
        case(&format!("{path}: {what}"), &[field], move |message: &mut M| *units(message) = vec![count.clone()])
    };
    vec![
        one("no name", &at("unit"), "", "1"),
        one("a name of 65 bytes", &at("unit"), &"x".repeat(65), "1"),
        one("a NUL", &at("unit"), "\0", "1"),
        one("no quantity", &at("quantity"), "page", ""),
        one("a negative quantity", &at("quantity"), "page", "-1"),
        one("an exponent", &at("quantity"), "page", "1e3"),
        one("13 decimals", &at("quantity"), "page", "0.0000000000001"),
        one("17 digits", &at("quantity"), "page", "10000000000000000"),
        case("33 units", &[path], move |message: &mut M| {
            *units(message) = (0..33).map(|number| count(&format!("unit_{number}"), "1")).collect();
        }),
        case("a unit twice", &[&format!("{path}[1].unit")], move |message: &mut M| {
            *units(message) = vec![count("page", "1"), count("page", "2")];
        }),
    ]
}

fn count(unit: &str, quantity: &str) -> v1::UnitCount {
    v1::UnitCount { unit: unit.to_owned(), quantity: quantity.to_owned() }
}

/// What breaks a condition, which `set` puts into the request at `path`.
fn conditions<M: 'static>(path: &str, set: fn(&mut M, Vec<v1::DimensionMatch>)) -> Vec<Case<M>> {
    let at = |name: &str| format!("{path}[0].{name}");
    let one = |what: &str, field: &str, condition: v1::DimensionMatch| {
        case(&format!("{path}: {what}"), &[field], move |message: &mut M| set(message, vec![condition.clone()]))
    };
    let keyed = |key: Option<v1::DimensionKey>| v1::DimensionMatch { key, ..matching(&["value"]) };
    let label = |label: &str| Some(v1::DimensionKey { name: "label".to_owned(), label: label.to_owned() });
    let named = |name: &str, label: &str| Some(v1::DimensionKey { name: name.to_owned(), label: label.to_owned() });
    let many: Vec<String> = (0..101).map(|number| number.to_string()).collect();
    vec![
        one("no key", &format!("{path}[0].key"), keyed(None)),
        one("an unknown key", &at("key.name"), keyed(named("labels", ""))),
        one("no name", &at("key.name"), keyed(named("", ""))),
        one("a label that is not asked for", &at("key.label"), keyed(named("user_id", "tier"))),
        one("a label without its key", &at("key.label"), keyed(label(""))),
        one("a label's key of 65 bytes", &at("key.label"), keyed(label(&"x".repeat(65)))),
        one("a label's key with a NUL", &at("key.label"), keyed(label("\0"))),
        one("no value", &at("values"), matching(&[])),
        one("101 values", &at("values"), v1::DimensionMatch { values: many, ..matching(&[]) }),
        one("a value of 257 bytes", &at("values[0]"), matching(&[&"x".repeat(257)])),
        one("a value with a NUL", &at("values[0]"), matching(&["\0"])),
        case(&format!("{path}: 17"), &[path], move |message: &mut M| set(message, vec![matching(&["value"]); 17])),
    ]
}

/// The user is one of these.
fn matching(values: &[&str]) -> v1::DimensionMatch {
    v1::DimensionMatch {
        key: Some(crate::harness::build::key("user_id")),
        values: values.iter().map(|value| (*value).to_owned()).collect(),
        ..Default::default()
    }
}

/// An instant that does not exist.
fn no_instant() -> Option<prost_types::Timestamp> {
    Some(prost_types::Timestamp { seconds: -1, nanos: 0 })
}
