//! A provider's own usage object: sorted into classes, priced, kept and shown like counts that the caller sent.

use tollgate_proto::v1;
use tonic::Code;
use tonic_types::StatusExt as _;

use crate::harness::TestServer;
use crate::harness::build::{budget, create, event, id, key, model, now, record, session};
use crate::harness::refusal::{Refusal, reason};
use crate::harness::time::{at, seconds_from_now};

/// An event whose usage the provider tells.
fn told(provider: &str, name: &str, api: &str, json: &str) -> v1::UsageEvent {
    v1::UsageEvent {
        request_model: Some(model(provider, name)),
        start_time: Some(at("2026-11-16T13:05:09Z")),
        usage: Some(v1::usage_event::Usage::ProviderUsage(v1::ProviderUsage {
            api: api.to_owned(),
            json: json.as_bytes().to_vec(),
        })),
        ..event(session("s1"), 0, 0)
    }
}

async fn send(server: &TestServer, event: &v1::UsageEvent) -> Result<v1::RecordUsageResponse, tonic::Status> {
    Ok(server.usage.clone().record_usage(record(event.clone())).await?.into_inner())
}

async fn kept(server: &TestServer, event_id: &str) -> v1::UsageRecord {
    let key = Some(v1::get_usage_request::Key::EventId(event_id.to_owned()));
    server.usage.clone().get_usage(v1::GetUsageRequest { key }).await.unwrap().into_inner().record.unwrap()
}

fn lines(cost: &v1::Cost) -> Vec<(&str, &str, &str, &str)> {
    cost.lines.iter().map(|line| (&*line.line, &*line.quantity, &*line.usd, &*line.model)).collect()
}

const PRIORITY: &str = r#"{"id":"chatcmpl-1","model":"gpt-6.1-sol","service_tier":"priority","usage":{"prompt_tokens":5436,
"completion_tokens":979,"total_tokens":6415,"prompt_tokens_details":{"cached_tokens":1024,"cache_write_tokens":4224},
"completion_tokens_details":{"reasoning_tokens":678}}}"#;

#[tokio::test]
async fn an_answer_is_sorted_into_classes_and_priced_in_the_tier_that_served_it() {
    let server = TestServer::start().await;
    let event = told("openai", "gpt-6.1-sol", "openai.chat", PRIORITY);
    let answer = send(&server, &event).await.unwrap();
    let cost = answer.cost.unwrap();
    assert_eq!((cost.usd.as_str(), cost.state()), ("0.0416568", v1::PriceState::Priced));
    let names: Vec<&str> = cost.lines.iter().map(|line| line.line.as_str()).collect();
    assert_eq!(names, ["input", "output", "cache_read", "cache_write", "reasoning"]);

    let record = kept(&server, &answer.event_id).await;
    assert_eq!(record.cost.unwrap(), cost);
    let event = record.event.unwrap();
    let answered = event.response_model.unwrap();
    assert_eq!((answered.model.as_str(), answered.provider_tier.as_str()), ("gpt-6.1-sol", "priority"));
    assert_eq!(event.response_id, "chatcmpl-1");
    let extracted = record.extracted.unwrap();
    assert_eq!((extracted.total_input_tokens, extracted.total_output_tokens), (Some(5_436), Some(979)));
    assert_eq!(event.usage, Some(v1::usage_event::Usage::Tokens(extracted)));
    server.assert_audit_holds().await;
}

#[tokio::test]
async fn what_the_caller_says_stands_over_what_the_provider_says() {
    let server = TestServer::start().await;
    let mut event = told("openai", "gpt-6.1-sol", "openai.chat", PRIORITY);
    event.response_model =
        Some(v1::ModelRef { provider_tier: "flex".to_owned(), ..model("openai", "gpt-6.1-sol-2026-11-03") });
    event.response_id = "mine".to_owned();
    let answer = send(&server, &event).await.unwrap();
    let record = kept(&server, &answer.event_id).await.event.unwrap();
    let answered = record.response_model.unwrap();
    assert_eq!((answered.model.as_str(), answered.provider_tier.as_str()), ("gpt-6.1-sol-2026-11-03", "flex"));
    assert_eq!(record.response_id, "mine");
}

