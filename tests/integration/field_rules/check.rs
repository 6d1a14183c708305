//! CheckBudget, ExtendReservation and the other calls that name a reservation.

use tollgate_proto::v1;
use tonic::Code;

use super::{
    Case, DIMENSIONS, MODEL, assert_refused, assert_taken, case, count, dimensions, longest, texts, units, within,
};
use crate::harness::TestServer;
use crate::harness::build::{gpt_4o, id, model, reserve, session, tokens};
use crate::harness::time::milliseconds;

const VERSION_4: &str = "0b0e8e4c-7a4b-4c52-9d53-1f2a4f3e1c11";
const SEVEN_DAYS: i64 = 7 * 86_400_000;

#[tokio::test]
async fn every_rule_of_check_budget_is_told_by_its_field_and_nothing_is_held() {
    let server = TestServer::start().await;
    let mut cases = checks();
    cases.extend(within(dimensions("dimensions"), |check: &mut v1::CheckBudgetRequest| {
        check.dimensions.get_or_insert_default()
    }));
    cases.extend(within(texts("model.", &MODEL), |check: &mut v1::CheckBudgetRequest| {
        check.model.get_or_insert_default()
    }));
    cases.extend(within(texts("fallbacks[0].", &MODEL), |check: &mut v1::CheckBudgetRequest| {
        check.fallbacks = vec![gpt_4o()];
        &mut check.fallbacks[0]
    }));
    cases.extend(within(estimates("estimate"), |check: &mut v1::CheckBudgetRequest| {
        check.estimate.get_or_insert_default()
    }));
    assert_refused(&reserve(session("s1"), 1_000, 1_000), cases, |request| {
        let mut budgets = server.budgets.clone();
        async move { budgets.check_budget(request).await }
    })
    .await;
    assert_nothing_is_held(&server).await;
}

#[tokio::test]
async fn decision_10_a_check_without_a_mode_is_refused() {
    let server = TestServer::start().await;
    let cases = vec![
        case("unset", &["mode"], |check: &mut v1::CheckBudgetRequest| {
            check.mode = v1::CheckMode::Unspecified.into();
            check.reservation_id.clear();
        }),
        case("unset, with an id", &["mode", "reservation_id"], |check: &mut v1::CheckBudgetRequest| check.mode = 0),
        case("unknown", &["mode", "reservation_id"], |check: &mut v1::CheckBudgetRequest| check.mode = 99),
    ];
    assert_refused(&reserve(session("s1"), 1, 1), cases, |request| {
        let mut budgets = server.budgets.clone();
        async move { budgets.check_budget(request).await }
    })
    .await;
    assert_nothing_is_held(&server).await;
}

#[tokio::test]
async fn a_check_that_just_meets_the_rules_is_answered() {
    let server = TestServer::start().await;
    let mut requests: Vec<(String, v1::CheckBudgetRequest)> = Vec::new();
    let mut take = |what: &str, change: &dyn Fn(&mut v1::CheckBudgetRequest)| {
        let mut check = reserve(session("s1"), 1_000, 1_000);
        change(&mut check);
        requests.push((what.to_owned(), check));
    };
    for (what, change) in longest(&DIMENSIONS) {
        take(&what, &|check: &mut v1::CheckBudgetRequest| change(check.dimensions.as_mut().unwrap()));
    }
    for (what, change) in longest(&MODEL) {
        take(&what, &|check: &mut v1::CheckBudgetRequest| change(check.model.as_mut().unwrap()));
    }
    take("a second", &|check: &mut v1::CheckBudgetRequest| check.ttl = Some(milliseconds(1_000)));
    take("seven days", &|check: &mut v1::CheckBudgetRequest| check.ttl = Some(milliseconds(SEVEN_DAYS)));
    take("8 fallbacks", &|check: &mut v1::CheckBudgetRequest| {
        check.fallbacks = vec![model("openai", "gpt-4o-mini"); 8];
    });
    take("no estimate", &|check: &mut v1::CheckBudgetRequest| check.estimate = None);
    take("no dimensions", &|check: &mut v1::CheckBudgetRequest| check.dimensions = None);
    take("an amount instead of a model", &|check: &mut v1::CheckBudgetRequest| {
        check.model = None;
        check.estimate = Some(v1::Estimate { amount_usd: "0".to_owned(), ..Default::default() });
    });
    take("the most of everything", &|check: &mut v1::CheckBudgetRequest| {
        let estimate = check.estimate.as_mut().unwrap();
        estimate.input_tokens = Some(1_000_000_000);
        estimate.cache_read_tokens = Some(1_000_000_000);
        estimate.max_output_tokens = Some(0);
        (estimate.calls, estimate.choices) = (1_000, 1_000_000);
    });
    take("a look", &|check: &mut v1::CheckBudgetRequest| {
        check.mode = v1::CheckMode::Peek.into();
        check.reservation_id.clear();
    });
    assert_taken(requests, |request| {
        let mut budgets = server.budgets.clone();
        async move { budgets.check_budget(request).await }
    })
    .await;
    server.assert_audit_holds().await;
}

