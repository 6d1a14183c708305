//! Every field of every request, from the descriptor: what is nasty is refused by its field or taken, and never a fault of the
//! server, a hang, or a figure that no longer adds up.

mod nasty;
mod raw;
mod requests;

use std::time::Duration;

use futures::StreamExt as _;
use prost_reflect::{DescriptorPool, MethodDescriptor};
use tonic::{Code, Status};

use self::nasty::Attempt;
use self::raw::RawCalls;
use crate::harness::TestServer;
use crate::harness::refusal::Refusal;

/// Calls that are under way at once.
const AT_ONCE: usize = 8;
/// No call takes so long, however loaded the machine is.
const HANGS: Duration = Duration::from_secs(60);

fn descriptors() -> DescriptorPool {
    DescriptorPool::decode(tollgate_proto::FILE_DESCRIPTOR_SET).unwrap()
}

/// Sends everything nasty in every field of every request of a service.
async fn attack(service: &str) {
    let pool = descriptors();
    let service = pool.get_service_by_name(&format!("tollgate.v1.{service}")).unwrap();
    let mut wrong = Vec::new();
    for method in service.methods() {
        // A database of its own: what one leaves is no one else's.
        let server = TestServer::start().await;
        let prepared = requests::prepare(&server).await;
        let calls = RawCalls::to(&server.url).await;
        let attempts = nasty::attempts(&method, || requests::good(&method, &prepared));
        assert!(attempts.len() > 1 || method.input().fields().len() == 0, "{}", method.full_name());
        let outcomes: Vec<Option<String>> = futures::stream::iter(attempts)
            .map(|attempt| {
                let (calls, method) = (calls.clone(), method.clone());
                async move { outcome(&calls, &method, attempt).await }
            })
            .buffer_unordered(AT_ONCE)
            .collect()
            .await;
        wrong.extend(outcomes.into_iter().flatten());
        server.assert_audit_holds().await;
    }
    assert!(wrong.is_empty(), "{} wrong answers:\n{}", wrong.len(), wrong.join("\n"));
}

/// What is wrong with the answer to an attempt.
async fn outcome(calls: &RawCalls, method: &MethodDescriptor, attempt: Attempt) -> Option<String> {
    let Attempt { what, path, bytes } = attempt;
    let Ok(answer) = tokio::time::timeout(HANGS, calls.call(method, bytes)).await else {
        return Some(format!("{} {what}: hangs", method.name()));
    };
    let refused = answer.err()?;
    complaint(&path, &refused).map(|why| format!("{} {what}: {why}", method.name()))
}

/// Why a refusal is none that a caller can act on.
fn complaint(path: &[String], refused: &Status) -> Option<String> {
    let Refusal { code, reason, fields } = Refusal::of(refused);
    match code {
        Code::InvalidArgument if reason == "PAGE_TOKEN_INVALID" => None,
        Code::InvalidArgument => {
            let is_near = |field: &str| path.is_empty() || path.iter().any(|name| field.contains(name.as_str()));
            let named = fields.iter().any(|field| is_near(field));
            (!named).then(|| format!("names {fields:?} ({reason})"))
        }
        // The request was understood, and the state is what it stumbles over.
        Code::NotFound | Code::FailedPrecondition | Code::AlreadyExists | Code::Aborted | Code::Unimplemented
            if !reason.is_empty() =>
        {
            None
        }
        code => Some(format!("{code:?} {reason}: {}", refused.message())),
    }
}

#[tokio::test]
async fn nothing_nasty_in_usage_requests_is_a_fault() {
    attack("UsageService").await;
}

#[tokio::test]
async fn nothing_nasty_in_budget_requests_is_a_fault() {
    attack("BudgetService").await;
}

#[tokio::test]
async fn nothing_nasty_in_price_requests_is_a_fault() {
    attack("PriceService").await;
}

#[tokio::test]
async fn nothing_nasty_in_alert_requests_is_a_fault() {
    attack("AlertService").await;
}

#[tokio::test]
async fn nothing_nasty_in_admin_requests_is_a_fault() {
    attack("AdminService").await;
}
