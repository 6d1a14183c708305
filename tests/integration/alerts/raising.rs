//! What raises an alert, and that it is raised once.

use tokio::task::JoinSet;
use tollgate_proto::v1::amend_usage_request::Change;

use super::*;
use crate::harness::build::{block, budget, id, key, model, reserve, settling, user};
use crate::harness::time::seconds_from_now;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_threshold_is_raised_once_whoever_crosses_it() {
    let server = TestServer::start().await;
    let replica = server.replica().await;
    let rules = vec![on_spent("0.25"), on_spent("0.5"), on_committed("0.5"), on_spent("0.9"), on_spent("3")];
    keep(&server, with_rules("all", "1", rules)).await;
    let per_user = v1::Budget { per: vec![key("user_id")], ..with_rules("user", "0.2", vec![on_spent("0.5")]) };
    keep(&server, per_user).await;
    let mut recorders = JoinSet::new();
    for recorder in 0..64 {
        let mut usage = if recorder % 2 == 0 { server.usage.clone() } else { replica.usage.clone() };
        recorders.spawn(async move {
            for _ in 0..2 {
                let call = event(user(["ann", "bob"][recorder / 2 % 2]), CALL.0, CALL.1);
                usage.record_usage(record(call.clone())).await.unwrap();
                // The same again counts nothing, and raises nothing.
                usage.record_usage(record(call)).await.unwrap();
            }
        });
    }
    recorders.join_all().await;
    let alerts = all(&server).await;
    let expected = once([
        "RULE_FIRED all 0.25 SPENT ALERT",
        "RULE_FIRED all 0.5 SPENT ALERT",
        "RULE_FIRED all 0.5 COMMITTED ALERT",
        "RULE_FIRED all 0.9 SPENT ALERT",
        "RULE_FIRED user ann 0.5 SPENT ALERT",
        "RULE_FIRED user bob 0.5 SPENT ALERT",
    ]);
    assert_eq!(counted(&alerts), expected);
    assert_eq!(counted(&all(&replica).await), expected);
    for alert in &alerts {
        let budget = alert.budget.as_ref().unwrap();
        let spent: tollgate_client::Decimal = budget.spent.parse().unwrap();
        let limit: tollgate_client::Decimal = budget.effective_limit.parse().unwrap();
        let share: tollgate_client::Decimal = alert.rule.as_ref().unwrap().at_fraction.parse().unwrap();
        // As it was when this call crossed it: not before, and not calls later.
        let call: tollgate_client::Decimal = "0.0125".parse().unwrap();
        assert!(spent >= share * limit && spent < share * limit + call, "{alert:?}");
        assert!(!alert.event_id.is_empty() && !alert.summary.is_empty());
        assert_eq!(alert.severity(), v1::alert::Severity::Warning);
    }
    server.assert_audit_holds().await;
}

#[tokio::test]
async fn a_hold_crosses_what_is_committed_and_its_settling_what_is_spent() {
    let server = TestServer::start().await;
    keep(&server, with_rules("b", "0.02", vec![on_spent("0.5"), on_committed("0.5")])).await;
    let check = reserve(session("s"), CALL.0, CALL.1);
    server.budgets.clone().check_budget(check.clone()).await.unwrap();
    let alerts = all(&server).await;
    assert_eq!(counted(&alerts), once(["RULE_FIRED b 0.5 COMMITTED ALERT"]));
    assert_eq!((alerts[0].reservation_id.clone(), alerts[0].event_id.as_str()), (check.reservation_id.clone(), ""));
    assert_eq!(alerts[0].budget.as_ref().unwrap().held, "0.0125");
    let settled = settling(event(session("s"), CALL.0, CALL.1), &check.reservation_id);
    server.usage.clone().record_usage(record(settled)).await.unwrap();
    let expected = once(["RULE_FIRED b 0.5 COMMITTED ALERT", "RULE_FIRED b 0.5 SPENT ALERT"]);
    assert_eq!(counted(&all(&server).await), expected);
}