const ADVISED: &str = r#"{"model":"claude-haiku-4-5","usage":{"input_tokens":1000,"output_tokens":100,"iterations":[
{"type":"message","input_tokens":1000,"output_tokens":100},
{"type":"advisor_message","model":"claude-opus-5-5","input_tokens":800,"output_tokens":50,"cache_read_input_tokens":200}]}}"#;

#[tokio::test]
async fn an_answer_that_two_models_gave_is_billed_line_by_line() {
    let server = TestServer::start().await;
    server.budgets.clone().create_budget(create(budget("b", "1"))).await.unwrap();
    let event = v1::UsageEvent {
        start_time: Some(now()),
        ..told("anthropic", "claude-haiku-4-5", "anthropic.messages", ADVISED)
    };
    let answer = send(&server, &event).await.unwrap();
    let cost = answer.cost.unwrap();
    let (small, large) = ("claude-haiku-4-5", "claude-opus-5-5");
    assert_eq!(
        lines(&cost),
        [
            ("input", "1000", "0.001", small),
            ("output", "100", "0.0005", small),
            ("input", "800", "0.0032", large),
            ("output", "50", "0.001", large),
            ("cache_read", "200", "0.00004", large),
        ]
    );
    assert_eq!(cost.usd, "0.00574");
    assert_eq!(kept(&server, &answer.event_id).await.cost.unwrap(), cost, "recomputed from what was kept");
    let totals = answer.session_totals.unwrap();
    let counted = totals.tokens.unwrap();
    assert_eq!((counted.total_input_tokens, counted.total_output_tokens, totals.usd.as_str()), (2_000, 150, "0.00574"));
    assert_eq!(answer.budgets[0].spent, "0.00574");

    // By session it is read from the event itself, by day from the rollup: both know the classes of both models.
    for group in ["session_id", "model"] {
        let request = v1::GetSummaryRequest {
            start_time: Some(seconds_from_now(-3_600)),
            end_time: Some(seconds_from_now(3_600)),
            group_by: vec![key(group)],
            ..Default::default()
        };
        let summary = server.usage.clone().get_summary(request).await.unwrap().into_inner();
        let total = summary.total.unwrap();
        let classes: Vec<(&str, &str)> =
            total.cost_by_class.iter().map(|line| (line.line.as_str(), line.usd.as_str())).collect();
        assert_eq!(classes, [("input", "0.0042"), ("output", "0.0015"), ("cache_read", "0.00004")], "{group}");
    }
    server.assert_audit_holds().await;
}

#[tokio::test]
async fn a_cost_that_the_provider_reports_is_kept_beside_ours() {
    let server = TestServer::start().await;
    let body = r#"{"model":"anthropic/claude-sonnet-4.5","usage":{"prompt_tokens":4060,"completion_tokens":1044,
        "total_tokens":5104,"cost":0.0177,"prompt_tokens_details":{"cached_tokens":2466,"cache_write_tokens":809},
        "completion_tokens_details":{"reasoning_tokens":544}}}"#;
    let event = told("openrouter", "anthropic/claude-sonnet-4.5", "openrouter.chat", body);
    let answer = send(&server, &event).await.unwrap();
    assert_eq!(answer.cost.unwrap().usd, "0.02178855");
    assert_eq!(answer.notices, ["REPORTED_COST_DIFFERS"], "18 % and 0.4 cents");
    let record = kept(&server, &answer.event_id).await.event.unwrap();
    assert_eq!((record.reported_cost.as_str(), record.reported_currency.as_str()), ("0.0177", "USD"));
    let request = v1::GetSummaryRequest {
        start_time: Some(at("2026-11-16T00:00:00Z")),
        end_time: Some(at("2026-11-17T00:00:00Z")),
        ..Default::default()
    };
    let summary = server.usage.clone().get_summary(request).await.unwrap().into_inner();
    assert_eq!(summary.total.unwrap().reported_delta_usd, "-0.00408855");
}

#[tokio::test]
async fn an_estimate_from_an_answer_is_what_recording_it_charges() {
    let server = TestServer::start().await;
    for (provider, name, api, json) in [
        ("openai", "gpt-6.1-sol", "openai.chat", PRIORITY),
        ("anthropic", "claude-haiku-4-5", "anthropic.messages", ADVISED),
    ] {
        let event = told(provider, name, api, json);
        let Some(v1::usage_event::Usage::ProviderUsage(usage)) = event.usage.clone() else { panic!("{event:?}") };
        let request = v1::EstimateCostRequest {
            model: event.request_model.clone(),
            usage: Some(v1::estimate_cost_request::Usage::ProviderUsage(usage)),
            start_time: event.start_time,
            ..Default::default()
        };
        let estimate = server.prices.clone().estimate_cost(request).await.unwrap().into_inner().cost;
        assert_eq!(estimate, send(&server, &event).await.unwrap().cost);
    }
}

