//! The dictionaries: numbers for dimension values, shapes and price sheets.
//!
//! New entries are written in the transaction that first uses them, so that they are as durable as it is, and are
//! remembered only after it committed.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use moka::sync::Cache;
use sqlx::PgConnection;
use tollgate_domain::digest::Digester;
use tollgate_domain::dimensions::Dimension;
use tollgate_domain::price::PriceSheet;
use uuid::Uuid;

use super::error::StoreError;
use super::shape::Shape;
use crate::tenant::TenantId;

/// Entries that each cache keeps.
const CACHE_ENTRIES: u64 = 200_000;

/// One value of one dimension.
pub type SymbolKey = (Dimension, String);

/// What this process remembers of the dictionaries.
#[derive(Debug, Clone)]
pub struct Dictionary {
    symbols: Cache<(TenantId, Dimension, String), i64>,
    symbol_texts: Cache<(TenantId, i64), Arc<str>>,
    shapes: Cache<(TenantId, Uuid), i64>,
    shape_contents: Cache<(TenantId, i64), Arc<Shape>>,
    sheets: Cache<(TenantId, Uuid), i64>,
    sheet_contents: Cache<(TenantId, i64), Arc<PriceSheet>>,
}

impl Default for Dictionary {
    fn default() -> Self {
        Self {
            symbols: Cache::new(CACHE_ENTRIES),
            symbol_texts: Cache::new(CACHE_ENTRIES),
            shapes: Cache::new(CACHE_ENTRIES),
            shape_contents: Cache::new(CACHE_ENTRIES),
            sheets: Cache::new(CACHE_ENTRIES),
            sheet_contents: Cache::new(CACHE_ENTRIES),
        }
    }
}

/// The numbers that one batch needs. What it added is remembered by [`Dictionary::remember`], after the commit.
#[derive(Debug, Default)]
pub struct Numbers {
    symbols: HashMap<SymbolKey, i64>,
    shapes: HashMap<Uuid, i64>,
    sheets: HashMap<Uuid, i64>,
}

impl Numbers {
    /// The number of a value that the batch asked for.
    ///
    /// # Errors
    /// [`StoreError::Unreadable`] where it did not.
    pub fn symbol(&self, dimension: Dimension, value: &str) -> Result<i64, StoreError> {
        self.symbols
            .get(&(dimension.value_space(), value.to_owned()))
            .copied()
            .ok_or(StoreError::Unreadable { what: "symbol" })
    }

    /// The number of a shape that the batch asked for.
    ///
    /// # Errors
    /// [`StoreError::Unreadable`] where it did not.
    pub fn shape(&self, digest: Uuid) -> Result<i64, StoreError> {
        self.shapes.get(&digest).copied().ok_or(StoreError::Unreadable { what: "shape" })
    }

    /// The number of a price sheet that the batch asked for.
    ///
    /// # Errors
    /// [`StoreError::Unreadable`] where it did not.
    pub fn sheet(&self, digest: Uuid) -> Result<i64, StoreError> {
        self.sheets.get(&digest).copied().ok_or(StoreError::Unreadable { what: "price sheet" })
    }
}

/// What one batch asks for.
#[derive(Debug, Default)]
pub struct Wanted {
    /// Dimension values; see [`Wanted::want`].
    symbols: BTreeSet<SymbolKey>,
    /// Shapes by digest.
    pub shapes: BTreeMap<Uuid, Shape>,
    /// Price sheets by digest.
    pub sheets: BTreeMap<Uuid, Arc<PriceSheet>>,
}

impl Wanted {
    /// Whether nothing is asked for.
    pub fn is_empty(&self) -> bool {
        self.symbols.is_empty() && self.shapes.is_empty() && self.sheets.is_empty()
    }

    /// Asks for a dimension's value.
    pub fn want(&mut self, dimension: Dimension, value: &str) {
        self.symbols.insert((dimension.value_space(), value.to_owned()));
    }
}

