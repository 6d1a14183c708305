//! Holds that nobody was told of.
//!
//! A check that is answered without the database tells its caller that nothing is held. Yet an earlier try of the same check, or the
//! batch that it was in when the database went away, may have held. So the ids of all such checks are noted, and what they hold is
//! released once the database is back; a hold that was made, or told, after that answer, by asking again with the same id, is left
//! alone.
//!
//! What is noted here is lost when the process ends: such holds then end by their own expiry.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use uuid::Uuid;

use crate::tenant::TenantId;

/// Most ids that are noted: some 10 MB. Further ones are left to expire.
const LIMIT: usize = 100_000;
/// How long after its return the database is looked at for a second time: by then a commit that was on its way has arrived.
const SETTLED: Duration = Duration::from_secs(10);

#[derive(Debug, Clone, Copy)]
struct Noted {
    told_before: Timestamp,
    at: Instant,
    looked_for: bool,
}

/// A hold to look for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Withdrawal {
    /// Whose.
    pub tenant: TenantId,
    /// Its reservation.
    pub id: Uuid,
    /// Made, or told again, before this instant of the database's clock; of a later one its caller knows.
    pub told_before: Timestamp,
}

/// The ids that may hold unseen.
#[derive(Debug, Default)]
pub(super) struct Withdrawals {
    noted: Mutex<HashMap<(TenantId, Uuid), Noted>>,
}

impl Withdrawals {
    /// Notes one; `false` = there is no room, it is left to expire.
    pub(super) fn note(&self, Withdrawal { tenant, id, told_before }: Withdrawal) -> bool {
        let mut noted = self.noted.lock().unwrap_or_else(PoisonError::into_inner);
        if noted.len() >= LIMIT && !noted.contains_key(&(tenant, id)) {
            return false;
        }
        noted.insert((tenant, id), Noted { told_before, at: Instant::now(), looked_for: false });
        true
    }

    /// What is to be looked for now, up to `limit`: each once soon after the return and once more later.
    pub(super) fn due(&self, back_at: Option<Instant>, limit: usize) -> Vec<Withdrawal> {
        let noted = self.noted.lock().unwrap_or_else(PoisonError::into_inner);
        let due = noted.iter().filter(|(_, one)| !one.looked_for || settled(one, back_at));
        due.take(limit)
            .map(|((tenant, id), one)| Withdrawal { tenant: *tenant, id: *id, told_before: one.told_before })
            .collect()
    }

    /// These were looked for: they are looked for once more, and then forgotten.
    pub(super) fn looked_for(&self, found: &[Withdrawal], back_at: Option<Instant>) {
        let mut noted = self.noted.lock().unwrap_or_else(PoisonError::into_inner);
        for one in found {
            let key = (one.tenant, one.id);
            match noted.get_mut(&key) {
                Some(entry) if settled(entry, back_at) => drop(noted.remove(&key)),
                Some(entry) => entry.looked_for = true,
                None => {}
            }
        }
    }
}

fn settled(noted: &Noted, back_at: Option<Instant>) -> bool {
    noted.at.max(back_at.unwrap_or(noted.at)).elapsed() >= SETTLED
}

#[cfg(test)]
mod tests {
    use super::*;

    fn withdrawal(id: u128) -> Withdrawal {
        Withdrawal { tenant: TenantId::LOCAL, id: Uuid::from_u128(id), told_before: Timestamp::UNIX_EPOCH }
    }

    #[test]
    fn each_is_looked_for_twice_and_then_forgotten() {
        let withdrawals = Withdrawals::default();
        assert!(withdrawals.note(withdrawal(1)));
        let soon = Some(Instant::now());
        let due = withdrawals.due(soon, 10);
        assert_eq!(due, [withdrawal(1)]);
        withdrawals.looked_for(&due, soon);
        assert!(withdrawals.due(soon, 10).is_empty());
        withdrawals.noted.lock().unwrap().values_mut().for_each(|one| one.at -= SETTLED);
        assert_eq!(withdrawals.due(None, 10), [withdrawal(1)]);
        assert!(withdrawals.due(soon, 10).is_empty(), "the time counts from the return");
        withdrawals.looked_for(&due, None);
        assert!(withdrawals.noted.lock().unwrap().is_empty());
    }

    #[test]
    fn the_notes_are_bounded() {
        let withdrawals = Withdrawals::default();
        assert!((0..LIMIT as u128).all(|id| withdrawals.note(withdrawal(id))));
        assert!(!withdrawals.note(withdrawal(u128::MAX)));
        assert!(withdrawals.note(withdrawal(0)), "one that is noted is noted again");
    }
}
