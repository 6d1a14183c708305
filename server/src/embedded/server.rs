//! The running server: joined or started, and stopped.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use nix::sys::signal::Signal;
use nix::unistd::Pid;
use tokio::process::Child;
use tokio::time::Instant;

use super::binaries::Binaries;
use super::connection::{self, Answer};
use super::error::EmbeddedError;
use super::layout::Layout;
use super::process::{self, PidFile};
use super::{cluster, configuration, log_file, socket};

/// How often a server that is not ready is asked again.
const ASK_AGAIN: Duration = Duration::from_millis(25);
/// How soon a start is tried again while processes of a crashed server are still ending.
const START_AGAIN: Duration = Duration::from_millis(250);
/// What Postgres says when its main process was killed and another of its processes still has the shared memory: it
/// may yet write, so that a new server beside it would destroy the data. Messages are in English (`LC_ALL=C`).
pub(super) const FORMER_SERVER_STILL_ENDS: &str = "pre-existing shared memory block";
/// How long an unreadable `postmaster.pid` may be one that is just being written.
const WRITING_LIMIT: Duration = Duration::from_secs(1);
/// How long a fast stop may take: it disconnects everybody, rolls back and writes a checkpoint.
const FAST_STOP_LIMIT: Duration = Duration::from_secs(60);
/// How long an immediate stop may take: it only ends processes; the next start recovers from the log.
const IMMEDIATE_STOP_LIMIT: Duration = Duration::from_secs(15);

/// A server that answers.
#[derive(Debug)]
pub(super) struct Server {
    pub(super) pid: Pid,
    pub(super) socket_directory: PathBuf,
    pub(super) major: u32,
    /// Present if this process started the server and must collect it when it ends.
    child: Option<Child>,
}

/// What was found in a cluster.
enum Found {
    Running(Server),
    /// No server. What its `postmaster.pid`, if any, says is void.
    Nothing(Option<String>),
}

/// Joins the server that serves this cluster, or starts one. The caller holds the start lock.
pub(super) async fn join_or_start(
    layout: &Layout,
    binaries: Option<PathBuf>,
    limit: Duration,
) -> Result<Server, EmbeddedError> {
    let deadline = Deadline::after(limit);
    let mut remains = match find(layout, &deadline).await? {
        Found::Running(server) => return Ok(server),
        Found::Nothing(remains) => remains,
    };
    loop {
        let (error, may_pass) = match start(layout, binaries.clone(), remains, &deadline).await {
            Err(EmbeddedError::Start { log, lines }) => {
                let may_pass = lines.contains(FORMER_SERVER_STILL_ENDS);
                (EmbeddedError::Start { log, lines }, may_pass)
            }
            outcome => return outcome,
        };
        // The former owner may have been killed just after it spawned a server that nothing showed yet.
        remains = match find(layout, &deadline).await? {
            Found::Running(server) => return Ok(server),
            Found::Nothing(_) if !may_pass || deadline.has_passed() => return Err(error),
            Found::Nothing(remains) => remains,
        };
        tokio::time::sleep(START_AGAIN).await;
    }
}

/// Looks for a live server, and waits for one that is starting or stopping.
async fn find(layout: &Layout, deadline: &Deadline) -> Result<Found, EmbeddedError> {
    let cluster = layout.cluster();
    let writing = Deadline::after(WRITING_LIMIT);
    loop {
        let text = process::read(&cluster);
        match text.as_deref().map(PidFile::parse) {
            None => return Ok(Found::Nothing(None)),
            Some(None) if writing.has_passed() => return Ok(Found::Nothing(text)),
            Some(None) => {}
            Some(Some(PidFile { pid, socket_directory })) => match ask(socket_directory.as_deref(), &cluster).await {
                Answer::Ready(major) => {
                    let socket_directory = socket_directory.unwrap_or_default();
                    return Ok(Found::Running(Server { pid, socket_directory, major, child: None }));
                }
                Answer::Refused(source) => return Err(refused(layout, source)),
                Answer::Nobody if !process::serves(pid, layout) => return Ok(Found::Nothing(text)),
                Answer::Nobody | Answer::NotNow => deadline.check(pid, layout, 0)?,
            },
        }
        tokio::time::sleep(ASK_AGAIN).await;
    }
}

async fn ask(socket_directory: Option<&Path>, cluster: &Path) -> Answer {
    match socket_directory {
        Some(directory) => connection::ask(directory, cluster).await,
        None => Answer::Nobody,
    }
}

