//! Those who call the service, or the baseline that answers at once.

use std::sync::Arc;
use std::time::Instant;

use anyhow::Context as _;
use tollgate_proto::v1;
use tollgate_proto::v1::batch_record_usage_response::item::Item;
use uuid::Uuid;

use crate::load::{Caller, Done};
use crate::template::Template;
use crate::wire::{Connections, Wire};

/// Requests that take turns.
#[derive(Debug, Clone)]
pub(crate) struct Turns {
    templates: Arc<[Template]>,
    next: usize,
}

impl Turns {
    /// Beginning somewhere, so that callers do not go side by side.
    pub(crate) fn new(templates: Arc<[Template]>, start: usize) -> Self {
        Self { templates, next: start }
    }

    pub(crate) fn next(&mut self) -> anyhow::Result<&Template> {
        let index = self.next.checked_rem(self.templates.len()).context("there is nothing to send")?;
        self.next = index + 1;
        self.templates.get(index).context("there is nothing to send")
    }
}

/// So many callers over so many connections, each made with its connection and the place where it begins.
pub(crate) async fn crew<C>(
    url: &str,
    callers: usize,
    connections: usize,
    make: impl Fn(Wire, usize) -> C,
) -> anyhow::Result<Vec<C>> {
    let open = Connections::open(url, connections).await?;
    // A prime step spreads them over the requests.
    (0..callers).map(|number| Ok(make(open.nth(number)?, number * 7_919))).collect()
}

/// Records events one by one.
#[derive(Debug)]
pub(crate) struct Recorder {
    /// Where to.
    pub(crate) wire: Wire,
    /// What.
    pub(crate) events: Turns,
}

impl Caller for Recorder {
    async fn call(&mut self) -> anyhow::Result<Done> {
        let message = self.events.next()?.fresh();
        let answer = self.wire.record(message).await?;
        recorded(&answer)?;
        Ok(Done::of(1))
    }
}

/// Records events in batches.
#[derive(Debug)]
pub(crate) struct BatchRecorder {
    /// Where to.
    pub(crate) wire: Wire,
    /// What.
    pub(crate) batches: Turns,
}

impl Caller for BatchRecorder {
    async fn call(&mut self) -> anyhow::Result<Done> {
        let template = self.batches.next()?;
        let (message, count) = (template.fresh(), template.len());
        let answer = self.wire.record_batch(message).await?;
        anyhow::ensure!(answer.items.len() as u64 == count, "a batch was answered in part");
        for item in &answer.items {
            match &item.item {
                Some(Item::Ok(answer)) => recorded(answer)?,
                Some(Item::Error(error)) => anyhow::bail!("an event was not recorded: {}", error.message),
                None => anyhow::bail!("an event has no answer"),
            }
        }
        Ok(Done::of(count))
    }
}

/// Checks again and again.
#[derive(Debug)]
pub(crate) struct Checker {
    /// Where to.
    pub(crate) wire: Wire,
    /// What.
    pub(crate) checks: Turns,
}

impl Caller for Checker {
    async fn call(&mut self) -> anyhow::Result<Done> {
        let message = self.checks.next()?.fresh();
        let answer = self.wire.check(message).await?;
        allowed(&answer)?;
        Ok(Done::of(1))
    }
}

/// What an orchestrator does: it checks, and then records what the call used. The latency is that of the check.
#[derive(Debug)]
pub(crate) struct Orchestrator {
    /// Where to.
    pub(crate) wire: Wire,
    /// What is checked.
    pub(crate) checks: Turns,
    /// What is recorded after each.
    pub(crate) events: Turns,
}

impl Caller for Orchestrator {
    async fn call(&mut self) -> anyhow::Result<Done> {
        let reservation = Uuid::now_v7();
        let start = Instant::now();
        let answer = self.wire.check(self.checks.next()?.for_reservation(reservation)).await?;
        let latency = start.elapsed();
        allowed(&answer)?;
        let answer = self.wire.record(self.events.next()?.for_reservation(reservation)).await?;
        recorded(&answer)?;
        Ok(Done { operations: 2, latency: Some(latency) })
    }
}

/// Requires that an event was recorded now.
pub(crate) fn recorded(answer: &v1::RecordUsageResponse) -> anyhow::Result<()> {
    anyhow::ensure!(answer.result() == v1::RecordResult::Recorded, "an event was not recorded: {:?}", answer.result());
    Ok(())
}

/// Requires that a call may run, and that this was decided from the database.
pub(crate) fn allowed(answer: &v1::CheckBudgetResponse) -> anyhow::Result<()> {
    let good = answer.decision() == v1::Decision::Allowed && !answer.degraded;
    anyhow::ensure!(good, "a check was not allowed: {} {}", answer.reason, answer.explanation);
    Ok(())
}
