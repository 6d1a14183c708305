//! CreateBudget, and the names by which budgets are asked for.

use std::collections::HashMap;

use tollgate_proto::v1;
use tollgate_proto::v1::window::Kind;
use tonic::Code;

use super::{Case, MODEL, assert_refused, assert_taken, case, conditions, matching, texts, within};
use crate::harness::TestServer;
use crate::harness::build::{block, budget, create, day, gpt_4o, key, model, rule};
use crate::harness::time::at;

#[tokio::test]
async fn every_rule_of_create_budget_is_told_by_its_field_and_nothing_is_created() {
    let server = TestServer::start().await;
    let mut cases = within(cases(), |request: &mut v1::CreateBudgetRequest| request.budget.as_mut().unwrap());
    cases.extend([
        case("no budget", &["budget"], |request: &mut v1::CreateBudgetRequest| request.budget = None),
        case("a request id of 129 bytes", &["request_id"], |request: &mut v1::CreateBudgetRequest| {
            request.request_id = "x".repeat(129);
        }),
        case("a request id with a NUL", &["request_id"], |request: &mut v1::CreateBudgetRequest| {
            request.request_id = "\0".to_owned();
        }),
    ]);
    assert_refused(&create(budget("b", "1")), cases, |request| {
        let mut budgets = server.budgets.clone();
        async move { budgets.create_budget(request).await }
    })
    .await;
    let request = v1::ListBudgetsRequest { show_deleted: true, ..Default::default() };
    let listed = server.budgets.clone().list_budgets(request).await.unwrap().into_inner();
    assert_eq!(listed, v1::ListBudgetsResponse::default());
    server.assert_audit_holds().await;
}

#[tokio::test]
async fn a_budget_that_just_meets_the_rules_is_created_and_kept_as_it_is() {
    let server = TestServer::start().await;
    let mut requests: Vec<(String, v1::CreateBudgetRequest)> = Vec::new();
    let mut take = |what: &str, change: &dyn Fn(&mut v1::Budget)| {
        let mut budget = budget(&format!("b{}", requests.len()), "1");
        change(&mut budget);
        requests.push((what.to_owned(), create(budget)));
    };
    take("64 letters", &|budget: &mut v1::Budget| budget.budget_id = "a-Z_0.:/".repeat(8));
    take("a long name", &|budget: &mut v1::Budget| budget.display_name = "x".repeat(256));
    take("32 notes", &|budget: &mut v1::Budget| budget.annotations = notes(32));
    take("16 conditions", &|budget: &mut v1::Budget| budget.selector = vec![matching(&["u1"]); 16]);
    take("100 models", &|budget: &mut v1::Budget| budget.models = vec![gpt_4o(); 100]);
    take("three keys", &|budget: &mut v1::Budget| {
        budget.per = vec![key("user_id"), key("session_id"), key("workflow_step")];
    });
    take("a label", &|budget: &mut v1::Budget| budget.per = vec![label_key(&"x".repeat(64))]);
    take("16 rules", &|budget: &mut v1::Budget| budget.rules = vec![block(); 16]);
    take("the greatest fraction", &|budget: &mut v1::Budget| budget.rules = vec![rule("10", v1::Action::Alert)]);
    take("the least fraction", &|budget: &mut v1::Budget| budget.rules = vec![rule("0.0001", v1::Action::Alert)]);
    take("a carry of both", &|budget: &mut v1::Budget| budget.carry = v1::budget::Carry::Both.into());
    take("no rule", &|budget: &mut v1::Budget| budget.rules.clear());
    take("a limit of nothing", &|budget: &mut v1::Budget| budget.limit = "0".to_owned());
    take("the greatest limit", &|budget: &mut v1::Budget| budget.limit = "9999999999999999.999999999999".to_owned());
    take("366 days", &|budget: &mut v1::Budget| budget.window.as_mut().unwrap().count = 366);
    take("all time", &|budget: &mut v1::Budget| budget.window = Some(window(Kind::Lifetime, 0, "")));
    take("8 cheaper models", &|budget: &mut v1::Budget| budget.rules = vec![downgrade(8)]);
    take("throttling by the day", &|budget: &mut v1::Budget| budget.rules = vec![rule("1", v1::Action::Throttle)]);
    take("throttling by 24 hours", &|budget: &mut v1::Budget| {
        budget.window = Some(window(Kind::Hour, 24, "Asia/Kathmandu"));
        budget.rules = vec![rule("1", v1::Action::Throttle)];
    });
    let sent: Vec<v1::Budget> = requests.iter().map(|(_, request)| request.budget.clone().unwrap()).collect();
    assert_taken(requests, |request| {
        let mut budgets = server.budgets.clone();
        async move { budgets.create_budget(request).await }
    })
    .await;
    for budget in sent {
        let request = v1::GetBudgetRequest { budget_id: budget.budget_id.clone() };
        let kept = server.budgets.clone().get_budget(request).await.unwrap().into_inner().budget.unwrap();
        assert_eq!(
            (&kept.display_name, &kept.annotations, &kept.selector, &kept.models, &kept.per, &kept.limit),
            (&budget.display_name, &budget.annotations, &budget.selector, &budget.models, &budget.per, &budget.limit),
        );
        assert_eq!(kept.rules.len(), budget.rules.len());
    }
    server.assert_audit_holds().await;
}

