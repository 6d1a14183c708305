//! Sums while they are gathered: one cell per output bucket and group.

use std::collections::{HashMap, HashSet};

use rust_decimal::Decimal;
use tollgate_domain::measures::Measures;

use super::class_cost::{Deferred, Sheets};
use super::event;
use super::failure::Failure;
use super::key::GroupKey;
use crate::store::summaries::SummedEvent;

/// One group in one output bucket.
#[derive(Debug, Default)]
pub(super) struct Cell {
    /// The sums, without what is deferred.
    pub(super) measures: Measures,
    /// Rises with every event.
    pub(super) version: i64,
    /// How long attempts took, in microseconds.
    pub(super) durations: Vec<i64>,
    deferred: Deferred,
}

impl Cell {
    /// Adds another cell.
    pub(super) fn merge(&mut self, other: Self) -> Result<(), Failure> {
        self.measures.add(&other.measures)?;
        self.version = self.version.saturating_add(other.version);
        self.durations.extend(other.durations);
        self.deferred.merge(other.deferred)
    }
}

/// Where a pass puts what it reads.
pub(super) trait Sink {
    /// How many groups, each in its bucket, it may hold.
    fn limit(&self) -> usize;

    /// Takes sums that are complete.
    fn add_sums(&mut self, output: i32, key: GroupKey, version: i64, measures: &Measures) -> Result<(), Failure>;

    /// Takes one event.
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

    /// How great each group is over all buckets.
    pub(super) fn ranks(&self, value: impl Fn(&Measures) -> Decimal) -> Result<HashMap<GroupKey, Decimal>, Failure> {
        let mut ranks: HashMap<GroupKey, Decimal> = HashMap::new();
        for ((_, key), cell) in &self.cells {
            let rank = ranks.entry(key.clone()).or_default();
            *rank = rank.checked_add(value(&cell.measures)).ok_or(Failure::TooLarge)?;
        }
        Ok(ranks)
    }

    /// The cells, with all that was deferred.
    pub(super) fn settled(self, sheets: &Sheets) -> Result<Vec<(i32, GroupKey, Cell)>, Failure> {
        let settle = |((output, key), mut cell): ((i32, GroupKey), Cell)| {
            std::mem::take(&mut cell.deferred).settle(&mut cell.measures, sheets)?;
            Ok((output, key, cell))
        };
        self.cells.into_iter().map(settle).collect()
    }
}

impl Sink for Cells {
    fn limit(&self) -> usize {
        self.limit
    }

    fn add_sums(&mut self, output: i32, key: GroupKey, version: i64, measures: &Measures) -> Result<(), Failure> {
        let cell = self.cell(output, key)?;
        cell.measures.add(measures)?;
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
        cell.measures.add(&event::measures(candidate)?)?;
        cell.deferred.charge(&mut cell.measures, candidate, sheets)?;
        cell.version = cell.version.saturating_add(1);
        if keeps_durations {
            cell.durations.extend(event::duration(candidate));
        }
        Ok(())
    }
}

/// How great each group is over the whole range: all that is held where there are too many cells.
pub(super) struct Ranks<Value> {
    ranks: HashMap<GroupKey, Decimal>,
    limit: usize,
    value: Value,
}

impl<Value: Fn(&Measures) -> Decimal> Ranks<Value> {
    /// None yet, and never more than `limit`, each the sum of `value`.
    pub(super) fn new(limit: usize, value: Value) -> Self {
        Self { ranks: HashMap::new(), limit, value }
    }

    /// The ranks.
    pub(super) fn into_ranks(self) -> HashMap<GroupKey, Decimal> {
        self.ranks
    }

    fn add(&mut self, key: GroupKey, measures: &Measures) -> Result<(), Failure> {
        if self.ranks.len() >= self.limit && !self.ranks.contains_key(&key) {
            return Err(Failure::TooMany);
        }
        let rank = self.ranks.entry(key).or_default();
        *rank = rank.checked_add((self.value)(measures)).ok_or(Failure::TooLarge)?;
        Ok(())
    }
}

impl<Value: Fn(&Measures) -> Decimal> Sink for Ranks<Value> {
    fn limit(&self) -> usize {
        self.limit
    }

    fn add_sums(&mut self, _: i32, key: GroupKey, _: i64, measures: &Measures) -> Result<(), Failure> {
        self.add(key, measures)
    }

    fn add_event(&mut self, _: i32, key: GroupKey, candidate: &SummedEvent, _: &Sheets) -> Result<(), Failure> {
        self.add(key, &event::measures(candidate)?)
    }
}

/// The `count` greatest groups; of equal ones, those that sort first.
pub(super) fn greatest(ranks: HashMap<GroupKey, Decimal>, count: usize) -> HashSet<GroupKey> {
    let mut ranked: Vec<(GroupKey, Decimal)> = ranks.into_iter().collect();
    ranked
        .sort_unstable_by(|(left_key, left), (right_key, right)| right.cmp(left).then_with(|| left_key.cmp(right_key)));
    ranked.into_iter().take(count).map(|(key, _)| key).collect()
}
