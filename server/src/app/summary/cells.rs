//! Sums while they are gathered: one cell per output bucket and group.

use std::collections::{HashMap, HashSet};

use rust_decimal::Decimal;
use tollgate_domain::amount::Usd;
use tollgate_domain::measures::Measures;
use tollgate_domain::summary::CostBasis;

use super::class_cost::{Deferred, Sheets};
use super::event;
use super::failure::Failure;
use super::key::GroupKey;
use crate::store::summaries::SummedEvent;

/// Which sums of a cell an entry belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Entry {
    /// An event as it was first charged.
    Charged,
    /// A leg that a correction added, or the signed sum of legs.
    Added,
    /// A leg that a correction took back.
    Reversed,
}

impl Entry {
    /// What a row is: only legs have a sign.
    pub(super) fn of(row: &SummedEvent) -> Self {
        match row.sign {
            None => Self::Charged,
            Some(sign) if sign < 0 => Self::Reversed,
            Some(_) => Self::Added,
        }
    }

    /// What a sum of totals is.
    pub(super) fn of_sum(adjustment: bool) -> Self {
        if adjustment { Self::Added } else { Self::Charged }
    }
}

/// Sums of one kind of entries.
#[derive(Debug, Default)]
struct Side {
    /// The sums, without what is deferred.
    measures: Measures,
    /// How long attempts took, in microseconds.
    durations: Vec<i64>,
    deferred: Deferred,
}

impl Side {
    fn merge(&mut self, other: Self) -> Result<(), Failure> {
        self.measures.add(&other.measures)?;
        self.durations.extend(other.durations);
        self.deferred.merge(other.deferred)
    }

    fn settle(&mut self, sheets: &Sheets) -> Result<(), Failure> {
        std::mem::take(&mut self.deferred).settle(&mut self.measures, sheets)
    }
}

/// One group in one output bucket, while it is gathered.
#[derive(Debug, Default)]
pub(super) struct Cell {
    charged: Side,
    added: Side,
    reversed: Side,
    /// Rises with every event and every correction.
    version: i64,
}

/// One group in one output bucket, complete.
#[derive(Debug)]
pub(super) struct SettledCell {
    /// The sums by the cost basis: as first charged, or after corrections.
    pub(super) measures: Measures,
    /// The cost after corrections.
    pub(super) current_usd: Usd,
    /// Rises with every event and every correction.
    pub(super) version: i64,
    /// How long the attempts took, in microseconds.
    pub(super) durations: Vec<i64>,
}

impl Cell {
    fn side(&mut self, entry: Entry) -> &mut Side {
        match entry {
            Entry::Charged => &mut self.charged,
            Entry::Added => &mut self.added,
            Entry::Reversed => &mut self.reversed,
        }
    }

    /// Adds another cell.
    fn merge(&mut self, other: Self) -> Result<(), Failure> {
        self.charged.merge(other.charged)?;
        self.added.merge(other.added)?;
        self.reversed.merge(other.reversed)?;
        self.version = self.version.saturating_add(other.version);
        Ok(())
    }

    /// The sums after corrections.
    fn current(&self) -> Result<Measures, Failure> {
        let mut change = self.added.measures.clone();
        change.add(&self.reversed.measures.negated()?)?;
        let mut current = self.charged.measures.clone();
        current.add(&change)?;
        forget_what_is_gone(&mut current, &change);
        Ok(current)
    }

    /// The sums that `basis` speaks of.
    fn shown(&self, basis: CostBasis) -> Result<Measures, Failure> {
        match basis {
            CostBasis::Current => self.current(),
            CostBasis::Charged | CostBasis::Reported => Ok(self.charged.measures.clone()),
        }
    }

    /// The cell with all that was deferred; `None` where no event is left that it could stand for.
    fn settled(mut self, sheets: &Sheets, basis: CostBasis) -> Result<Option<SettledCell>, Failure> {
        for entry in [Entry::Charged, Entry::Added, Entry::Reversed] {
            self.side(entry).settle(sheets)?;
        }
        let current = self.current()?;
        let counts = basis != CostBasis::Current && self.charged.measures.attempts != 0;
        if current.attempts == 0 && !counts {
            return Ok(None);
        }
        let current_usd = current.usd;
        let (measures, durations) = match basis {
            CostBasis::Current => {
                let mut durations = self.charged.durations;
                durations.append(&mut self.added.durations);
                (current, without(durations, self.reversed.durations))
            }
            CostBasis::Charged | CostBasis::Reported => (self.charged.measures, self.charged.durations),
        };
        Ok(Some(SettledCell { measures, current_usd, version: self.version, durations }))
    }
}

