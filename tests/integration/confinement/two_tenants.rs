//! Two tenants of one server, who use the same names and ids, and see nothing of each other.

use tollgate_proto::v1;
use tollgate_proto::v1::admin_service_server::AdminService as _;
use tollgate_proto::v1::alert_service_server::AlertService as _;
use tollgate_proto::v1::budget_service_server::BudgetService as _;
use tollgate_proto::v1::price_service_server::PriceService as _;
use tollgate_proto::v1::usage_service_server::UsageService as _;
use tollgate_server::grpc::{AdminApi, AlertApi, BudgetApi, PriceApi, UsageApi};
use tollgate_server::tenant::TenantId;
use tonic::{Code, Request, Status};

use super::{FIRST, SECOND};
use crate::harness::TestServer;
use crate::harness::build::{budget, create, event, gpt_4o, id, record, reserve, rule, session};
use crate::harness::time::{at, seconds_from_now};

/// What a tenant can call, past the wire: its number comes with each call.
struct Caller {
    tenant: TenantId,
    usage: UsageApi,
    budgets: BudgetApi,
    prices: PriceApi,
    alerts: AlertApi,
    admin: AdminApi,
}

/// What a tenant made.
struct Made {
    event_id: String,
    reservation_id: String,
    price_id: String,
    alert_id: String,
}

impl Caller {
    fn of(server: &TestServer, tenant: TenantId) -> Self {
        let app = &server.running.as_ref().unwrap().app;
        Self {
            tenant,
            usage: UsageApi::new(app.clone()),
            budgets: BudgetApi::new(app.clone()),
            prices: PriceApi::new(app.clone()),
            alerts: AlertApi::new(app.clone()),
            admin: AdminApi::new(app.clone()),
        }
    }

    fn ask<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        let mut caller = tollgate_server::auth::Caller::local();
        caller.tenant = self.tenant;
        request.extensions_mut().insert(caller);
        request
    }

    /// A budget with an alert, a price, an event that raises the alert, and a hold: all by the names that others use, too.
    async fn make(&self, recorded: v1::UsageEvent, limit: &str) -> Made {
        let warning = rule("0.0001", v1::Action::Alert);
        let mut created = budget("monthly", limit);
        created.rules.push(warning);
        self.budgets.create_budget(self.ask(create(created))).await.unwrap();
        let rate = |line: &str| v1::PriceRate {
            line: line.to_owned(),
            usd: limit.to_owned(),
            per: 1_000_000,
            ..Default::default()
        };
        let price = v1::Price {
            model: Some(gpt_4o()),
            coverage: v1::price::Coverage::Model.into(),
            rates: vec![rate("input"), rate("output")],
            start_time: Some(at("2020-01-01T00:00:00Z")),
            ..Default::default()
        };
        let set = v1::SetPriceRequest { price: Some(price), request_id: id(), validate_only: false };
        let price_id = self.prices.set_price(self.ask(set)).await.unwrap().into_inner().price.unwrap().price_id;
        let Some(v1::usage_event::Key::EventId(event_id)) = recorded.key.clone() else { panic!("it has an id") };
        self.usage.record_usage(self.ask(record(recorded))).await.unwrap();
        let check = reserve(session("s"), 100, 100);
        let reservation_id = check.reservation_id.clone();
        let checked = self.budgets.check_budget(self.ask(check)).await.unwrap().into_inner();
        assert_eq!(checked.decision(), v1::Decision::Allowed);
        let alerts = self.alerts.list_alerts(self.ask(v1::ListAlertsRequest::default())).await.unwrap().into_inner();
        let alert_id = alerts.alerts[0].alert_id.clone();
        Made { event_id, reservation_id, price_id, alert_id }
    }

    /// Everything that lists and sums, of which there is one each; the events' input tokens and the budget's limit.
    async fn sees_one_of_each(&self) -> (i64, String) {
        let listed = self.usage.list_usage(self.ask(v1::ListUsageRequest::default())).await.unwrap().into_inner();
        assert_eq!(listed.records.len(), 1);
        let summary = v1::GetSummaryRequest {
            start_time: Some(seconds_from_now(-86_400)),
            end_time: Some(seconds_from_now(86_400)),
            ..Default::default()
        };
        let summary = self.usage.get_summary(self.ask(summary)).await.unwrap().into_inner();
        let summed = summary.total.unwrap().totals.unwrap();
        assert_eq!(summed.attempts, 1);
        let scope = v1::watch_scope::Scope::SessionId("s".to_owned());
        let scope = v1::WatchScope { key: "s".to_owned(), scope: Some(scope), ..Default::default() };
        let totals = v1::GetTotalsRequest { scopes: vec![scope], ..Default::default() };
        let totals = self.usage.get_totals(self.ask(totals)).await.unwrap().into_inner();
        let watched = totals.scopes[0].totals.as_ref().unwrap();
        assert_eq!((watched.attempts, &watched.usd), (1, &summed.usd));

        let budgets =
            self.budgets.list_budgets(self.ask(v1::ListBudgetsRequest::default())).await.unwrap().into_inner();
        let states = v1::ListBudgetStatesRequest::default();
        let states = self.budgets.list_budget_states(self.ask(states)).await.unwrap().into_inner();
        assert_eq!((budgets.budgets.len(), states.states.len()), (1, 1));
        assert_eq!(states.states[0].spent, summed.usd);
        let held = v1::ListReservationsRequest::default();
        let held = self.budgets.list_reservations(self.ask(held)).await.unwrap().into_inner();
        assert_eq!(held.reservations.len(), 1);
        let prices = v1::ListPricesRequest { source: v1::price::Source::Tenant.into(), ..Default::default() };
        let prices = self.prices.list_prices(self.ask(prices)).await.unwrap().into_inner();
        assert_eq!(prices.prices.len(), 1);
        let alerts = self.alerts.list_alerts(self.ask(v1::ListAlertsRequest::default())).await.unwrap().into_inner();
        assert_eq!(alerts.alerts.len(), 1);
        let audit = self.admin.run_audit(self.ask(v1::RunAuditRequest::default())).await.unwrap().into_inner();
        assert_eq!((audit.events, audit.findings.len()), (1, 0));
        (summed.tokens.unwrap().total_input_tokens, budgets.budgets[0].limit.clone())
    }

    /// What is said about things that are another tenant's, or nobody's.
    async fn asks_for(&self, made: &Made) -> Vec<Status> {
        let key = Some(v1::get_usage_request::Key::EventId(made.event_id.clone()));
        let reservation_id = made.reservation_id.clone();
        let hold = v1::GetReservationRequest { reservation_id: reservation_id.clone() };
        let longer = v1::ExtendReservationRequest { reservation_id, sequence: 1, ..Default::default() };
        let cancelled = v1::AmendUsageRequest {
            request_id: id(),
            event_id: made.event_id.clone(),
            expected_revision: 1,
            change: Some(v1::amend_usage_request::Change::Cancel(true)),
            reason: "it is not mine".to_owned(),
            ..Default::default()
        };
        let ended = v1::EndPriceRequest { price_id: made.price_id.clone(), ..Default::default() };
        let seen = v1::AcknowledgeAlertRequest { alert_id: made.alert_id.clone(), ..Default::default() };
        [
            self.usage.get_usage(self.ask(v1::GetUsageRequest { key })).await.map(drop),
            self.usage.amend_usage(self.ask(cancelled)).await.map(drop),
            self.budgets.get_reservation(self.ask(hold)).await.map(drop),
            self.budgets.extend_reservation(self.ask(longer)).await.map(drop),
            self.prices.end_price(self.ask(ended)).await.map(drop),
            self.alerts.acknowledge_alert(self.ask(seen)).await.map(drop),
        ]
        .map(Result::unwrap_err)
        .into()
    }
}

