//! AmendUsage and RepriceUsage: what was charged stands, and everything that is current follows.

mod amending;
mod concurrency;
mod repricing;
mod reservations;
mod rules;

use std::collections::BTreeMap;

use tollgate_proto::v1;
use tollgate_proto::v1::amend_usage_request::Change;
use tonic::Status;

use crate::harness::TestServer;
use crate::harness::build::{self, budget, create, event, id, key, record};
use crate::harness::time::at;

/// 0.0125 USD: 1,000 tokens in, 1,000 out, on gpt-4o.
const ONE_CALL: (i64, i64) = (1_000, 1_000);

/// An event of May 2026 that these dimensions had.
fn event_at(start: &str, dimensions: v1::Dimensions, (input, output): (i64, i64)) -> v1::UsageEvent {
    build::event_at(at(start), dimensions, input, output)
}

/// A call of ada's planner in session s1, on 4 May.
fn by_ada() -> v1::UsageEvent {
    event_at("2026-05-04T11:07:13Z", who("ada", "s1", "planner"), ONE_CALL)
}

fn who(user_id: &str, session_id: &str, agent_name: &str) -> v1::Dimensions {
    v1::Dimensions {
        user_id: user_id.to_owned(),
        session_id: session_id.to_owned(),
        agent_name: agent_name.to_owned(),
        ..Default::default()
    }
}

fn id_of(event: &v1::UsageEvent) -> String {
    match event.key.as_ref().unwrap() {
        v1::usage_event::Key::EventId(id) => id.clone(),
        v1::usage_event::Key::ExternalKey(key) => panic!("{key:?} is no id"),
    }
}

async fn send(server: &TestServer, event: &v1::UsageEvent) -> v1::RecordUsageResponse {
    server.usage.clone().record_usage(record(event.clone())).await.unwrap().into_inner()
}

fn amendment(event: &v1::UsageEvent, revision: i64, change: Change) -> v1::AmendUsageRequest {
    v1::AmendUsageRequest {
        request_id: id(),
        event_id: id_of(event),
        expected_revision: revision,
        change: Some(change),
        reason: "the caller got it wrong".to_owned(),
        validate_only: false,
    }
}

async fn try_amend(server: &TestServer, request: v1::AmendUsageRequest) -> Result<v1::AmendUsageResponse, Status> {
    server.usage.clone().amend_usage(request).await.map(tonic::Response::into_inner)
}

async fn amend(server: &TestServer, request: v1::AmendUsageRequest) -> v1::AmendUsageResponse {
    try_amend(server, request).await.unwrap()
}

async fn get(server: &TestServer, event: &v1::UsageEvent) -> v1::UsageRecord {
    let request = v1::GetUsageRequest { key: Some(v1::get_usage_request::Key::EventId(id_of(event))) };
    server.usage.clone().get_usage(request).await.unwrap().into_inner().record.unwrap()
}

/// What a record says of its cost: revision, first cost, current cost.
fn costs(record: &v1::UsageRecord) -> (i64, &str, &str) {
    (record.revision, &record.cost.as_ref().unwrap().usd, &record.current_cost.as_ref().unwrap().usd)
}

/// Calls and cost of a session over its life.
async fn session_total(server: &TestServer, session_id: &str) -> (i64, String) {
    let scope = v1::WatchScope {
        key: "s".to_owned(),
        scope: Some(v1::watch_scope::Scope::SessionId(session_id.to_owned())),
        ..Default::default()
    };
    let request = v1::GetTotalsRequest { scopes: vec![scope], ..Default::default() };
    let answer = server.usage.clone().get_totals(request).await.unwrap().into_inner();
    let totals = answer.scopes[0].totals.clone().unwrap();
    (totals.calls, totals.usd)
}

/// Rows of a summary of May 2026: by day and group, attempts, input tokens, cost, current cost.
type Rows = BTreeMap<String, (i64, i64, String, String)>;

/// The summary by day and one dimension, read from rollups and from events, by start and by charge time: all agree.
async fn summary(server: &TestServer, cost_basis: v1::CostBasis, dimension: &str) -> Rows {
    let paths =
        |paths: &[&str]| prost_types::FieldMask { paths: paths.iter().map(|path| (*path).to_owned()).collect() };
    let request = v1::GetSummaryRequest {
        start_time: Some(at("2026-05-01T00:00:00Z")),
        end_time: Some(at("2026-06-01T00:00:00Z")),
        cost_basis: cost_basis.into(),
        granularity: v1::Granularity::Day.into(),
        group_by: vec![key(dimension)],
        ..Default::default()
    };
    let by_events = v1::GetSummaryRequest {
        measures: Some(paths(&["totals", "current_usd", "cost_by_class", "latency_p50"])),
        ..request.clone()
    };
    let by_charge = v1::GetSummaryRequest { time_basis: v1::TimeBasis::Charge.into(), ..request.clone() };
    let rows = rows(server, request).await;
    assert_eq!(rows, self::rows(server, by_events).await, "from rollups, from events");
    assert_eq!(rows, self::rows(server, by_charge).await, "by start, by charge");
    rows
}

