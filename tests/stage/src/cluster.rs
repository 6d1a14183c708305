//! The private Postgres: the embedded default with fsync on, and a database of its own for every part of a scenario.

use std::io::Write as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{ChildStdin, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::Context as _;
use nix::sys::signal::Signal;
use nix::unistd::Pid;
use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _};
use tokio::sync::Mutex;
use tollgate_server::boot::Database;
use tollgate_server::config::Config;
use tollgate_server::embedded::{EmbeddedPostgres, Settings};

use crate::processes;
use crate::wait::until;

const TEMPLATE: &str = "tollgate_template";

/// A Postgres of this process. It is gone with this process, however that ends.
#[derive(Debug)]
pub struct Cluster {
    folder: PathBuf,
    running: Mutex<Option<EmbeddedPostgres>>,
    next: AtomicU64,
    /// Open as long as this process lives.
    _watched: ChildStdin,
}

/// A database of the cluster.
#[derive(Debug, Clone)]
pub struct Ground {
    /// How this process connects to it, past every proxy.
    pub options: PgConnectOptions,
    /// Folder of the socket.
    pub socket: PathBuf,
    /// Its name.
    pub name: String,
}

impl Ground {
    /// As a server is told.
    #[must_use]
    pub fn url(&self) -> String {
        format!("postgres://tollgate@localhost/{}?host={}&sslmode=disable", self.name, self.socket.display())
    }

    /// As a server is told that goes through a proxy at this port.
    #[must_use]
    pub fn url_through(&self, port: u16) -> String {
        format!("postgres://tollgate@127.0.0.1:{port}/{}?sslmode=disable", self.name)
    }
}

impl Cluster {
    /// Creates and starts it in a folder, with the schema in a template.
    ///
    /// # Errors
    /// Where Postgres is not installed or does not start.
    pub async fn start(folder: &Path) -> anyhow::Result<Self> {
        let watched = end_with_this_process(folder)?;
        let data = folder.join("postgres");
        let embedded = EmbeddedPostgres::start(&settings(&data)).await?;
        let template = embedded.create_database(TEMPLATE).await?;
        Database::given(template).prepare(&Config::default()).await?;
        Ok(Self { folder: data, running: Mutex::new(Some(embedded)), next: AtomicU64::new(0), _watched: watched })
    }

    /// A fresh database with the whole schema.
    ///
    /// # Errors
    /// Where Postgres refuses.
    pub async fn ground(&self) -> anyhow::Result<Ground> {
        self.ground_of(TEMPLATE).await
    }

    /// A fresh database without a schema.
    ///
    /// # Errors
    /// Where Postgres refuses.
    pub async fn empty_ground(&self) -> anyhow::Result<Ground> {
        self.ground_of("template0").await
    }

    async fn ground_of(&self, template: &str) -> anyhow::Result<Ground> {
        let running = self.running.lock().await;
        let options = running.as_ref().context("the cluster does not run")?.connect_options();
        let name = format!("ground_{}", self.next.fetch_add(1, Ordering::Relaxed));
        let mut connection = options.clone().database("postgres").connect().await?;
        let create = format!("CREATE DATABASE {name} TEMPLATE {template}");
        sqlx::raw_sql(AssertSqlSafe(create)).execute(&mut connection).await?;
        connection.close().await?;
        Ok(Ground { options: options.database(&name), socket: self.folder.clone(), name })
    }

    /// Drops a database that is no longer needed.
    ///
    /// # Errors
    /// Where Postgres refuses.
    pub async fn drop_ground(&self, ground: Ground) -> anyhow::Result<()> {
        let mut connection = ground.options.clone().database("postgres").connect().await?;
        let drop = format!("DROP DATABASE {} WITH (FORCE)", ground.name);
        sqlx::raw_sql(AssertSqlSafe(drop)).execute(&mut connection).await?;
        Ok(connection.close().await?)
    }