/// A price sheet's key in the dictionary.
///
/// # Errors
/// [`StoreError::Unreadable`] where it cannot be serialised.
pub fn sheet_digest(sheet: &PriceSheet) -> Result<Uuid, StoreError> {
    let content = serde_json::to_vec(sheet).map_err(|_| StoreError::Unreadable { what: "price sheet" })?;
    let mut digester = Digester::new();
    digester.field(content);
    Ok(digester.finish())
}

impl Dictionary {
    /// Finds or adds every number that is wanted, in the caller's transaction.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn resolve(
        &self,
        connection: &mut PgConnection,
        tenant: TenantId,
        wanted: &Wanted,
    ) -> Result<Numbers, StoreError> {
        Ok(Numbers {
            symbols: self.resolve_symbols(connection, tenant, &wanted.symbols).await?,
            shapes: self.resolve_shapes(connection, tenant, &wanted.shapes).await?,
            sheets: self.resolve_sheets(connection, tenant, &wanted.sheets).await?,
        })
    }

    /// Remembers what a committed batch resolved.
    pub fn remember(&self, tenant: TenantId, wanted: &Wanted, numbers: &Numbers) {
        for ((dimension, value), number) in &numbers.symbols {
            self.symbols.insert((tenant, *dimension, value.clone()), *number);
        }
        for (digest, number) in &numbers.shapes {
            self.shapes.insert((tenant, *digest), *number);
            if let Some(shape) = wanted.shapes.get(digest) {
                self.shape_contents.insert((tenant, *number), Arc::new(shape.clone()));
            }
        }
        for (digest, number) in &numbers.sheets {
            self.sheets.insert((tenant, *digest), *number);
        }
    }

    /// Forgets everything: it is read again.
    pub fn forget(&self) {
        let Self { symbols, symbol_texts, shapes, shape_contents, sheets, sheet_contents } = self;
        symbols.invalidate_all();
        symbol_texts.invalidate_all();
        shapes.invalidate_all();
        shape_contents.invalidate_all();
        sheets.invalidate_all();
        sheet_contents.invalidate_all();
    }

    /// Found in memory, else found in the table, else added, else added meanwhile by another writer and found now.
    async fn resolve_symbols(
        &self,
        connection: &mut PgConnection,
        tenant: TenantId,
        wanted: &BTreeSet<SymbolKey>,
    ) -> Result<HashMap<SymbolKey, i64>, StoreError> {
        let remembered = |key: &SymbolKey| self.symbols.get(&(tenant, key.0, key.1.clone()));
        let mut found: HashMap<SymbolKey, i64> =
            wanted.iter().filter_map(|key| Some((key.clone(), remembered(key)?))).collect();
        for step in [SymbolStep::Find, SymbolStep::Add, SymbolStep::Find] {
            let (codes, values): (Vec<i16>, Vec<String>) = wanted
                .iter()
                .filter(|key| !found.contains_key(*key))
                .map(|(dimension, value)| (dimension.code(), value.clone()))
                .unzip();
            if codes.is_empty() {
                break;
            }
            let rows = match step {
                SymbolStep::Find => {
                    sqlx::query_file_as!(SymbolRow, "sql/dictionary/find_symbols.sql", tenant.0, &codes, &values)
                        .fetch_all(&mut *connection)
                        .await?
                }
                SymbolStep::Add => {
                    sqlx::query_file_as!(SymbolRow, "sql/dictionary/add_symbols.sql", tenant.0, &codes, &values)
                        .fetch_all(&mut *connection)
                        .await?
                }
            };
            for row in rows {
                let dimension = Dimension::ALL.iter().find(|dimension| dimension.code() == row.dimension);
                let dimension = dimension.ok_or(StoreError::Unreadable { what: "symbol" })?;
                found.insert((*dimension, row.value), row.symbol_id);
            }
        }
        Ok(found)
    }

    async fn resolve_shapes(
        &self,
        connection: &mut PgConnection,
        tenant: TenantId,
        wanted: &BTreeMap<Uuid, Shape>,
    ) -> Result<HashMap<Uuid, i64>, StoreError> {
        let (mut found, missing) = remembered(&self.shapes, tenant, wanted.keys());
        if missing.is_empty() {
            return Ok(found);
        }
        let rows =
            sqlx::query_file!("sql/dictionary/find_shapes.sql", tenant.0, &missing).fetch_all(&mut *connection).await?;
        found.extend(rows.into_iter().map(|row| (row.digest, row.shape_id)));
        let (digests, contents) = absent(&found, wanted, "shape")?;
        if digests.is_empty() {
            return Ok(found);
        }
        let rows = sqlx::query_file!("sql/dictionary/add_shapes.sql", tenant.0, &digests, &contents)
            .fetch_all(&mut *connection)
            .await?;
        found.extend(rows.into_iter().map(|row| (row.digest, row.shape_id)));
        let (digests, _) = absent(&found, wanted, "shape")?;
        if !digests.is_empty() {
            let rows = sqlx::query_file!("sql/dictionary/find_shapes.sql", tenant.0, &digests)
                .fetch_all(&mut *connection)
                .await?;
            found.extend(rows.into_iter().map(|row| (row.digest, row.shape_id)));
        }
        Ok(found)
    }

    async fn resolve_sheets(
        &self,
        connection: &mut PgConnection,
        tenant: TenantId,
        wanted: &BTreeMap<Uuid, Arc<PriceSheet>>,
    ) -> Result<HashMap<Uuid, i64>, StoreError> {
        let (mut found, missing) = remembered(&self.sheets, tenant, wanted.keys());
        if missing.is_empty() {
            return Ok(found);
        }
        let (digests, contents) = absent(&found, wanted, "price sheet")?;
        let rows = sqlx::query_file!("sql/dictionary/add_price_sheets.sql", tenant.0, &digests, &contents)
            .fetch_all(&mut *connection)
            .await?;
        found.extend(rows.into_iter().map(|row| (row.digest, row.price_sheet_id)));
        let (digests, _) = absent(&found, wanted, "price sheet")?;
        if !digests.is_empty() {
            let rows = sqlx::query_file!("sql/dictionary/find_price_sheets.sql", tenant.0, &digests)
                .fetch_all(&mut *connection)
                .await?;
            found.extend(rows.into_iter().map(|row| (row.digest, row.price_sheet_id)));
        }
        Ok(found)
    }

    /// The number of a value, where the tenant has used it: for reads.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn find_symbol(
        &self,
        connection: &mut PgConnection,
        tenant: TenantId,
        dimension: Dimension,
        value: &str,
    ) -> Result<Option<i64>, StoreError> {
        let dimension = dimension.value_space();
        if let Some(number) = self.symbols.get(&(tenant, dimension, value.to_owned())) {
            return Ok(Some(number));
        }
        let rows = sqlx::query_file_as!(
            SymbolRow,
            "sql/dictionary/find_symbols.sql",
            tenant.0,
            &[dimension.code()],
            &[value.to_owned()]
        )
        .fetch_optional(connection)
        .await?;
        if let Some(row) = &rows {
            self.symbols.insert((tenant, dimension, value.to_owned()), row.symbol_id);
        }
        Ok(rows.map(|row| row.symbol_id))
    }

    /// The texts of these numbers.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn symbol_texts(
        &self,
        connection: &mut PgConnection,
        tenant: TenantId,
        numbers: impl IntoIterator<Item = i64>,
    ) -> Result<HashMap<i64, Arc<str>>, StoreError> {
        let (mut found, missing) = split(&self.symbol_texts, tenant, numbers);
        if !missing.is_empty() {
            for (number, text) in read_symbols(connection, tenant, &missing).await? {
                let text: Arc<str> = text.into();
                self.symbol_texts.insert((tenant, number), text.clone());
                found.insert(number, text);
            }
        }
        Ok(found)
    }

    /// The shapes of these numbers.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn shapes(
        &self,
        connection: &mut PgConnection,
        tenant: TenantId,
        numbers: impl IntoIterator<Item = i64>,
    ) -> Result<HashMap<i64, Arc<Shape>>, StoreError> {
        let (mut found, missing) = split(&self.shape_contents, tenant, numbers);
        if !missing.is_empty() {
            let rows =
                sqlx::query_file!("sql/dictionary/shapes_by_id.sql", tenant.0, &missing).fetch_all(connection).await?;
            for row in rows {
                let shape: Arc<Shape> = Arc::new(parsed(row.content, "shape")?);
                self.shape_contents.insert((tenant, row.shape_id), shape.clone());
                found.insert(row.shape_id, shape);
            }
        }
        Ok(found)
    }

    /// The price sheets of these numbers.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn sheets(
        &self,
        connection: &mut PgConnection,
        tenant: TenantId,
        numbers: impl IntoIterator<Item = i64>,
    ) -> Result<HashMap<i64, Arc<PriceSheet>>, StoreError> {
        let (mut found, missing) = split(&self.sheet_contents, tenant, numbers);
        if !missing.is_empty() {
            let rows = sqlx::query_file!("sql/dictionary/price_sheets_by_id.sql", tenant.0, &missing)
                .fetch_all(connection)
                .await?;
            for row in rows {
                let sheet: Arc<PriceSheet> = Arc::new(parsed(row.content, "price sheet")?);
                self.sheet_contents.insert((tenant, row.price_sheet_id), sheet.clone());
                found.insert(row.price_sheet_id, sheet);
            }
        }
        Ok(found)
    }
}