async fn rows(server: &TestServer, request: v1::GetSummaryRequest) -> Rows {
    let answer = server.usage.clone().get_summary(request).await.unwrap().into_inner();
    let figures = |measures: &v1::Measures| {
        let totals = measures.totals.as_ref().unwrap();
        let classes: rust_decimal::Decimal =
            measures.cost_by_class.iter().map(|line| line.usd.parse::<rust_decimal::Decimal>().unwrap()).sum();
        assert_eq!(classes, totals.usd.parse().unwrap(), "{measures:?}");
        let input = totals.tokens.as_ref().unwrap().total_input_tokens;
        (totals.attempts, input, totals.usd.clone(), measures.current_usd.clone())
    };
    let named = |row: &v1::get_summary_response::Row| {
        let group = match row.groups[0].kind.as_ref().unwrap() {
            v1::group_value::Kind::Value(value) => value.clone(),
            other => format!("{other:?}"),
        };
        let day = jiff::Timestamp::from_second(row.bucket_start.unwrap().seconds).unwrap();
        format!("{} {group}", day.strftime("%d"))
    };
    let rows: Rows = answer.rows.iter().map(|row| (named(row), figures(row.measures.as_ref().unwrap()))).collect();
    let total = figures(answer.total.as_ref().unwrap());
    let sum = |read: fn(&(i64, i64, String, String)) -> &str| -> rust_decimal::Decimal {
        rows.values().map(|row| read(row).parse::<rust_decimal::Decimal>().unwrap()).sum()
    };
    assert_eq!(total.2.parse::<rust_decimal::Decimal>().unwrap(), sum(|row| &row.2), "the rows make the total");
    assert_eq!(total.3.parse::<rust_decimal::Decimal>().unwrap(), sum(|row| &row.3), "the rows make the total");
    rows
}

fn expected(rows: &[(&str, i64, i64, &str, &str)]) -> Rows {
    rows.iter()
        .map(|(name, attempts, input, usd, current)| {
            ((*name).to_owned(), (*attempts, *input, (*usd).to_owned(), (*current).to_owned()))
        })
        .collect()
}

/// A soft budget per user over all time.
fn per_user(budget_id: &str, unit: v1::Unit, limit: &str) -> v1::Budget {
    v1::Budget {
        unit: unit.into(),
        window: Some(v1::Window { kind: v1::window::Kind::Lifetime.into(), ..Default::default() }),
        per: vec![key("user_id")],
        rules: Vec::new(),
        ..budget(budget_id, limit)
    }
}

/// A soft daily budget of everybody, from May on.
fn daily(budget_id: &str, limit: &str) -> v1::Budget {
    v1::Budget { rules: Vec::new(), count_from: Some(at("2026-05-01T00:00:00Z")), ..budget(budget_id, limit) }
}

async fn with_budgets(budgets: Vec<v1::Budget>) -> TestServer {
    let server = TestServer::start().await;
    for budget in budgets {
        server.budgets.clone().create_budget(create(budget)).await.unwrap();
    }
    server
}

/// What each user's counter of a budget has spent, and its overrun.
async fn spent(server: &TestServer, budget_id: &str) -> BTreeMap<String, (String, String)> {
    let request = v1::ListBudgetStatesRequest { budget_id: budget_id.to_owned(), ..Default::default() };
    let states = server.budgets.clone().list_budget_states(request).await.unwrap().into_inner().states;
    let named = |state: v1::BudgetState| {
        let user = state.per_values.get("user_id").cloned().unwrap_or_default();
        (user, (state.spent, state.overrun))
    };
    states.into_iter().map(named).collect()
}

/// What the single counter of a daily budget has spent on a day.
async fn spent_on(server: &TestServer, budget_id: &str, day: &str) -> String {
    let request =
        v1::ListBudgetStatesRequest { budget_id: budget_id.to_owned(), at: Some(at(day)), ..Default::default() };
    let states = server.budgets.clone().list_budget_states(request).await.unwrap().into_inner().states;
    states.first().map_or_else(String::new, |state| state.spent.clone())
}

fn counters(rows: &[(&str, &str, &str)]) -> BTreeMap<String, (String, String)> {
    rows.iter()
        .map(|(user, spent, overrun)| ((*user).to_owned(), ((*spent).to_owned(), (*overrun).to_owned())))
        .collect()
}

/// Why counters of a budget were lifted above their limit.
async fn causes(server: &TestServer) -> Vec<serde_json::Value> {
    let causes = "SELECT overrun_causes FROM budget_window WHERE overrun_causes <> '{}' ORDER BY per_values";
    sqlx::query_scalar(causes).fetch_all(&server.pool()).await.unwrap()
}
