//! What stands, as opposed to what happened: read when somebody asks.

use std::sync::{Arc, OnceLock};

use prometheus::{IntGauge, IntGaugeVec, Opts, Registry};

/// Shares of their limits that counters have reached, as they are shown, with the same in hundredths.
pub const FULLNESS: [(&str, u32); 5] = [("0", 0), ("0.5", 50), ("0.8", 80), ("0.95", 95), ("1", 100)];

/// The state of a server at one moment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct State {
    /// Commands that wait for a writer.
    pub queued_commands: usize,
    /// About how many bytes they take.
    pub queued_bytes: usize,
    /// Most commands that may wait.
    pub queue_commands_limit: usize,
    /// Most bytes that may wait.
    pub queue_bytes_limit: usize,
    /// Streams of live totals.
    pub subscribers: usize,
    /// Scopes that they watch.
    pub watched_scopes: usize,
    /// Connections of the writers.
    pub ledger_pool: Pool,
    /// Connections of everything else.
    pub reads_pool: Pool,
}

impl State {
    /// Whether new commands are refused.
    pub fn is_queue_full(&self) -> bool {
        self.queue_commands_limit > 0
            && (self.queued_commands >= self.queue_commands_limit || self.queued_bytes >= self.queue_bytes_limit)
    }
}

/// Connections of a pool.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Pool {
    /// In use.
    pub used: usize,
    /// Open, and not in use.
    pub idle: usize,
    /// Most that may be open.
    pub limit: usize,
}

/// A server whose state can be read.
pub trait Watched: Send + Sync {
    /// Its state now.
    fn state(&self) -> State;

    /// Counters of windows that run, as this replica saw them last, by what they have reached: at least as much as [`FULLNESS`] says.
    /// As it was at most a few seconds ago: to count means to look at each of them.
    fn counters(&self) -> [usize; FULLNESS.len()];
}

/// The server, once it has started. It belongs to who serves the endpoint, and ends with that.
#[derive(Clone, Default)]
pub struct Watch(Arc<OnceLock<Box<dyn Watched>>>);

impl Watch {
    /// The server has started; whoever says so first is heeded.
    pub fn started(&self, server: impl Watched + 'static) {
        let _first_stays = self.0.set(Box::new(server));
    }

    /// The server; `None` = it is still starting.
    pub fn server(&self) -> Option<&dyn Watched> {
        self.0.get().map(AsRef::as_ref)
    }
}

impl std::fmt::Debug for Watch {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_tuple("Watch").field(&self.0.get().is_some()).finish()
    }
}

/// The gauges of the state.
#[derive(Debug, Clone)]
pub(super) struct StateMetrics {
    queue_commands: IntGauge,
    queue_bytes: IntGauge,
    queue_commands_limit: IntGauge,
    queue_bytes_limit: IntGauge,
    subscribers: IntGauge,
    watched_scopes: IntGauge,
    connections: IntGaugeVec,
    connections_limit: IntGaugeVec,
    counters: IntGaugeVec,
}

impl StateMetrics {
    pub(super) fn new(registry: &Registry) -> prometheus::Result<Self> {
        let gauge = |name: &str, help: &str| -> prometheus::Result<IntGauge> {
            let gauge = IntGauge::new(name, help)?;
            registry.register(Box::new(gauge.clone()))?;
            Ok(gauge)
        };
        let gauges = |name: &str, help: &str, labels: &[&str]| -> prometheus::Result<IntGaugeVec> {
            let gauges = IntGaugeVec::new(Opts::new(name, help), labels)?;
            registry.register(Box::new(gauges.clone()))?;
            Ok(gauges)
        };
        Ok(Self {
            queue_commands: gauge("ledger_queue_commands", "Commands that wait for a writer of the ledger.")?,
            queue_bytes: gauge("ledger_queue_bytes", "About how many bytes wait for a writer of the ledger.")?,
            queue_commands_limit: gauge("ledger_queue_commands_limit", "Most commands that may wait.")?,
            queue_bytes_limit: gauge("ledger_queue_bytes_limit", "Most bytes that may wait.")?,
            subscribers: gauge("live_subscribers", "Streams of live totals that are open.")?,
            watched_scopes: gauge("live_watched_scopes", "Scopes whose totals somebody watches.")?,
            connections: gauges(
                "database_connections",
                "Connections to the database by pool (ledger: its writers; reads: everything else) and state.",
                &["pool", "state"],
            )?,
            connections_limit: gauges("database_connections_limit", "Most connections of a pool.", &["pool"])?,
            counters: gauges(
                "budget_counters",
                "Counters of budgets in windows that run, as this replica saw them last, by the share of their limit that is \
                 spent, held or presumed: each is counted under every share that it has reached.",
                &["at_least"],
            )?,
        })
    }

    /// Shows the state as it is now.
    pub(super) fn show(&self, server: &dyn Watched) {
        let State {
            queued_commands,
            queued_bytes,
            queue_commands_limit,
            queue_bytes_limit,
            subscribers,
            watched_scopes,
            ledger_pool,
            reads_pool,
        } = server.state();
        self.queue_commands.set(shown(queued_commands));
        self.queue_bytes.set(shown(queued_bytes));
        self.queue_commands_limit.set(shown(queue_commands_limit));
        self.queue_bytes_limit.set(shown(queue_bytes_limit));
        self.subscribers.set(shown(subscribers));
        self.watched_scopes.set(shown(watched_scopes));
        for (name, Pool { used, idle, limit }) in [("ledger", ledger_pool), ("reads", reads_pool)] {
            self.connections.with_label_values(&[name, "used"]).set(shown(used));
            self.connections.with_label_values(&[name, "idle"]).set(shown(idle));
            self.connections_limit.with_label_values(&[name]).set(shown(limit));
        }
        for ((share, _), count) in FULLNESS.iter().zip(server.counters()) {
            self.counters.with_label_values(&[share]).set(shown(count));
        }
    }
}

fn shown(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
