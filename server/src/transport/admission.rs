//! How many connections there are, in all and of one address.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, PoisonError};

use crate::config::ConnectionsConfig;
use crate::metrics::{ConnectionRefusal, TransportMetrics};

/// Counts connections, and refuses those beyond the bounds.
#[derive(Debug)]
pub(super) struct Admission {
    limit: usize,
    /// 0 = addresses are not told apart.
    per_address: usize,
    metrics: TransportMetrics,
    counts: Mutex<Counts>,
}

#[derive(Debug, Default)]
struct Counts {
    open: usize,
    /// Bounded by the connections: an address without one is forgotten.
    by_address: HashMap<IpAddr, usize>,
}

impl Admission {
    pub(super) fn new(config: &ConnectionsConfig, metrics: TransportMetrics) -> Arc<Self> {
        Arc::new(Self { limit: config.limit, per_address: config.per_address, metrics, counts: Mutex::default() })
    }

    /// Counts a connection of this address, until what is returned is dropped.
    ///
    /// # Errors
    /// The bound that it would exceed.
    pub(super) fn admit(self: &Arc<Self>, address: IpAddr) -> Result<Admitted, ConnectionRefusal> {
        let holder = holder(address);
        let outcome = self.count(holder);
        match outcome {
            Ok(()) => self.metrics.opened(),
            Err(reason) => self.metrics.refused(reason),
        }
        outcome.map(|()| Admitted { admission: self.clone(), holder })
    }

    fn count(&self, holder: IpAddr) -> Result<(), ConnectionRefusal> {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        if counts.open >= self.limit {
            return Err(ConnectionRefusal::Full);
        }
        if self.per_address > 0 {
            if counts.by_address.get(&holder).is_some_and(|open| *open >= self.per_address) {
                return Err(ConnectionRefusal::Address);
            }
            *counts.by_address.entry(holder).or_default() += 1;
        }
        counts.open += 1;
        Ok(())
    }

    fn release(&self, holder: IpAddr) {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        counts.open = counts.open.saturating_sub(1);
        if let Some(open) = counts.by_address.get_mut(&holder) {
            *open = open.saturating_sub(1);
            if *open == 0 {
                counts.by_address.remove(&holder);
            }
        }
        self.metrics.closed();
    }
}

/// Whoever has one address of a /64 of IPv6 has them all.
fn holder(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
        }
    }
}

/// A connection that is counted as long as this lives.
#[derive(Debug)]
pub(super) struct Admitted {
    admission: Arc<Admission>,
    holder: IpAddr,
}

impl Drop for Admitted {
    fn drop(&mut self) {
        self.admission.release(self.holder);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::Metrics;

    fn admission(limit: usize, per_address: usize) -> Arc<Admission> {
        let config = ConnectionsConfig { limit, per_address, ..ConnectionsConfig::default() };
        Admission::new(&config, Metrics::new().unwrap().transport)
    }

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn one_beyond_the_bound_is_refused_until_another_ends() {
        let admission = admission(2, 0);
        let first = admission.admit(address("10.0.0.1")).unwrap();
        let _second = admission.admit(address("10.0.0.1")).unwrap();
        assert_eq!(admission.admit(address("10.0.0.2")).unwrap_err(), ConnectionRefusal::Full);
        drop(first);
        assert!(admission.admit(address("10.0.0.2")).is_ok());
    }

    #[test]
    fn an_address_has_its_own_share_and_is_forgotten_with_its_last_connection() {
        let admission = admission(10, 1);
        for [one, same, other] in
            [["10.0.0.1", "::ffff:10.0.0.1", "10.0.0.2"], ["2001:db8::1", "2001:db8::ffff:1", "2001:db8:0:1::1"]]
        {
            let held = admission.admit(address(one)).unwrap();
            assert_eq!(admission.admit(address(same)).unwrap_err(), ConnectionRefusal::Address, "{same}");
            assert!(admission.admit(address(other)).is_ok(), "{other}");
            drop(held);
        }
        assert!(admission.counts.lock().unwrap().by_address.is_empty());
    }
}
