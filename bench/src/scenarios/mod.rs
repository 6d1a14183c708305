//! What is measured: a scenario per file, with its goals beside it.

mod check_hot;
mod check_peek;
mod disk;
mod memory;
mod mixed;
mod record_batch;
mod record_lone;
mod record_unary;
mod soak;
mod stream;
mod summary;

use rand::SeedableRng as _;
use rand::rngs::StdRng;

use crate::figures::{Figures, Row};
use crate::options::Options;
use crate::progress::Progress;
use crate::stage::Stage;

/// A scenario.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scenario {
    RecordBatch,
    RecordUnary,
    RecordLone,
    CheckHot,
    CheckPeek,
    Mixed,
    Disk,
    Memory,
    Soak,
    Stream,
    Summary,
}

impl Scenario {
    /// In the order in which they are run.
    pub(crate) const ALL: [Self; 11] = [
        Self::RecordBatch,
        Self::RecordUnary,
        Self::RecordLone,
        Self::CheckHot,
        Self::CheckPeek,
        Self::Mixed,
        Self::Disk,
        Self::Memory,
        Self::Stream,
        Self::Summary,
        Self::Soak,
    ];

    /// As it is reported.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::RecordBatch => "record-batch",
            Self::RecordUnary => "record-unary",
            Self::RecordLone => "record-lone",
            Self::CheckHot => "check-hot",
            Self::CheckPeek => "check-peek",
            Self::Mixed => "mixed",
            Self::Disk => "disk",
            Self::Memory => "memory",
            Self::Soak => "soak",
            Self::Stream => "stream",
            Self::Summary => "summary",
        }
    }
}

/// What scenarios share.
pub(crate) struct Bench<'a> {
    pub(crate) stage: &'a Stage,
    pub(crate) options: &'a Options,
    figures: Figures,
    progress: Progress,
    scenario: Scenario,
}

impl Bench<'_> {
    /// Everything random of the scenario.
    fn rng(&self) -> StdRng {
        StdRng::seed_from_u64(self.options.seed)
    }

    /// Says what goes on.
    fn tell(&self, text: impl std::fmt::Display) {
        self.progress.tell(format!("{}: {text}", self.scenario.name()));
    }

    /// Reports a figure.
    fn add(&mut self, row: Row) -> anyhow::Result<()> {
        let Self { progress, figures, .. } = self;
        progress.aside(|| figures.add(row))
    }
}

/// Runs these scenarios.
pub(crate) async fn run(scenarios: &[Scenario], options: &Options) -> anyhow::Result<()> {
    let progress = Progress::new();
    progress.tell("building the server and starting postgres");
    let stage = Stage::open(options).await?;
    let figures = Figures::new(options.json);
    let mut bench = Bench { stage: &stage, options, figures, progress, scenario: Scenario::RecordBatch };
    for scenario in scenarios {
        bench.scenario = *scenario;
        bench.tell("starting");
        match scenario {
            Scenario::RecordBatch => record_batch::run(&mut bench).await?,
            Scenario::RecordUnary => record_unary::run(&mut bench).await?,
            Scenario::RecordLone => record_lone::run(&mut bench).await?,
            Scenario::CheckHot => check_hot::run(&mut bench).await?,
            Scenario::CheckPeek => check_peek::run(&mut bench).await?,
            Scenario::Mixed => mixed::run(&mut bench).await?,
            Scenario::Disk => disk::run(&mut bench).await?,
            Scenario::Memory => memory::run(&mut bench).await?,
            Scenario::Soak => soak::run(&mut bench).await?,
            Scenario::Stream => stream::run(&mut bench).await?,
            Scenario::Summary => summary::run(&mut bench).await?,
        }
        let Bench { progress, figures, .. } = &mut bench;
        progress.aside(|| figures.print())?;
    }
    bench.progress.end();
    stage.close().await
}
