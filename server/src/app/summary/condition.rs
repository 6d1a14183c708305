//! Conditions on dimensions, sorted by where their values are found, texts exchanged for numbers.

use std::collections::{BTreeMap, HashSet};

use sqlx::PgConnection;
use tollgate_domain::dimensions::{Dimension, DimensionKey, DimensionKind, DimensionMatch};

use super::event::{self, NO_NUMBER};
use crate::store::StoreError;
use crate::store::dictionary::Dictionary;
use crate::store::summaries::SummedEvent;
use crate::tenant::TenantId;

/// Numbers of one dimension that count, or all but these. [`NO_NUMBER`] stands for absent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Selection {
    numbers: HashSet<i64>,
    negated: bool,
}

impl Selection {
    /// Whether this number counts.
    pub(super) fn accepts(&self, number: i64) -> bool {
        self.numbers.contains(&number) != self.negated
    }

    /// What both accept.
    fn and(self, other: &Self) -> Self {
        let numbers = match (self.negated, other.negated) {
            (true, true) => self.numbers.union(&other.numbers).copied().collect(),
            (true, false) => other.numbers.difference(&self.numbers).copied().collect(),
            (false, _) => self.numbers.iter().copied().filter(|number| other.accepts(*number)).collect(),
        };
        Self { numbers, negated: self.negated && other.negated }
    }

    /// The numbers that count, where they are listed.
    pub(super) fn listed(&self) -> Option<&HashSet<i64>> {
        (!self.negated).then_some(&self.numbers)
    }

    /// The same for rows that have a value: the numbers, and whether all but these count; `None` = all count.
    pub(super) fn of_present(&self) -> Option<(Vec<i64>, bool)> {
        let present: Vec<i64> = self.numbers.iter().copied().filter(|number| *number != NO_NUMBER).collect();
        (!self.negated || !present.is_empty()).then_some((present, self.negated))
    }
}

/// All conditions of one summary.
#[derive(Debug, Default)]
pub(super) struct Conditions {
    /// On what shapes hold.
    pub(super) shape: Vec<(Dimension, DimensionMatch)>,
    /// On dimensions with many values, one selection each.
    pub(super) entities: BTreeMap<Dimension, Selection>,
    positions: Vec<(Dimension, DimensionMatch)>,
    labels: Vec<(String, DimensionMatch)>,
}

impl Conditions {
    /// Sorts `filter` and looks its numbers up. A value that nobody has used has none, and so matches nothing.
    ///
    /// # Errors
    /// [`StoreError`].
    pub(super) async fn resolve(
        connection: &mut PgConnection,
        dictionary: &Dictionary,
        tenant: TenantId,
        filter: &[DimensionMatch],
    ) -> Result<Self, StoreError> {
        let mut conditions = Self::default();
        for condition in filter {
            let dimension = match &condition.key {
                DimensionKey::Dimension(dimension) => *dimension,
                DimensionKey::Label(label) => {
                    conditions.labels.push((label.clone(), condition.clone()));
                    continue;
                }
            };
            match dimension.kind() {
                DimensionKind::Shape | DimensionKind::Call => conditions.shape.push((dimension, condition.clone())),
                DimensionKind::Position => conditions.positions.push((dimension, condition.clone())),
                DimensionKind::Entity => {
                    let numbers = numbers(&mut *connection, dictionary, tenant, dimension, condition).await?;
                    let selection = Selection { numbers, negated: condition.negate };
                    let combined = match conditions.entities.remove(&dimension) {
                        Some(earlier) => earlier.and(&selection),
                        None => selection,
                    };
                    conditions.entities.insert(dimension, combined);
                }
            }
        }
        Ok(conditions)
    }

    /// Whether no event can meet them.
    pub(super) fn match_nothing(&self) -> bool {
        self.entities.values().any(|selection| selection.listed().is_some_and(HashSet::is_empty))
    }

    /// Whether labels are asked about.
    pub(super) fn need_labels(&self) -> bool {
        !self.labels.is_empty()
    }

    /// Whether an event of a shape that counts meets the rest.
    pub(super) fn accept(&self, candidate: &SummedEvent) -> bool {
        let number = |dimension| event::number(candidate, dimension).unwrap_or(NO_NUMBER);
        let position = |dimension| event::position(candidate, dimension).map(|value| value.to_string());
        self.entities.iter().all(|(dimension, selection)| selection.accepts(number(*dimension)))
            && self.positions.iter().all(|(dimension, wanted)| wanted.accepts(position(*dimension).as_deref()))
            && self.labels.iter().all(|(label, wanted)| wanted.accepts(event::label(candidate, label)))
    }
}

async fn numbers(
    connection: &mut PgConnection,
    dictionary: &Dictionary,
    tenant: TenantId,
    dimension: Dimension,
    condition: &DimensionMatch,
) -> Result<HashSet<i64>, StoreError> {
    let mut numbers: HashSet<i64> = condition.absent.then_some(NO_NUMBER).into_iter().collect();
    for value in &condition.values {
        numbers.extend(dictionary.find_symbol(&mut *connection, tenant, dimension, value).await?);
    }
    Ok(numbers)
}
