//! A source whose figures a test sets, on the runtime's clock.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use jiff::{SignedDuration, Timestamp};
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;
use tollgate_domain::measures::Measures;
use tollgate_domain::window::{Window, WindowKind};

use super::{Hub, HubSettings, LiveError, Reading, ScopeSource, Touch, WatchedScope};
use crate::app::totals::{Scope, ScopeQuery, ScopeReading};
use crate::tenant::TenantId;

/// A tenant to test with.
pub(crate) const TENANT: TenantId = TenantId(7);

/// What the source tells, by scope; the version is the number of calls, too.
#[derive(Clone)]
pub(crate) struct ScriptedSource {
    state: Arc<State>,
}

struct State {
    began: Instant,
    versions: Mutex<HashMap<Scope, i64>>,
    refused: Mutex<HashSet<Scope>>,
    away: AtomicBool,
    delay: Mutex<Duration>,
    reads: AtomicUsize,
}

impl ScriptedSource {
    pub(crate) fn new() -> Self {
        let state = State {
            began: Instant::now(),
            versions: Mutex::default(),
            refused: Mutex::default(),
            away: AtomicBool::new(false),
            delay: Mutex::default(),
            reads: AtomicUsize::new(0),
        };
        Self { state: Arc::new(state) }
    }

    /// A running hub that reads from it.
    pub(crate) fn hub(&self, settings: HubSettings) -> Hub {
        let hub = Hub::new(settings, self.clone(), CancellationToken::new());
        tokio::spawn(hub.clone().run());
        hub
    }

    pub(crate) fn set(&self, scope: &Scope, version: i64) {
        self.state.versions.lock().unwrap().insert(scope.clone(), version);
    }

    /// As a commit does it: first the figures, then the touch.
    pub(crate) fn commit(&self, hub: &Hub, scope: &Scope, version: i64) {
        self.set(scope, version);
        let mut scopes = [None; 6];
        scopes[0] = Some(super::ScopeHash::of(scope));
        hub.touch(&[Touch { tenant: TENANT, scopes }]);
    }

    pub(crate) fn refuse(&self, scope: &Scope) {
        self.state.refused.lock().unwrap().insert(scope.clone());
    }

    pub(crate) fn set_away(&self, away: bool) {
        self.state.away.store(away, Ordering::SeqCst);
    }

    pub(crate) fn set_delay(&self, delay: Duration) {
        *self.state.delay.lock().unwrap() = delay;
    }

    pub(crate) fn reads(&self) -> usize {
        self.state.reads.load(Ordering::SeqCst)
    }

    fn figures(&self, scopes: &[Arc<WatchedScope>]) -> Result<Vec<Reading>, LiveError> {
        self.state.reads.fetch_add(1, Ordering::SeqCst);
        if self.state.away.load(Ordering::SeqCst) {
            return Err(LiveError::Unavailable);
        }
        let elapsed = SignedDuration::try_from(self.state.began.elapsed()).unwrap();
        let as_of = "2026-03-01T12:00:10Z".parse::<Timestamp>().unwrap() + elapsed;
        let versions = self.state.versions.lock().unwrap();
        let refused = self.state.refused.lock().unwrap();
        let reading = |scope: &Arc<WatchedScope>| {
            if refused.contains(&scope.query.scope) {
                return Err(LiveError::TooWide("of a test".to_owned()));
            }
            let version = versions.get(&scope.query.scope).copied().unwrap_or_default();
            let totals = Measures { calls: version, ..Measures::default() };
            let window = scope.query.window.as_ref().map(|window| window.bounds(as_of).unwrap());
            let totals = ScopeReading { totals, parts: Vec::new(), version, window };
            Ok(Reading { totals, budgets: Vec::new(), as_of })
        };
        scopes.iter().map(reading).collect()
    }
}

impl ScopeSource for ScriptedSource {
    fn read<'a>(
        &'a self,
        tenant: TenantId,
        scopes: &'a [Arc<WatchedScope>],
    ) -> BoxFuture<'a, Result<Vec<Reading>, LiveError>> {
        assert_eq!(tenant, TENANT);
        async move {
            // The snapshot is taken when the reading begins; its answer takes its time.
            let figures = self.figures(scopes);
            let delay = *self.state.delay.lock().unwrap();
            sleep(delay).await;
            figures
        }
        .boxed()
    }
}

/// A session over its lifetime.
pub(crate) fn session(id: &str) -> WatchedScope {
    watched(Scope::Session(id.to_owned()), None)
}

/// The tenant, minute by minute.
pub(crate) fn tenant_by_minute() -> WatchedScope {
    let window = Window::new(WindowKind::Minute, 1, Some("UTC".to_owned()), None, "window").unwrap();
    watched(Scope::Tenant, Some(window))
}

fn watched(scope: Scope, window: Option<Window>) -> WatchedScope {
    WatchedScope { query: ScopeQuery { scope, window, breakdown: None, breakdown_limit: 0 }, budgets: false }
}
