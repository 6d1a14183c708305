//! GetSummary.

use tollgate_proto::v1;
use tonic::Code;

use super::{assert_refused, case, conditions};
use crate::harness::TestServer;
use crate::harness::build::key;
use crate::harness::time::at;

#[tokio::test]
async fn every_rule_of_get_summary_is_told_by_its_field() {
    let server = TestServer::start().await;
    let good = v1::GetSummaryRequest {
        start_time: Some(at("2026-01-01T00:00:00Z")),
        end_time: Some(at("2026-02-01T00:00:00Z")),
        ..Default::default()
    };
    let grouped = |what: &str, field: &str, group_by: Vec<v1::DimensionKey>| {
        case(what, &[field], move |request: &mut v1::GetSummaryRequest| request.group_by = group_by.clone())
    };
    let ordered = |order_by: &'static str| {
        case(order_by, &["order_by"], move |request: &mut v1::GetSummaryRequest| request.order_by = order_by.to_owned())
    };
    let models = |what: &str, field: &str, models: Vec<String>| {
        case(what, &[field], move |request: &mut v1::GetSummaryRequest| request.models = models.clone())
    };
    let label = |label: &str| vec![v1::DimensionKey { name: "label".to_owned(), label: label.to_owned() }];
    let mut cases = vec![
        case("no start", &["start_time"], |request: &mut v1::GetSummaryRequest| request.start_time = None),
        case("no end", &["end_time"], |request: &mut v1::GetSummaryRequest| request.end_time = None),
        case("neither", &["start_time", "end_time"], |request: &mut v1::GetSummaryRequest| {
            (request.start_time, request.end_time) = (None, None);
        }),
        case("an impossible start", &["start_time"], |request: &mut v1::GetSummaryRequest| {
            request.start_time = super::no_instant();
        }),
        case("an end with the start", &["end_time"], |request: &mut v1::GetSummaryRequest| {
            request.end_time = request.start_time;
        }),
        case("an end before the start", &["end_time"], |request: &mut v1::GetSummaryRequest| {
            (request.start_time, request.end_time) = (request.end_time, request.start_time);
        }),
        case("an unknown time zone", &["time_zone"], |request: &mut v1::GetSummaryRequest| {
            request.time_zone = "Katmandu".to_owned();
        }),
        case("an unknown time basis", &["time_basis"], |request: &mut v1::GetSummaryRequest| request.time_basis = 99),
        case("an unknown cost basis", &["cost_basis"], |request: &mut v1::GetSummaryRequest| request.cost_basis = 99),
        case("an unknown granularity", &["granularity"], |request: &mut v1::GetSummaryRequest| {
            request.granularity = 99;
        }),
        grouped("three dimensions", "group_by", vec![key("user_id"), key("agent_name"), key("model")]),
        grouped("a dimension twice", "group_by[1]", vec![key("user_id"), key("user_id")]),
        grouped("an unknown dimension", "group_by[0].name", vec![key("users")]),
        grouped("a label without its key", "group_by[0].label", label("")),
        grouped("a label's key of 65 bytes", "group_by[0].label", label(&"x".repeat(65))),
        grouped("a label's key with a NUL", "group_by[0].label", label("\0")),
        models("101 models", "models", vec!["gpt-4o".to_owned(); 101]),
        models("a model without a name", "models[0]", vec![String::new()]),
        models("a model of 257 bytes", "models[0]", vec!["x".repeat(257)]),
        models("a model with a NUL", "models[0]", vec!["\0".to_owned()]),
        case("an unknown measure", &["measures"], |request: &mut v1::GetSummaryRequest| {
            request.measures = Some(prost_types::FieldMask { paths: vec!["latency".to_owned()] });
        }),
        ordered("price"),
        ordered("usd upwards"),
        ordered("usd desc please"),
        case("a negative top", &["top"], |request: &mut v1::GetSummaryRequest| request.top = -1),
        case("a top of 1,001", &["top"], |request: &mut v1::GetSummaryRequest| request.top = 1_001),
        case("a negative page", &["page_size"], |request: &mut v1::GetSummaryRequest| request.page_size = -1),
        case("a page of 1,001", &["page_size"], |request: &mut v1::GetSummaryRequest| request.page_size = 1_001),
        case("no such page", &[], |request: &mut v1::GetSummaryRequest| request.page_token = "next".to_owned())
            .because(Code::InvalidArgument, "PAGE_TOKEN_INVALID"),
        case("many", &["time_zone", "granularity", "order_by", "page_size"], |request: &mut v1::GetSummaryRequest| {
            request.time_zone = "Katmandu".to_owned();
            request.granularity = 99;
            request.order_by = "price".to_owned();
            request.page_size = -1;
        }),
    ];
    cases.extend(conditions("filter", |request: &mut v1::GetSummaryRequest, filter| request.filter = filter));
    assert_refused(&good, cases, |request| {
        let mut usage = server.usage.clone();
        async move { usage.get_summary(request).await }
    })
    .await;
}
