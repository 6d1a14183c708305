//! Keeping budgets.

use tollgate_client::{BudgetBuilder, Decimal, Window, dimension, is_one_of, v1};
use tonic::Status;

use crate::fake::{Fake, Log, Reply, serve};

#[tokio::test]
async fn a_budget_is_created_once_whatever_gets_lost() {
    let seen = Log::new();
    let log = seen.clone();
    let create = move |request: v1::CreateBudgetRequest| {
        if log.add(request.clone()) == 1 {
            return Reply::Fail(Status::unavailable("the answer was lost"));
        }
        Reply::Answer(v1::CreateBudgetResponse { budget: request.budget })
    };
    let server = serve(Fake { create_budget: Some(Box::new(create)), ..Fake::default() }).await;
    let budget = BudgetBuilder::usd("monthly", 100, Window::month("Europe/Berlin"))
        .only(is_one_of(dimension("environment"), ["production"]))
        .per(dimension("user_id"))
        .alert_at(Decimal::new(8, 1))
        .hard();
    let created = server.client().await.create_budget(budget).await.unwrap();
    assert_eq!(created.limit, "100");
    assert_eq!(created.rules.iter().map(|rule| rule.at_fraction.as_str()).collect::<Vec<_>>(), ["0.8", "1"]);
    let seen = seen.all();
    assert_eq!(seen.len(), 2);
    assert_eq!(seen[0], seen[1], "the request keeps its identity");
    assert!(!seen[0].request_id.is_empty());
}
