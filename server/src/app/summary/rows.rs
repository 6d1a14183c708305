//! From cells to rows: texts for numbers, the total, and the order.

use std::cmp::Ordering;
use std::collections::HashSet;

use jiff::Timestamp;
use sqlx::PgConnection;
use tollgate_domain::amount::{AmountError, Usd};
use tollgate_domain::calendar::Granularity;
use tollgate_domain::measures::Measures;
use tollgate_domain::summary::{CostBasis, GroupValue, Latency, OrderBy, Summary, SummaryRequest, SummaryRow};

use super::failure::Failure;
use super::key::{GroupKey, Part};
use super::reader::{Answer, Question};
use crate::app::AppError;
use crate::store::StoreError;
use crate::store::dictionary::Dictionary;
use crate::tenant::TenantId;

/// The summary that `answer` makes.
///
/// # Errors
/// [`AppError`].
pub(super) async fn summary(
    connection: &mut PgConnection,
    dictionary: &Dictionary,
    tenant: TenantId,
    request: &SummaryRequest,
    question: &Question,
    answer: Answer,
    as_of: Timestamp,
) -> Result<Summary, AppError> {
    let mut total = SummaryRow {
        bucket_start: None,
        partial_bucket: question.buckets.last().is_some_and(|bucket| bucket.clipped.end > as_of),
        groups: Vec::new(),
        measures: Measures::default(),
        current_usd: request.current.then_some(Usd::ZERO),
        latency: None,
    };
    let mut all_durations = Vec::new();
    let keys = answer.cells.iter().map(|(_, key, _)| key);
    let groups = group_values(connection, dictionary, tenant, question.group_by.len(), keys).await?;
    let mut rows = Vec::with_capacity(answer.cells.len());
    for ((output, _, mut cell), groups) in answer.cells.into_iter().zip(groups) {
        total.measures.add(&cell.measures).map_err(Failure::from)?;
        let current_usd = request.current.then_some(cell.current_usd);
        total.current_usd = added(total.current_usd, current_usd).map_err(Failure::from)?;
        let latency = Latency::of(&mut cell.durations);
        all_durations.append(&mut cell.durations);
        let bucket = usize::try_from(output).ok().and_then(|position| question.buckets.get(position));
        let mut row = SummaryRow {
            bucket_start: bucket.filter(|_| question.granularity != Granularity::None).map(|bucket| bucket.start),
            partial_bucket: bucket.is_some_and(|bucket| bucket.partial || bucket.clipped.end > as_of),
            groups,
            measures: cell.measures,
            current_usd,
            latency,
        };
        apply_cost_basis(&mut row.measures, request.cost_basis);
        rows.push(row);
    }
    apply_cost_basis(&mut total.measures, request.cost_basis);
    total.latency = Latency::of(&mut all_durations);
    rows.sort_unstable_by(|left, right| compare(request.order_by, left, right));
    Ok(Summary { rows, total, as_of })
}

/// The sum of all cells, and of their versions.
///
/// # Errors
/// [`AppError::QueryTooWide`] where a sum cannot be held.
pub(crate) fn totals(answer: &Answer) -> Result<(Measures, i64), AppError> {
    let mut totals = Measures::default();
    let mut version = 0_i64;
    for (_, _, cell) in &answer.cells {
        totals.add(&cell.measures).map_err(Failure::from)?;
        version = version.saturating_add(cell.version);
    }
    Ok((totals, version))
}

/// The cells of an answer by its one dimension, dearest first, the folded rest last.
///
/// # Errors
/// [`StoreError`].
pub(crate) async fn parts(
    connection: &mut PgConnection,
    dictionary: &Dictionary,
    tenant: TenantId,
    answer: &Answer,
) -> Result<Vec<(GroupValue, Measures)>, StoreError> {
    let keys = answer.cells.iter().map(|(_, key, _)| key);
    let groups = group_values(connection, dictionary, tenant, 1, keys).await?;
    let cells = answer.cells.iter().map(|(_, _, cell)| cell.measures.clone());
    let mut parts: Vec<(GroupValue, Measures)> = groups.into_iter().flatten().zip(cells).collect();
    parts.sort_unstable_by(|(left, cheap), (right, dear)| {
        let folded = |group: &GroupValue| *group == GroupValue::Other;
        folded(left).cmp(&folded(right)).then(dear.usd.cmp(&cheap.usd)).then_with(|| left.cmp(right))
    });
    Ok(parts)
}

/// What the keys mean, in their order.
///
/// # Errors
/// [`StoreError`].
async fn group_values<'a>(
    connection: &mut PgConnection,
    dictionary: &Dictionary,
    tenant: TenantId,
    dimensions: usize,
    keys: impl Iterator<Item = &'a GroupKey> + Clone,
) -> Result<Vec<Vec<GroupValue>>, StoreError> {
    let parts = keys.clone().flat_map(|key| &key.0);
    let numbers: HashSet<i64> = parts
        .filter_map(|part| match part {
            Part::Number(number) => Some(*number),
            Part::Absent | Part::Text(_) | Part::Other => None,
        })
        .collect();
    let texts = dictionary.symbol_texts(connection, tenant, numbers).await?;
    let value = |part: &Part| {
        Ok(match part {
            Part::Absent => GroupValue::Absent,
            Part::Other => GroupValue::Other,
            Part::Text(text) => GroupValue::Value(text.to_string()),
            Part::Number(number) => {
                let text = texts.get(number).ok_or(StoreError::Unreadable { what: "symbol" })?;
                GroupValue::Value(text.to_string())
            }
        })
    };
    keys.map(|key| key.0.iter().take(dimensions).map(value).collect()).collect()
}

fn added(sum: Option<Usd>, more: Option<Usd>) -> Result<Option<Usd>, AmountError> {
    sum.zip(more).map(|(sum, more)| sum.plus(more)).transpose()
}

/// The sums are by the basis already, but for what providers reported.
fn apply_cost_basis(measures: &mut Measures, basis: CostBasis) {
    match basis {
        CostBasis::Charged | CostBasis::Current => {}
        CostBasis::Reported => measures.usd = measures.reported_usd.unwrap_or_default(),
    }
}

fn compare(order: OrderBy, left: &SummaryRow, right: &SummaryRow) -> Ordering {
    let turned = |ordering: Ordering, turn: bool| if turn { ordering.reverse() } else { ordering };
    let value = |row: &SummaryRow| order.measure.of(&row.measures);
    turned(left.bucket_start.cmp(&right.bucket_start), order.latest_first)
        .then_with(|| turned(value(left).cmp(&value(right)), order.greatest_first))
        .then_with(|| left.groups.cmp(&right.groups))
}
