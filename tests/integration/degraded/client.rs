//! What a program with the Rust client sees of an outage.

use std::time::Duration;

use tollgate_client::{CheckRequest, Client, Error, Event, UsageEventBuilder};
use tollgate_proto::v1;

use super::{comes_back, config, of_team, team};
use crate::harness::TestServer;
use crate::harness::build::{budget, create};
use crate::harness::outage::OwnPostgres;

fn request(team: &str) -> CheckRequest {
    CheckRequest::reserve(("openai", "gpt-4o")).input_tokens(1_000).max_output_tokens(1_000).team(team)
}

fn used(team: &str) -> UsageEventBuilder {
    Event::chat("openai", "gpt-4o").tokens(1_000, 1_000).team(team)
}

#[tokio::test]
async fn the_client_goes_on_unreserved_and_its_recorder_delivers_after_the_return() {
    let mut postgres = OwnPostgres::start().await;
    let server = TestServer::over(postgres.options(), &config()).await;
    let open = v1::Budget { unavailable: v1::Choice::Allow.into(), ..budget("open", "1") };
    for budget in [of_team("open", open), of_team("hard", budget("hard", "1"))] {
        server.budgets.clone().create_budget(create(budget)).await.unwrap();
    }
    let client = Client::builder(server.url.clone()).connect().await.unwrap();
    let recorder = client.recorder();
    let reserved = client.reserve(request("open")).await.unwrap();
    assert!(!reserved.is_degraded());
    postgres.stop().await;

    // Held before the outage: the settle waits in the recorder.
    assert!(reserved.settle_with(&recorder, used("open")));
    let mut unreserved = client.reserve(request("open")).await.unwrap();
    assert!(unreserved.is_degraded() && unreserved.answer().unwrap().is_degraded());
    unreserved.start_heartbeat();
    assert!(!unreserved.must_stop());
    assert!(unreserved.settle_with(&recorder, used("open")));
    let denied = client.reserve(request("hard")).await.unwrap_err();
    assert!(
        matches!(&denied, Error::NotAllowed(answer) if answer.is_degraded() && answer.reason() == "UNAVAILABLE"),
        "{denied}"
    );
    for _ in 0..50 {
        assert!(recorder.record(used("open")));
    }
    let counts = recorder.counts();
    assert_eq!((counts.queued, counts.recorded, counts.rejected, counts.dropped), (52, 0, 0, 0), "{counts:?}");

    postgres.start_again().await;
    comes_back(&server, &team("nobody")).await;
    recorder.flush(Duration::from_secs(30)).await.unwrap();
    let counts = recorder.counts();
    assert_eq!((counts.recorded + counts.duplicate, counts.rejected, counts.dropped), (52, 0, 0), "{counts:?}");
    let request = v1::ListBudgetStatesRequest { budget_id: "open".to_owned(), ..Default::default() };
    let state = server.budgets.clone().list_budget_states(request).await.unwrap().into_inner().states.remove(0);
    assert_eq!((state.spent.as_str(), state.held.as_str()), ("0.65", "0"));
    server.assert_audit_holds().await;
}
