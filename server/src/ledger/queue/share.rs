//! How much of the queue is whose, and how long it takes.

use std::time::Duration;

use rand::Rng as _;

/// What is always left for those who come: an eighth.
const RESERVE: usize = 8;
/// Largest batch while several tenants are there: a call of another tenant waits for what is left of those that are under way. By
/// batches of 100 it takes more than twice as long beside one who floods; by batches of 50 less, and the flood is recorded at four
/// fifths of the speed (`tollgate-faults fair`).
const SHARED_BATCH: usize = 50;
/// Between these, who is refused is told to try again.
const SHORTEST_RETRY: Duration = Duration::from_millis(50);
const LONGEST_RETRY: Duration = Duration::from_secs(2);

/// How much of `limit` one of `tenants` may fill: all but a reserve while it is alone, else its equal part of that.
pub(super) fn share(limit: usize, tenants: usize) -> usize {
    ((limit - limit / RESERVE) / tenants.max(1)).max(1)
}

/// The commands of one batch: smaller ones while others are there, who share the database with those that are under way.
pub(super) fn batch_limit(limit: usize, tenants: usize) -> usize {
    if tenants > 1 { limit.min(SHARED_BATCH) } else { limit }
}

/// How many batches of one tenant are under way at once: all while it is alone, else its part of the writers. Two where there are so
/// many, since one batch commits while the next one runs, but one writer is always left to the others.
pub(super) fn writers_of_one(writers: usize, tenants: usize) -> usize {
    if tenants > 1 { writers.div_ceil(tenants).max(2).min(writers - 1).max(1) } else { writers }
}

/// How long a batch takes: a moving figure, in which the latest eight or so count.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Pace(Option<Duration>);

impl Pace {
    /// A batch took this long.
    pub(super) fn took(&mut self, duration: Duration) {
        self.0 = Some(match self.0 {
            None => duration,
            Some(before) => (before * 7 + duration) / 8,
        });
    }

    /// How long `rounds` batches take, one after the other.
    pub(super) fn expected(self, rounds: usize) -> Duration {
        self.0.unwrap_or_default().saturating_mul(u32::try_from(rounds).unwrap_or(u32::MAX))
    }

    /// When to try again what waits behind `rounds` batches: up to half as long again, by chance, since who is refused at once must not
    /// come back at once.
    pub(super) fn retry_after(self, rounds: usize) -> Duration {
        self.expected(rounds).clamp(SHORTEST_RETRY, LONGEST_RETRY).mul_f64(rand::rng().random_range(1.0..1.5))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_never_fill_the_reserve() {
        assert_eq!([share(800, 1), share(800, 2), share(800, 7)], [700, 350, 100]);
        assert_eq!([share(1, 1), share(10, 100)], [1, 1]);
        for tenants in 1..50 {
            assert!(share(8_192, tenants) * tenants <= 7_168);
        }
    }

    #[test]
    fn batches_and_writers_are_shared_while_others_are_there() {
        assert_eq!([batch_limit(1_000, 1), batch_limit(1_000, 2), batch_limit(1_000, 50)], [1_000, 50, 50]);
        assert_eq!(batch_limit(10, 5), 10);
        assert_eq!([writers_of_one(2, 1), writers_of_one(2, 3), writers_of_one(1, 3)], [2, 1, 1]);
        assert_eq!([writers_of_one(4, 2), writers_of_one(16, 3), writers_of_one(4, 50)], [2, 6, 2]);
    }

    #[test]
    fn the_pace_follows_what_batches_take() {
        let mut pace = Pace::default();
        assert_eq!(pace.expected(3), Duration::ZERO);
        assert!((SHORTEST_RETRY..SHORTEST_RETRY * 3 / 2).contains(&pace.retry_after(3)));
        for _ in 0..100 {
            pace.took(Duration::from_millis(80));
        }
        assert_eq!(pace.expected(3), Duration::from_millis(240));
        for _ in 0..100 {
            pace.took(Duration::from_secs(80));
        }
        assert!(pace.expected(1) > Duration::from_secs(79));
        assert!((LONGEST_RETRY..LONGEST_RETRY * 3 / 2).contains(&pace.retry_after(1)));
        assert!((0..100).any(|_| pace.retry_after(1) != pace.retry_after(1)), "not all come back at the same time");
    }
}
