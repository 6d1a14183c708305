//! AmendUsage: what each change does to everything that is derived from an event.

use tollgate_proto::v1;
use tollgate_proto::v1::amend_usage_request::Change;

use super::*;
use crate::harness::build::{model, tokens};

const CHARGED: v1::CostBasis = v1::CostBasis::Charged;
const CURRENT: v1::CostBasis = v1::CostBasis::Current;

#[tokio::test]
async fn a_cancelled_event_gives_back_everything_and_what_was_charged_stands() {
    let server = with_budgets(vec![
        per_user("usd", v1::Unit::Usd, "1"),
        per_user("tokens", v1::Unit::Tokens, "1000000"),
        per_user("calls", v1::Unit::Calls, "10"),
        daily("daily", "1"),
    ])
    .await;
    let (first, second) = (by_ada(), by_ada());
    send(&server, &first).await;
    send(&server, &second).await;
    let answer = amend(&server, amendment(&first, 1, Change::Cancel(true))).await;
    assert_eq!((answer.revision, answer.usd_delta.as_str()), (2, "-0.0125"));
    let changed: Vec<(&str, &str)> =
        answer.budgets.iter().map(|state| (state.budget_id.as_str(), state.spent.as_str())).collect();
    assert_eq!(changed, [("usd", "0.0125"), ("tokens", "2000"), ("calls", "1"), ("daily", "0.0125")]);

    let record = get(&server, &first).await;
    assert_eq!((costs(&record), record.cancelled), ((2, "0.0125", "0"), true));
    assert!(record.current_cost.unwrap().lines.is_empty());
    assert_eq!(session_total(&server, "s1").await, (1, "0.0125".to_owned()));
    for (dimension, group) in [("agent_name", "04 planner"), ("user_id", "04 ada"), ("session_id", "04 s1")] {
        let charged = expected(&[(group, 2, 2_000, "0.025", "0.0125")]);
        assert_eq!(summary(&server, CHARGED, dimension).await, charged, "{dimension}");
        let current = expected(&[(group, 1, 1_000, "0.0125", "0.0125")]);
        assert_eq!(summary(&server, CURRENT, dimension).await, current, "{dimension}");
    }
    assert_eq!(spent(&server, "usd").await, counters(&[("ada", "0.0125", "0")]));
    assert_eq!(spent_on(&server, "daily", "2026-05-04T12:00:00Z").await, "0.0125");

    amend(&server, amendment(&second, 1, Change::Cancel(true))).await;
    assert_eq!(session_total(&server, "s1").await, (0, "0".to_owned()));
    assert_eq!(summary(&server, CURRENT, "user_id").await, expected(&[]));
    assert_eq!(summary(&server, CHARGED, "user_id").await, expected(&[("04 ada", 2, 2_000, "0.025", "0")]));
    assert_eq!(spent(&server, "calls").await, counters(&[("ada", "0", "0")]));
    server.assert_audit_holds().await;
}

