//! What is watched, and what a commit touched.

use tollgate_domain::dimensions::{Dimension, Dimensions};

use crate::app::totals::{Scope, ScopeQuery};
use crate::tenant::TenantId;

/// What a subscriber wants to see. Equal ones share one entry.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct WatchedScope {
    /// Which totals.
    pub query: ScopeQuery,
    /// Whether the states of the scope's budgets are wanted, too.
    pub budgets: bool,
}

/// A scope in 64 bits, the same on every replica and in every version. Two scopes that share one are read once too
/// often, nothing worse.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ScopeHash(pub(super) u64);

/// The kinds of scope; the numbers are part of the hash.
#[derive(Clone, Copy)]
enum Kind {
    Session = 1,
    RootSession = 2,
    User = 3,
    Agent = 4,
    Project = 5,
    Tenant = 6,
    Alerts = 7,
}

impl ScopeHash {
    /// The hash of a scope.
    pub fn of(scope: &Scope) -> Self {
        match scope {
            Scope::Session(id) => Self::new(Kind::Session, id),
            Scope::RootSession(id) => Self::new(Kind::RootSession, id),
            Scope::User(id) => Self::new(Kind::User, id),
            Scope::Agent(id) => Self::new(Kind::Agent, id),
            Scope::Project(id) => Self::new(Kind::Project, id),
            Scope::Tenant => Self::new(Kind::Tenant, ""),
        }
    }

    /// What stands for a tenant's alerts among the scopes: nobody watches totals of it.
    pub(super) fn alerts() -> Self {
        Self::new(Kind::Alerts, "")
    }

    /// FNV-1a. The standard library's hashes may differ between the releases that two replicas were built with.
    fn new(kind: Kind, value: &str) -> Self {
        const OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
        const PRIME: u64 = 0x0100_0000_01b3;
        let step = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(PRIME);
        Self(value.bytes().fold(step(OFFSET, kind as u8), step))
    }
}

/// The scopes whose totals one committed change touched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Touch {
    pub(super) tenant: TenantId,
    pub(super) scopes: [Option<ScopeHash>; 6],
}

impl Touch {
    /// What a change under these dimensions touches.
    pub fn of(tenant: TenantId, dimensions: &Dimensions) -> Self {
        let hash = |kind: Kind, value: Option<&str>| value.map(|value| ScopeHash::new(kind, value));
        Self {
            tenant,
            scopes: [
                hash(Kind::Session, dimensions.get(Dimension::SessionId)),
                hash(Kind::RootSession, dimensions.root_session()),
                hash(Kind::User, dimensions.get(Dimension::UserId)),
                hash(Kind::Agent, dimensions.get(Dimension::AgentId)),
                hash(Kind::Project, dimensions.get(Dimension::ProjectId)),
                hash(Kind::Tenant, Some("")),
            ],
        }
    }

    /// What raised alerts touch.
    pub fn alerts(tenant: TenantId) -> Self {
        Self { tenant, scopes: [Some(ScopeHash::alerts()), None, None, None, None, None] }
    }

    /// Whether it tells of alerts.
    pub(super) fn is_of_alerts(&self) -> bool {
        self.scopes.first() == Some(&Some(ScopeHash::alerts()))
    }

    /// The scopes that are present.
    pub(super) fn hashes(&self) -> impl Iterator<Item = ScopeHash> + '_ {
        self.scopes.iter().flatten().copied()
    }
}