/// Creates the cluster if needed, starts its server and waits until it answers.
async fn start(
    layout: &Layout,
    explicit: Option<PathBuf>,
    remains: Option<String>,
    deadline: &Deadline,
) -> Result<Server, EmbeddedError> {
    let searching = layout.clone();
    let binaries = tokio::task::spawn_blocking(move || {
        let binaries = Binaries::find(explicit.as_deref(), &searching.cluster())?;
        searching.server.check_reaches(&binaries.directory).map(|()| binaries)
    })
    .await??;
    cluster::ensure(layout, &binaries).await?;

    let preparing = layout.clone();
    let (socket_directory, log, log_start) = tokio::task::spawn_blocking(move || {
        configuration::write(&preparing)?;
        let socket_directory = socket::prepare_directory(&preparing)?;
        process::clear_remains(&preparing, &socket_directory, remains.as_deref())?;
        let (log, log_start) = log_file::open(&preparing)?;
        Ok::<_, EmbeddedError>((socket_directory, log, log_start))
    })
    .await??;

    let program = binaries.postgres();
    let errors = log.try_clone().map_err(EmbeddedError::io("open", &layout.log()))?;
    let mut command = cluster::command(&program, layout);
    command.arg("-D").arg(layout.cluster()).stdout(Stdio::from(log)).stderr(Stdio::from(errors));
    for setting in configuration::enforced(&socket_directory) {
        command.arg("-c").arg(setting);
    }
    let child = command.spawn().map_err(EmbeddedError::io("run", &program))?;
    wait_until_ready(child, socket_directory, layout, log_start, deadline).await
}

async fn wait_until_ready(
    mut child: Child,
    socket_directory: PathBuf,
    layout: &Layout,
    log_start: u64,
    deadline: &Deadline,
) -> Result<Server, EmbeddedError> {
    let cluster = layout.cluster();
    loop {
        let pid = child.id().and_then(|id| i32::try_from(id).ok()).map(Pid::from_raw);
        let ended = child.try_wait().map_err(EmbeddedError::io("watch", &cluster))?.is_some();
        let Some(pid) = pid.filter(|_| !ended) else {
            return Err(EmbeddedError::Start { log: layout.log(), lines: log_file::tail(&layout.log(), log_start) });
        };
        // Until the file names our process, an answer may come from another server that ours is about to give way to.
        let is_ours = process::read(&cluster).as_deref().and_then(PidFile::parse).is_some_and(|file| file.pid == pid);
        match connection::ask(&socket_directory, &cluster).await {
            Answer::Ready(major) if is_ours => {
                return Ok(Server { pid, socket_directory, major, child: Some(child) });
            }
            Answer::Refused(source) if is_ours => {
                Server { pid, socket_directory, major: 0, child: Some(child) }.stop(layout).await?;
                return Err(refused(layout, source));
            }
            _ => deadline.check(pid, layout, log_start)?,
        }
        tokio::time::sleep(ASK_AGAIN).await;
    }
}

impl Server {
    /// Stops the server and waits until its process is gone.
    pub(super) async fn stop(mut self, layout: &Layout) -> Result<(), EmbeddedError> {
        for (signal, limit) in [(Signal::SIGINT, FAST_STOP_LIMIT), (Signal::SIGQUIT, IMMEDIATE_STOP_LIMIT)] {
            if self.has_ended(layout)? {
                return Ok(());
            }
            process::signal(self.pid, signal)?;
            if self.ends_within(limit, layout).await? {
                return Ok(());
            }
            tracing::warn!(pid = self.pid.as_raw(), ?signal, waited = ?limit, "the private postgres has not stopped");
        }
        Err(EmbeddedError::Stop { pid: self.pid.as_raw(), waited: FAST_STOP_LIMIT + IMMEDIATE_STOP_LIMIT })
    }

    async fn ends_within(&mut self, limit: Duration, layout: &Layout) -> Result<bool, EmbeddedError> {
        let deadline = Deadline::after(limit);
        while !self.has_ended(layout)? {
            if deadline.has_passed() {
                return Ok(false);
            }
            tokio::time::sleep(ASK_AGAIN).await;
        }
        Ok(true)
    }

    fn has_ended(&mut self, layout: &Layout) -> Result<bool, EmbeddedError> {
        match &mut self.child {
            Some(child) => Ok(child.try_wait().map_err(EmbeddedError::io("watch", &layout.cluster()))?.is_some()),
            None => Ok(!process::serves(self.pid, layout)),
        }
    }
}

fn refused(layout: &Layout, source: sqlx::Error) -> EmbeddedError {
    EmbeddedError::Database { action: "a connection", log: layout.log(), source }
}

/// A point in time that remembers how far away it was.
struct Deadline {
    limit: Duration,
    at: Instant,
}

impl Deadline {
    fn after(limit: Duration) -> Self {
        Self { limit, at: Instant::now() + limit }
    }

    fn has_passed(&self) -> bool {
        Instant::now() >= self.at
    }

    fn check(&self, pid: Pid, layout: &Layout, log_start: u64) -> Result<(), EmbeddedError> {
        if !self.has_passed() {
            return Ok(());
        }
        let log = layout.log();
        let lines = log_file::tail(&log, log_start);
        Err(EmbeddedError::StartTimeout { pid: pid.as_raw(), waited: self.limit, log, lines })
    }
}
