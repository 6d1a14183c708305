//! What every scenario stands on: a private Postgres, the binary, a seed, and how many rounds are wanted.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use futures::future::try_join_all;
use indicatif::{ProgressBar, ProgressStyle};
use rand::SeedableRng as _;
use rand::rngs::StdRng;
use tollgate_stage::{Cluster, Launch, Replica, binary, folder};

use crate::arguments::Arguments;
use crate::caller::{Endpoint, Service};

/// Shared by all scenarios of a run.
pub(crate) struct Stage {
    pub(crate) cluster: Cluster,
    pub(crate) short: bool,
    /// Whether slowness is a violation.
    pub(crate) judge: bool,
    binary: PathBuf,
    old: Option<PathBuf>,
    folder: PathBuf,
    seed: u64,
    rounds: Option<usize>,
    seconds: Option<u64>,
    keep: bool,
    started: AtomicU64,
}

impl Stage {
    /// Builds the server and starts the database.
    pub(crate) async fn open(arguments: &Arguments) -> anyhow::Result<Self> {
        let binary = match &arguments.binary {
            Some(binary) => binary.clone(),
            None => binary::build(env!("CARGO_PKG_NAME"), arguments.release)?,
        };
        let folder = folder::fresh("tollgate-faults")?;
        let cluster = Cluster::start(&folder).await?;
        let Arguments { short, seed, rounds, seconds, judge, keep, .. } = *arguments;
        let old = arguments.old.clone();
        let started = AtomicU64::new(0);
        Ok(Self { cluster, short, judge, binary, old, folder, seed, rounds, seconds, keep, started })
    }

    /// Stops the database, and removes its files.
    pub(crate) async fn close(self) -> anyhow::Result<()> {
        self.cluster.stop().await?;
        if !self.keep {
            std::fs::remove_dir_all(&self.folder)?;
        }
        Ok(())
    }

    /// Where logs go.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// The program that is tested.
    pub(crate) fn binary(&self) -> &Path {
        &self.binary
    }

    /// The program of an older release, where one was named.
    pub(crate) fn old_binary(&self) -> Option<&Path> {
        self.old.as_deref()
    }

    /// How many rounds to run.
    pub(crate) fn rounds(&self, short: usize, full: usize) -> usize {
        self.rounds.unwrap_or(if self.short { short } else { full })
    }

    /// How long to go on, in seconds.
    pub(crate) fn seconds(&self, short: u64, full: u64) -> u64 {
        self.seconds.unwrap_or(if self.short { short } else { full })
    }

    /// Everything random of one part of a run.
    pub(crate) fn rng(&self, part: u64) -> StdRng {
        StdRng::seed_from_u64(self.seed.wrapping_mul(1_000_003).wrapping_add(part))
    }

    /// A server over this database URL.
    fn replica_of(&self, binary: &Path, database_url: String) -> anyhow::Result<Replica> {
        let number = self.started.fetch_add(1, Ordering::Relaxed);
        Replica::start(Launch {
            binary: binary.to_owned(),
            folder: self.folder.clone(),
            name: format!("replica-{number}"),
            database_url,
            // Several replicas share the hundred connections of the private Postgres.
            environment: vec![("TOLLGATE_DATABASE__CONNECTIONS", "8".to_owned())],
        })
    }

    /// Servers over a database URL, all of them serving.
    pub(crate) async fn replicas(&self, url: &str, count: usize) -> anyhow::Result<(Vec<Replica>, Service)> {
        self.replicas_of(&self.binary, url, count).await
    }

    /// The same of another program.
    pub(crate) async fn replicas_of(
        &self,
        binary: &Path,
        url: &str,
        count: usize,
    ) -> anyhow::Result<(Vec<Replica>, Service)> {
        let start = |_| self.replica_of(binary, url.to_owned());
        let replicas: Vec<Replica> = (0..count).map(start).collect::<anyhow::Result<_>>()?;
        try_join_all(replicas.iter().map(Replica::wait_until_serving)).await?;
        let endpoints = replicas.iter().map(Endpoint::of).collect::<anyhow::Result<_>>()?;
        Ok((replicas, Service::new(endpoints)?))
    }

    /// A bar of so many steps, where standard error is a terminal.
    pub(crate) fn progress(&self, name: &'static str, steps: usize) -> ProgressBar {
        let template = "{msg:>14} {bar:40} {pos}/{len} {elapsed}";
        let bar = ProgressBar::new(steps as u64).with_message(name);
        match ProgressStyle::with_template(template) {
            Ok(style) => bar.with_style(style),
            Err(_) => bar,
        }
    }
}
