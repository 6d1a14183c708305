//! A proxy between servers and Postgres that reads along: it knows a COMMIT when it passes, and the answer to it, so that a
//! connection can be cut at exactly these points. It can also be slow, or stand still.

mod frames;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, UnixStream};
use tokio::sync::{oneshot, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use self::frames::{Frame, Frames, Side};

/// Where a connection is cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cut {
    /// COMMIT never arrives.
    Before,
    /// COMMIT arrives, and nobody waits for what comes of it.
    During,
    /// COMMIT is done, and nobody hears of it.
    After,
}

/// A proxy under way; it ends when dropped.
pub(crate) struct Proxy {
    port: u16,
    shared: Arc<Shared>,
    _accepting: AbortOnDropHandle<()>,
}

/// What all connections look at.
struct Shared {
    socket: PathBuf,
    armed: Mutex<Option<(Cut, oneshot::Sender<()>)>>,
    delay_ms: AtomicU64,
    stalled: watch::Sender<bool>,
    end: CancellationToken,
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.end.cancel();
    }
}

impl Proxy {
    /// Starts one in front of the Postgres whose socket is in this folder.
    pub(crate) async fn start(socket_folder: &Path) -> anyhow::Result<Self> {
        let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).await?;
        let port = listener.local_addr()?.port();
        let shared = Arc::new(Shared {
            socket: socket_folder.join(".s.PGSQL.5432"),
            armed: Mutex::default(),
            delay_ms: AtomicU64::new(0),
            stalled: watch::Sender::new(false),
            end: CancellationToken::new(),
        });
        let accepting = AbortOnDropHandle::new(tokio::spawn(accept(listener, shared.clone())));
        Ok(Self { port, shared, _accepting: accepting })
    }

    /// Where servers reach it.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Cuts the connection of the next COMMIT; the answer comes when that has happened.
    pub(crate) fn cut_next(&self, cut: Cut) -> oneshot::Receiver<()> {
        let (done, answer) = oneshot::channel();
        *self.shared.armed.lock().unwrap_or_else(PoisonError::into_inner) = Some((cut, done));
        answer
    }

    /// Holds everything back for so long, in both directions.
    pub(crate) fn delay(&self, delay: Duration) {
        let milliseconds = u64::try_from(delay.as_millis()).unwrap_or(u64::MAX);
        self.shared.delay_ms.store(milliseconds, Ordering::Relaxed);
    }

    /// Lets nothing through, or goes on.
    pub(crate) fn stall(&self, stalled: bool) {
        self.shared.stalled.send_replace(stalled);
    }
}

impl Shared {
    fn take_armed(&self) -> Option<(Cut, oneshot::Sender<()>)> {
        self.armed.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Waits as long as the proxy is slow or stands still.
    async fn hold_back(&self, frame: &Frame) {
        let delay = self.delay_ms.load(Ordering::Relaxed);
        // What travels together is late together.
        if delay > 0 && frame.waited_for {
            tokio::time::sleep(Duration::from_millis(delay)).await;
        }
        // The sender lives as long as this.
        let mut stalled = self.stalled.subscribe();
        let _moved = stalled.wait_for(|stalled| !stalled).await;
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    while let Ok((client, _)) = listener.accept().await {
        let shared = shared.clone();
        tokio::spawn(async move {
            // A database that is away shows as a closed connection.
            if let Ok(server) = UnixStream::connect(&shared.socket).await {
                let _small_packets = client.set_nodelay(true);
                join(client, server, shared).await;
            }
        });
    }
}

/// One connection: both directions, until one of them ends or it is cut.
async fn join(client: tokio::net::TcpStream, server: UnixStream, shared: Arc<Shared>) {
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    let swallow = Swallow::default();
    let end = shared.end.clone();
    tokio::select! {
        () = upstream(Frames::new(from_client, Side::Client), to_server, &shared, &swallow) => {}
        () = downstream(Frames::new(from_server, Side::Server), to_client, &shared, &swallow) => {}
        () = end.cancelled() => {}
    }
}

/// The answer to a COMMIT that is not to arrive.
#[derive(Default)]
struct Swallow {
    wanted: AtomicBool,
    done: Mutex<Option<oneshot::Sender<()>>>,
}

/// Returns when the connection is over or to be cut.
async fn upstream<R, W>(mut frames: Frames<R>, mut server: W, shared: &Shared, swallow: &Swallow)
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
{
    while let Some(frame) = frames.next().await {
        shared.hold_back(&frame).await;
        let armed = if frame.is_commit() { shared.take_armed() } else { None };
        match armed {
            Some((Cut::Before, done)) => {
                let _nobody_asks = done.send(());
                return;
            }
            Some((Cut::During, done)) => {
                let _gone = forward(&mut server, &frame).await;
                let _nobody_asks = done.send(());
                return;
            }
            Some((Cut::After, done)) => {
                *swallow.done.lock().unwrap_or_else(PoisonError::into_inner) = Some(done);
                swallow.wanted.store(true, Ordering::Release);
            }
            None => {}
        }
        if forward(&mut server, &frame).await.is_err() {
            return;
        }
    }
}

/// Returns when the connection is over or to be cut.
async fn downstream<R, W>(mut frames: Frames<R>, mut client: W, shared: &Shared, swallow: &Swallow)
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
{
    while let Some(frame) = frames.next().await {
        shared.hold_back(&frame).await;
        if swallow.wanted.load(Ordering::Acquire) && frame.is_committed() {
            let done = swallow.done.lock().unwrap_or_else(PoisonError::into_inner).take();
            let _nobody_asks = done.map(|done| done.send(()));
            return;
        }
        if forward(&mut client, &frame).await.is_err() {
            return;
        }
    }
}

async fn forward(to: &mut (impl AsyncWrite + Unpin), frame: &Frame) -> std::io::Result<()> {
    to.write_all(frame.bytes()).await
}
