//! A database that goes away and comes back: a Postgres of its own that is stopped and started, or a line to it that falls silent.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use sqlx::postgres::PgConnectOptions;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::watch;
use tollgate_server::embedded::{EmbeddedPostgres, Settings};
use uuid::Uuid;

use super::cluster::stop_with_this_process;

/// A Postgres of its own, which a test stops and starts again.
pub(crate) struct OwnPostgres {
    settings: Settings,
    running: Option<EmbeddedPostgres>,
}

impl OwnPostgres {
    pub(crate) async fn start() -> Self {
        let name = format!("tollgate-outage-{}-{}", std::process::id(), uuid::Uuid::now_v7().simple());
        let folder = std::env::temp_dir().join(name);
        let settings = Settings { data_dir: Some(folder.clone()), ..Settings::default() };
        let running = EmbeddedPostgres::start(&settings).await.unwrap();
        stop_with_this_process(&folder);
        Self { settings, running: Some(running) }
    }

    pub(crate) fn options(&self) -> PgConnectOptions {
        self.running.as_ref().unwrap().connect_options()
    }

    pub(crate) async fn stop(&mut self) {
        self.running.take().unwrap().stop().await.unwrap();
    }

    pub(crate) async fn start_again(&mut self) {
        self.running = Some(EmbeddedPostgres::start(&self.settings).await.unwrap());
    }
}

/// What a line lets through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Flow {
    Everything,
    /// Everything up to the answer to the COMMIT of the transaction that names this id; that is swallowed, and nothing follows
    /// on any connection.
    UpToCommitOf(Uuid),
    Nothing,
}

/// A line to a Postgres at a Unix socket.
pub(crate) struct Line {
    flow: Arc<watch::Sender<Flow>>,
    folder: PathBuf,
    port: u16,
}

impl Line {
    /// To the server of `options`, everything let through.
    pub(crate) fn to(options: &PgConnectOptions) -> Self {
        let port = options.get_port();
        let socket = |folder: &std::path::Path| folder.join(format!(".s.PGSQL.{port}"));
        let server = socket(options.get_socket().unwrap());
        let folder = std::env::temp_dir().join(format!("tg-{}", uuid::Uuid::now_v7().simple()));
        std::fs::create_dir(&folder).unwrap();
        let listener = UnixListener::bind(socket(&folder)).unwrap();
        let flow = Arc::new(watch::Sender::new(Flow::Everything));
        tokio::spawn({
            let flow = flow.clone();
            async move {
                while let Ok((client, _)) = listener.accept().await {
                    tokio::spawn(carry(client, server.clone(), flow.clone()));
                }
            }
        });
        Self { flow, folder, port }
    }

    /// The same database, through this line.
    pub(crate) fn options(&self, options: &PgConnectOptions) -> PgConnectOptions {
        options.clone().socket(&self.folder).port(self.port)
    }

    /// Another connection may commit before: only the transaction that has this id among its parameters counts.
    pub(crate) fn fall_silent_after_commit_of(&self, id: Uuid) {
        self.flow.send_replace(Flow::UpToCommitOf(id));
    }

    pub(crate) async fn is_silent(&self) {
        self.flow.subscribe().wait_for(|flow| *flow == Flow::Nothing).await.unwrap();
    }

    /// New connections are carried; those that fell silent end.
    pub(crate) fn restore(&self) {
        self.flow.send_replace(Flow::Everything);
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        drop(std::fs::remove_dir_all(&self.folder));
    }
}

async fn carry(client: UnixStream, server: PathBuf, flow: Arc<watch::Sender<Flow>>) {
    speaking(&flow).await;
    let Ok(server) = UnixStream::connect(server).await else { return };
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    let named = AtomicBool::new(false);
    tokio::select! {
        () = pass(from_client, to_server, &flow, |bytes, id| {
            named.fetch_or(names(bytes, id), Ordering::Relaxed);
            false
        }) => {}
        () = pass(from_server, to_client, &flow, |bytes, _| named.load(Ordering::Relaxed) && is_commit(bytes)) => {}
    }
}

async fn speaking(flow: &watch::Sender<Flow>) {
    drop(flow.subscribe().wait_for(|flow| *flow != Flow::Nothing).await);
}

/// Passes on what is said; `ends` looks at it while the line waits for the COMMIT, and says whether this is the answer to it.
async fn pass(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    flow: &watch::Sender<Flow>,
    ends: impl Fn(&[u8], Uuid) -> bool,
) {
    let mut chunk = vec![0; 64 << 10];
    while let Ok(length @ 1..) = from.read(&mut chunk).await {
        let bytes = &chunk[..length];
        let current = *flow.borrow();
        if let Flow::UpToCommitOf(id) = current
            && ends(bytes, id)
        {
            flow.send_replace(Flow::Nothing);
        }
        if *flow.borrow() == Flow::Nothing {
            // What was under way is lost with its connection.
            return speaking(flow).await;
        }
        if to.write_all(bytes).await.is_err() {
            return;
        }
    }
}

/// Whether an id is among the parameters, which are sent as they are and, of a transaction as small as that of a test, at once.
fn names(bytes: &[u8], id: Uuid) -> bool {
    bytes.windows(id.as_bytes().len()).any(|window| window == id.as_bytes())
}

/// Whether the server says that a transaction was committed.
fn is_commit(bytes: &[u8]) -> bool {
    let said = b"C\0\0\0\x0bCOMMIT\0";
    bytes.windows(said.len()).any(|window| window == said)
}