#[tokio::test]
async fn a_broken_name_is_refused_and_never_a_fault_of_the_server() {
    let server = TestServer::start().await;
    for name in ["\0", "", "no such budget"] {
        let mut budgets = server.budgets.clone();
        let budget_id = name.to_owned();
        let refused = [
            budgets.get_budget(v1::GetBudgetRequest { budget_id: budget_id.clone() }).await.map(drop),
            budgets
                .delete_budget(v1::DeleteBudgetRequest { budget_id: budget_id.clone(), ..Default::default() })
                .await
                .map(drop),
            budgets
                .update_budget(v1::UpdateBudgetRequest { budget: Some(budget(name, "1")), ..Default::default() })
                .await
                .map(drop),
        ];
        for answer in refused {
            let code = answer.unwrap_err().code();
            assert!(matches!(code, Code::NotFound | Code::InvalidArgument), "{name:?}: {code:?}");
        }
        let listed = [
            budgets
                .list_budget_states(v1::ListBudgetStatesRequest { budget_id: budget_id.clone(), ..Default::default() })
                .await
                .map(drop),
            budgets
                .list_reservations(v1::ListReservationsRequest { budget_id: budget_id.clone(), ..Default::default() })
                .await
                .map(drop),
            budgets
                .list_budgets(v1::ListBudgetsRequest { page_token: budget_id.clone(), ..Default::default() })
                .await
                .map(drop),
        ];
        for answer in listed {
            if let Err(status) = answer {
                assert!(matches!(status.code(), Code::NotFound | Code::InvalidArgument), "{name:?}: {status:?}");
            }
        }
    }
}

fn cases() -> Vec<Case<v1::Budget>> {
    let mut cases = definition();
    cases.extend(conditions("budget.selector", |budget: &mut v1::Budget, selector| budget.selector = selector));
    cases.extend(within(texts("budget.models[0].", &MODEL), |budget: &mut v1::Budget| {
        budget.models = vec![gpt_4o()];
        &mut budget.models[0]
    }));
    cases.extend(windows());
    cases.extend(rules());
    cases
}

