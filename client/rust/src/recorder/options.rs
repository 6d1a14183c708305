//! How a recorder is configured.

use std::sync::Arc;
use std::time::Duration;

use super::queue::{Bounds, Queue};
use super::rejection::{OnRejected, Rejection};
use super::worker::Worker;
use super::{Recorder, Shared};
use crate::client::Client;

/// Configures a [`Recorder`]. Made by [`Recorder::builder`].
#[must_use = "a builder does nothing until it starts the recorder"]
pub struct RecorderBuilder {
    client: Client,
    bounds: Bounds,
    linger: Duration,
    on_rejected: Option<OnRejected>,
}

impl RecorderBuilder {
    pub(super) fn new(client: Client) -> Self {
        Self {
            client,
            bounds: Bounds { events: 16_384, bytes: 32 * 1024 * 1024 },
            linger: Duration::from_millis(10),
            on_rejected: None,
        }
    }

    /// The most events that are queued, those under way included. Default 16,384.
    pub fn max_queued_events(mut self, events: usize) -> Self {
        self.bounds.events = events;
        self
    }

    /// The most bytes that are queued, those under way included. Default 32 MiB.
    pub fn max_queued_bytes(mut self, bytes: usize) -> Self {
        self.bounds.bytes = bytes;
        self
    }

    /// How long the first event of a batch waits for others when nothing else is under way. Default 10 ms. While a batch is
    /// under way, the next one forms anyway.
    pub fn linger(mut self, linger: Duration) -> Self {
        self.linger = linger;
        self
    }

    /// Called with every event that Tollgate refuses for good. It runs in the recorder's task and must not block.
    pub fn on_rejected(mut self, callback: impl Fn(&Rejection) + Send + Sync + 'static) -> Self {
        self.on_rejected = Some(Arc::new(callback));
        self
    }

    /// Starts the recorder. Must be called within a tokio runtime.
    #[must_use]
    pub fn start(self) -> Recorder {
        let queue = Arc::new(Queue::new(self.bounds));
        let worker = Worker::new(self.client, Arc::clone(&queue), self.linger, self.on_rejected);
        Recorder { shared: Arc::new(Shared { queue, worker: tokio::spawn(worker.run()) }) }
    }
}

impl std::fmt::Debug for RecorderBuilder {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { client: _, bounds, linger, on_rejected } = self;
        formatter
            .debug_struct("RecorderBuilder")
            .field("bounds", bounds)
            .field("linger", linger)
            .field("on_rejected", &on_rejected.is_some())
            .finish_non_exhaustive()
    }
}
