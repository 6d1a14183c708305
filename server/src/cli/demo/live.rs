//! The subscription that drives the display, and whose last figures are held against the client's own.

use std::time::Duration;

use futures::StreamExt as _;
use jiff::Timestamp;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tollgate_client::{Client, Scope, WatchRequest, Window, dimension, v1};

use super::sums::Sums;

/// How long the stream may take to tell what was recorded last.
const PATIENCE: Duration = Duration::from_secs(20);
/// Agents that are shown on their own.
const AGENTS_SHOWN: u32 = 10;

/// What the stream told last.
#[derive(Debug, Clone, Default)]
pub(super) struct Latest {
    /// The run's project.
    pub(super) scope: v1::ScopeTotals,
    /// Why the stream ended, if it did.
    pub(super) failure: Option<String>,
}

impl Latest {
    /// The run's sums; nothing before the first message.
    pub(super) fn sums(&self) -> Option<Sums> {
        self.scope.totals.as_ref().map_or_else(|| Some(Sums::default()), Sums::told)
    }
}

/// A subscription to the totals of a run. Dropping it unsubscribes.
#[derive(Debug)]
pub(super) struct Live {
    latest: watch::Receiver<Latest>,
    reading: JoinHandle<()>,
}

impl Drop for Live {
    fn drop(&mut self) {
        self.reading.abort();
    }
}

impl Live {
    /// Watches a project that begins at `start`, broken down by agent, with its budgets.
    pub(super) fn watch(client: &Client, project: &str, start: Timestamp) -> Self {
        let scope = Scope::project(project, day_from(start))
            .key("run")
            .breakdown(dimension("agent_name"), AGENTS_SHOWN)
            .budgets();
        let mut updates = client.watch_with(WatchRequest::new([scope]).min_interval(Duration::from_millis(200)));
        let (sender, latest) = watch::channel(Latest::default());
        let reading = tokio::spawn(async move {
            while let Some(update) = updates.next().await {
                sender.send_modify(|latest| match update {
                    Ok(update) => latest.scope = update.scope("run").cloned().unwrap_or_default(),
                    Err(error) => latest.failure = Some(error.to_string()),
                });
            }
        });
        Self { latest, reading }
    }

    /// The newest totals.
    pub(super) fn latest(&self) -> watch::Receiver<Latest> {
        self.latest.clone()
    }

    /// Waits until the stream tells `expected`, and returns what it told last: the same, unless it took too long.
    pub(super) async fn settle_at(&mut self, expected: &Sums) -> Latest {
        let told = self.latest.wait_for(|latest| latest.sums().as_ref() == Some(expected));
        // What came of the wait is seen in the figures, whichever way it ended.
        let _ended = tokio::time::timeout(PATIENCE, told).await.is_ok();
        self.latest.borrow().clone()
    }
}

/// A day that begins at `start`, so that no midnight falls into the run.
fn day_from(start: Timestamp) -> Window {
    let mut window = v1::Window::from(Window::day("UTC"));
    window.anchor = Some(prost_types::Timestamp { seconds: start.as_second(), nanos: start.subsec_nanosecond() });
    Window::from(window)
}
