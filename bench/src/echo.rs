//! The limit of the wire: the same server stack and messages, and a handler that answers at once. It runs as a process of its
//! own, set up as `server/src/boot.rs` sets up the server.

mod service;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::Context as _;
use clap::Args;
use nix::unistd::Pid;
use prost::Message as _;
use tokio::net::TcpListener;
use tollgate_proto::v1;
use tollgate_proto::v1::budget_service_server::BudgetServiceServer;
use tollgate_proto::v1::usage_service_server::UsageServiceServer;
use tollgate_stage::replica::free_address;
use tollgate_stage::wait::until;
use tonic::service::Routes;
use tonic::transport::server::TcpIncoming;

use self::service::Parrot;
use crate::usage::Watched;

/// As the server's default.
const MESSAGE_BYTES: usize = 1 << 20;
/// As the server's default.
const STREAMS_PER_CONNECTION: u32 = 1_000;
/// As the server's.
const KEEPALIVE: Duration = Duration::from_secs(30);

/// What the server really answers, to be repeated with the ids of each request.
#[derive(Debug, Clone, Default)]
pub(crate) struct Replies {
    /// To RecordUsage, and to each event of BatchRecordUsage.
    pub(crate) record: v1::RecordUsageResponse,
    /// To CheckBudget.
    pub(crate) check: v1::CheckBudgetResponse,
}

/// What the process is told.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    #[arg(long)]
    listen: SocketAddr,
    #[arg(long)]
    record: PathBuf,
    #[arg(long)]
    check: PathBuf,
}

/// Serves until it is killed.
pub(crate) async fn serve(arguments: &Arguments) -> anyhow::Result<()> {
    let replies = Replies {
        record: v1::RecordUsageResponse::decode(std::fs::read(&arguments.record)?.as_slice())?,
        check: v1::CheckBudgetResponse::decode(std::fs::read(&arguments.check)?.as_slice())?,
    };
    let parrot = Parrot::new(replies);
    let routes = Routes::new(UsageServiceServer::new(parrot.clone()).max_decoding_message_size(MESSAGE_BYTES))
        .add_service(BudgetServiceServer::new(parrot).max_decoding_message_size(MESSAGE_BYTES));
    let incoming = TcpIncoming::from(TcpListener::bind(arguments.listen).await?).with_nodelay(Some(true));
    tonic::transport::Server::builder()
        .http2_keepalive_interval(Some(KEEPALIVE))
        .max_concurrent_streams(Some(STREAMS_PER_CONNECTION))
        .add_routes(routes)
        .serve_with_incoming(incoming)
        .await?;
    Ok(())
}

/// The process.
#[derive(Debug)]
pub(crate) struct Echo {
    address: SocketAddr,
    child: Child,
    processes: [Pid; 1],
}

impl Echo {
    /// Starts it and waits until it listens.
    pub(crate) async fn start(folder: &Path, replies: &Replies) -> anyhow::Result<Self> {
        let (record, check) = (folder.join("record.reply"), folder.join("check.reply"));
        std::fs::write(&record, replies.record.encode_to_vec())?;
        std::fs::write(&check, replies.check.encode_to_vec())?;
        let address = free_address()?;
        let mut command = Command::new(std::env::current_exe()?);
        command.arg("echo-server").arg("--listen").arg(address.to_string());
        command.arg("--record").arg(record).arg("--check").arg(check);
        let child = command.stdin(Stdio::null()).spawn().context("the echo server cannot be run")?;
        // The watcher of the folder ends it with this process.
        std::fs::write(folder.join("echo.pid"), child.id().to_string())?;
        let processes = [Pid::from_raw(i32::try_from(child.id())?)];
        let echo = Self { address, child, processes };
        until("the echo server listens", || async move { tokio::net::TcpStream::connect(address).await.ok() }).await?;
        Ok(echo)
    }

    /// Where it is reached.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Its process.
    pub(crate) fn watched(&self) -> Watched<'_> {
        Watched { servers: &self.processes, cluster: None }
    }
}

impl Drop for Echo {
    fn drop(&mut self) {
        // A process that is already gone has nothing left to lose.
        let _ended = self.child.kill().and_then(|()| self.child.wait());
    }
}
