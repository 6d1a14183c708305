//! What running totals are kept for.

use tollgate_proto::v1;
use tollgate_proto::v1::watch_scope;

use crate::window::Window;

/// A set of events whose running totals are wanted. Its key, by which the totals are recognised, is the id unless set.
#[derive(Debug, Clone, PartialEq)]
#[must_use = "a scope does nothing until it is watched"]
pub struct Scope {
    message: v1::WatchScope,
}

impl Scope {
    fn new(key: &str, scope: watch_scope::Scope, window: Option<Window>) -> Self {
        Self {
            message: v1::WatchScope {
                key: key.to_owned(),
                scope: Some(scope),
                window: window.map(Into::into),
                ..Default::default()
            },
        }
    }

    /// One session, over its lifetime.
    pub fn session(id: impl Into<String>) -> Self {
        let id = id.into();
        Self::new(&id.clone(), watch_scope::Scope::SessionId(id), None)
    }

    /// A session with the whole tree of sessions below it, over its lifetime.
    pub fn root_session(id: impl Into<String>) -> Self {
        let id = id.into();
        Self::new(&id.clone(), watch_scope::Scope::RootSessionId(id), None)
    }

    /// One user within a window.
    pub fn user(id: impl Into<String>, window: Window) -> Self {
        let id = id.into();
        Self::new(&id.clone(), watch_scope::Scope::UserId(id), Some(window))
    }

    /// One agent within a window.
    pub fn agent(id: impl Into<String>, window: Window) -> Self {
        let id = id.into();
        Self::new(&id.clone(), watch_scope::Scope::AgentId(id), Some(window))
    }

    /// One project within a window.
    pub fn project(id: impl Into<String>, window: Window) -> Self {
        let id = id.into();
        Self::new(&id.clone(), watch_scope::Scope::ProjectId(id), Some(window))
    }

    /// The whole tenant within a window. Its key is `tenant` unless set.
    pub fn tenant(window: Window) -> Self {
        Self::new("tenant", watch_scope::Scope::Tenant(true), Some(window))
    }

    /// The name of the scope in the answers. Unique within a request, at most 64 bytes.
    pub fn key(mut self, key: impl Into<String>) -> Self {
        self.message.key = key.into();
        self
    }

    /// Another window, for a session that is not wanted over its lifetime.
    pub fn window(mut self, window: Window) -> Self {
        self.message.window = Some(window.into());
        self
    }

    /// Breaks the totals down by a dimension, for example `agent_name`, into at most that many parts and the rest.
    pub fn breakdown(mut self, key: v1::DimensionKey, limit: u32) -> Self {
        self.message.breakdown = Some(key);
        self.message.breakdown_limit = crate::count::small_count(limit);
        self
    }

    /// With the states of the budgets that the scope charges.
    pub fn budgets(mut self) -> Self {
        self.message.budgets = true;
        self
    }
}

impl From<Scope> for v1::WatchScope {
    fn from(scope: Scope) -> Self {
        scope.message
    }
}

impl From<v1::WatchScope> for Scope {
    fn from(message: v1::WatchScope) -> Self {
        Self { message }
    }
}