#[tokio::test]
async fn every_rule_of_extend_reservation_is_told_by_its_field_and_nothing_moves() {
    let mut server = TestServer::start().await;
    let check = reserve(session("s1"), 1_000, 1_000);
    let reservation_id = check.reservation_id.clone();
    server.budgets.check_budget(check).await.unwrap();
    let get = v1::GetReservationRequest { reservation_id: reservation_id.clone() };
    let before = server.budgets.get_reservation(get.clone()).await.unwrap().into_inner().reservation.unwrap();

    let good = v1::ExtendReservationRequest { reservation_id, sequence: 1, ..Default::default() };
    let mut cases = extensions();
    cases.extend(within(estimates("raise_to"), |request: &mut v1::ExtendReservationRequest| {
        request.raise_to.get_or_insert_default()
    }));
    cases.extend(within(texts("model.", &MODEL[..1]), |request: &mut v1::ExtendReservationRequest| {
        request.raise_to = Some(v1::Estimate::default());
        request.model.get_or_insert_with(gpt_4o)
    }));
    assert_refused(&good, cases, |request| {
        let mut budgets = server.budgets.clone();
        async move { budgets.extend_reservation(request).await }
    })
    .await;

    let after = server.budgets.get_reservation(get).await.unwrap().into_inner().reservation.unwrap();
    assert_eq!((after.expire_time, after.parts, after.running), (before.expire_time, before.parts, before.running));
    server.assert_audit_holds().await;
}

#[tokio::test]
async fn a_reservation_is_named_by_its_id() {
    let server = TestServer::start().await;
    let good = v1::ReleaseReservationRequest { reservation_id: id(), reason: String::new() };
    let cases = vec![
        case("no id", &["reservation_id"], |request: &mut v1::ReleaseReservationRequest| {
            request.reservation_id.clear();
        }),
        case("an id of version 4", &["reservation_id"], |request: &mut v1::ReleaseReservationRequest| {
            request.reservation_id = VERSION_4.to_owned();
        }),
        case("a reason of 257 bytes", &["reason"], |request: &mut v1::ReleaseReservationRequest| {
            request.reason = "x".repeat(257);
        }),
        case("a reason with a NUL", &["reason"], |request: &mut v1::ReleaseReservationRequest| {
            request.reason = "\0".to_owned();
        }),
    ];
    assert_refused(&good, cases, |request| {
        let mut budgets = server.budgets.clone();
        async move { budgets.release_reservation(request).await }
    })
    .await;
    let cases = vec![
        case("no id", &["reservation_id"], |request: &mut v1::GetReservationRequest| request.reservation_id.clear()),
        case("an unknown one", &[], |_: &mut v1::GetReservationRequest| {})
            .because(Code::NotFound, "RESERVATION_NOT_FOUND"),
    ];
    assert_refused(&v1::GetReservationRequest { reservation_id: id() }, cases, |request| {
        let mut budgets = server.budgets.clone();
        async move { budgets.get_reservation(request).await }
    })
    .await;
    let cases = vec![
        case("too large a page", &["page_size"], |request: &mut v1::ListReservationsRequest| request.page_size = 1_001),
        case("an unknown state", &["states"], |request: &mut v1::ListReservationsRequest| request.states = vec![99]),
        case("no state", &["states"], |request: &mut v1::ListReservationsRequest| request.states = vec![0]),
        case("17 conditions", &["filter"], |request: &mut v1::ListReservationsRequest| {
            request.filter = vec![super::matching(&["u1"]); 17];
        }),
        case("no such page", &[], |request: &mut v1::ListReservationsRequest| request.page_token = "next".to_owned())
            .because(Code::InvalidArgument, "PAGE_TOKEN_INVALID"),
    ];
    assert_refused(&v1::ListReservationsRequest::default(), cases, |request| {
        let mut budgets = server.budgets.clone();
        async move { budgets.list_reservations(request).await }
    })
    .await;
    assert_nothing_is_held(&server).await;
}

