//! A check that holds, as a Lua script in Redis: the usual way to take a hot budget off the database. Its log is written and
//! synced before it answers, as the ledger's is. Only where `redis-server` is installed.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::Context as _;
use nix::unistd::Pid;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::UnixStream;
use tollgate_stage::wait::until;
use uuid::Uuid;

use crate::load::{Caller, Done};

/// Where it is installed besides `PATH`.
const USUAL: [&str; 2] = ["/usr/bin", "/usr/local/bin"];
/// Lifts what is held where it fits, and keeps the hold for five minutes.
const SCRIPT: &str = "local budget = redis.call('HMGET', KEYS[1], 'spent', 'held', 'most') \
                      local amount = tonumber(ARGV[1]) \
                      if budget[1] + budget[2] + amount > tonumber(budget[3]) then return 0 end \
                      redis.call('HINCRBY', KEYS[1], 'held', amount) \
                      redis.call('SET', KEYS[2], amount, 'PX', 300000) \
                      return 1";
/// Millionths of a dollar.
const AMOUNT: &str = "41000";
const MOST: &str = "1000000000000000";

/// A server of its own.
#[derive(Debug)]
pub(crate) struct Redis {
    child: Child,
    socket: PathBuf,
    processes: [Pid; 1],
    script: String,
}

impl Redis {
    /// Starts it with one budget; `None` where it is not installed.
    pub(crate) async fn start(folder: &Path) -> anyhow::Result<Option<Self>> {
        let Some(program) = find() else { return Ok(None) };
        let data = folder.join("redis");
        if data.exists() {
            // Empty, as every baseline begins: what an earlier one logged would be read back.
            std::fs::remove_dir_all(&data)?;
        }
        std::fs::create_dir_all(&data)?;
        let socket = data.join("socket");
        let child = Command::new(&program)
            .args(["--port", "0", "--save", "", "--appendonly", "yes", "--appendfsync", "always"])
            .arg("--unixsocket")
            .arg(&socket)
            .arg("--dir")
            .arg(&data)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .with_context(|| format!("{} cannot be run", program.display()))?;
        // The watcher of the folder ends it with this process.
        std::fs::write(folder.join("redis.pid"), child.id().to_string())?;
        let processes = [Pid::from_raw(i32::try_from(child.id())?)];
        let mut redis = Self { child, socket, processes, script: String::new() };
        let mut connection = until("redis answers", || Connection::open(&redis.socket)).await?;
        connection.ask(&["HSET", "budget", "spent", "0", "held", "0", "most", MOST]).await?;
        redis.script = connection.ask(&["SCRIPT", "LOAD", SCRIPT]).await?;
        Ok(Some(redis))
    }

    /// Its process.
    pub(crate) fn processes(&self) -> &[Pid] {
        &self.processes
    }

    /// So many callers, each with a connection.
    pub(crate) async fn holders(&self, count: usize) -> anyhow::Result<Vec<Holder>> {
        let mut holders = Vec::new();
        for _ in 0..count {
            let connection = Connection::open(&self.socket).await.context("redis does not answer")?;
            holders.push(Holder { connection, script: self.script.clone() });
        }
        Ok(holders)
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        // A process that is already gone has nothing left to lose.
        let _ended = self.child.kill().and_then(|()| self.child.wait());
    }
}

fn find() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain(USUAL.map(PathBuf::from));
    folders.map(|folder| folder.join("redis-server")).find(|program| program.is_file())
}

/// Checks over a connection of its own.
#[derive(Debug)]
pub(crate) struct Holder {
    connection: Connection,
    script: String,
}

impl Caller for Holder {
    async fn call(&mut self) -> anyhow::Result<Done> {
        let hold = format!("hold:{}", Uuid::now_v7());
        let answer = self.connection.ask(&["EVALSHA", &self.script, "2", "budget", &hold, AMOUNT]).await?;
        anyhow::ensure!(answer == "1", "redis refused a hold: {answer}");
        Ok(Done::of(1))
    }
}

/// The protocol of Redis, as far as it is needed here.
#[derive(Debug)]
struct Connection {
    stream: BufReader<UnixStream>,
    line: String,
}

impl Connection {
    async fn open(socket: &Path) -> Option<Self> {
        let stream = UnixStream::connect(socket).await.ok()?;
        Some(Self { stream: BufReader::new(stream), line: String::new() })
    }

    /// Sends a command; gives the one value that is answered.
    async fn ask(&mut self, words: &[&str]) -> anyhow::Result<String> {
        let mut command = format!("*{}\r\n", words.len());
        for word in words {
            command.push_str(&format!("${}\r\n{word}\r\n", word.len()));
        }
        self.stream.get_mut().write_all(command.as_bytes()).await?;
        let answer = self.read_line().await?;
        match answer.split_at_checked(1) {
            Some((":" | "+", value)) => Ok(value.to_owned()),
            // Its length; the value follows.
            Some(("$", _)) => self.read_line().await,
            _ => anyhow::bail!("redis answered {answer}"),
        }
    }

    async fn read_line(&mut self) -> anyhow::Result<String> {
        self.line.clear();
        anyhow::ensure!(self.stream.read_line(&mut self.line).await? > 0, "redis hung up");
        Ok(self.line.trim_end().to_owned())
    }
}
