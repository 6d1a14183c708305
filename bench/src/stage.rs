//! What every scenario stands on: a private Postgres with fsync on and the settings of the embedded default, the real server
//! as a process of its own, and the baseline that answers at once as another.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};

use futures::future::try_join_all;
use nix::unistd::Pid;
use sqlx::{ConnectOptions as _, Connection as _, PgConnection};
use tollgate_stage::{Cluster, Ground, Launch, Replica, binary, folder};

use crate::baselines::redis::Redis;
use crate::echo::{Echo, Replies};
use crate::options::Options;
use crate::usage::Watched;

/// Shared by all scenarios of a run.
#[derive(Debug)]
pub(crate) struct Stage {
    pub(crate) cluster: Cluster,
    binary: PathBuf,
    folder: PathBuf,
    keep: bool,
    started: AtomicU64,
}

/// Servers over one database.
#[derive(Debug)]
pub(crate) struct Product {
    /// Their database.
    pub(crate) ground: Ground,
    replicas: Vec<Replica>,
    processes: Vec<Pid>,
}

impl Stage {
    /// Builds the server and starts the database.
    pub(crate) async fn open(options: &Options) -> anyhow::Result<Self> {
        let binary = match &options.binary {
            Some(binary) => binary.clone(),
            None => binary::build(env!("CARGO_PKG_NAME"), !cfg!(debug_assertions))?,
        };
        let folder = folder::fresh("tollgate-bench")?;
        let cluster = Cluster::start(&folder).await?;
        Ok(Self { cluster, binary, folder, keep: options.keep, started: AtomicU64::new(0) })
    }

    /// Stops the database, and removes its files.
    pub(crate) async fn close(self) -> anyhow::Result<()> {
        self.cluster.stop().await?;
        if !self.keep {
            std::fs::remove_dir_all(&self.folder)?;
        }
        Ok(())
    }

    /// Servers over a fresh database, all of them serving.
    pub(crate) async fn product(&self, replicas: usize) -> anyhow::Result<Product> {
        let ground = self.cluster.ground().await?;
        let launch = |_| {
            let number = self.started.fetch_add(1, Ordering::Relaxed);
            Replica::start(Launch {
                binary: self.binary.clone(),
                folder: self.folder.clone(),
                name: format!("server-{number}"),
                database_url: ground.url(),
                environment: Vec::new(),
            })
        };
        let replicas: Vec<Replica> = (0..replicas).map(launch).collect::<anyhow::Result<_>>()?;
        try_join_all(replicas.iter().map(Replica::wait_until_serving)).await?;
        let processes = replicas.iter().map(Replica::pid).collect::<anyhow::Result<_>>()?;
        Ok(Product { ground, replicas, processes })
    }

    /// The baseline that answers at once with these replies.
    pub(crate) async fn echo(&self, replies: &Replies) -> anyhow::Result<Echo> {
        Echo::start(&self.folder, replies).await
    }

    /// Redis with one budget, where it is installed.
    pub(crate) async fn redis(&self) -> anyhow::Result<Option<Redis>> {
        Redis::start(&self.folder).await
    }

    /// Stops the servers and drops their database.
    pub(crate) async fn end(&self, product: Product) -> anyhow::Result<()> {
        for replica in product.replicas {
            anyhow::ensure!(replica.stop().await?, "a server did not drain");
        }
        self.cluster.drop_ground(product.ground).await
    }

    /// Begins a part of a round with everything written out, so that no part pays for what the one before left.
    pub(crate) async fn settle(&self, ground: &Ground) -> anyhow::Result<()> {
        let mut connection = connect(ground).await?;
        sqlx::query("CHECKPOINT").execute(&mut connection).await?;
        Ok(connection.close().await?)
    }
}

impl Product {
    /// Where one of the servers is reached.
    pub(crate) fn url(&self, number: usize) -> anyhow::Result<String> {
        let replica = self.replicas.get(number).ok_or_else(|| anyhow::anyhow!("there is no server {number}"))?;
        Ok(replica.url())
    }

    /// Its processes, and those of its database.
    pub(crate) fn watched<'a>(&'a self, stage: &'a Stage) -> Watched<'a> {
        Watched { servers: &self.processes, cluster: Some(&stage.cluster) }
    }

    /// Bytes that the first server has in memory now.
    pub(crate) fn resident_bytes(&self) -> u64 {
        self.replicas.first().and_then(Replica::resident_bytes).unwrap_or_default()
    }
}

/// A connection past the server.
pub(crate) async fn connect(ground: &Ground) -> anyhow::Result<PgConnection> {
    Ok(ground.options.clone().connect().await?)
}
