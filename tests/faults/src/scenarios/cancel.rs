//! Callers hang up, or run out of time, at any moment of their calls.

use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use tokio::task::JoinSet;
use tollgate_client::{Window, v1};

use super::calls::Purse;
use super::trial::Trial;
use crate::caller::{Answer, Endpoint};
use crate::report::Report;
use crate::requests::{budget, check, event, id_of, settling};
use crate::stage::Stage;

const REPLICAS: usize = 2;
const CALLERS: usize = 64;
const LIMIT: u64 = 100_000_000;
/// Lead of a hold whose caller has gone.
const LEAD: Duration = Duration::from_secs(3);
/// Longest patience of a caller: most calls take less, some more.
const LONGEST_PATIENCE: u64 = 500;

/// So many calls that are given up, or nearly so.
pub(super) async fn run(stage: &Stage) -> anyhow::Result<Report> {
    let calls = stage.rounds(500, 10_000);
    let mut report = Report::default();
    let bar = stage.progress("cancel", calls);
    let mut trial = Trial::open(stage, 0, REPLICAS, true).await?;
    trial.service.create_budget(&mut trial.rng, budget("cancelled", LIMIT, Window::day("UTC")).into()).await?;
    let mut callers = JoinSet::new();
    for number in 0..CALLERS {
        let own = calls / CALLERS + usize::from(number < calls % CALLERS);
        let purse = Purse::new(&trial, &format!("caller-{}", number % 8), number);
        let mut rng = StdRng::seed_from_u64(trial.rng.random());
        let bar = bar.clone();
        callers.spawn(async move {
            let mut given_up = 0;
            for _ in 0..own {
                given_up += u64::from(call(&purse, &mut rng).await);
                bar.inc(1);
            }
            given_up
        });
    }
    while let Some(given_up) = callers.join_next().await {
        report.faults += given_up?;
    }
    trial.close(&mut report).await?;
    report.note(format!("{calls} calls with a patience of 0 to {LONGEST_PATIENCE} ms, given up counts as a fault"));
    Ok(report)
}

/// One call; says whether it was given up.
async fn call(purse: &Purse, rng: &mut StdRng) -> bool {
    // Short ones more often.
    let longest = rng.random_range(0..=LONGEST_PATIENCE);
    let patience = Duration::from_millis(rng.random_range(0..=longest));
    // Half of them tell the server how long they wait; the others just hang up.
    let told = rng.random();
    let endpoint = purse.service.nth(rng.random_range(0..purse.service.len())).clone();
    let endpoint = if told { endpoint.with_patience(patience) } else { endpoint };
    let call = step(purse, rng, endpoint);
    if told { call.await } else { tokio::time::timeout(patience, call).await.unwrap_or(true) }
}

async fn step(purse: &Purse, rng: &mut StdRng, endpoint: Endpoint) -> bool {
    let tokens = rng.random_range(1..=50);
    let request = check(&purse.user, tokens, LEAD);
    let reservation_id = request.reservation_id.clone();
    purse.history.count();
    match endpoint.check(request).await {
        Answer::Acked(_) => purse.history.held(&reservation_id),
        Answer::Unknown | Answer::Busy => return true,
        Answer::Refused(status) => {
            purse.history.broken(format!("a check was refused: {status}"));
            return false;
        }
    }
    if rng.random_ratio(1, 4) {
        let extension = v1::ExtendReservationRequest {
            reservation_id: reservation_id.clone(),
            ttl: Some(prost_types::Duration { seconds: 3, nanos: 0 }),
            sequence: 1,
            ..Default::default()
        };
        if !matches!(endpoint.extend(extension).await, Answer::Acked(_)) {
            return true;
        }
    }
    if rng.random_ratio(1, 4) {
        return !matches!(endpoint.release(&reservation_id).await, Answer::Acked(_));
    }
    let event = settling(event(Some(&purse.user), "cancelled", tokens), &reservation_id);
    purse.history.intend(&event);
    match endpoint.record(event.clone()).await {
        Answer::Acked(_) => {
            if let Some(id) = id_of(&event) {
                purse.history.acked(id);
            }
            false
        }
        Answer::Unknown | Answer::Busy => true,
        Answer::Refused(status) => {
            purse.history.broken(format!("an event was refused: {status}"));
            false
        }
    }
}