async fn assert_nothing_is_held(server: &TestServer) {
    let request = v1::ListReservationsRequest::default();
    let listed = server.budgets.clone().list_reservations(request).await.unwrap().into_inner();
    assert_eq!(listed, v1::ListReservationsResponse::default());
    server.assert_audit_holds().await;
}

fn checks() -> Vec<Case<v1::CheckBudgetRequest>> {
    let lasts = |what: &str, ttl: prost_types::Duration| {
        case(what, &["ttl"], move |check: &mut v1::CheckBudgetRequest| check.ttl = Some(ttl))
    };
    vec![
        case("no id", &["reservation_id"], |check: &mut v1::CheckBudgetRequest| check.reservation_id.clear()),
        case("no UUID", &["reservation_id"], |check: &mut v1::CheckBudgetRequest| {
            check.reservation_id = "17".to_owned();
        }),
        case("an id of version 4", &["reservation_id"], |check: &mut v1::CheckBudgetRequest| {
            check.reservation_id = VERSION_4.to_owned();
        }),
        case("a look with an id", &["reservation_id"], |check: &mut v1::CheckBudgetRequest| {
            check.mode = v1::CheckMode::Peek.into();
        }),
        case("headroom without an id", &["reservation_id"], |check: &mut v1::CheckBudgetRequest| {
            check.mode = v1::CheckMode::ReserveHeadroom.into();
            check.reservation_id.clear();
        }),
        case("no model", &["model.model"], |check: &mut v1::CheckBudgetRequest| check.model = None),
        case("a model without a name", &["model.model"], |check: &mut v1::CheckBudgetRequest| {
            check.model = Some(model("openai", ""));
        }),
        case("9 fallbacks", &["fallbacks"], |check: &mut v1::CheckBudgetRequest| check.fallbacks = vec![gpt_4o(); 9]),
        case("a fallback without a name", &["fallbacks[1].model"], |check: &mut v1::CheckBudgetRequest| {
            check.fallbacks = vec![gpt_4o(), model("openai", "")];
        }),
        lasts("no time at all", milliseconds(0)),
        lasts("less than a second", milliseconds(999)),
        lasts("a millisecond more than seven days", milliseconds(SEVEN_DAYS + 1)),
        lasts("less than no time", prost_types::Duration { seconds: -1, nanos: 0 }),
        lasts("too many nanoseconds", prost_types::Duration { seconds: 1, nanos: 1_000_000_000 }),
        case(
            "everything at once",
            &["reservation_id", "dimensions.user_id", "model.model", "estimate.calls", "ttl"],
            |check: &mut v1::CheckBudgetRequest| {
                check.reservation_id.clear();
                check.dimensions.as_mut().unwrap().user_id = "x".repeat(257);
                check.model = None;
                check.estimate.as_mut().unwrap().calls = -1;
                check.ttl = Some(milliseconds(0));
            },
        ),
    ]
}

