//! A good request of each method.

use prost::Message;
use prost_reflect::{DynamicMessage, MethodDescriptor};
use serde_json::{Value, json};
use tollgate_proto::v1;

use crate::harness::TestServer;
use crate::harness::build::{block, budget, create, event, gpt_4o, id, key, record, reserve, session, user};

const BUDGET: &str = "prepared";

/// What is there before the first request.
#[derive(Clone)]
pub(super) struct Prepared {
    event_id: String,
    reservation_id: String,
}

fn everyone() -> v1::Budget {
    v1::Budget { per: vec![key("user_id")], ..budget(BUDGET, "1000000") }
}

/// A budget, an event and a hold.
pub(super) async fn prepare(server: &TestServer) -> Prepared {
    server.budgets.clone().create_budget(create(everyone())).await.unwrap();
    let recorded = server.usage.clone().record_usage(record(event(session("s1"), 10, 10))).await.unwrap().into_inner();
    let check = reserve(user("u1"), 10, 10);
    let reservation_id = check.reservation_id.clone();
    server.budgets.clone().check_budget(check).await.unwrap();
    Prepared { event_id: recorded.event_id, reservation_id }
}

/// A request that is taken, or that names what is not there.
pub(super) fn good(method: &MethodDescriptor, prepared: &Prepared) -> DynamicMessage {
    let known = match method.name() {
        "RecordUsage" => record(rich()).encode_to_vec(),
        "BatchRecordUsage" => {
            v1::BatchRecordUsageRequest { events: vec![rich()], ..Default::default() }.encode_to_vec()
        }
        "CheckBudget" => {
            let mut check = reserve(user("u1"), 10, 10);
            check.fallbacks = vec![gpt_4o()];
            check.encode_to_vec()
        }
        "CreateBudget" => {
            let budget = v1::Budget { budget_id: id(), rules: vec![block()], ..everyone() };
            v1::CreateBudgetRequest { budget: Some(budget), request_id: id(), validate_only: true }.encode_to_vec()
        }
        "UpdateBudget" => v1::UpdateBudgetRequest { budget: Some(everyone()), ..Default::default() }.encode_to_vec(),
        name => return DynamicMessage::deserialize(method.input(), as_json(name, prepared)).unwrap(),
    };
    DynamicMessage::decode(method.input(), known.as_slice()).unwrap()
}

fn as_json(method: &str, prepared: &Prepared) -> Value {
    let Prepared { event_id, reservation_id } = prepared;
    match method {
        "AmendUsage" => json!({
            "requestId": id(), "eventId": event_id, "expectedRevision": "1", "cancel": true, "reason": "wrong", "validateOnly": true,
        }),
        "GetUsage" => json!({ "eventId": event_id }),
        "GetSummary" => json!({
            "startTime": "2026-09-20T00:00:00Z", "endTime": "2026-09-21T00:00:00Z", "groupBy": [{ "name": "agent_name" }],
        }),
        "StreamUsage" | "GetTotals" => json!({
            "scopes": [{ "key": "a", "sessionId": "s1", "breakdown": { "name": "agent_name" } }],
        }),
        "ExtendReservation" => json!({ "reservationId": reservation_id, "sequence": "1" }),
        "ReleaseReservation" => json!({ "reservationId": reservation_id, "reason": "unused" }),
        "GetReservation" => json!({ "reservationId": reservation_id }),
        "GetBudget" => json!({ "budgetId": BUDGET }),
        "DeleteBudget" => json!({ "budgetId": id() }),
        "SetBudgetOverride" => json!({
            "budgetOverride": { "budgetId": BUDGET, "perValues": { "user_id": "u1" }, "limit": "5" },
        }),
        "ListBudgetOverrides" | "ListBudgetStates" => json!({ "budgetId": BUDGET }),
        "DeleteBudgetOverride" => json!({ "budgetId": BUDGET, "perValues": { "user_id": "u1" } }),
        "SetPrice" => json!({
            "price": {
                "model": { "providerName": "openai", "model": "gpt-4o" },
                "coverage": "COVERAGE_MODEL",
                "startTime": "2100-01-01T00:00:00Z",
                "rates": [{ "line": "input_text", "usd": "1", "per": "1000000" }],
            },
            "requestId": id(), "validateOnly": true,
        }),
        "EstimateCost" => json!({
            "model": { "providerName": "openai", "model": "gpt-4o" },
            "tokens": { "totalInputTokens": "10", "totalOutputTokens": "10", "quality": "USAGE_QUALITY_REPORTED" },
        }),
        "RepriceUsage" => json!({ "startTime": "2026-09-20T00:00:00Z", "endTime": "2026-09-21T00:00:00Z" }),
        "EndPrice" => json!({ "priceId": "p1" }),
        "AcknowledgeAlert" => json!({ "alertId": id() }),
        "CreateApiKey" => json!({
            "apiKey": { "displayName": "a", "permissions": ["PERMISSION_READ"], "pinned": { "userId": "u1" } }, "requestId": id(),
        }),
        "RotateApiKey" | "RevokeApiKey" => json!({ "apiKeyId": id() }),
        "CreateViewToken" => json!({ "scopes": [{ "key": "a", "sessionId": "s1" }] }),
        "EraseSubject" => json!({ "userId": "u9", "requestId": id(), "reason": "asked for it", "validateOnly": true }),
        "GetErasure" => json!({ "erasureId": id() }),
        // Nothing is required.
        _ => json!({}),
    }
}

/// An event with something in most of its fields.
fn rich() -> v1::UsageEvent {
    let mut event = event(session("s1"), 1_000, 1_000);
    event.units = vec![v1::UnitCount { unit: "web_search".to_owned(), quantity: "2".to_owned() }];
    event.metadata_json = "{\"a\": 1}".to_owned();
    if let Some(dimensions) = &mut event.dimensions {
        dimensions.user_id = "u1".to_owned();
        dimensions.agent_name = "planner".to_owned();
        dimensions.labels.insert("tier".to_owned(), "gold".to_owned());
    }
    event
}
