//! What the ledger's events charge to budgets: for counters that begin, and for the audit of those that count.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use jiff::Timestamp;
use rust_decimal::Decimal;
use serde_json::Value;
use sqlx::PgConnection;
use tollgate_domain::amount::{Amount, AmountError, Usd};
use tollgate_domain::budget::{Budget, Unit};
use tollgate_domain::dimensions::{Dimension, DimensionKey, DimensionKind, Dimensions};

use super::dictionary::read_symbols;
use super::error::StoreError;
use super::event_row::EventRow;
use super::shape::Shape;
use super::time::to_database;
use super::usage::labels_and_shape;
use crate::tenant::TenantId;

/// Most groups that are told apart: with labels, there can be as many as events.
const GROUPS_LIMIT: i64 = 1_000_000;

/// What a group charges, in every unit. Signed: what corrections took back counts negatively, and only a ledger that is
/// broken sums up to less than nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChargedQuantities {
    /// Dollars.
    pub usd: Usd,
    /// Input tokens.
    pub input_tokens: i64,
    /// Output tokens.
    pub output_tokens: i64,
    /// Calls.
    pub calls: i64,
    /// Attempts.
    pub attempts: i64,
}

impl ChargedQuantities {
    /// What the row of an enforced event charges, or, `reversed`, takes back.
    ///
    /// # Errors
    /// [`StoreError::Unreadable`].
    pub fn of_row(row: &EventRow, reversed: bool) -> Result<Self, StoreError> {
        let sign: i64 = if reversed { -1 } else { 1 };
        let tokens = |count: Option<i64>| if row.response_cache_hit { 0 } else { sign * count.unwrap_or_default() };
        Ok(Self {
            usd: Usd::new(row.usd * Decimal::from(sign)).map_err(|_| StoreError::Unreadable { what: "amount" })?,
            input_tokens: tokens(row.input_tokens),
            output_tokens: tokens(row.output_tokens),
            calls: if row.attempt <= 1 { sign } else { 0 },
            attempts: sign,
        })
    }

    /// The quantity that a budget of this unit counts.
    ///
    /// # Errors
    /// [`AmountError::TooLarge`].
    pub fn in_unit(&self, unit: Unit) -> Result<Amount, AmountError> {
        let count = |value: i64| Amount::new(Decimal::from(value));
        match unit {
            Unit::Usd => Ok(self.usd.into()),
            Unit::Tokens => count(self.input_tokens)?.plus(count(self.output_tokens)?),
            Unit::InputTokens => count(self.input_tokens),
            Unit::OutputTokens => count(self.output_tokens),
            Unit::Calls => count(self.calls),
            Unit::Attempts => count(self.attempts),
        }
    }
}

/// What all enforced events of one window, as corrected, charge that agree in their shape and in the dimensions that were asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChargedGroup {
    /// Place of the window in the list that was asked for.
    pub window_index: usize,
    /// Number of the shape.
    pub shape_id: i64,
    /// Values of the dimensions asked for that are not part of the shape; absent ones left out.
    pub values: Vec<(Dimension, String)>,
    /// Labels; empty unless they were asked for.
    pub labels: BTreeMap<String, String>,
    /// Their exact shape, where they count under another one and it was asked for.
    pub exact: Option<Shape>,
    /// What they charge, in every unit.
    pub quantities: ChargedQuantities,
}

impl ChargedGroup {
    /// Their shape, of these by number.
    pub fn shape<'a>(&'a self, shapes: &'a HashMap<i64, Arc<Shape>>) -> Option<&'a Shape> {
        self.exact.as_ref().or_else(|| shapes.get(&self.shape_id).map(|shape| &**shape))
    }
}

/// What must be told apart to know which counter of a budget an event falls under.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Needed {
    /// Dimensions, sorted; the shape's need not be asked for.
    pub dimensions: BTreeSet<Dimension>,
    /// Whether labels matter.
    pub labels: bool,
    /// Whether the shape matters, as it was before it was folded for want of room.
    pub shape: bool,
}

impl Needed {
    /// What `budget` selects and counts by.
    pub fn by(budget: &Budget) -> Self {
        let mut needed = Self { shape: !budget.models.is_empty(), ..Self::default() };
        for key in budget.selector.iter().map(|condition| &condition.key).chain(&budget.per) {
            match key {
                DimensionKey::Dimension(dimension) if dimension.is_in_shape() => needed.shape = true,
                DimensionKey::Dimension(dimension) => {
                    needed.dimensions.insert(*dimension);
                }
                DimensionKey::Label(_) => needed.labels = true,
            }
        }
        needed
    }
}

/// The dimensions of a group as far as they were asked for.
pub fn dimensions_of(group: &ChargedGroup, shape: &Shape) -> Dimensions {
    let of_shape = shape.values.iter().filter(|(dimension, _)| dimension.kind() == DimensionKind::Shape);
    let mut values: BTreeMap<Dimension, String> =
        of_shape.map(|(dimension, value)| (*dimension, value.clone())).collect();
    values.extend(group.values.iter().cloned());
    Dimensions { values, labels: group.labels.clone() }
}