#[tokio::test]
async fn a_replacement_is_charged_in_place_of_what_was_told() {
    let server = with_budgets(vec![
        per_user("usd", v1::Unit::Usd, "1"),
        per_user("input", v1::Unit::InputTokens, "1000000"),
        daily("daily", "1"),
    ])
    .await;
    let told = by_ada();
    send(&server, &told).await;

    // Other tokens; its key and its reservation are left unset.
    let more =
        v1::UsageEvent { key: None, usage: Some(v1::usage_event::Usage::Tokens(tokens(3_000, 1_000))), ..told.clone() };
    let answer = amend(&server, amendment(&told, 1, Change::Replacement(more.clone()))).await;
    assert_eq!((answer.revision, answer.usd_delta.as_str()), (2, "0.005"));
    assert_eq!(session_total(&server, "s1").await, (1, "0.0175".to_owned()));
    assert_eq!(summary(&server, CHARGED, "user_id").await, expected(&[("04 ada", 1, 1_000, "0.0125", "0.0175")]));
    assert_eq!(summary(&server, CURRENT, "user_id").await, expected(&[("04 ada", 1, 3_000, "0.0175", "0.0175")]));

    // Another model.
    let cheaper = v1::UsageEvent { response_model: Some(model("openai", "gpt-4o-mini")), ..more.clone() };
    let answer = amend(&server, amendment(&told, 2, Change::Replacement(cheaper.clone()))).await;
    assert_eq!((answer.revision, answer.usd_delta.as_str()), (3, "-0.01645"));
    let charged = expected(&[("04 gpt-4o", 1, 1_000, "0.0125", "0"), ("04 gpt-4o-mini", 0, 0, "0", "0.00105")]);
    assert_eq!(summary(&server, CHARGED, "model").await, charged);
    let current = expected(&[("04 gpt-4o-mini", 1, 3_000, "0.00105", "0.00105")]);
    assert_eq!(summary(&server, CURRENT, "model").await, current);

    // Another day.
    let start_time = Some(at("2026-05-09T08:00:00Z"));
    let later = v1::UsageEvent { start_time, end_time: None, ..cheaper };
    let answer = amend(&server, amendment(&told, 3, Change::Replacement(later.clone()))).await;
    assert_eq!((answer.revision, answer.usd_delta.as_str()), (4, "0"));
    let current = expected(&[("09 ada", 1, 3_000, "0.00105", "0.00105")]);
    assert_eq!(summary(&server, CURRENT, "user_id").await, current);
    assert_eq!(spent_on(&server, "daily", "2026-05-04T12:00:00Z").await, "0");
    assert_eq!(spent_on(&server, "daily", "2026-05-09T12:00:00Z").await, "0.00105");
    assert_eq!(spent(&server, "usd").await, counters(&[("ada", "0.00105", "0")]));
    assert_eq!(spent(&server, "input").await, counters(&[("ada", "3000", "0")]));

    let record = get(&server, &told).await;
    assert_eq!(costs(&record), (4, "0.0125", "0.00105"));
    assert_eq!(record.charge_time, start_time);
    let event = record.event.unwrap();
    assert_eq!((event.key, event.start_time), (told.key.clone(), start_time));
    assert_eq!(event.response_model, later.response_model);
    server.assert_audit_holds().await;

    // The list is of first rows, each with what it costs now.
    let request = v1::ListUsageRequest { end_time: Some(at("2026-05-05T00:00:00Z")), ..Default::default() };
    let listed = server.usage.clone().list_usage(request).await.unwrap().into_inner().records.remove(0);
    assert_eq!(costs(&listed), (4, "0.0125", "0.00105"));
    assert_eq!(listed.event.unwrap().start_time, told.start_time);
}

#[tokio::test]
async fn a_replacement_in_the_future_is_charged_at_most_when_the_event_was_recorded() {
    let server = with_budgets(vec![daily("daily", "1")]).await;
    let told = by_ada();
    let recorded = get_recorded(&server, &told).await;
    let ahead = v1::UsageEvent {
        start_time: Some(crate::harness::time::seconds_from_now(86_400)),
        end_time: None,
        ..told.clone()
    };
    amend(&server, amendment(&told, 1, Change::Replacement(ahead))).await;
    assert_eq!(get(&server, &told).await.charge_time, recorded);
    server.assert_audit_holds().await;
}

async fn get_recorded(server: &TestServer, event: &v1::UsageEvent) -> Option<prost_types::Timestamp> {
    send(server, event).await;
    get(server, event).await.record_time
}

