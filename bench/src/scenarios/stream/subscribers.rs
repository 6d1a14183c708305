//! Those who watch.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use bytes::Bytes;
use futures::StreamExt as _;
use prost::Message as _;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tollgate_proto::v1;
use tollgate_stage::wait::bounded;
use tonic::Streaming;

use super::super::mixed::watching;
use crate::wire::{Connections, Wire};

/// Connections of those who read, and of those who never do.
const READING: usize = 90;
const SILENT: usize = 10;
/// What a stream of those may send before it has to wait for its reader: a few messages.
const SILENT_WINDOW: u32 = 1_024;

/// Connections on which streams are opened.
#[derive(Debug)]
pub(super) struct Subscribers {
    reading: Connections,
    silent: Connections,
}

/// The count of calls in a message, and when it came.
pub(super) type Seen = Vec<(i64, Instant)>;

/// Streams that are open.
#[derive(Debug)]
pub(super) struct Open {
    /// By session; of those who never read, nothing.
    seen: Vec<Arc<Mutex<Seen>>>,
    readers: JoinSet<()>,
    silent: Vec<Streaming<v1::StreamUsageResponse>>,
}

impl Subscribers {
    /// Opens the connections.
    pub(super) async fn connect(url: &str) -> anyhow::Result<Self> {
        Ok(Self {
            reading: Connections::open(url, READING).await?,
            silent: Connections::open_narrow(url, SILENT, SILENT_WINDOW).await?,
        })
    }

    /// Opens a stream for each of so many sessions, all at once, and waits for the first message of those who read.
    pub(super) async fn subscribe(&self, count: usize) -> anyhow::Result<Open> {
        let mut open = Open { seen: Vec::new(), readers: JoinSet::new(), silent: Vec::new() };
        let mut silent = JoinSet::new();
        let begun = Arc::new(Semaphore::new(0));
        for session in 0..count {
            let message = watching(session).encode_to_vec().into();
            let seen = Arc::new(Mutex::new(Seen::new()));
            open.seen.push(seen.clone());
            if session % (READING + SILENT) < SILENT {
                let mut wire = self.silent.nth(session)?;
                silent.spawn(async move { wire.stream(message).await });
            } else {
                open.readers.spawn(read(self.reading.nth(session)?, message, seen, begun.clone()));
            }
        }
        while let Some(stream) = bounded("streams of those who never read", silent.join_next()).await? {
            open.silent.push(stream??);
        }
        let readers = u32::try_from(open.readers.len())?;
        let all = bounded("the first message of every stream", begun.acquire_many(readers)).await?;
        drop(all?);
        Ok(open)
    }
}

/// Opens a stream and notes what comes. A stream that ends, ends this.
async fn read(mut wire: Wire, message: Bytes, seen: Arc<Mutex<Seen>>, begun: Arc<Semaphore>) {
    let Ok(mut stream) = wire.stream(message).await else { return };
    let mut first = true;
    while let Some(Ok(message)) = stream.next().await {
        let now = Instant::now();
        let calls = message.scopes.first().map(|scope| scope.totals.as_ref().map_or(0, |totals| totals.calls));
        if let Some(calls) = calls {
            seen.lock().unwrap_or_else(PoisonError::into_inner).push((calls, now));
        }
        if std::mem::take(&mut first) {
            begun.add_permits(1);
        }
    }
}

impl Open {
    /// Requires that no stream has ended.
    pub(super) fn require_open(&mut self) -> anyhow::Result<()> {
        anyhow::ensure!(self.readers.try_join_next().is_none(), "a stream ended early");
        Ok(())
    }

    /// What was seen until now, by session.
    pub(super) fn seen_so_far(&self) -> Vec<Seen> {
        self.seen.iter().map(|seen| seen.lock().unwrap_or_else(PoisonError::into_inner).clone()).collect()
    }

    /// Ends all streams.
    pub(super) async fn close(mut self) {
        self.readers.shutdown().await;
        drop(self.silent);
    }
}