/// Groups the tenant's enforced events by window of their charge time, shape and the `needed` dimensions: few groups
/// where few dimensions matter. Reads every event of the tenant once.
///
/// With `recorded_before`, only what was recorded, or corrected, before that instant.
///
/// `windows` are starts (included) and ends (not included), disjoint and in rising order.
///
/// # Errors
/// [`StoreError`]; [`StoreError::Unreadable`] also where the windows overlap or do not rise.
pub async fn charged_groups(
    connection: &mut PgConnection,
    tenant: TenantId,
    windows: &[(Timestamp, Timestamp)],
    needed: &Needed,
    recorded_before: Option<Timestamp>,
) -> Result<Vec<ChargedGroup>, StoreError> {
    if windows.is_empty() {
        return Ok(Vec::new());
    }
    let rising = windows.iter().all(|(start, end)| start <= end)
        && windows.iter().zip(windows.iter().skip(1)).all(|((_, end), (start, _))| end <= start);
    if !rising {
        return Err(StoreError::Unreadable { what: "list of windows" });
    }
    let (starts, ends): (Vec<_>, Vec<_>) =
        windows.iter().map(|(start, end)| (to_database(*start), to_database(*end))).unzip();
    let codes: Vec<i16> = needed.dimensions.iter().map(|dimension| dimension.code()).collect();
    let rows = sqlx::query_file_as!(
        Row,
        "sql/budget/charged_groups.sql",
        tenant.0,
        &starts,
        &ends,
        &codes,
        needed.labels,
        GROUPS_LIMIT,
        recorded_before.map(to_database),
        needed.shape
    )
    .fetch_all(&mut *connection)
    .await?;
    if i64::try_from(rows.len()).is_ok_and(|count| count >= GROUPS_LIMIT) {
        return Err(StoreError::TooManyRows { limit: GROUPS_LIMIT });
    }
    let numbers: BTreeSet<i64> = rows.iter().flat_map(Row::entities).filter_map(|(_, number)| number).collect();
    let numbers: Vec<i64> = numbers.into_iter().collect();
    // Past the cache: a budget over many users would wash out what the ledger needs there.
    let texts = read_symbols(connection, tenant, &numbers).await?;
    rows.into_iter().map(|row| row.group(&texts)).collect()
}

struct Row {
    place: i32,
    shape_id: i64,
    customer_id: Option<i64>,
    user_id: Option<i64>,
    session_id: Option<i64>,
    parent_session_id: Option<i64>,
    root_session_id: Option<i64>,
    thread_id: Option<i64>,
    room_id: Option<i64>,
    instance_id: Option<i64>,
    workflow_id: Option<i64>,
    panel_id: Option<i64>,
    task_id: Option<i64>,
    workflow_step: Option<i32>,
    panel_position: Option<i32>,
    panel_size: Option<i32>,
    labels: Option<Value>,
    usd: Decimal,
    input_tokens: i64,
    output_tokens: i64,
    calls: i64,
    attempts: i64,
}

impl Row {
    fn entities(&self) -> [(Dimension, Option<i64>); 11] {
        [
            (Dimension::CustomerId, self.customer_id),
            (Dimension::UserId, self.user_id),
            (Dimension::SessionId, self.session_id),
            (Dimension::ParentSessionId, self.parent_session_id),
            (Dimension::RootSessionId, self.root_session_id),
            (Dimension::ThreadId, self.thread_id),
            (Dimension::RoomId, self.room_id),
            (Dimension::InstanceId, self.instance_id),
            (Dimension::WorkflowId, self.workflow_id),
            (Dimension::PanelId, self.panel_id),
            (Dimension::TaskId, self.task_id),
        ]
    }

    fn positions(&self) -> [(Dimension, Option<i32>); 3] {
        [
            (Dimension::WorkflowStep, self.workflow_step),
            (Dimension::PanelPosition, self.panel_position),
            (Dimension::PanelSize, self.panel_size),
        ]
    }

    fn group(self, texts: &HashMap<i64, String>) -> Result<ChargedGroup, StoreError> {
        let mut values = Vec::new();
        for (dimension, number) in self.entities() {
            if let Some(number) = number {
                let text = texts.get(&number).ok_or(StoreError::Unreadable { what: "symbol" })?;
                values.push((dimension, text.clone()));
            }
        }
        for (dimension, position) in self.positions() {
            values.extend(position.map(|position| (dimension, position.to_string())));
        }
        let (labels, exact) = labels_and_shape(self.labels.as_ref())?;
        Ok(ChargedGroup {
            window_index: usize::try_from(self.place - 1).map_err(|_| StoreError::Unreadable { what: "window" })?,
            shape_id: self.shape_id,
            values,
            labels,
            exact,
            quantities: ChargedQuantities {
                usd: Usd::new(self.usd).map_err(|_| StoreError::Unreadable { what: "amount" })?,
                input_tokens: self.input_tokens,
                output_tokens: self.output_tokens,
                calls: self.calls,
                attempts: self.attempts,
            },
        })
    }
}