#[tokio::test]
async fn two_tenants_use_the_same_names_and_see_their_own() {
    let server = TestServer::start().await;
    server.execute("INSERT INTO tenant (tenant_id, name) VALUES (2, 'second')").await;
    let (first, second) = (Caller::of(&server, FIRST), Caller::of(&server, SECOND));
    let mine = first.make(event(session("s"), 1_000, 10), "5").await;
    let theirs = second.make(event(session("s"), 2_000, 10), "7").await;
    assert_eq!(first.sees_one_of_each().await, (1_000, "5".to_owned()));
    assert_eq!(second.sees_one_of_each().await, (2_000, "7".to_owned()));

    for (caller, made) in [(&first, &theirs), (&second, &mine)] {
        for refused in caller.asks_for(made).await {
            assert_eq!(refused.code(), Code::NotFound, "{refused}");
        }
    }
    // Nothing of it has touched the other.
    assert_eq!(first.sees_one_of_each().await, (1_000, "5".to_owned()));
    assert_eq!(second.sees_one_of_each().await, (2_000, "7".to_owned()));
}

#[tokio::test]
async fn the_same_event_id_counts_for_each_tenant() {
    let server = TestServer::start().await;
    server.execute("INSERT INTO tenant (tenant_id, name) VALUES (2, 'second')").await;
    let (first, second) = (Caller::of(&server, FIRST), Caller::of(&server, SECOND));
    let told = event(session("s"), 1_000, 10);
    let other = v1::UsageEvent { key: told.key.clone(), ..event(session("s"), 3_000, 10) };
    first.make(told, "5").await;
    second.make(other, "7").await;
    assert_eq!(first.sees_one_of_each().await.0, 1_000);
    assert_eq!(second.sees_one_of_each().await.0, 3_000);
}
