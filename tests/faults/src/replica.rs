//! One replica: the real `tollgate serve`, as a process of its own.

use std::fs::OpenOptions;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use nix::sys::signal::Signal;
use nix::unistd::Pid;

use crate::caller::Endpoint;
use crate::processes;
use crate::wait::until;

/// A server that can be killed, stopped and started again at the same address.
pub(crate) struct Replica {
    binary: PathBuf,
    folder: PathBuf,
    name: String,
    listen: SocketAddr,
    database_url: String,
    child: Option<Child>,
}

impl Replica {
    /// Starts it; [`Self::wait_until_serving`] tells when it is there.
    pub(crate) fn start(binary: PathBuf, folder: PathBuf, name: String, database_url: String) -> anyhow::Result<Self> {
        let port = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let listen = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let mut replica = Self { binary, folder, name, listen, database_url, child: None };
        replica.spawn()?;
        Ok(replica)
    }

    /// Where it serves.
    pub(crate) fn endpoint(&self) -> anyhow::Result<Endpoint> {
        Endpoint::new(&self.url())
    }

    /// Its address as a client is told.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.listen)
    }

    /// Waits until it answers a question that needs the database.
    pub(crate) async fn wait_until_serving(&self) -> anyhow::Result<()> {
        let endpoint = self.endpoint()?;
        until(&format!("{} serves", self.name), || async { endpoint.serves().await.then_some(()) }).await
    }

    /// Kills it without a word.
    pub(crate) fn kill(&mut self) -> anyhow::Result<()> {
        if let Some(mut child) = self.child.take() {
            child.kill().context("a server cannot be killed")?;
            child.wait()?;
        }
        Ok(())
    }

    /// Starts it again at the same address, and says how long it took until it served.
    pub(crate) async fn restart(&mut self) -> anyhow::Result<Duration> {
        let start = Instant::now();
        self.spawn()?;
        self.wait_until_serving().await?;
        Ok(start.elapsed())
    }

    /// Stands still from now on.
    pub(crate) fn pause(&self) -> anyhow::Result<()> {
        processes::signal(self.pid()?, Signal::SIGSTOP)
    }

    /// Goes on.
    pub(crate) fn resume(&self) -> anyhow::Result<()> {
        processes::signal(self.pid()?, Signal::SIGCONT)
    }

    /// Asks it to stop, and waits until it has.
    pub(crate) async fn stop(mut self) -> anyhow::Result<bool> {
        let Some(mut child) = self.child.take() else { return Ok(true) };
        processes::signal(pid_of(&child)?, Signal::SIGTERM)?;
        let status = until("a server stops", || {
            let ended = child.try_wait().ok().flatten();
            async move { ended }
        })
        .await;
        if status.is_err() {
            child.kill()?;
            child.wait()?;
        }
        Ok(status?.success())
    }

    /// Most bytes that it has had in memory since it was started.
    pub(crate) fn peak_resident_bytes(&self) -> anyhow::Result<u64> {
        processes::peak_resident_bytes(self.pid()?)
    }

    fn pid(&self) -> anyhow::Result<Pid> {
        pid_of(self.child.as_ref().context("the server does not run")?)
    }

    fn spawn(&mut self) -> anyhow::Result<()> {
        let log = self.folder.join(format!("{}.log", self.name));
        let log = OpenOptions::new().create(true).append(true).open(&log)?;
        let child = Command::new(&self.binary)
            .arg("serve")
            .env("DATABASE_URL", &self.database_url)
            .env("TOLLGATE_SERVER__LISTEN", self.listen.to_string())
            // Several replicas share the hundred connections of the private Postgres.
            .env("TOLLGATE_DATABASE__CONNECTIONS", "8")
            .env("TOLLGATE_LOG__FILTER", "warn")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .with_context(|| format!("{} cannot be run", self.binary.display()))?;
        std::fs::write(self.folder.join(format!("{}.pid", self.name)), child.id().to_string())?;
        self.child = Some(child);
        Ok(())
    }
}

fn pid_of(child: &Child) -> anyhow::Result<Pid> {
    Ok(Pid::from_raw(i32::try_from(child.id())?))
}

impl Drop for Replica {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            // A process that is already gone has nothing left to lose.
            let _ended = child.kill().and_then(|()| child.wait());
        }
    }
}
