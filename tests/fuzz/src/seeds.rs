//! What fuzzers start from: one valid input of each kind, so that they need not find the shape of a message by chance.

use prost::Message;
use tollgate_domain::extract::known_apis;
use tollgate_proto::v1;

/// Inputs of a target.
pub fn of(target: &str) -> Vec<Vec<u8>> {
    match target {
        "requests" => requests(),
        "provider_usage" => answers(),
        _ => summaries(),
    }
}

fn tagged(kind: u8, message: &impl Message) -> Vec<u8> {
    let mut bytes = vec![kind];
    bytes.extend(message.encode_to_vec());
    bytes
}

fn text(value: &str) -> String {
    value.to_owned()
}

fn model() -> v1::ModelRef {
    v1::ModelRef { provider_name: text("openai"), model: text("gpt-4o"), ..Default::default() }
}

fn time(seconds: i64) -> Option<prost_types::Timestamp> {
    Some(prost_types::Timestamp { seconds, nanos: 0 })
}

fn key(name: &str) -> v1::DimensionKey {
    v1::DimensionKey { name: text(name), label: String::new() }
}

fn dimensions() -> v1::Dimensions {
    v1::Dimensions {
        user_id: text("u"),
        session_id: text("s"),
        root_session_id: text("r"),
        agent_name: text("a"),
        workflow_step: Some(2),
        labels: [(text("k"), text("v"))].into(),
        ..Default::default()
    }
}

fn tokens() -> v1::TokenUsage {
    v1::TokenUsage {
        total_input_tokens: Some(1_000),
        total_output_tokens: Some(100),
        parts: vec![v1::TokenPart {
            token_class: v1::TokenClass::CacheWrite.into(),
            tokens: 10,
            cache_ttl: Some(prost_types::Duration { seconds: 300, nanos: 0 }),
        }],
        quality: v1::UsageQuality::Reported.into(),
        ..Default::default()
    }
}

fn event() -> v1::UsageEvent {
    v1::UsageEvent {
        key: Some(v1::usage_event::Key::EventId(text("01890a5d-ac96-774b-bcce-b302099a8057"))),
        start_time: time(1_767_225_600),
        end_time: time(1_767_225_601),
        dimensions: Some(dimensions()),
        operation_name: text("chat"),
        request_model: Some(model()),
        response_model: Some(model()),
        usage: Some(v1::usage_event::Usage::Tokens(tokens())),
        units: vec![v1::UnitCount { unit: text("web_search"), quantity: text("2") }],
        outcome: v1::CallOutcome::Ok.into(),
        reported_cost: text("0.0125"),
        reported_currency: text("USD"),
        metadata_json: text("{\"a\":1}"),
        ..Default::default()
    }
}

fn window() -> v1::Window {
    v1::Window { kind: v1::window::Kind::Day.into(), time_zone: text("Asia/Kathmandu"), ..Default::default() }
}