fn definition() -> Vec<Case<v1::Budget>> {
    let called = |what: &str, id: String| {
        case(what, &["budget.budget_id"], move |budget: &mut v1::Budget| budget.budget_id = id.clone())
    };
    let limited = |what: &str, limit: &'static str| {
        case(what, &["budget.limit"], move |budget: &mut v1::Budget| budget.limit = limit.to_owned())
    };
    let per = |what: &str, field: &str, per: Vec<v1::DimensionKey>| {
        case(what, &[field], move |budget: &mut v1::Budget| budget.per = per.clone())
    };
    vec![
        called("no id", String::new()),
        called("an id of 65 bytes", "x".repeat(65)),
        called("an id with a space", "my budget".to_owned()),
        called("an id with a NUL", "\0".to_owned()),
        called("an id beyond ASCII", "é".to_owned()),
        case("a name of 257 bytes", &["budget.display_name"], |budget: &mut v1::Budget| {
            budget.display_name = "x".repeat(257);
        }),
        case("a name with a NUL", &["budget.display_name"], |budget: &mut v1::Budget| {
            budget.display_name = "\0".to_owned();
        }),
        case("33 notes", &["budget.annotations"], |budget: &mut v1::Budget| budget.annotations = notes(33)),
        case("a note's key of 65 bytes", &["budget.annotations key"], |budget: &mut v1::Budget| {
            budget.annotations.insert("x".repeat(65), String::new());
        }),
        case("a note of 257 bytes", &["budget.annotations[owner]"], |budget: &mut v1::Budget| {
            budget.annotations.insert("owner".to_owned(), "x".repeat(257));
        }),
        case("a note with a NUL", &["budget.annotations[owner]"], |budget: &mut v1::Budget| {
            budget.annotations.insert("owner".to_owned(), "\0".to_owned());
        }),
        case(
            "decision 2: a condition on what is not known at the check",
            &["budget.selector[0].key"],
            |budget: &mut v1::Budget| {
                budget.selector = vec![v1::DimensionMatch { key: Some(key("model")), ..matching(&["gpt-4o"]) }];
            },
        ),
        case("101 models", &["budget.models"], |budget: &mut v1::Budget| budget.models = vec![gpt_4o(); 101]),
        per("four keys", "budget.per", vec![key("user_id"), key("session_id"), key("task_id"), key("room_id")]),
        per("a key twice", "budget.per[1]", vec![key("user_id"), key("user_id")]),
        per("an unknown key", "budget.per[0].name", vec![key("userid")]),
        per("decision 2: a key that is not known at the check", "budget.per[0]", vec![key("operation_name")]),
        per("a label without its key", "budget.per[0].label", vec![label_key("")]),
        per("a label's key of 65 bytes", "budget.per[0].label", vec![label_key(&"x".repeat(65))]),
        per("a label's key with a NUL", "budget.per[0].label", vec![label_key("\0")]),
        case("an unknown choice for a missing key", &["budget.per_absent"], |budget: &mut v1::Budget| {
            budget.per_absent = 99;
        }),
        case("an unknown choice for unpriced calls", &["budget.unpriced"], |budget: &mut v1::Budget| {
            budget.unpriced = 99;
        }),
        case("an unknown choice for an absent database", &["budget.unavailable"], |budget: &mut v1::Budget| {
            budget.unavailable = 99;
        }),
        case("an unknown end of holds", &["budget.on_expire"], |budget: &mut v1::Budget| budget.on_expire = 99),
        case("an unknown mode", &["budget.mode"], |budget: &mut v1::Budget| budget.mode = 99),
        case("an unknown carry", &["budget.carry"], |budget: &mut v1::Budget| budget.carry = 99),
        case("no unit", &["budget.unit"], |budget: &mut v1::Budget| budget.unit = 0),
        case("an unknown unit", &["budget.unit"], |budget: &mut v1::Budget| budget.unit = 99),
        limited("no limit", ""),
        limited("a negative limit", "-1"),
        limited("a limit that is no number", "ten"),
        limited("a limit of 13 decimals", "0.0000000000001"),
        limited("a limit of 17 digits", "10000000000000000"),
        case("an impossible start", &["budget.start_time"], |budget: &mut v1::Budget| {
            budget.start_time = super::no_instant();
        }),
        case("an impossible end", &["budget.end_time"], |budget: &mut v1::Budget| {
            budget.end_time = super::no_instant();
        }),
        case("an impossible beginning", &["budget.count_from"], |budget: &mut v1::Budget| {
            budget.count_from = super::no_instant();
        }),
        case("an end with the start", &["budget.end_time"], |budget: &mut v1::Budget| {
            budget.start_time = Some(at("2030-01-01T00:00:00Z"));
            budget.end_time = budget.start_time;
        }),
        case(
            "many",
            &["budget.budget_id", "budget.selector[0].values", "budget.mode", "budget.rules[0].at_fraction"],
            |budget: &mut v1::Budget| {
                budget.budget_id.clear();
                budget.selector = vec![matching(&[])];
                budget.mode = 99;
                budget.rules = vec![rule("11", v1::Action::Block)];
            },
        ),
    ]
}

