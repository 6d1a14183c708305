//! Recording in the background, so that tracking never stands in the way of a call.

mod options;
mod queue;
mod rejection;
mod worker;

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::Instant;
use tollgate_proto::v1;

pub use options::RecorderBuilder;
pub use queue::Counts;
pub use rejection::Rejection;

use crate::client::Client;
use crate::error::Error;
use crate::event;
use queue::Queue;

/// Records events in the background. Cheap to clone.
///
/// [`Recorder::record`] never waits and never fails the LLM call: the event goes into a queue, bounded in events and bytes,
/// from which it is sent in batches until Tollgate accepts it, always with the same id. An event that finds the queue full is
/// dropped, counted and logged. One that Tollgate refuses for good is counted, logged and handed to the callback.
///
/// Call [`Recorder::shutdown`] before the program ends: what is queued lives in memory alone.
#[derive(Debug, Clone)]
pub struct Recorder {
    shared: Arc<Shared>,
}

/// What all clones of a recorder share. When the last one goes, the worker sends what is left and ends.
#[derive(Debug)]
struct Shared {
    queue: Arc<Queue>,
    worker: JoinHandle<()>,
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.queue.close();
    }
}

impl Recorder {
    /// Starts to configure a recorder that sends over a client.
    pub fn builder(client: Client) -> RecorderBuilder {
        RecorderBuilder::new(client)
    }

    /// A recorder with the default bounds. Must be called within a tokio runtime.
    #[must_use]
    pub fn start(client: Client) -> Self {
        Self::builder(client).start()
    }

    /// Queues an event. Never waits. Answers whether there was room; if not, the event is dropped and counted.
    pub fn record(&self, event: impl Into<v1::UsageEvent>) -> bool {
        self.shared.queue.push(event::complete(event))
    }

    /// What became of the events so far.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.shared.queue.counts()
    }

    /// Waits until everything that was queued before is recorded or rejected.
    ///
    /// # Errors
    /// [`Error::DeadlineExceeded`] if that takes longer; the events stay queued.
    pub async fn flush(&self, deadline: Duration) -> Result<(), Error> {
        self.shared.queue.wait_for_all(deadline).await
    }

    /// Takes no more events, sends what is queued, and ends the recorder with all its clones.
    ///
    /// What cannot be sent in time is dropped and counted; of a batch under way when the time ran out it is not known whether it
    /// was recorded.
    ///
    /// # Errors
    /// [`Error::DeadlineExceeded`] if events were dropped.
    pub async fn shutdown(&self, deadline: Duration) -> Result<Counts, Error> {
        let start = Instant::now();
        self.shared.queue.close();
        let outcome = self.shared.queue.wait_for_all(deadline).await;
        self.shared.worker.abort();
        let dropped = self.shared.queue.abandon();
        tracing::debug!(dropped, elapsed = ?start.elapsed(), "the recorder is shut down");
        outcome.map(|()| self.counts())
    }
}

impl Client {
    /// A recorder with the default bounds. Must be called within a tokio runtime.
    #[must_use]
    pub fn recorder(&self) -> Recorder {
        Recorder::start(self.clone())
    }
}