#[tokio::test]
async fn an_object_that_cannot_be_read_is_refused_with_its_field() {
    let server = TestServer::start().await;
    let parts = r#"{"prompt_tokens":10,"completion_tokens":1,"prompt_tokens_details":{"cached_tokens":11}}"#;
    let long = format!("{{\"prompt_tokens\":1,\"completion_tokens\":1,\"x\":\"{}\"}}", "x".repeat(16 << 10));
    let cases = [
        ("openai.chat", "{", "json", "ends before"),
        ("openai.chat", "{}", "json", "no usage found"),
        ("openai.chat", parts, "json", "cached_tokens"),
        ("openai.chat", r#"{"prompt_tokens":-1,"completion_tokens":1}"#, "json", "`prompt_tokens`"),
        ("openai.chat", &long, "json", "at most 16384 bytes"),
        ("nobody.nothing", PRIORITY, "api", "unknown api"),
        ("", PRIORITY, "api", "1 to 64 bytes"),
    ];
    for (api, json, field, rule) in cases {
        let refused = send(&server, &told("openai", "gpt-4o", api, json)).await.unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument, "{json}");
        let violations = refused.get_error_details().bad_request().unwrap().field_violations.clone();
        let [violation] = violations.as_slice() else { panic!("{violations:?}") };
        assert_eq!(violation.field, format!("event.provider_usage.{field}"));
        assert!(violation.description.contains(rule), "{json}: {violation:?}");
    }
}

#[tokio::test]
async fn the_tier_that_served_is_billed_not_the_one_that_was_asked_for() {
    let server = TestServer::start().await;
    let downgraded = PRIORITY.replace("\"priority\"", "\"default\"");
    let ask = |json: &str| {
        let mut event = told("openai", "gpt-6.1-sol", "openai.chat", json);
        event.request_model.as_mut().unwrap().provider_tier = "priority".to_owned();
        event
    };
    let priority = send(&server, &ask(PRIORITY)).await.unwrap().cost.unwrap();
    let standard = send(&server, &ask(&downgraded)).await.unwrap().cost.unwrap();
    assert_eq!((priority.usd.as_str(), standard.usd.as_str()), ("0.0416568", "0.0208284"));
    let Some(v1::usage_event::Usage::ProviderUsage(usage)) = ask(&downgraded).usage else { panic!() };
    let request = v1::EstimateCostRequest {
        model: ask(&downgraded).request_model,
        usage: Some(v1::estimate_cost_request::Usage::ProviderUsage(usage)),
        start_time: ask(&downgraded).start_time,
        ..Default::default()
    };
    let estimate = server.prices.clone().estimate_cost(request).await.unwrap().into_inner().cost.unwrap();
    assert_eq!(estimate.usd, "0.0208284", "an estimate is priced as it would be recorded");
}

#[tokio::test]
async fn an_inference_profile_keeps_its_price_although_the_answer_names_the_bare_model() {
    let server = TestServer::start().await;
    let body = r#"{"model":"claude-haiku-4-5-20251001","usage":{"input_tokens":1000000,"output_tokens":0}}"#;
    let event = told("aws", "global.anthropic.claude-haiku-4-5-20251001-v1:0", "aws.anthropic", body);
    assert_eq!(send(&server, &event).await.unwrap().cost.unwrap().usd, "1");
}

#[tokio::test]
async fn what_was_asked_for_is_priced_where_what_answered_has_no_price() {
    let server = TestServer::start().await;
    let body = r#"{"model":"weights-of-tuesday","usage":{"prompt_tokens":1000,"completion_tokens":1000}}"#;
    let event = told("openai", "gpt-4o", "openai.chat", body);
    let answer = send(&server, &event).await.unwrap();
    assert_eq!(answer.cost.unwrap().usd, "0.0125");
    let kept = kept(&server, &answer.event_id).await.event.unwrap();
    assert_eq!(kept.response_model.unwrap().model, "weights-of-tuesday", "what answered is told all the same");
}