#[tokio::test]
async fn a_refused_and_a_downgraded_call_tell_of_the_rule_that_stood_against_them() {
    let server = TestServer::start().await;
    keep(&server, with_rules("hard", "0.03", vec![on_committed("0.9"), block()])).await;
    let downgrade =
        v1::Rule { downgrade_to: vec![model("openai", "gpt-4o-mini")], ..rule("0.4", v1::Action::Downgrade) };
    keep(&server, with_rules("cheaper", "0.02", vec![downgrade])).await;
    for _ in 0..3 {
        let answer = server.budgets.clone().check_budget(reserve(session("s"), CALL.0, CALL.1)).await.unwrap();
        assert_eq!(answer.into_inner().decision(), v1::Decision::Downgraded);
    }
    assert_eq!(counted(&all(&server).await), once(["RULE_FIRED cheaper 0.4 COMMITTED DOWNGRADE"]));
    server
        .budgets
        .clone()
        .delete_budget(v1::DeleteBudgetRequest { budget_id: "cheaper".to_owned(), ..Default::default() })
        .await
        .unwrap();
    for _ in 0..3 {
        let answer = server.budgets.clone().check_budget(reserve(session("s"), 10_000, 10_000)).await.unwrap();
        assert_eq!(answer.into_inner().decision(), v1::Decision::Denied);
    }
    let alerts = all(&server).await;
    assert_eq!(name(&alerts[0]), "RULE_FIRED hard 1 COMMITTED BLOCK");
    assert_eq!(alerts.len(), 2, "what was not held crosses nothing: {alerts:?}");
    assert_eq!(alerts[0].severity(), v1::alert::Severity::Critical);
    assert!(alerts[0].budget.as_ref().unwrap().refused);
}

#[tokio::test]
async fn an_overrun_is_told_with_each_cause() {
    let server = TestServer::start().await;
    keep(&server, budget("b", "0.01")).await;
    spend(&server, "s").await;
    spend(&server, "s").await;
    let first = spend(&server, "s").await;
    assert_eq!(counted(&all(&server).await), once(["OVERRUN b NOT_RESERVED", "RULE_FIRED b 1 COMMITTED BLOCK"]));
    let Some(v1::usage_event::Key::EventId(event_id)) = first.key.clone() else { panic!("an id") };
    let mut dearer = event(session("s"), CALL.0, 2 * CALL.1);
    (dearer.key, dearer.start_time) = (first.key, first.start_time);
    let amendment = v1::AmendUsageRequest {
        request_id: id(),
        event_id,
        expected_revision: 1,
        change: Some(Change::Replacement(dearer)),
        reason: "it was more".to_owned(),
        validate_only: true,
    };
    // A rehearsal raises nothing.
    server.usage.clone().amend_usage(amendment.clone()).await.unwrap();
    assert_eq!(all(&server).await.len(), 2);
    server.usage.clone().amend_usage(v1::AmendUsageRequest { validate_only: false, ..amendment }).await.unwrap();
    let alerts = all(&server).await;
    assert_eq!(name(&alerts[0]), "OVERRUN b AMENDED");
    assert_eq!(alerts.len(), 3);
    assert_eq!(alerts[0].severity(), v1::alert::Severity::Critical);
    assert_eq!(alerts[0].budget.as_ref().unwrap().overrun, "0.0375");
}

#[tokio::test]
async fn unpriced_use_and_reported_differences_are_told_once_a_model_and_day() {
    let server = TestServer::start().await;
    for (name, reported) in
        [("gpt-17", ""), ("gpt-17", ""), ("gpt-18", ""), ("gpt-4o", "1"), ("gpt-4o", "2"), ("gpt-4o", "0.0125")]
    {
        let mut call = event(session("s"), CALL.0, CALL.1);
        call.request_model = Some(model("openai", name));
        if !reported.is_empty() {
            (call.reported_cost, call.reported_currency) = (reported.to_owned(), "USD".to_owned());
        }
        server.usage.clone().record_usage(record(call)).await.unwrap();
    }
    let alerts = all(&server).await;
    let expected = once(["UNPRICED_MODEL gpt-17", "UNPRICED_MODEL gpt-18", "REPORTED_COST_DIFFERS gpt-4o"]);
    assert_eq!(counted(&alerts), expected);
    assert_eq!((alerts[0].reported_usd.as_str(), alerts[0].computed_usd.as_str()), ("1", "0.0125"));
    // As if a day had passed: both replicas have to look into the database.
    let replica = server.replica().await;
    let unpriced =
        || v1::UsageEvent { request_model: Some(model("openai", "gpt-17")), ..event(session("s"), CALL.0, CALL.1) };
    replica.usage.clone().record_usage(record(unpriced())).await.unwrap();
    assert_eq!(all(&server).await.len(), 3);
}