/// A part that corrections took back until nothing was left counts as not reported: a difference cannot tell.
fn forget_what_is_gone(current: &mut Measures, change: &Measures) {
    let tokens = current.class_tokens.iter_mut().zip(change.class_tokens);
    for (left, change) in tokens {
        *left = left.filter(|left| change.is_none() || *left != 0);
    }
    let money = [
        (&mut current.saved_usd, change.saved_usd),
        (&mut current.reported_usd, change.reported_usd),
        (&mut current.reported_own_usd, change.reported_own_usd),
    ];
    for (left, change) in current.class_usd.iter_mut().zip(change.class_usd).chain(money) {
        *left = left.filter(|left| change.is_none() || !left.is_zero());
    }
}

/// The durations that are left when each of `taken` is taken away once.
fn without(mut durations: Vec<i64>, mut taken: Vec<i64>) -> Vec<i64> {
    durations.sort_unstable();
    taken.sort_unstable();
    let mut taken = taken.into_iter().peekable();
    durations.retain(|duration| {
        while taken.next_if(|earlier| earlier < duration).is_some() {}
        taken.next_if_eq(duration).is_none()
    });
    durations
}

/// Where a pass puts what it reads.
pub(super) trait Sink {
    /// How many groups, each in its bucket, it may hold.
    fn limit(&self) -> usize;

    /// Takes sums that are complete.
    fn add_sums(
        &mut self,
        output: i32,
        key: GroupKey,
        entry: Entry,
        version: i64,
        measures: &Measures,
    ) -> Result<(), Failure>;

    /// Takes one event, or one leg of a correction.
    fn add_event(
        &mut self,
        output: i32,
        key: GroupKey,
        candidate: &SummedEvent,
        sheets: &Sheets,
    ) -> Result<(), Failure>;
}

/// All cells, bounded in number.
#[derive(Debug)]
pub(super) struct Cells {
    cells: HashMap<(i32, GroupKey), Cell>,
    limit: usize,
    keeps_durations: bool,
}

impl Cells {
    /// None yet, and never more than `limit`.
    pub(super) fn new(limit: usize, keeps_durations: bool) -> Self {
        Self { cells: HashMap::new(), limit, keeps_durations }
    }

    fn cell(&mut self, output: i32, key: GroupKey) -> Result<&mut Cell, Failure> {
        let full = self.cells.len() >= self.limit;
        match self.cells.entry((output, key)) {
            std::collections::hash_map::Entry::Occupied(found) => Ok(found.into_mut()),
            std::collections::hash_map::Entry::Vacant(_) if full => Err(Failure::TooMany),
            std::collections::hash_map::Entry::Vacant(free) => Ok(free.insert(Cell::default())),
        }
    }

    /// Adds up what is not `chosen`, bucket by bucket.
    pub(super) fn folded(self, chosen: &HashSet<GroupKey>) -> Result<Self, Failure> {
        let mut folded = Self::new(self.limit, self.keeps_durations);
        for ((output, key), cell) in self.cells {
            let key = if chosen.contains(&key) { key } else { GroupKey::other() };
            folded.cell(output, key)?.merge(cell)?;
        }
        Ok(folded)
    }

    /// How great each group is over all buckets, by the sums that `basis` speaks of.
    pub(super) fn ranks(
        &self,
        basis: CostBasis,
        value: impl Fn(&Measures) -> Decimal,
    ) -> Result<HashMap<GroupKey, Decimal>, Failure> {
        let mut ranks: HashMap<GroupKey, Decimal> = HashMap::new();
        for ((_, key), cell) in &self.cells {
            let rank = ranks.entry(key.clone()).or_default();
            *rank = rank.checked_add(value(&cell.shown(basis)?)).ok_or(Failure::TooLarge)?;
        }
        Ok(ranks)
    }

