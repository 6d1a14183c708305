//! Callers who do not give up: each call is sent with the same ids until some replica has decided it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rand::Rng as _;
use rand::rngs::StdRng;
use tokio::task::JoinSet;
use tollgate_client::v1;

use super::trial::Trial;
use crate::caller::{Answer, Service};
use crate::history::History;
use crate::requests::{check, event, id_of, settling};
use tollgate_stage::wait::LONGEST;

/// Who calls, for whom.
#[derive(Debug, Clone)]
pub(super) struct Purse {
    pub(super) service: Service,
    pub(super) history: Arc<History>,
    pub(super) user: String,
    /// The replica that is asked first.
    pub(super) home: usize,
}

impl Purse {
    /// A caller of the trial.
    pub(super) fn new(trial: &Trial<'_>, user: &str, home: usize) -> Self {
        Self { service: trial.service.clone(), history: trial.history.clone(), user: user.to_owned(), home }
    }
}

/// Asks for a hold until it is decided.
pub(super) async fn reserve(
    purse: &Purse,
    rng: &mut StdRng,
    tokens: u64,
    lead: Duration,
) -> anyhow::Result<(String, v1::Decision)> {
    let request = check(&purse.user, tokens, lead);
    let reservation_id = request.reservation_id.clone();
    purse.history.count();
    let deadline = Instant::now() + LONGEST;
    let mut replica = purse.home;
    loop {
        match purse.service.nth(replica).check(request.clone()).await {
            Answer::Acked(answer) => {
                if answer.decision() == v1::Decision::Allowed {
                    purse.history.held(&reservation_id);
                }
                return Ok((reservation_id, answer.decision()));
            }
            Answer::Refused(status) => anyhow::bail!("a check was refused: {status}"),
            Answer::Unknown | Answer::Busy => {}
        }
        anyhow::ensure!(Instant::now() < deadline, "a check was not answered in {LONGEST:?}");
        tokio::time::sleep(Duration::from_millis(rng.random_range(5..50))).await;
        replica = rng.random_range(0..purse.service.len());
    }
}

/// Settles a hold until that is acknowledged.
pub(super) async fn settle(purse: &Purse, rng: &mut StdRng, reservation_id: &str, used: u64) -> anyhow::Result<()> {
    let event = settling(event(Some(&purse.user), &format!("session-{}", purse.user), used), reservation_id);
    purse.history.intend(&event);
    purse
        .service
        .insist(rng, "a settle", |endpoint| {
            let event = event.clone();
            async move { endpoint.record(event).await }
        })
        .await?;
    if let Some(id) = id_of(&event) {
        purse.history.acked(id);
    }
    Ok(())
}

/// Frees a hold until that is acknowledged.
pub(super) async fn release(purse: &Purse, rng: &mut StdRng, reservation_id: &str) -> anyhow::Result<()> {
    purse.history.count();
    purse
        .service
        .insist(rng, "a release", |endpoint| {
            let reservation_id = reservation_id.to_owned();
            async move { endpoint.release(&reservation_id).await }
        })
        .await
        .map(drop)
}

/// Whether any of the callers is still calling: what breaks after the last call breaks nothing.
///
/// # Errors
/// That of a caller who could not go on.
pub(super) fn at_work(callers: &mut JoinSet<anyhow::Result<()>>) -> anyhow::Result<bool> {
    while let Some(ended) = callers.try_join_next() {
        ended??;
    }
    Ok(!callers.is_empty())
}
