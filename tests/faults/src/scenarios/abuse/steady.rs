//! The client that keeps to the rules: the same calls at the same rate, whatever happens around it.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval};
use tollgate_client::CheckRequest;

use crate::caller::{Answer, Endpoint, Service};
use crate::history::History;
use crate::requests::{event, id_of};

/// Time between two calls.
const PERIOD: Duration = Duration::from_millis(10);

/// How long calls took.
#[derive(Debug, Clone, Copy)]
pub(super) struct Latency {
    pub(super) calls: usize,
    pub(super) p99: Duration,
}

/// Peeks and records in turn for so long. Each call begins when it is due, however late the one before is answered, and is
/// measured from then.
pub(super) async fn steady_calls(service: &Service, history: &Arc<History>, time: Duration) -> anyhow::Result<Latency> {
    let endpoint = service.nth(0);
    let mut due = interval(PERIOD);
    due.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let mut calls = JoinSet::new();
    let end = Instant::now() + time;
    for number in 0_u64.. {
        let start = due.tick().await;
        if start >= end {
            break;
        }
        let (endpoint, history) = (endpoint.clone(), history.clone());
        calls.spawn(async move {
            call(&endpoint, &history, number % 2 == 0).await;
            start.elapsed()
        });
    }
    let mut latencies = Vec::with_capacity(calls.len());
    while let Some(latency) = calls.join_next().await {
        latencies.push(latency?);
    }
    latencies.sort_unstable();
    let rank = latencies.len().saturating_sub(1) * 99 / 100;
    Ok(Latency { calls: latencies.len(), p99: latencies.get(rank).copied().unwrap_or_default() })
}

/// Every call is answered: whoever keeps to the rules does not notice that others break them.
async fn call(endpoint: &Endpoint, history: &History, peek: bool) {
    history.count();
    if peek {
        let request = CheckRequest::peek(("openai", "gpt-4o")).user("steady").input_tokens(10).into_proto();
        if !matches!(endpoint.check(request).await, Answer::Acked(_)) {
            history.broken("a peek was not answered".to_owned());
        }
        return;
    }
    let event = event(Some("steady"), "steady", 10);
    history.intend(&event);
    match endpoint.record(event.clone()).await {
        Answer::Acked(_) => {
            if let Some(id) = id_of(&event) {
                history.acked(id);
            }
        }
        other => history.broken(format!("an event was not recorded: {other:?}")),
    }
}
