//! Watching running totals live.

mod subscription;

use std::time::{Duration, SystemTime};

use futures::stream::BoxStream;
use tollgate_proto::v1;

use crate::client::Client;
use crate::error::Error;
use crate::scope::Scope;

/// Changes of running totals. Reconnects by itself, and ends only after an error that reconnecting would not change.
pub type Updates = BoxStream<'static, Result<Update, Error>>;

/// A change of running totals. The figures are absolute, so that a lost update costs nothing.
#[derive(Debug, Clone, PartialEq)]
pub struct Update {
    /// Whether these are all scopes, as at the beginning and after every reconnection; otherwise only those that changed.
    pub snapshot: bool,
    /// The totals.
    pub scopes: Vec<v1::ScopeTotals>,
    /// The moment as of which they are true, by the server's clock.
    pub as_of: Option<SystemTime>,
}

impl Update {
    /// The totals of the scope with this key, if the update has them.
    #[must_use]
    pub fn scope(&self, key: &str) -> Option<&v1::ScopeTotals> {
        self.scopes.iter().find(|scope| scope.key == key)
    }
}

/// What to watch, and how closely.
#[derive(Debug, Clone, PartialEq)]
#[must_use = "a request does nothing until it is watched"]
pub struct WatchRequest {
    scopes: Vec<Scope>,
    min_interval: Option<Duration>,
    heartbeat: Duration,
    silence: Option<Duration>,
}

impl WatchRequest {
    /// Watches 1 to 64 scopes.
    pub fn new(scopes: impl IntoIterator<Item = Scope>) -> Self {
        Self {
            scopes: scopes.into_iter().collect(),
            min_interval: None,
            heartbeat: Duration::from_secs(15),
            silence: None,
        }
    }

    /// The least time between two updates, at least 50 ms: changes in between come as one. Unless set, 250 ms.
    pub fn min_interval(mut self, interval: Duration) -> Self {
        self.min_interval = Some(interval);
        self
    }

    /// The most time between two messages of the server, from 5 to 60 seconds. Default 15 s.
    pub fn heartbeat(mut self, heartbeat: Duration) -> Self {
        self.heartbeat = heartbeat;
        self
    }

    /// The silence after which the stream counts as dead and is opened anew. Unless set, twice the heartbeat.
    pub fn reconnect_after_silence(mut self, silence: Duration) -> Self {
        self.silence = Some(silence);
        self
    }

    fn silence(&self) -> Duration {
        self.silence.unwrap_or(self.heartbeat.saturating_mul(2))
    }

    fn message(&self) -> v1::StreamUsageRequest {
        v1::StreamUsageRequest {
            scopes: self.scopes.iter().cloned().map(Into::into).collect(),
            min_interval: self.min_interval.map(crate::count::wire_duration),
            heartbeat: Some(crate::count::wire_duration(self.heartbeat)),
        }
    }
}

impl Client {
    /// Watches running totals. Nothing is sent before the stream is polled; dropping it unsubscribes.
    #[must_use]
    pub fn watch(&self, scopes: impl IntoIterator<Item = Scope>) -> Updates {
        self.watch_with(WatchRequest::new(scopes))
    }

    /// Watches running totals as closely as the request says.
    #[must_use]
    pub fn watch_with(&self, request: WatchRequest) -> Updates {
        subscription::updates(self.clone(), request)
    }
}