fn requests() -> Vec<Vec<u8>> {
    let reported = v1::UsageEvent {
        usage: Some(v1::usage_event::Usage::ProviderUsage(v1::ProviderUsage {
            api: text("openai.chat"),
            json: br#"{"prompt_tokens":10,"completion_tokens":2,"prompt_tokens_details":{"cached_tokens":4}}"#.to_vec(),
        })),
        ..event()
    };
    let estimate = v1::Estimate { input_tokens: Some(100), max_output_tokens: Some(50), ..Default::default() };
    let check = v1::CheckBudgetRequest {
        mode: v1::CheckMode::Reserve.into(),
        reservation_id: text("01890a5d-ac96-774b-bcce-b302099a8057"),
        dimensions: Some(dimensions()),
        model: Some(model()),
        fallbacks: vec![model()],
        estimate: Some(estimate.clone()),
        ttl: Some(prost_types::Duration { seconds: 60, nanos: 0 }),
        ..Default::default()
    };
    let extension = v1::ExtendReservationRequest {
        reservation_id: text("01890a5d-ac96-774b-bcce-b302099a8057"),
        ttl: Some(prost_types::Duration { seconds: 60, nanos: 0 }),
        sequence: 1,
        running_usage: Some(tokens()),
        raise_to: Some(estimate),
        model: Some(model()),
    };
    let rule = v1::Rule { at_fraction: text("0.8"), action: v1::Action::Alert.into(), ..Default::default() };
    let budget = v1::Budget {
        budget_id: text("b"),
        selector: vec![v1::DimensionMatch { key: Some(key("team_id")), values: vec![text("t")], ..Default::default() }],
        per: vec![key("user_id")],
        unit: v1::Unit::Usd.into(),
        window: Some(window()),
        limit: text("10.5"),
        rules: vec![rule],
        ..Default::default()
    };
    let amendment = v1::AmendUsageRequest {
        request_id: text("01890a5d-ac96-774b-bcce-b302099a8057"),
        event_id: text("01890a5d-ac96-774b-bcce-b302099a8057"),
        expected_revision: 1,
        change: Some(v1::amend_usage_request::Change::Replacement(event())),
        reason: text("r"),
        ..Default::default()
    };
    let reprice = v1::RepriceUsageRequest {
        start_time: time(1_767_225_600),
        end_time: time(1_767_312_000),
        reason: text("r"),
        ..Default::default()
    };
    let price = v1::SetPriceRequest {
        price: Some(v1::Price { model: Some(model()), ..Default::default() }),
        request_id: text("01890a5d-ac96-774b-bcce-b302099a8057"),
        ..Default::default()
    };
    let scope = v1::WatchScope {
        key: text("k"),
        scope: Some(v1::watch_scope::Scope::UserId(text("u"))),
        window: Some(window()),
        breakdown: Some(key("agent_name")),
        breakdown_limit: 5,
        budgets: true,
    };
    vec![
        tagged(0, &v1::RecordUsageRequest { event: Some(event()), ..Default::default() }),
        tagged(0, &v1::RecordUsageRequest { event: Some(reported.clone()), ..Default::default() }),
        tagged(1, &v1::BatchRecordUsageRequest { events: vec![event(), reported], ..Default::default() }),
        tagged(2, &check),
        tagged(3, &extension),
        tagged(4, &v1::CreateBudgetRequest { budget: Some(budget), ..Default::default() }),
        tagged(5, &amendment),
        tagged(6, &reprice),
        tagged(7, &price),
        tagged(7, &v1::StreamUsageRequest { scopes: vec![scope], ..Default::default() }),
    ]
}

/// One answer in the form of each family of APIs, told as each of them.
fn answers() -> Vec<Vec<u8>> {
    let forms = [
        r#"{"model":"m","usage":{"prompt_tokens":10,"completion_tokens":5,"total_tokens":15,"prompt_tokens_details":{"cached_tokens":4},"completion_tokens_details":{"reasoning_tokens":2}}}"#,
        r#"{"model":"m","usage":{"input_tokens":10,"output_tokens":5,"cache_read_input_tokens":3,"cache_creation_input_tokens":2,"cache_creation":{"ephemeral_5m_input_tokens":2}}}"#,
        r#"{"usageMetadata":{"promptTokenCount":10,"candidatesTokenCount":5,"thoughtsTokenCount":2,"totalTokenCount":17,"cachedContentTokenCount":3}}"#,
        r#"{"usage":{"inputTokens":10,"outputTokens":5,"totalTokens":15,"cacheReadInputTokens":1}}"#,
        r#"{"meta":{"billed_units":{"input_tokens":10,"output_tokens":5,"search_units":1}}}"#,
        r#"{"prompt_eval_count":10,"eval_count":5,"done":true}"#,
        "data: {\"usage\":{\"prompt_tokens\":1,\"completion_tokens\":2}}\n\ndata: [DONE]\n\n",
        "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"usage\":{\"input_tokens\":3}}}\n\n",
    ];
    let apis = u8::try_from(known_apis().count()).unwrap_or(u8::MAX);
    let told = |api: u8| forms.iter().map(move |form| [&[api, 7], form.as_bytes()].concat());
    (0..apis).step_by(5).flat_map(told).collect()
}

fn summaries() -> Vec<Vec<u8>> {
    let base = v1::GetSummaryRequest {
        start_time: time(1_767_225_600),
        end_time: time(1_769_904_000),
        time_zone: text("America/St_Johns"),
        granularity: v1::Granularity::Day.into(),
        group_by: vec![key("user_id"), key("model")],
        filter: vec![v1::DimensionMatch { key: Some(key("team_id")), values: vec![text("t")], ..Default::default() }],
        models: vec![text("gpt-4o")],
        measures: Some(prost_types::FieldMask { paths: vec![text("totals"), text("latency_p50")] }),
        order_by: text("usd desc"),
        top: 10,
        page_size: 100,
        ..Default::default()
    };
    let hourly = v1::GetSummaryRequest { granularity: v1::Granularity::Hour.into(), ..base.clone() };
    let bare = v1::GetSummaryRequest { start_time: base.start_time, end_time: base.end_time, ..Default::default() };
    [base, hourly, bare].iter().map(Message::encode_to_vec).collect()
}
