//! ListUsage.

use tollgate_proto::v1;
use tonic::Code;

use super::{assert_refused, case, conditions};
use crate::harness::TestServer;

#[tokio::test]
async fn every_rule_of_list_usage_is_told_by_its_field() {
    let server = TestServer::start().await;
    let sized = |what: &str, size: i32| {
        case(what, &["page_size"], move |request: &mut v1::ListUsageRequest| request.page_size = size)
    };
    let mut cases = vec![
        sized("a negative page", -1),
        sized("a page of 1,001", 1_001),
        case("101 models", &["models"], |request: &mut v1::ListUsageRequest| {
            request.models = vec!["gpt-4o".to_owned(); 101];
        }),
        case("no reservation id", &["reservation_id"], |request: &mut v1::ListUsageRequest| {
            request.reservation_id = "r1".to_owned();
        }),
        case("an impossible start", &["start_time"], |request: &mut v1::ListUsageRequest| {
            request.start_time = super::no_instant();
        }),
        case("an impossible end", &["end_time"], |request: &mut v1::ListUsageRequest| {
            request.end_time = super::no_instant();
        }),
        case("no such page", &[], |request: &mut v1::ListUsageRequest| request.page_token = "next".to_owned())
            .because(Code::InvalidArgument, "PAGE_TOKEN_INVALID"),
        case(
            "everything",
            &["page_size", "start_time", "end_time", "reservation_id"],
            |request: &mut v1::ListUsageRequest| {
                request.page_size = -1;
                request.start_time = super::no_instant();
                request.end_time = super::no_instant();
                request.reservation_id = "r1".to_owned();
            },
        ),
    ];
    cases.extend(conditions("filter", |request: &mut v1::ListUsageRequest, filter| request.filter = filter));
    assert_refused(&v1::ListUsageRequest::default(), cases, |request| {
        let mut usage = server.usage.clone();
        async move { usage.list_usage(request).await }
    })
    .await;
}