fn estimates(path: &str) -> Vec<Case<v1::Estimate>> {
    let at = |name: &str| format!("{path}.{name}");
    let mut cases = vec![
        case("negative input", &[&at("input_tokens")], |one: &mut v1::Estimate| one.input_tokens = Some(-1)),
        case("too much input", &[&at("input_tokens")], |one: &mut v1::Estimate| one.input_tokens = Some(1_000_000_001)),
        case("a negative cached part", &[&at("cache_read_tokens")], |one: &mut v1::Estimate| {
            one.cache_read_tokens = Some(-1);
        }),
        case("more cached than read", &[&at("cache_read_tokens")], |one: &mut v1::Estimate| {
            (one.input_tokens, one.cache_read_tokens) = (Some(10), Some(11));
        }),
        case("a cached part of nothing", &[&at("cache_read_tokens")], |one: &mut v1::Estimate| {
            (one.input_tokens, one.cache_read_tokens) = (None, Some(1));
        }),
        case("negative output", &[&at("max_output_tokens")], |one: &mut v1::Estimate| one.max_output_tokens = Some(-1)),
        case("too much output", &[&at("max_output_tokens")], |one: &mut v1::Estimate| {
            one.max_output_tokens = Some(i64::MAX);
        }),
        case("negative choices", &[&at("choices")], |one: &mut v1::Estimate| one.choices = -1),
        case("too many choices", &[&at("choices")], |one: &mut v1::Estimate| one.choices = 1_000_001),
        case("negative calls", &[&at("calls")], |one: &mut v1::Estimate| one.calls = -1),
        case("too many calls", &[&at("calls")], |one: &mut v1::Estimate| one.calls = 1_000_001),
        case("a negative amount", &[&at("amount_usd")], |one: &mut v1::Estimate| one.amount_usd = "-1".to_owned()),
        case("an amount that is no number", &[&at("amount_usd")], |one: &mut v1::Estimate| {
            one.amount_usd = "$1".to_owned();
        }),
        case("an amount of 13 decimals", &[&at("amount_usd")], |one: &mut v1::Estimate| {
            one.amount_usd = "0.0000000000001".to_owned();
        }),
    ];
    cases.extend(units(&at("units"), |one: &mut v1::Estimate| &mut one.units));
    cases.push(case("two rules", &[&at("calls"), &at("units[0].quantity")], |one: &mut v1::Estimate| {
        one.calls = -1;
        one.units = vec![count("page", "")];
    }));
    cases
}

fn extensions() -> Vec<Case<v1::ExtendReservationRequest>> {
    let lasts = |what: &str, ttl: prost_types::Duration| {
        case(what, &["ttl"], move |request: &mut v1::ExtendReservationRequest| request.ttl = Some(ttl))
    };
    let running = |what: &str, field: &str, usage: v1::TokenUsage| {
        case(what, &[field], move |request: &mut v1::ExtendReservationRequest| {
            request.running_usage = Some(usage.clone());
        })
    };
    vec![
        case("no id", &["reservation_id"], |request: &mut v1::ExtendReservationRequest| request.reservation_id.clear()),
        case("an id of version 4", &["reservation_id"], |request: &mut v1::ExtendReservationRequest| {
            request.reservation_id = VERSION_4.to_owned();
        }),
        case("no sequence", &["sequence"], |request: &mut v1::ExtendReservationRequest| request.sequence = 0),
        case("a negative sequence", &["sequence"], |request: &mut v1::ExtendReservationRequest| request.sequence = -1),
        lasts("less than a second", milliseconds(999)),
        lasts("a millisecond more than seven days", milliseconds(SEVEN_DAYS + 1)),
        running("negative usage", "running_usage.total_input_tokens", tokens(-1, 1)),
        running("usage without a quality", "running_usage.quality", v1::TokenUsage { quality: 0, ..tokens(1, 1) }),
        running(
            "usage of a class that is newer than this version",
            "running_usage.parts[0].token_class",
            v1::TokenUsage { parts: vec![v1::TokenPart { token_class: 99, ..Default::default() }], ..tokens(1, 1) },
        )
        .because(Code::InvalidArgument, "UNKNOWN_TOKEN_CLASS"),
        case("a model without an estimate", &["model"], |request: &mut v1::ExtendReservationRequest| {
            request.model = Some(gpt_4o());
        }),
        case("an unknown reservation", &[], |request: &mut v1::ExtendReservationRequest| request.reservation_id = id())
            .because(Code::NotFound, "RESERVATION_NOT_FOUND"),
    ]
}
