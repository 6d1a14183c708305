//! What a transaction raises.

use std::collections::HashSet;

use jiff::Timestamp;
use moka::sync::Cache;
use tollgate_domain::alert::{CounterKey, Subject};
use tollgate_domain::budget::{BudgetState, Crossing};
use uuid::Uuid;

use crate::store::alerts::NewAlert;
use crate::store::windows::WindowKey;
use crate::tenant::TenantId;

/// What raised an alert.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct AlertSource {
    /// The event.
    pub event_id: Option<Uuid>,
    /// The reservation.
    pub reservation_id: Option<Uuid>,
}

/// The alerts of one transaction, in the order in which they were raised, each occasion once.
#[derive(Debug)]
pub struct Raised {
    pub(super) tenant: TenantId,
    pub(super) now: Timestamp,
    pub(super) alerts: Vec<NewAlert>,
    occasions: HashSet<Uuid>,
    known: Cache<(TenantId, Uuid), ()>,
}

impl Raised {
    pub(super) fn new(tenant: TenantId, now: Timestamp, known: Cache<(TenantId, Uuid), ()>) -> Self {
        Self { tenant, now, alerts: Vec::new(), occasions: HashSet::new(), known }
    }

    /// The database's clock.
    pub fn now(&self) -> Timestamp {
        self.now
    }

    /// Raises what a counter crossed; `state` is the counter as it is now.
    pub fn crossing(&mut self, crossing: Crossing, key: WindowKey, state: BudgetState, source: AlertSource) {
        let subject = match crossing {
            Crossing::Rule(rule) => Subject::RuleFired { rule, budget: state },
            Crossing::Overrun(cause) => Subject::Overrun { cause, budget: state },
        };
        self.add(subject, Some(key), source);
    }

    /// Raises an alert, unless the same was told before; of a counter where it has one.
    pub fn add(&mut self, subject: Subject, counter: Option<WindowKey>, source: AlertSource) {
        let counter = counter.map(|key| CounterKey { budget: key.budget, scope: key.scope, window_start: key.start });
        let occasion = subject.occasion(counter.as_ref(), self.now);
        if self.known.contains_key(&(self.tenant, occasion)) || !self.occasions.insert(occasion) {
            return;
        }
        let AlertSource { event_id, reservation_id } = source;
        let alert_id = Uuid::now_v7();
        self.alerts.push(NewAlert { alert_id, occasion, subject, counter, event_id, reservation_id });
    }
}
