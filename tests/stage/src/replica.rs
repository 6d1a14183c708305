//! One replica: the real `tollgate serve`, as a process of its own.

use std::fs::OpenOptions;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use nix::sys::signal::Signal;
use nix::unistd::Pid;
use tollgate_proto::v1;
use tollgate_proto::v1::budget_service_client::BudgetServiceClient;
use tonic::transport::{Channel, Endpoint};

use crate::processes;
use crate::wait::until;

/// What is to be run, and over what.
#[derive(Debug, Clone)]
pub struct Launch {
    /// The `tollgate` binary.
    pub binary: PathBuf,
    /// Where its log and its process id go. The watcher of the cluster in this folder ends it with the caller.
    pub folder: PathBuf,
    /// Names its log.
    pub name: String,
    /// Where its database is.
    pub database_url: String,
    /// Further settings, as environment variables.
    pub environment: Vec<(&'static str, String)>,
}

/// A server that can be killed, stopped and started again at the same address.
#[derive(Debug)]
pub struct Replica {
    launch: Launch,
    listen: SocketAddr,
    child: Option<Child>,
}

impl Replica {
    /// Starts it; [`Self::wait_until_serving`] tells when it is there.
    ///
    /// # Errors
    /// Where the binary cannot be run.
    pub fn start(launch: Launch) -> anyhow::Result<Self> {
        let mut replica = Self { launch, listen: free_address()?, child: None };
        replica.spawn()?;
        Ok(replica)
    }

    /// Its address as a client is told.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.listen)
    }

    /// Its address.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.listen
    }

    /// Runs this program from the next start on.
    pub fn exchange(&mut self, binary: PathBuf) {
        self.launch.binary = binary;
    }

    /// Waits until it answers a question that needs the database.
    ///
    /// # Errors
    /// Where it never does.
    pub async fn wait_until_serving(&self) -> anyhow::Result<()> {
        let channel = Endpoint::from_shared(self.url())?.connect_lazy();
        until(&format!("{} serves", self.launch.name), || serves(channel.clone())).await
    }

    /// Kills it without a word.
    ///
    /// # Errors
    /// Where the system refuses.
    pub fn kill(&mut self) -> anyhow::Result<()> {
        if let Some(mut child) = self.child.take() {
            child.kill().context("a server cannot be killed")?;
            child.wait()?;
        }
        Ok(())
    }

    /// Starts it again at the same address, and says how long it took until it served.
    ///
    /// # Errors
    /// Where it does not start or never serves.
    pub async fn restart(&mut self) -> anyhow::Result<Duration> {
        let start = Instant::now();
        self.spawn()?;
        self.wait_until_serving().await?;
        Ok(start.elapsed())
    }

    /// Stands still from now on.
    ///
    /// # Errors
    /// Where it does not run.
    pub fn pause(&self) -> anyhow::Result<()> {
        processes::signal(self.pid()?, Signal::SIGSTOP)
    }

    /// Goes on.
    ///
    /// # Errors
    /// Where it does not run.
    pub fn resume(&self) -> anyhow::Result<()> {
        processes::signal(self.pid()?, Signal::SIGCONT)
    }

    /// Asks it to stop, waits until it has, and says whether it drained.
    ///
    /// # Errors
    /// Where it did not stop in time and was killed.
    pub async fn stop(mut self) -> anyhow::Result<bool> {
        self.terminate().await
    }

    /// The same for one that is started again later.
    ///
    /// # Errors
    /// Where it did not stop in time and was killed.
    pub async fn terminate(&mut self) -> anyhow::Result<bool> {
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
    ///
    /// # Errors
    /// Where it does not run, or the system does not say.
    pub fn highest_resident_bytes(&self) -> anyhow::Result<u64> {
        processes::highest_resident_bytes(self.pid()?).context("the system does not say how much memory it had")
    }

    /// Bytes that it keeps in memory.
    #[must_use]
    pub fn resident_bytes(&self) -> Option<u64> {
        processes::resident_bytes(self.pid().ok()?)
    }

    /// Where its log is.
    #[must_use]
    pub fn log(&self) -> PathBuf {
        self.launch.folder.join(format!("{}.log", self.launch.name))
    }

    /// Its process.
    ///
    /// # Errors
    /// Where it does not run.
    pub fn pid(&self) -> anyhow::Result<Pid> {
        pid_of(self.child.as_ref().context("the server does not run")?)
    }

    fn spawn(&mut self) -> anyhow::Result<()> {
        let Launch { binary, folder, name, database_url, environment } = &self.launch;
        let log = OpenOptions::new().create(true).append(true).open(self.log())?;
        let child = Command::new(binary)
            .arg("serve")
            .env("DATABASE_URL", database_url)
            .env("TOLLGATE_SERVER__LISTEN", self.listen.to_string())
            .env("TOLLGATE_LOG__FILTER", "warn")
            .envs(environment.iter().map(|(key, value)| (key, value)))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .with_context(|| format!("{} cannot be run", binary.display()))?;
        std::fs::write(folder.join(format!("{name}.pid")), child.id().to_string())?;
        self.child = Some(child);
        Ok(())
    }
}

/// Whether it answers a question that needs the database.
async fn serves(channel: Channel) -> Option<()> {
    let request = v1::ListBudgetsRequest { page_size: 1, ..Default::default() };
    BudgetServiceClient::new(channel).list_budgets(request).await.ok().map(drop)
}

/// An address of this machine at which nobody listens.
///
/// # Errors
/// Where the system has none.
pub fn free_address() -> anyhow::Result<SocketAddr> {
    let port = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port();
    Ok(SocketAddr::from((Ipv4Addr::LOCALHOST, port)))
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