#[tokio::test]
async fn decision_7_the_same_bytes_are_the_same_event_and_others_are_not() {
    let server = TestServer::start().await;
    let event = told("openai", "gpt-6.1-sol", "openai.chat", PRIORITY);
    let first = send(&server, &event).await.unwrap();
    assert_eq!(first.result(), v1::RecordResult::Recorded);
    assert_eq!(send(&server, &event).await.unwrap().result(), v1::RecordResult::Duplicate);
    let other = PRIORITY.replace("chatcmpl-1", "chatcmpl-2");
    let other = v1::UsageEvent { usage: told("", "", "openai.chat", &other).usage, ..event.clone() };
    let spaced = v1::UsageEvent { usage: told("", "", "openai.chat", &format!(" {PRIORITY}")).usage, ..event.clone() };
    for retold in [other, spaced] {
        assert_eq!(reason(&send(&server, &retold).await.unwrap_err()), "EVENT_ID_REUSED");
    }
}

#[tokio::test]
async fn invariant_10_one_answer_is_billed_as_a_bounded_number_of_models() {
    let server = TestServer::start().await;
    let advice = |count: usize| {
        let advice = r#"{"type":"advisor_message","model":"claude-opus-5-5","input_tokens":1,"output_tokens":1}"#;
        format!(
            r#"{{"usage":{{"input_tokens":1,"output_tokens":1,"iterations":[{}]}}}}"#,
            vec![advice; count].join(",")
        )
    };
    let event = |count| told("anthropic", "claude-haiku-4-5", "anthropic.messages", &advice(count));
    send(&server, &event(8)).await.unwrap();
    let refused = send(&server, &event(9)).await.unwrap_err();
    assert_eq!(Refusal::of(&refused), Refusal::new(Code::InvalidArgument, "INVALID_FIELD", &["event.provider_usage"]));
}

#[tokio::test]
async fn counts_cannot_replace_what_two_models_used() {
    let server = TestServer::start().await;
    let answer = send(&server, &told("anthropic", "claude-haiku-4-5", "anthropic.messages", ADVISED)).await.unwrap();
    let record = kept(&server, &answer.event_id).await;
    let amend = |replacement: v1::UsageEvent| v1::AmendUsageRequest {
        request_id: id(),
        event_id: answer.event_id.clone(),
        expected_revision: 1,
        change: Some(v1::amend_usage_request::Change::Replacement(replacement)),
        reason: "it failed".to_owned(),
        validate_only: false,
    };
    let failed = v1::UsageEvent { outcome: v1::CallOutcome::Error.into(), ..record.event.unwrap() };
    let refused = server.usage.clone().amend_usage(amend(failed)).await.unwrap_err();
    assert_eq!(Refusal::of(&refused).fields.into_iter().collect::<Vec<_>>(), ["replacement.tokens"]);
    let told = told("anthropic", "claude-haiku-4-5", "anthropic.messages", ADVISED);
    let again = v1::UsageEvent { key: None, outcome: v1::CallOutcome::Error.into(), ..told };
    let amended = server.usage.clone().amend_usage(amend(again)).await.unwrap().into_inner();
    assert_eq!((amended.revision, amended.usd_delta.as_str()), (2, "0"));
    server.assert_audit_holds().await;
}

#[tokio::test]
async fn an_attempt_without_usage_pays_no_request_fee_in_any_summary() {
    let server = TestServer::start().await;
    let mut failed = v1::UsageEvent { usage: None, ..event(session("s1"), 0, 0) };
    failed.request_model = Some(model("perplexity", "sonar"));
    failed.outcome = v1::CallOutcome::Error.into();
    assert_eq!(send(&server, &failed).await.unwrap().cost.unwrap().usd, "0");
    for group in ["session_id", "model"] {
        let request = v1::GetSummaryRequest {
            start_time: Some(seconds_from_now(-3_600)),
            end_time: Some(seconds_from_now(3_600)),
            group_by: vec![key(group)],
            ..Default::default()
        };
        let total = server.usage.clone().get_summary(request).await.unwrap().into_inner().total.unwrap();
        assert!(total.cost_by_class.iter().all(|line| line.usd == "0"), "{group}: {:?}", total.cost_by_class);
    }
}