    /// Kills every process of the server at once: nothing is written out, nothing is said to anybody.
    ///
    /// # Errors
    /// Where the system refuses, or a process stays.
    pub async fn kill(&self) -> anyhow::Result<()> {
        let mut running = self.running.lock().await;
        // Stopped first, so that it starts no process while its children are listed.
        processes::signal(self.postmaster()?, Signal::SIGSTOP)?;
        let all = self.processes()?;
        for pid in &all {
            processes::signal(*pid, Signal::SIGKILL)?;
        }
        drop(running.take());
        until("every process of Postgres is gone", || {
            let gone = !all.iter().any(|pid| processes::is_alive(*pid));
            async move { gone.then_some(()) }
        })
        .await
    }

    /// Stands still from now on: connections stay open, and nobody answers.
    ///
    /// # Errors
    /// Where the system refuses.
    pub fn pause(&self) -> anyhow::Result<()> {
        // The main process first, so that it starts no other meanwhile.
        processes::signal(self.postmaster()?, Signal::SIGSTOP)?;
        self.processes()?.into_iter().try_for_each(|pid| processes::signal(pid, Signal::SIGSTOP))
    }

    /// Goes on.
    ///
    /// # Errors
    /// Where the system refuses.
    pub fn resume(&self) -> anyhow::Result<()> {
        self.processes()?.into_iter().try_for_each(|pid| processes::signal(pid, Signal::SIGCONT))
    }

    /// The main process and its children.
    ///
    /// # Errors
    /// Where it does not run.
    pub fn processes(&self) -> anyhow::Result<Vec<Pid>> {
        let postmaster = self.postmaster()?;
        Ok([postmaster].into_iter().chain(processes::children(postmaster)).collect())
    }

    /// Stops the server in order.
    ///
    /// # Errors
    /// Where it does not stop.
    pub async fn stop(&self) -> anyhow::Result<()> {
        match self.running.lock().await.take() {
            Some(embedded) => Ok(embedded.stop().await?),
            None => Ok(()),
        }
    }

    /// Starts it again, and waits until it answers.
    ///
    /// # Errors
    /// Where it does not start.
    pub async fn restart(&self) -> anyhow::Result<()> {
        let embedded = EmbeddedPostgres::start(&settings(&self.folder)).await?;
        *self.running.lock().await = Some(embedded);
        Ok(())
    }

    /// Whether its main process is there.
    #[must_use]
    pub fn is_alive(&self) -> bool {
        self.postmaster().is_ok_and(processes::is_alive)
    }

    fn postmaster(&self) -> anyhow::Result<Pid> {
        let path = self.folder.join("cluster/postmaster.pid");
        let text = std::fs::read_to_string(&path).with_context(|| format!("{} cannot be read", path.display()))?;
        let first = text.lines().next().unwrap_or_default();
        Ok(Pid::from_raw(first.trim().parse().context("the first line of postmaster.pid is no process id")?))
    }
}

fn settings(folder: &Path) -> Settings {
    Settings { data_dir: Some(folder.to_owned()), ..Settings::default() }
}

/// Ends Postgres and every server that left its process id in the folder when this process ends, in whatever way: the
/// watcher sees its input close.
fn end_with_this_process(folder: &Path) -> anyhow::Result<ChildStdin> {
    let script = r#"
        cat >/dev/null
        for file in "$1"/*.pid; do
            [ -f "$file" ] && kill -KILL "$(cat "$file")" 2>/dev/null
        done
        pid=$(head -n 1 "$1/postgres/cluster/postmaster.pid" 2>/dev/null)
        if [ -n "$pid" ]; then
            kill -QUIT "$pid" 2>/dev/null
            while kill -0 "$pid" 2>/dev/null; do sleep 0.1; done
        fi
    "#;
    let mut watcher = Command::new("sh")
        .args(["-c", script, "watcher"])
        .arg(folder)
        .process_group(0)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()?;
    let mut input = watcher.stdin.take().context("the watcher has no input")?;
    input.flush()?;
    std::thread::spawn(move || watcher.wait());
    Ok(input)
}
