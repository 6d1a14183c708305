//! Lists, totals and summaries.

use std::collections::HashMap;
use std::time::{Duration, SystemTime};

use futures::TryStreamExt;
use tollgate_client::{Scope, SummaryRequest, Window, dimension, v1};
use tonic::Status;

use crate::fake::{Fake, Log, Reply, serve};

#[tokio::test]
async fn a_list_is_read_over_all_its_pages() {
    let seen = Log::new();
    let log = seen.clone();
    let list = move |request: v1::ListUsageRequest| {
        // Each page fails once: reading goes on where it was.
        if log.add(request.clone()) % 2 == 1 {
            return Reply::Fail(Status::unavailable("away"));
        }
        let (records, next) = match request.page_token.as_str() {
            "" => (2, "second"),
            "second" => (0, "third"),
            _ => (1, ""),
        };
        Reply::Answer(v1::ListUsageResponse {
            records: vec![v1::UsageRecord::default(); records],
            next_page_token: next.to_owned(),
        })
    };
    let server = serve(Fake { list: Some(Box::new(list)), ..Fake::default() }).await;
    let request = v1::ListUsageRequest { page_size: 2, ..Default::default() };
    let records: Vec<_> = server.client().await.list_usage(request).try_collect().await.unwrap();
    assert_eq!(records.len(), 3);
    assert_eq!(seen.len(), 6);
    assert!(seen.all().iter().all(|request| request.page_size == 2));
}

#[tokio::test]
async fn a_summary_is_one_over_all_its_pages() {
    let summary = |request: v1::GetSummaryRequest| {
        assert_eq!(request.group_by, [dimension("user_id")]);
        Reply::Answer(v1::GetSummaryResponse {
            rows: vec![v1::get_summary_response::Row::default(); 2],
            total: Some(v1::Measures { saved_usd: "1".into(), ..Default::default() }),
            next_page_token: if request.page_token.is_empty() { "more".into() } else { String::new() },
            as_of: None,
        })
    };
    let server = serve(Fake { summary: Some(Box::new(summary)), ..Fake::default() }).await;
    let now = SystemTime::now();
    let request = SummaryRequest::between(now - Duration::from_secs(3600), now).group_by(dimension("user_id"));
    let client = server.client().await;
    let summary = client.summary(request.clone()).await.unwrap();
    assert_eq!(summary.rows.len(), 4);
    assert_eq!(summary.total.unwrap().saved_usd, "1");
    assert_eq!(client.summary_rows(request).try_collect::<Vec<_>>().await.unwrap().len(), 4);
}

#[tokio::test]
async fn totals_are_asked_for_once_or_waited_for() {
    let seen = Log::new();
    let log = seen.clone();
    let totals = move |request: v1::GetTotalsRequest| {
        log.add(request.clone());
        let scopes = request.scopes.into_iter();
        Reply::Answer(v1::GetTotalsResponse {
            scopes: scopes.map(|scope| v1::ScopeTotals { key: scope.key, version: 7, ..Default::default() }).collect(),
            as_of: None,
        })
    };
    let server = serve(Fake { totals: Some(Box::new(totals)), ..Fake::default() }).await;
    let client = server.client().await;
    let scopes = || [Scope::session("s"), Scope::tenant(Window::day("UTC")).budgets()];
    let totals = client.totals(scopes()).await.unwrap();
    let versions = HashMap::from([("s".to_owned(), 7), ("tenant".to_owned(), 7)]);
    assert_eq!(totals.versions(), versions);
    client.totals_after(scopes(), versions, Duration::from_secs(30)).await.unwrap();
    let seen = seen.all();
    assert_eq!(seen[0].wait, None);
    assert_eq!(seen[1].wait, Some(prost_types::Duration { seconds: 30, nanos: 0 }));
    assert_eq!(seen[1].after_versions.len(), 2);
}