    /// The cells that stand for an event, with all that was deferred.
    pub(super) fn settled(
        self,
        sheets: &Sheets,
        basis: CostBasis,
    ) -> Result<Vec<(i32, GroupKey, SettledCell)>, Failure> {
        let mut settled = Vec::with_capacity(self.cells.len());
        for ((output, key), cell) in self.cells {
            settled.extend(cell.settled(sheets, basis)?.map(|cell| (output, key, cell)));
        }
        Ok(settled)
    }
}

impl Sink for Cells {
    fn limit(&self) -> usize {
        self.limit
    }

    fn add_sums(
        &mut self,
        output: i32,
        key: GroupKey,
        entry: Entry,
        version: i64,
        measures: &Measures,
    ) -> Result<(), Failure> {
        let cell = self.cell(output, key)?;
        cell.side(entry).measures.add(measures)?;
        cell.version = cell.version.saturating_add(version);
        Ok(())
    }

    fn add_event(
        &mut self,
        output: i32,
        key: GroupKey,
        candidate: &SummedEvent,
        sheets: &Sheets,
    ) -> Result<(), Failure> {
        let keeps_durations = self.keeps_durations;
        let cell = self.cell(output, key)?;
        cell.version = cell.version.saturating_add(1);
        let side = cell.side(Entry::of(candidate));
        side.measures.add(&event::measures(candidate)?)?;
        side.deferred.charge(&mut side.measures, candidate, sheets)?;
        if keeps_durations {
            side.durations.extend(event::duration(candidate));
        }
        Ok(())
    }
}

/// How great each group is over the whole range: all that is held where there are too many cells.
pub(super) struct Ranks<Value> {
    ranks: HashMap<GroupKey, Decimal>,
    limit: usize,
    basis: CostBasis,
    value: Value,
}

impl<Value: Fn(&Measures) -> Decimal> Ranks<Value> {
    /// None yet, and never more than `limit`, each the sum of `value` over what `basis` speaks of.
    pub(super) fn new(limit: usize, basis: CostBasis, value: Value) -> Self {
        Self { ranks: HashMap::new(), limit, basis, value }
    }

    /// The ranks.
    pub(super) fn into_ranks(self) -> HashMap<GroupKey, Decimal> {
        self.ranks
    }

    fn add(&mut self, key: GroupKey, entry: Entry, measures: &Measures) -> Result<(), Failure> {
        if self.ranks.len() >= self.limit && !self.ranks.contains_key(&key) {
            return Err(Failure::TooMany);
        }
        let value = (self.value)(measures);
        let value = match entry {
            Entry::Charged => value,
            Entry::Added | Entry::Reversed if self.basis != CostBasis::Current => Decimal::ZERO,
            Entry::Added => value,
            Entry::Reversed => -value,
        };
        let rank = self.ranks.entry(key).or_default();
        *rank = rank.checked_add(value).ok_or(Failure::TooLarge)?;
        Ok(())
    }
}

impl<Value: Fn(&Measures) -> Decimal> Sink for Ranks<Value> {
    fn limit(&self) -> usize {
        self.limit
    }

    fn add_sums(&mut self, _: i32, key: GroupKey, entry: Entry, _: i64, measures: &Measures) -> Result<(), Failure> {
        self.add(key, entry, measures)
    }

    fn add_event(&mut self, _: i32, key: GroupKey, candidate: &SummedEvent, _: &Sheets) -> Result<(), Failure> {
        self.add(key, Entry::of(candidate), &event::measures(candidate)?)
    }
}

/// The `count` greatest groups; of equal ones, those that sort first.
pub(super) fn greatest(ranks: HashMap<GroupKey, Decimal>, count: usize) -> HashSet<GroupKey> {
    let mut ranked: Vec<(GroupKey, Decimal)> = ranks.into_iter().collect();
    ranked
        .sort_unstable_by(|(left_key, left), (right_key, right)| right.cmp(left).then_with(|| left_key.cmp(right_key)));
    ranked.into_iter().take(count).map(|(key, _)| key).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_duration_is_taken_away_once() {
        assert_eq!(without(vec![5, 1, 5, 9], vec![5, 7]), [1, 5, 9]);
        assert_eq!(without(vec![2], Vec::new()), [2]);
        assert!(without(vec![3, 3], vec![3, 3]).is_empty());
    }
}