#[tokio::test]
async fn a_reattributed_event_is_charged_to_another_user_session_and_agent() {
    let server = with_budgets(vec![per_user("usd", v1::Unit::Usd, "1"), per_user("calls", v1::Unit::Calls, "5")]).await;
    let told = by_ada();
    send(&server, &told).await;
    send(&server, &event_at("2026-05-04T11:20:00Z", who("bob", "s2", "writer"), ONE_CALL)).await;
    let answer = amend(&server, amendment(&told, 1, Change::Reattribute(who("bob", "s2", "writer")))).await;
    assert_eq!((answer.revision, answer.usd_delta.as_str()), (2, "0"));
    assert_eq!(answer.budgets.len(), 4);
    assert_eq!(spent(&server, "usd").await, counters(&[("ada", "0", "0"), ("bob", "0.025", "0")]));
    assert_eq!(spent(&server, "calls").await, counters(&[("ada", "0", "0"), ("bob", "2", "0")]));
    assert_eq!(session_total(&server, "s1").await, (0, "0".to_owned()));
    assert_eq!(session_total(&server, "s2").await, (2, "0.025".to_owned()));
    for (dimension, was, is) in
        [("agent_name", "planner", "writer"), ("user_id", "ada", "bob"), ("session_id", "s1", "s2")]
    {
        let (was, is) = (format!("04 {was}"), format!("04 {is}"));
        let charged = expected(&[(&was, 1, 1_000, "0.0125", "0"), (&is, 1, 1_000, "0.0125", "0.025")]);
        assert_eq!(summary(&server, CHARGED, dimension).await, charged, "{dimension}");
        let current = expected(&[(&is, 2, 2_000, "0.025", "0.025")]);
        assert_eq!(summary(&server, CURRENT, dimension).await, current, "{dimension}");
    }
    let record = get(&server, &told).await;
    assert_eq!(costs(&record), (2, "0.0125", "0.0125"));
    assert_eq!(record.event.unwrap().dimensions.unwrap().user_id, "bob");

    // To nobody: the dimensions that are left out are absent.
    amend(&server, amendment(&told, 2, Change::Reattribute(v1::Dimensions::default()))).await;
    let current = summary(&server, CURRENT, "user_id").await;
    let nobody =
        expected(&[("04 Absent(true)", 1, 1_000, "0.0125", "0.0125"), ("04 bob", 1, 1_000, "0.0125", "0.0125")]);
    assert_eq!(current, nobody);
    server.assert_audit_holds().await;
}

#[tokio::test]
async fn descendants_of_a_session_move_with_its_tree() {
    let server = with_budgets(Vec::new()).await;
    let below = |root: &str, session: &str| v1::Dimensions {
        root_session_id: root.to_owned(),
        ..who("ada", session, "planner")
    };
    let told = event_at("2026-05-04T11:07:13Z", below("tree", "leaf"), ONE_CALL);
    send(&server, &told).await;
    amend(&server, amendment(&told, 1, Change::Reattribute(below("other", "leaf")))).await;
    let tree = |name: &str| {
        let scope = v1::WatchScope {
            key: name.to_owned(),
            scope: Some(v1::watch_scope::Scope::RootSessionId(name.to_owned())),
            ..Default::default()
        };
        let request = v1::GetTotalsRequest { scopes: vec![scope], ..Default::default() };
        let mut usage = server.usage.clone();
        async move { usage.get_totals(request).await.unwrap().into_inner().scopes[0].totals.clone().unwrap() }
    };
    let (left, joined) = (tree("tree").await, tree("other").await);
    assert_eq!((left.calls, left.usd.as_str(), left.first_time), (0, "0", None));
    assert_eq!((joined.calls, joined.usd.as_str(), joined.first_time), (1, "0.0125", told.start_time));
    server.assert_audit_holds().await;
}

#[tokio::test]
async fn a_cancelled_event_can_only_be_replaced_and_then_counts_again() {
    let server = with_budgets(vec![per_user("usd", v1::Unit::Usd, "1")]).await;
    let told = by_ada();
    send(&server, &told).await;
    amend(&server, amendment(&told, 1, Change::Cancel(true))).await;
    for change in [Change::Cancel(true), Change::Reattribute(who("bob", "s2", "writer"))] {
        let refused = try_amend(&server, amendment(&told, 2, change)).await.unwrap_err();
        assert_eq!(crate::harness::refusal::reason(&refused), "EVENT_CANCELLED");
    }
    let answer = amend(&server, amendment(&told, 2, Change::Replacement(told.clone()))).await;
    assert_eq!((answer.revision, answer.usd_delta.as_str()), (3, "0.0125"));
    let record = get(&server, &told).await;
    assert_eq!((costs(&record), record.cancelled), ((3, "0.0125", "0.0125"), false));
    assert_eq!(spent(&server, "usd").await, counters(&[("ada", "0.0125", "0")]));
    let current = expected(&[("04 ada", 1, 1_000, "0.0125", "0.0125")]);
    assert_eq!(summary(&server, CURRENT, "user_id").await, current);
    // The event itself is still the same: told again, it is a duplicate.
    assert_eq!(send(&server, &told).await.result(), v1::RecordResult::Duplicate);
    server.assert_audit_holds().await;
}

