//! What keeps the dictionaries small whatever callers write: beyond a number of values, a dimension's further ones are
//! counted as one.
//!
//! Totals and rollups have a row for each shape, so a name that is made up for every call would make them as long as the
//! events. An event whose shape was folded carries the exact one beside its labels: budgets, lists and prices go by that.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use moka::sync::Cache;
use sqlx::PgConnection;
use tollgate_domain::dimensions::Dimension;
use tollgate_domain::price::PriceSheet;
use uuid::Uuid;

use super::dictionary::{add_symbols, find_shapes, find_symbols};
use super::error::StoreError;
use super::shape::{OTHER, Shape};
use crate::tenant::TenantId;

/// How long a dimension that was full is taken for full, in case its values were erased.
const FULL_FOR: Duration = Duration::from_secs(60);
/// Dimensions of tenants that are remembered as full.
const FULL_REMEMBERED: u64 = 10_000;

/// How many values a tenant's dictionaries tell apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DictionaryLimits {
    /// Values of each dimension that is part of the shape, models included. Two replicas at once may add a few more.
    pub values_per_dimension: usize,
    /// Combinations of them.
    pub shapes: usize,
    /// Price sheets by the names of their models.
    pub price_sheets: usize,
}

impl Default for DictionaryLimits {
    fn default() -> Self {
        Self { values_per_dimension: 10_000, shapes: 50_000, price_sheets: 10_000 }
    }
}

/// Decides what is told apart.
#[derive(Debug, Clone)]
pub(super) struct Folding {
    limits: DictionaryLimits,
    full: Cache<(TenantId, i16), ()>,
}

impl Folding {
    pub(super) fn new(limits: DictionaryLimits) -> Self {
        Self { limits, full: Cache::builder().max_capacity(FULL_REMEMBERED).time_to_live(FULL_FOR).build() }
    }

    /// Forgets what was full.
    pub(super) fn forget(&self) {
        self.full.invalidate_all();
    }

    /// The shapes under which these new ones are counted, by the digests of the new ones: themselves while there is room.
    pub(super) async fn fold(
        &self,
        connection: &mut PgConnection,
        tenant: TenantId,
        new: &BTreeMap<Uuid, &Shape>,
    ) -> Result<BTreeMap<Uuid, Shape>, StoreError> {
        let kept = self.kept_values(connection, tenant, new.values().copied()).await?;
        let is_kept = |dimension: Dimension, value: &str| {
            kept.get(&dimension).is_some_and(|values| values.contains(value)) || value == OTHER
        };
        let mut folded: BTreeMap<Uuid, Shape> =
            new.iter().map(|(digest, shape)| (*digest, shape.keeping(is_kept))).collect();
        let digests: BTreeSet<Uuid> =
            folded.values().flat_map(|shape| [shape.digest(), shape.by_model().digest()]).collect();
        let known = find_shapes(connection, tenant, &digests.into_iter().collect::<Vec<_>>()).await?;
        let mut told: BTreeSet<Uuid> = known.into_keys().collect();
        let mut room = self.room_for_shapes(connection, tenant).await?;
        for shape in folded.values_mut() {
            if told.contains(&shape.digest()) || take(&mut room.for_any) {
                told.insert(shape.digest());
                continue;
            }
            *shape = shape.by_model();
            if told.contains(&shape.digest()) || take(&mut room.by_model) {
                told.insert(shape.digest());
                continue;
            }
            *shape = Shape::other();
        }
        Ok(folded)
    }

