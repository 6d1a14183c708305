//! One database with its replicas, from the first call to the last check.

use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;
use rand::rngs::StdRng;

use crate::caller::{Answer, Endpoint, Service};
use crate::checker;
use crate::history::History;
use crate::reader::Reader;
use crate::report::Report;
use crate::requests::{event, id_of};
use crate::stage::Stage;
use tollgate_stage::Ground;
use tollgate_stage::Replica;
use tollgate_stage::wait::until;

/// A part of a scenario.
pub(super) struct Trial<'a> {
    pub(super) stage: &'a Stage,
    pub(super) ground: Ground,
    pub(super) replicas: Vec<Replica>,
    pub(super) service: Service,
    pub(super) history: Arc<History>,
    pub(super) rng: StdRng,
    reader: Reader,
    exact: bool,
}

impl<'a> Trial<'a> {
    /// A fresh database with replicas. `exact` = no overrun is expected.
    pub(super) async fn open(stage: &'a Stage, part: u64, replicas: usize, exact: bool) -> anyhow::Result<Self> {
        let ground = stage.cluster.ground().await?;
        let url = ground.url();
        Self::over(stage, part, ground, &url, replicas, exact).await
    }

    /// The same with replicas that reach the database by another URL.
    pub(super) async fn over(
        stage: &'a Stage,
        part: u64,
        ground: Ground,
        url: &str,
        replicas: usize,
        exact: bool,
    ) -> anyhow::Result<Self> {
        let (replicas, service) = stage.replicas(url, replicas).await?;
        Ok(Self::of(stage, part, ground, replicas, service, exact))
    }

    /// A fresh database whose schema this program makes, with replicas that run it.
    pub(super) async fn of_program(
        stage: &'a Stage,
        part: u64,
        program: &Path,
        replicas: usize,
        exact: bool,
    ) -> anyhow::Result<Self> {
        let ground = stage.cluster.empty_ground().await?;
        let (replicas, service) = stage.replicas_of(program, &ground.url(), replicas).await?;
        Ok(Self::of(stage, part, ground, replicas, service, exact))
    }

    fn of(stage: &'a Stage, part: u64, ground: Ground, replicas: Vec<Replica>, service: Service, exact: bool) -> Self {
        let reader = Reader::start(ground.options.clone(), exact);
        let (history, rng) = (Arc::new(History::default()), stage.rng(part));
        Self { stage, ground, replicas, service, history, rng, reader, exact }
    }

    /// Where a replica serves, counted round.
    pub(super) fn service_url(&self, number: usize) -> anyhow::Result<String> {
        let replica = self.replicas.get(number % self.replicas.len().max(1)).context("there is no replica")?;
        Ok(replica.url())
    }

    /// Checks everything, stops the replicas, and drops the database.
    pub(super) async fn close(self, report: &mut Report) -> anyhow::Result<()> {
        let stage = self.stage;
        let ground = self.end(report).await?;
        stage.cluster.drop_ground(ground).await
    }

    /// The same, but the database stays.
    pub(super) async fn end(self, report: &mut Report) -> anyhow::Result<Ground> {
        report.add_reading(self.reader.stop().await?);
        report.violations.extend(checker::check(&self.ground, &self.history, self.exact).await?);
        report.add_history(&self.history);
        for replica in self.replicas {
            if !replica.stop().await? {
                report.violations.push("a server did not stop in order".to_owned());
            }
        }
        Ok(self.ground)
    }
}

/// Waits until this replica has recorded an event.
pub(super) async fn until_recording(replica: &Replica, history: &History) -> anyhow::Result<()> {
    let endpoint = Endpoint::of(replica)?;
    let event = event(None, "probe", 1);
    history.intend(&event);
    until("an event is recorded", || async {
        matches!(endpoint.record(event.clone()).await, Answer::Acked(_)).then_some(())
    })
    .await?;
    if let Some(id) = id_of(&event) {
        history.acked(id);
    }
    Ok(())
}
