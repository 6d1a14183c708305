//! Who answers a check: the ledger, or whoever stopped waiting for it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

const OPEN: u8 = 0;
const ANSWERED: u8 = 1;
const GIVEN_UP: u8 = 2;

/// Taken once, by one side: a check is never both answered without the database and held for unseen. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct Claim(Arc<AtomicU8>);

impl Claim {
    /// The ledger answers; `false` = too late, the answer was given without it.
    pub(super) fn answer(&self) -> bool {
        self.take(ANSWERED)
    }

    /// Nobody waits for the ledger any more; `false` = too late, its answer is on the way.
    pub fn give_up(&self) -> bool {
        self.take(GIVEN_UP)
    }

    /// Whether nobody waits for the ledger any more.
    pub(super) fn is_given_up(&self) -> bool {
        self.0.load(Ordering::Acquire) == GIVEN_UP
    }

    fn take(&self, side: u8) -> bool {
        self.0.compare_exchange(OPEN, side, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_side_has_it() {
        let claim = Claim::default();
        assert!(claim.give_up() && !claim.answer() && claim.is_given_up());
        let claim = Claim::default();
        let other = claim.clone();
        assert!(claim.answer() && !other.give_up() && !claim.is_given_up() && !other.is_given_up());
    }
}
