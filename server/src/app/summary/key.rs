//! What rows are grouped by while they are summed: numbers instead of texts wherever the database has a number.

use std::collections::HashMap;
use std::sync::Arc;

use tollgate_domain::dimensions::{Dimension, DimensionKey, DimensionMatch};
use tollgate_domain::summary::GROUP_BY_LIMIT;

use crate::store::shape::Shape;
use crate::store::summaries::{FOLDED, ShapeGroups};

/// The value of one dimension of a group.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub(super) enum Part {
    /// The dimension is missing, or not grouped by.
    #[default]
    Absent,
    /// A value with a number of its own.
    Number(i64),
    /// A value without one.
    Text(Arc<str>),
    /// The rest.
    Other,
}

impl Part {
    /// A number of the database; `None` = absent.
    pub(super) fn of_number(number: Option<i64>) -> Self {
        number.map_or(Self::Absent, Self::Number)
    }

    /// A text; `None` = absent.
    pub(super) fn of_text(text: Option<&str>) -> Self {
        text.map_or(Self::Absent, |text| Self::Text(text.into()))
    }
}

/// One group: a part for every dimension that is grouped by, in their order.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub(super) struct GroupKey(pub(super) [Part; GROUP_BY_LIMIT]);

impl GroupKey {
    /// The rest.
    pub(super) fn other() -> Self {
        Self([Part::Other, Part::Other])
    }

    /// The same with another part at `position`.
    pub(super) fn with(mut self, position: usize, part: Part) -> Self {
        if let Some(place) = self.0.get_mut(position) {
            *place = part;
        }
        self
    }

    /// The part at `position`.
    pub(super) fn part(&self, position: usize) -> &Part {
        self.0.get(position).unwrap_or(&Part::Absent)
    }
}

/// The shapes that count, by what they contribute to a group.
#[derive(Debug)]
pub(super) struct ShapeTable {
    /// What the shapes of each group contribute to its key, by the group's number.
    keys: Vec<GroupKey>,
    numbers: HashMap<GroupKey, i32>,
    by_shape: HashMap<i64, i32>,
    /// Whether every shape counts.
    pub(super) all_count: bool,
}

impl ShapeTable {
    /// Groups the shapes that meet `conditions` by those of `group_by` that a shape holds.
    pub(super) fn new(
        shapes: &HashMap<i64, Arc<Shape>>,
        conditions: &[(Dimension, DimensionMatch)],
        group_by: &[DimensionKey],
    ) -> Self {
        let mut table = Self { keys: Vec::new(), numbers: HashMap::new(), by_shape: HashMap::new(), all_count: true };
        for (shape, content) in shapes {
            let value = |dimension: Dimension| content.values.get(&dimension).map(String::as_str);
            if !conditions.iter().all(|(dimension, condition)| condition.accepts(value(*dimension))) {
                table.all_count = false;
                continue;
            }
            let mut key = GroupKey::default();
            for (position, dimension) in shape_dimensions(group_by) {
                key = key.with(position, Part::of_text(value(dimension)));
            }
            let group = table.number_of(key);
            table.by_shape.insert(*shape, group);
        }
        table
    }

    fn number_of(&mut self, key: GroupKey) -> i32 {
        if let Some(number) = self.numbers.get(&key) {
            return *number;
        }
        // Shapes are far fewer than numbers: a tenant that had more would be told that its query is too wide.
        let number = i32::try_from(self.keys.len()).unwrap_or(FOLDED);
        self.keys.push(key.clone());
        self.numbers.insert(key, number);
        number
    }

    /// Whether no shape counts.
    pub(super) fn is_empty(&self) -> bool {
        self.by_shape.is_empty()
    }

    /// The group's number of a shape; `None` where it does not count.
    pub(super) fn group(&self, shape: i64) -> Option<i32> {
        self.by_shape.get(&shape).copied()
    }

    /// The number of a group by its key.
    pub(super) fn number(&self, key: &GroupKey) -> Option<i32> {
        self.numbers.get(key).copied()
    }

    /// The key of a group by its number; [`FOLDED`] is the rest.
    pub(super) fn key(&self, group: i32) -> GroupKey {
        let found = usize::try_from(group).ok().and_then(|position| self.keys.get(position));
        found.cloned().unwrap_or_else(GroupKey::other)
    }

    /// The shapes that count.
    pub(super) fn shapes(&self) -> Vec<i64> {
        self.by_shape.keys().copied().collect()
    }

    /// The shapes that count with their groups, those that are not told apart as [`FOLDED`].
    pub(super) fn groups(&self, told_apart: impl Fn(&GroupKey) -> bool) -> ShapeGroups {
        let apart: Vec<bool> = self.keys.iter().map(told_apart).collect();
        let number = |group: i32| {
            let position = usize::try_from(group).ok();
            if position.and_then(|position| apart.get(position)) == Some(&true) { group } else { FOLDED }
        };
        let (shapes, groups) = self.by_shape.iter().map(|(shape, group)| (*shape, number(*group))).unzip();
        ShapeGroups { shapes, groups }
    }
}

fn shape_dimensions(group_by: &[DimensionKey]) -> impl Iterator<Item = (usize, Dimension)> {
    group_by.iter().enumerate().filter_map(|(position, key)| match key {
        DimensionKey::Dimension(dimension) if dimension.is_in_shape() => Some((position, *dimension)),
        DimensionKey::Dimension(_) | DimensionKey::Label(_) => None,
    })
}