/// The texts of these numbers, read from the table.
///
/// # Errors
/// [`StoreError`].
pub async fn read_symbols(
    connection: &mut PgConnection,
    tenant: TenantId,
    numbers: &[i64],
) -> Result<HashMap<i64, String>, StoreError> {
    let rows = sqlx::query_file!("sql/dictionary/symbols_by_id.sql", tenant.0, numbers).fetch_all(connection).await?;
    Ok(rows.into_iter().map(|row| (row.symbol_id, row.value)).collect())
}

#[derive(Clone, Copy)]
enum SymbolStep {
    Find,
    Add,
}

struct SymbolRow {
    symbol_id: i64,
    dimension: i16,
    value: String,
}

fn remembered<'a>(
    cache: &Cache<(TenantId, Uuid), i64>,
    tenant: TenantId,
    wanted: impl Iterator<Item = &'a Uuid>,
) -> (HashMap<Uuid, i64>, Vec<Uuid>) {
    let mut found = HashMap::new();
    let mut missing = Vec::new();
    for digest in wanted {
        match cache.get(&(tenant, *digest)) {
            Some(number) => {
                found.insert(*digest, number);
            }
            None => missing.push(*digest),
        }
    }
    (found, missing)
}

/// Digests that were not found, with the contents to add, sorted.
fn absent<T: serde::Serialize>(
    found: &HashMap<Uuid, i64>,
    wanted: &BTreeMap<Uuid, T>,
    what: &'static str,
) -> Result<(Vec<Uuid>, Vec<serde_json::Value>), StoreError> {
    let mut digests = Vec::new();
    let mut contents = Vec::new();
    for (digest, content) in wanted.iter().filter(|(digest, _)| !found.contains_key(*digest)) {
        digests.push(*digest);
        contents.push(serde_json::to_value(content).map_err(|_| StoreError::Unreadable { what })?);
    }
    Ok((digests, contents))
}

fn split<T: Clone + Send + Sync + 'static>(
    cache: &Cache<(TenantId, i64), T>,
    tenant: TenantId,
    numbers: impl IntoIterator<Item = i64>,
) -> (HashMap<i64, T>, Vec<i64>) {
    let mut found = HashMap::new();
    let mut missing = BTreeSet::new();
    for number in numbers {
        match cache.get(&(tenant, number)) {
            Some(value) => {
                found.insert(number, value);
            }
            None => {
                missing.insert(number);
            }
        }
    }
    (found, missing.into_iter().collect())
}

fn parsed<T: serde::de::DeserializeOwned>(content: serde_json::Value, what: &'static str) -> Result<T, StoreError> {
    serde_json::from_value(content).map_err(|error| {
        tracing::error!(%error, what, "a stored value cannot be read");
        StoreError::Unreadable { what }
    })
}