#[tokio::test]
async fn memo_accounting_is_corrected_without_budgets() {
    let server = with_budgets(vec![per_user("usd", v1::Unit::Usd, "1")]).await;
    let memo = v1::UsageEvent { accounting: v1::Accounting::Memo.into(), ..by_ada() };
    send(&server, &memo).await;
    let answer = amend(&server, amendment(&memo, 1, Change::Cancel(true))).await;
    assert_eq!((answer.usd_delta.as_str(), answer.budgets.len()), ("-0.0125", 0));
    assert_eq!(spent(&server, "usd").await, counters(&[]));
    let enforced = v1::UsageEvent { accounting: v1::Accounting::Enforced.into(), ..memo.clone() };
    amend(&server, amendment(&memo, 2, Change::Replacement(enforced))).await;
    assert_eq!(spent(&server, "usd").await, counters(&[("ada", "0.0125", "0")]));
    let charged = expected(&[("04 ada", 1, 1_000, "0", "0.0125")]);
    assert_eq!(summary(&server, CHARGED, "user_id").await, charged);
    server.assert_audit_holds().await;
}

#[tokio::test]
async fn a_budget_made_after_a_correction_counts_what_is_current() {
    let server = with_budgets(Vec::new()).await;
    let (moved, cancelled) = (by_ada(), by_ada());
    send(&server, &moved).await;
    send(&server, &cancelled).await;
    amend(&server, amendment(&moved, 1, Change::Reattribute(who("bob", "s2", "writer")))).await;
    amend(&server, amendment(&cancelled, 1, Change::Cancel(true))).await;
    server.budgets.clone().create_budget(create(per_user("usd", v1::Unit::Usd, "1"))).await.unwrap();
    assert_eq!(spent(&server, "usd").await["bob"], ("0.0125".to_owned(), "0".to_owned()));
    server.assert_audit_holds().await;
    // What is corrected from here on moves it.
    amend(&server, amendment(&moved, 2, Change::Cancel(true))).await;
    assert_eq!(spent(&server, "usd").await["bob"], ("0".to_owned(), "0".to_owned()));
    server.assert_audit_holds().await;
}

#[tokio::test]
async fn what_a_correction_lifts_above_a_limit_is_counted_with_its_cause() {
    let server = with_budgets(vec![per_user("usd", v1::Unit::Usd, "0.02")]).await;
    let (first, second) = (by_ada(), by_ada());
    send(&server, &first).await;
    send(&server, &event_at("2026-05-04T11:20:00Z", who("bob", "s2", "writer"), ONE_CALL)).await;
    send(&server, &second).await;
    // Ada was lifted by 0.005 because nothing was reserved; bob by the same now, because of the correction.
    amend(&server, amendment(&first, 1, Change::Reattribute(who("bob", "s2", "writer")))).await;
    let dearer =
        v1::UsageEvent { usage: Some(v1::usage_event::Usage::Tokens(tokens(10_000, 1_000))), ..second.clone() };
    amend(&server, amendment(&second, 1, Change::Replacement(dearer))).await;
    let states = counters(&[("ada", "0.035", "0.015"), ("bob", "0.025", "0.005")]);
    assert_eq!(spent(&server, "usd").await, states);
    assert_eq!(
        causes(&server).await,
        [serde_json::json!({"not_reserved": "0.005", "amended": "0.01"}), serde_json::json!({"reattributed": "0.005"})]
    );
    server.assert_audit_holds().await;
}