    /// What is known of the values of these shapes, or fits in.
    async fn kept_values<'a>(
        &self,
        connection: &mut PgConnection,
        tenant: TenantId,
        shapes: impl Iterator<Item = &'a Shape>,
    ) -> Result<HashMap<Dimension, BTreeSet<String>>, StoreError> {
        let wanted: BTreeSet<(Dimension, &str)> =
            shapes.flat_map(Shape::texts).filter(|(_, value)| *value != OTHER).collect();
        let (codes, values): (Vec<i16>, Vec<String>) =
            wanted.iter().map(|(dimension, value)| (dimension.code(), (*value).to_owned())).unzip();
        let found = find_symbols(connection, tenant, &codes, &values).await?;
        let mut kept: HashMap<Dimension, BTreeSet<String>> = HashMap::new();
        for (dimension, value, _) in found {
            kept.entry(dimension).or_default().insert(value);
        }
        let is_known = |dimension: &Dimension, value: &str| kept.get(dimension).is_some_and(|v| v.contains(value));
        let unknown: Vec<(Dimension, &str)> = wanted
            .into_iter()
            .filter(|(dimension, value)| !is_known(dimension, value))
            .filter(|(dimension, _)| !self.full.contains_key(&(tenant, dimension.code())))
            .collect();
        if unknown.is_empty() {
            return Ok(kept);
        }
        let mut room =
            self.room_for_values(connection, tenant, unknown.iter().map(|(dimension, _)| *dimension)).await?;
        let mut added: Vec<(Dimension, String)> = Vec::new();
        for (dimension, value) in unknown {
            match room.get_mut(&dimension) {
                Some(left) if *left > 0 => {
                    *left -= 1;
                    added.push((dimension, value.to_owned()));
                }
                _ => self.full.insert((tenant, dimension.code()), ()),
            }
        }
        let (codes, values): (Vec<i16>, Vec<String>) =
            added.iter().map(|(dimension, value)| (dimension.code(), value.clone())).unzip();
        // One that another writer adds at the same time is not given back, and is there all the same.
        add_symbols(connection, tenant, &codes, &values).await?;
        for (dimension, value) in added {
            kept.entry(dimension).or_default().insert(value);
        }
        Ok(kept)
    }

    /// How many more values these dimensions may have.
    async fn room_for_values(
        &self,
        connection: &mut PgConnection,
        tenant: TenantId,
        dimensions: impl Iterator<Item = Dimension>,
    ) -> Result<HashMap<Dimension, usize>, StoreError> {
        let dimensions: BTreeSet<Dimension> = dimensions.collect();
        let codes: Vec<i16> = dimensions.iter().map(|dimension| dimension.code()).collect();
        let limit = self.limits.values_per_dimension;
        let rows = sqlx::query_file!("sql/dictionary/count_symbols.sql", tenant.0, &codes, as_count(limit))
            .fetch_all(connection)
            .await?;
        let of_code = |code: i16| dimensions.iter().copied().find(|dimension| dimension.code() == code);
        let left = |count: i64| limit.saturating_sub(usize::try_from(count).unwrap_or(usize::MAX));
        Ok(rows.into_iter().filter_map(|row| Some((of_code(row.dimension)?, left(row.count)))).collect())
    }

    /// How many more shapes the tenant may have: first any, then those by model alone.
    async fn room_for_shapes(&self, connection: &mut PgConnection, tenant: TenantId) -> Result<Room, StoreError> {
        let DictionaryLimits { values_per_dimension, shapes, .. } = self.limits;
        let all = shapes.saturating_add(values_per_dimension);
        let count = sqlx::query_file_scalar!("sql/dictionary/count_shapes.sql", tenant.0, as_count(all))
            .fetch_one(connection)
            .await?;
        let count = usize::try_from(count).unwrap_or(usize::MAX);
        Ok(Room { for_any: shapes.saturating_sub(count), by_model: all.saturating_sub(count.max(shapes)) })
    }

    /// The sheets as which these new ones are kept, by their digests: beyond the limit, without the names of models.
    pub(super) async fn fold_sheets(
        &self,
        connection: &mut PgConnection,
        tenant: TenantId,
        new: Vec<(Uuid, Arc<PriceSheet>)>,
    ) -> Result<Vec<(Uuid, Arc<PriceSheet>)>, StoreError> {
        let limit = as_count(self.limits.price_sheets);
        let count = sqlx::query_file_scalar!("sql/dictionary/count_price_sheets.sql", tenant.0, limit)
            .fetch_one(connection)
            .await?;
        let left = self.limits.price_sheets.saturating_sub(usize::try_from(count).unwrap_or(usize::MAX));
        let folded = new.into_iter().enumerate().map(|(place, (digest, sheet))| {
            let nameless = || Arc::new(PriceSheet { model: OTHER.to_owned(), ..PriceSheet::clone(&sheet) });
            (digest, if place < left { sheet.clone() } else { nameless() })
        });
        Ok(folded.collect())
    }
}

/// How many more shapes there may be: of any kind, then by model alone.
struct Room {
    for_any: usize,
    by_model: usize,
}

/// Takes one, where there is one left.
fn take(left: &mut usize) -> bool {
    let taken = *left > 0;
    *left = left.saturating_sub(1);
    taken
}

fn as_count(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX)
}
