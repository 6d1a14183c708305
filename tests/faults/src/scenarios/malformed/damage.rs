//! Whole requests, and ways to damage them.

use std::time::Duration;

use prost::Message as _;
use rand::Rng as _;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;
use tollgate_client::{Window, v1};

use crate::http2::frame::{call, flag, frame, hello, kind, message};
use crate::requests::{budget, check, event};

/// A whole request.
#[derive(Debug, Clone)]
pub(super) struct Request {
    path: &'static str,
    message: Vec<u8>,
}

/// A number of 64 bits as it is written, and one that never ends.
const HUGE: [&[u8]; 3] = [
    &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01],
    &[0xff; 12],
    // A field of two gigabytes.
    &[0x0a, 0xff, 0xff, 0xff, 0xff, 0x07],
];
const PATHS: [&str; 6] = [
    "/tollgate.v1.UsageService/Nothing",
    "/tollgate.v1.Nothing/RecordUsage",
    "/grpc.health.v1.Health/Check",
    "/",
    "*",
    "/%00/\u{fffd}/../..",
];
const TYPES: [&str; 4] = ["application/json", "application/grpc-web+proto", "", "application/grpc; charset=x"];
const ENCODINGS: [&str; 3] = ["gzip", "identity", "snappy"];
const TIMEOUTS: [&str; 4] = ["99999999H", "-1S", "1", "0n"];

/// What is damaged: calls that write, that hold, that read, and that configure.
pub(super) fn requests() -> Vec<Request> {
    let of = |path, message| Request { path, message };
    let record = v1::RecordUsageRequest { event: Some(event(Some("damaged"), "damaged", 10)), ..Default::default() };
    let batch = v1::BatchRecordUsageRequest {
        events: (0..4).map(|_| event(None, "damaged", 3)).collect(),
        ..Default::default()
    };
    let totals = v1::GetTotalsRequest {
        scopes: vec![v1::WatchScope {
            key: "s".to_owned(),
            scope: Some(v1::watch_scope::Scope::SessionId("damaged".to_owned())),
            ..Default::default()
        }],
        ..Default::default()
    };
    let create: v1::Budget = budget("damaged", 1_000, Window::lifetime()).into();
    let create = v1::CreateBudgetRequest { budget: Some(create), ..Default::default() };
    vec![
        of("/tollgate.v1.UsageService/RecordUsage", record.encode_to_vec()),
        of("/tollgate.v1.UsageService/BatchRecordUsage", batch.encode_to_vec()),
        of("/tollgate.v1.BudgetService/CheckBudget", check("damaged", 5, Duration::from_secs(5)).encode_to_vec()),
        of("/tollgate.v1.UsageService/GetTotals", totals.encode_to_vec()),
        of("/tollgate.v1.UsageService/GetSummary", v1::GetSummaryRequest::default().encode_to_vec()),
        of("/tollgate.v1.BudgetService/CreateBudget", create.encode_to_vec()),
    ]
}

fn one<'a>(requests: &'a [Request], rng: &mut StdRng) -> Option<&'a Request> {
    requests.choose(rng)
}

/// A request in whole frames whose stream ends with it, damaged in its message, its length, or its headers.
pub(super) fn damaged_request(requests: &[Request], stream: u32, rng: &mut StdRng) -> Vec<u8> {
    let Some(Request { path, message: content }) = one(requests, rng) else { return Vec::new() };
    let mut content = content.clone();
    let mut path = *path;
    let mut headers: Vec<(&str, Vec<u8>)> = Vec::new();
    let mut body = None;
    match rng.random_range(0..10) {
        0 => flip(&mut content, rng),
        1 => content.truncate(rng.random_range(0..=content.len())),
        2 => {
            let at = rng.random_range(0..=content.len());
            let huge = HUGE.choose(rng).copied().unwrap_or_default();
            content.splice(at..at, huge.iter().copied());
        }
        3 => content = (0..rng.random_range(0..200)).map(|_| rng.random()).collect(),
        4 => body = Some(wrong_length(&content, rng)),
        5 => path = PATHS.choose(rng).copied().unwrap_or("/"),
        6 => headers.push(("content-type", choice(&TYPES, rng))),
        7 => headers.push(("grpc-encoding", choice(&ENCODINGS, rng))),
        8 => headers.push(("grpc-timeout", choice(&TIMEOUTS, rng))),
        // Bytes that no header may have cost the connection: they are among the damaged frames.
        _ => {
            headers.push(("x-bytes", (0..rng.random_range(0..3_000)).map(|_| rng.random_range(b' '..=b'~')).collect()));
        }
    }
    let compressed = rng.random_ratio(1, 20);
    let body = body.unwrap_or_else(|| message(compressed, &content));
    let headers: Vec<(&str, &[u8])> = headers.iter().map(|(name, value)| (*name, value.as_slice())).collect();
    let mut bytes = frame(kind::HEADERS, flag::END_HEADERS, stream, &call(path, &headers));
    bytes.extend(frame(kind::DATA, flag::END_STREAM, stream, &body));
    bytes
}

/// A whole connection with one request, damaged anywhere behind the preface or in it.
pub(super) fn damaged_frames(requests: &[Request], rng: &mut StdRng) -> Vec<u8> {
    let Some(Request { path, message: content }) = one(requests, rng) else { return Vec::new() };
    let mut bytes = hello();
    let noise: Vec<u8> = (0..rng.random_range(0..100)).map(|_| rng.random()).collect();
    bytes.extend(frame(kind::HEADERS, flag::END_HEADERS, 1, &call(path, &[("x-bytes", &noise)])));
    bytes.extend(frame(kind::DATA, flag::END_STREAM, 1, &message(false, content)));
    match rng.random_range(0..4) {
        0 => bytes.truncate(rng.random_range(0..bytes.len())),
        1 => {
            let at = rng.random_range(0..bytes.len());
            let noise: Vec<u8> = (0..rng.random_range(1..64)).map(|_| rng.random()).collect();
            bytes.splice(at..at, noise);
        }
        2 => {
            // A frame of any kind, with any flags, on any stream.
            let noise: Vec<u8> = (0..rng.random_range(0..64)).map(|_| rng.random()).collect();
            let any = frame(rng.random_range(0..12), rng.random(), rng.random(), &noise);
            let at = hello().len();
            bytes.splice(at..at, any);
        }
        _ => flip(&mut bytes, rng),
    }
    bytes
}

/// Turns one to eight bits.
fn flip(bytes: &mut [u8], rng: &mut StdRng) {
    if bytes.is_empty() {
        return;
    }
    for _ in 0..rng.random_range(1..=8) {
        let at = rng.random_range(0..bytes.len());
        if let Some(byte) = bytes.get_mut(at) {
            *byte ^= 1 << rng.random_range(0..8);
        }
    }
}

/// A message that claims to be longer or shorter than it is.
fn wrong_length(content: &[u8], rng: &mut StdRng) -> Vec<u8> {
    let claimed: u32 = if rng.random() { rng.random() } else { rng.random_range(0..2_000) };
    [&[0], claimed.to_be_bytes().as_slice(), content].concat()
}

fn choice(texts: &[&str], rng: &mut StdRng) -> Vec<u8> {
    texts.choose(rng).copied().unwrap_or_default().as_bytes().to_vec()
}
