//! What the command line asks of a scenario.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use crate::load::Span;

/// Seconds that each part of each round is measured for, unless told otherwise.
const SECONDS: u64 = 10;
/// Longest warm-up.
const WARM_UP: Duration = Duration::from_secs(2);

/// How to measure.
#[derive(Debug, Clone, Args)]
pub(crate) struct Options {
    /// Seconds that each part of each round is measured for; by default 10, for `soak` 600
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) seconds: Option<u64>,
    /// How often the product and its baselines take turns
    #[arg(long, value_name = "COUNT", default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) rounds: u64,
    /// Print one line of JSON per figure
    #[arg(long)]
    pub(crate) json: bool,
    /// Seed of everything that is random
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u64,
    /// Events of `summary` and `disk`, in place of a million
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u64).range(1_000..))]
    pub(crate) events: Option<u64>,
    /// In `summary`, measure ten times as many events, too
    #[arg(long)]
    pub(crate) large: bool,
    /// The `tollgate` to measure, in place of one that is built first, as this program was
    #[arg(long, value_name = "FILE")]
    pub(crate) binary: Option<PathBuf>,
    /// Keep the folder with the logs and the database
    #[arg(long)]
    pub(crate) keep: bool,
}

impl Options {
    /// How long a part is measured, and warmed up before.
    pub(crate) fn span(&self) -> Span {
        self.span_of(SECONDS)
    }

    /// The same, where the scenario has another length by default.
    pub(crate) fn span_of(&self, usual: u64) -> Span {
        let length = Duration::from_secs(self.seconds.unwrap_or(usual));
        Span { warm_up: (length / 5).min(WARM_UP), length }
    }

    /// A short one, to choose between settings of a baseline.
    pub(crate) fn trial(&self) -> Span {
        let Span { length, .. } = self.span();
        Span { warm_up: length / 20, length: length / 5 }
    }
}