fn windows() -> Vec<Case<v1::Budget>> {
    let lasts = |what: &str, fields: &[&str], window: v1::Window| {
        case(what, fields, move |budget: &mut v1::Budget| budget.window = Some(window.clone()))
    };
    let kind = |kind: i32| v1::Window { kind, ..day() };
    let anchored = |seconds: i64, window: v1::Window| {
        let anchor = Some(prost_types::Timestamp { seconds, nanos: 0 });
        v1::Window { anchor, ..window }
    };
    vec![
        case("no window", &["budget.window"], |budget: &mut v1::Budget| budget.window = None),
        lasts("no kind", &["budget.window.kind"], kind(0)),
        lasts("an unknown kind", &["budget.window.kind"], kind(99)),
        lasts("a negative count", &["budget.window.count"], window(Kind::Day, -1, "UTC")),
        lasts("367 days", &["budget.window.count"], window(Kind::Day, 367, "UTC")),
        lasts("no time zone", &["budget.window.time_zone"], window(Kind::Day, 1, "")),
        lasts("an unknown time zone", &["budget.window.time_zone"], window(Kind::Day, 1, "Berlin")),
        lasts("a time zone with a NUL", &["budget.window.time_zone"], window(Kind::Day, 1, "\0")),
        lasts("an impossible anchor", &["budget.window.anchor"], anchored(-1, day())),
        lasts(
            "a lifetime that repeats",
            &["budget.window.count", "budget.window.time_zone", "budget.window.anchor"],
            anchored(1, window(Kind::Lifetime, 2, "UTC")),
        ),
    ]
}

fn rules() -> Vec<Case<v1::Budget>> {
    let ruled = |what: &str, field: &str, rule: v1::Rule| {
        case(what, &[field], move |budget: &mut v1::Budget| budget.rules = vec![rule.clone()])
    };
    let fraction =
        |what: &str, fraction: &str| ruled(what, "budget.rules[0].at_fraction", rule(fraction, v1::Action::Block));
    let action = |what: &str, field: &str, action: i32| ruled(what, field, v1::Rule { action, ..block() });
    let throttle = rule("1", v1::Action::Throttle);
    let by_week = move |budget: &mut v1::Budget| {
        budget.window = Some(window(Kind::Week, 1, "UTC"));
        budget.rules = vec![throttle.clone()];
    };
    let nameless = v1::Rule { downgrade_to: vec![model("openai", "")], ..downgrade(1) };
    let long = v1::Rule { downgrade_to: vec![model("openai", &"x".repeat(257))], ..downgrade(1) };
    vec![
        case("17 rules", &["budget.rules"], |budget: &mut v1::Budget| budget.rules = vec![block(); 17]),
        fraction("no fraction", ""),
        fraction("a fraction of nothing", "0"),
        fraction("a negative fraction", "-0.5"),
        fraction("a fraction above 10", "10.0001"),
        fraction("a fraction of 5 decimals", "0.00001"),
        fraction("a fraction that is no number", "80%"),
        ruled("an unknown basis", "budget.rules[0].basis", v1::Rule { basis: 99, ..block() }),
        action("no action", "budget.rules[0].action", 0),
        action("an unknown action", "budget.rules[0].action", 99),
        action("a downgrade to nothing", "budget.rules[0].downgrade_to", v1::Action::Downgrade.into()),
        ruled(
            "a block to a cheaper model",
            "budget.rules[0].downgrade_to",
            v1::Rule { downgrade_to: vec![gpt_4o()], ..block() },
        ),
        ruled("9 cheaper models", "budget.rules[0].downgrade_to", downgrade(9)),
        ruled("a cheaper model without a name", "budget.rules[0].downgrade_to[0].model", nameless),
        ruled("a cheaper model of 257 bytes", "budget.rules[0].downgrade_to[0].model", long),
        case("decision 9: throttling by the week", &["budget.rules[0].action"], by_week),
    ]
}

fn downgrade(models: usize) -> v1::Rule {
    v1::Rule { downgrade_to: vec![model("openai", "gpt-4o-mini"); models], ..rule("0.8", v1::Action::Downgrade) }
}

fn window(kind: Kind, count: i32, time_zone: &str) -> v1::Window {
    v1::Window { kind: kind.into(), count, time_zone: time_zone.to_owned(), anchor: None }
}

fn label_key(label: &str) -> v1::DimensionKey {
    v1::DimensionKey { name: "label".to_owned(), label: label.to_owned() }
}

fn notes(count: usize) -> HashMap<String, String> {
    (0..count).map(|number| (format!("note_{number}"), "x".repeat(256))).collect()
}