#[tokio::test]
async fn callers_that_invent_models_cannot_fill_the_list() {
    let server = TestServer::start().await;
    let mut events = (0..1_010).map(|number| v1::UsageEvent {
        request_model: Some(model("openai", &format!("invented-{number}"))),
        ..event(session("s"), 1, 1)
    });
    loop {
        let events: Vec<v1::UsageEvent> = events.by_ref().take(500).collect();
        if events.is_empty() {
            break;
        }
        let request = v1::BatchRecordUsageRequest { events, view: v1::ResponseView::Ack.into() };
        server.usage.clone().batch_record_usage(request).await.unwrap();
    }
    keep(&server, with_rules("b", "0.01", vec![on_spent("0.5")])).await;
    spend(&server, "s").await;
    let newest = list(&server, v1::ListAlertsRequest { page_size: 1, ..Default::default() }).await;
    assert_eq!(counted(&newest), once(["RULE_FIRED b 0.5 SPENT ALERT"]), "budgets are told all the same");
    let statement = "SELECT kind, count(*) FROM alert GROUP BY kind ORDER BY kind";
    let counts: Vec<(i16, i64)> = sqlx::query_as(statement).fetch_all(&server.pool()).await.unwrap();
    assert_eq!(counts, [(1, 1), (3, 1_000)]);
}

#[tokio::test]
async fn the_first_expired_reservation_of_a_counter_is_told() {
    let server = TestServer::start().await;
    keep(&server, budget("b", "1")).await;
    for _ in 0..3 {
        let check = reserve(session("s"), CALL.0, CALL.1);
        server.budgets.clone().check_budget(check.clone()).await.unwrap();
        let reservation_id = check.reservation_id;
        let statement = format!(
            "UPDATE reservation SET expire_time = now() - interval '1 s' WHERE reservation_id = '{reservation_id}'"
        );
        server.execute(statement).await;
        until("the reservation expires", || async {
            let request = v1::GetReservationRequest { reservation_id: reservation_id.clone() };
            let found = server.budgets.clone().get_reservation(request).await.unwrap().into_inner().reservation;
            (found.unwrap().state() == v1::reservation::State::Expired).then_some(())
        })
        .await;
        let alerts = all(&server).await;
        assert_eq!(counted(&alerts), once(["RESERVATION_EXPIRED b"]));
        assert!(!alerts[0].reservation_id.is_empty());
    }
}

#[tokio::test]
async fn decision_15_closed_windows_raise_no_alerts() {
    let server = TestServer::start().await;
    let since = v1::Budget {
        count_from: Some(seconds_from_now(-10 * 86_400)),
        ..with_rules("b", "0.02", vec![on_spent("0.5"), block()])
    };
    keep(&server, since).await;
    for _ in 0..3 {
        let mut late = event(session("s"), CALL.0, CALL.1);
        late.start_time = Some(seconds_from_now(-5 * 86_400));
        server.usage.clone().record_usage(record(late)).await.unwrap();
    }
    assert_eq!(counted(&all(&server).await), once([]));
    spend(&server, "s").await;
    assert_eq!(counted(&all(&server).await), once(["RULE_FIRED b 0.5 SPENT ALERT"]));
}

#[tokio::test]
async fn a_new_budget_and_a_lowered_limit_tell_what_they_find() {
    let server = TestServer::start().await;
    spend(&server, "s").await;
    keep(&server, with_rules("new", "0.02", vec![on_spent("0.5"), on_spent("0.9")])).await;
    keep(&server, with_rules("wide", "1", vec![on_spent("0.5")])).await;
    keep(
        &server,
        v1::Budget { mode: v1::budget::Mode::Shadow.into(), ..with_rules("shadow", "0.02", vec![on_spent("0.5")]) },
    )
    .await;
    keep(
        &server,
        v1::Budget { mode: v1::budget::Mode::Disabled.into(), ..with_rules("off", "0.02", vec![on_spent("0.5")]) },
    )
    .await;
    let expected = once(["RULE_FIRED new 0.5 SPENT ALERT", "RULE_FIRED shadow 0.5 SPENT ALERT"]);
    let alerts = all(&server).await;
    assert_eq!(counted(&alerts), expected);
    let shadow = alerts.iter().find(|alert| alert.budget.as_ref().unwrap().shadow).unwrap();
    assert_eq!(shadow.severity(), v1::alert::Severity::Info);
    for (budget_id, limit) in [("wide", "0.02"), ("new", "0.013"), ("wide", "0.01")] {
        let request = v1::UpdateBudgetRequest {
            budget: Some(v1::Budget { budget_id: budget_id.to_owned(), limit: limit.to_owned(), ..Default::default() }),
            update_mask: Some(prost_types::FieldMask { paths: vec!["limit".to_owned()] }),
            request_id: id(),
            validate_only: false,
        };
        server.budgets.clone().update_budget(request).await.unwrap();
    }
    let expected = once([
        "RULE_FIRED new 0.5 SPENT ALERT",
        "RULE_FIRED shadow 0.5 SPENT ALERT",
        "RULE_FIRED wide 0.5 SPENT ALERT",
        "RULE_FIRED new 0.9 SPENT ALERT",
    ]);
    assert_eq!(counted(&all(&server).await), expected);
}
