//! The dictionaries: numbers for dimension values, shapes and price sheets.
//!
//! New entries are written in the transaction that first uses them, so that they are as durable as it is, and are
//! remembered only after it committed.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::hash::Hash;
use std::sync::{Arc, PoisonError, RwLock};

use moka::sync::Cache;
use sqlx::PgConnection;
use tollgate_domain::digest::Digester;
use tollgate_domain::dimensions::Dimension;
use tollgate_domain::price::PriceSheet;
use tracing::Instrument as _;
use uuid::Uuid;

use super::error::StoreError;
use super::folding::{DictionaryLimits, Folding};
use super::shape::Shape;
use crate::tenant::TenantId;
use crate::trace::statement;

/// Bytes that the memory of one kind takes at most, about: what many values need is bounded by their size, not their count.
const SYMBOL_BYTES: u64 = 32 << 20;
const OTHER_BYTES: u64 = 16 << 20;
/// What an entry takes beside its text.
const ENTRY_BYTES: usize = 200;
/// Price sheets whose digests are kept: those in use.
const DIGESTS: u64 = 2_000;

/// Something of each value, by dimension: looked up without a copy of the value.
type ByValue<T> = BTreeMap<Dimension, BTreeMap<String, T>>;

/// What this process remembers of the dictionaries.
#[derive(Debug, Clone)]
pub struct Dictionary {
    /// By [`SymbolText`].
    symbols: Cache<String, i64>,
    symbol_texts: Cache<(TenantId, ErasuresVersion, i64), Arc<str>>,
    /// Their numbers, and whether these are of other shapes under which they count.
    shapes: Cache<(TenantId, Uuid), (i64, bool)>,
    shape_contents: Cache<(TenantId, i64), Arc<Shape>>,
    sheets: Cache<(TenantId, Uuid), i64>,
    sheet_contents: Cache<(TenantId, i64), Arc<PriceSheet>>,
    sheet_digests: Cache<Arc<PriceSheet>, Uuid>,
    folding: Folding,
    /// The newest versions that were seen; 0 where there are none.
    erasures: Arc<RwLock<HashMap<TenantId, ErasuresVersion>>>,
}

/// How often names of a tenant were erased. What is remembered of names is part of one version: what a batch from before an erasure
/// remembers is never found after it.
pub type ErasuresVersion = i64;

impl Default for Dictionary {
    fn default() -> Self {
        Self::new(DictionaryLimits::default())
    }
}

/// A memory of about so many bytes.
fn memory<K, V>(bytes: u64, texts: impl Fn(&K, &V) -> usize + Send + Sync + 'static) -> Cache<K, V>
where
    K: Eq + std::hash::Hash + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    let weigh = move |key: &K, value: &V| u32::try_from(ENTRY_BYTES + texts(key, value)).unwrap_or(u32::MAX);
    Cache::builder().weigher(weigh).max_capacity(bytes).build()
}

fn shape_bytes(shape: &Shape) -> usize {
    shape.texts().map(|(_, value)| value.len() + 64).sum()
}

fn sheet_bytes(sheet: &PriceSheet) -> usize {
    sheet.model.len() + 256 * sheet.rates.len() + sheet.others.values().map(sheet_bytes).sum::<usize>()
}

/// The numbers that one batch needs. What it added is remembered by [`Dictionary::remember`], after the commit.
#[derive(Debug, Default)]
pub struct Numbers {
    erasures: ErasuresVersion,
    symbols: ByValue<Resolved>,
    shapes: HashMap<Uuid, Resolved>,
    sheets: HashMap<Uuid, Resolved>,
}

/// A number, whether it was not remembered yet, and whether it is of something else under which this counts.
#[derive(Debug, Clone, Copy)]
struct Resolved {
    number: i64,
    is_news: bool,
    is_folded: bool,
}

impl Resolved {
    fn news(number: i64) -> Self {
        Self { number, is_news: true, is_folded: false }
    }
}

impl Numbers {
    /// The number of a value that the batch asked for.
    ///
    /// # Errors
    /// [`StoreError::Unreadable`] where it did not.
    pub fn symbol(&self, dimension: Dimension, value: &str) -> Result<i64, StoreError> {
        let found = self.symbols.get(&dimension.value_space()).and_then(|values| values.get(value));
        found.map(|resolved| resolved.number).ok_or(StoreError::Unreadable { what: "symbol" })
    }

    /// The number of a shape that the batch asked for.
    ///
    /// # Errors
    /// [`StoreError::Unreadable`] where it did not.
    pub fn shape(&self, digest: Uuid) -> Result<i64, StoreError> {
        self.shapes.get(&digest).map(|resolved| resolved.number).ok_or(StoreError::Unreadable { what: "shape" })
    }

    /// Whether the number of this shape is that of another one, for want of room.
    pub fn is_folded(&self, digest: Uuid) -> bool {
        self.shapes.get(&digest).is_some_and(|resolved| resolved.is_folded)
    }

    /// The number of a price sheet that the batch asked for.
    ///
    /// # Errors
    /// [`StoreError::Unreadable`] where it did not.
    pub fn sheet(&self, digest: Uuid) -> Result<i64, StoreError> {
        self.sheets.get(&digest).map(|resolved| resolved.number).ok_or(StoreError::Unreadable { what: "price sheet" })
    }
}

/// What one batch asks for.
#[derive(Debug, Default)]
pub struct Wanted {
    /// Dimension values; see [`Wanted::want`].
    symbols: ByValue<()>,
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
        let values = self.symbols.entry(dimension.value_space()).or_default();
        if !values.contains_key(value) {
            values.insert(value.to_owned(), ());
        }
    }
}

/// Keys of the memory of symbols, written into one buffer one after the other.
struct SymbolText {
    buffer: String,
    tenant_length: usize,
}

impl SymbolText {
    fn new(tenant: TenantId, erasures: ErasuresVersion) -> Self {
        let buffer = format!("{}.{erasures}:", tenant.0);
        Self { tenant_length: buffer.len(), buffer }
    }

    fn of(&mut self, dimension: Dimension, value: &str) -> &str {
        self.buffer.truncate(self.tenant_length);
        // A character that stands for the dimension; every code is below 256.
        self.buffer.push(char::from(u8::try_from(dimension.code()).unwrap_or(u8::MAX)));
        self.buffer.push_str(value);
        &self.buffer
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
    /// With nothing remembered yet.
    pub fn new(limits: DictionaryLimits) -> Self {
        Self {
            symbols: memory(SYMBOL_BYTES, |text: &String, _| text.len()),
            symbol_texts: memory(OTHER_BYTES, |_, text: &Arc<str>| text.len()),
            shapes: memory(OTHER_BYTES, |_, _| 0),
            shape_contents: memory(OTHER_BYTES, |_, shape: &Arc<Shape>| shape_bytes(shape)),
            sheets: memory(OTHER_BYTES, |_, _| 0),
            sheet_contents: memory(OTHER_BYTES, |_, sheet: &Arc<PriceSheet>| sheet_bytes(sheet)),
            sheet_digests: Cache::new(DIGESTS),
            folding: Folding::new(limits),
            erasures: Arc::default(),
        }
    }

    /// [`sheet_digest`], remembered: it takes longer than to price a call.
    ///
    /// # Errors
    /// [`StoreError::Unreadable`] where it cannot be serialised.
    pub fn sheet_digest(&self, sheet: &Arc<PriceSheet>) -> Result<Uuid, StoreError> {
        if let Some(digest) = self.sheet_digests.get(sheet) {
            return Ok(digest);
        }
        let digest = sheet_digest(sheet)?;
        self.sheet_digests.insert(Arc::clone(sheet), digest);
        Ok(digest)
    }

    /// A database told at which version the erasures of a tenant stand.
    pub fn noticed(&self, tenant: TenantId, erasures: ErasuresVersion) {
        if self.erasures(tenant) < erasures {
            let mut versions = self.erasures.write().unwrap_or_else(PoisonError::into_inner);
            let version = versions.entry(tenant).or_default();
            *version = erasures.max(*version);
        }
    }

    fn erasures(&self, tenant: TenantId) -> ErasuresVersion {
        self.erasures.read().unwrap_or_else(PoisonError::into_inner).get(&tenant).copied().unwrap_or_default()
    }

    /// Finds or adds every number that is wanted, in the caller's transaction, during which no name is erased.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn resolve(
        &self,
        connection: &mut PgConnection,
        tenant: TenantId,
        wanted: &Wanted,
    ) -> Result<Numbers, StoreError> {
        let erasures = self.erasures(tenant);
        Ok(Numbers {
            erasures,
            symbols: self.resolve_symbols(connection, tenant, erasures, &wanted.symbols).await?,
            shapes: self.resolve_shapes(connection, tenant, &wanted.shapes).await?,
            sheets: self.resolve_sheets(connection, tenant, &wanted.sheets).await?,
        })
    }

    /// Remembers what a committed batch resolved.
    pub fn remember(&self, tenant: TenantId, wanted: &Wanted, numbers: &Numbers) {
        let mut text = SymbolText::new(tenant, numbers.erasures);
        for (dimension, values) in &numbers.symbols {
            for (value, resolved) in values.iter().filter(|(_, resolved)| resolved.is_news) {
                self.symbols.insert(text.of(*dimension, value).to_owned(), resolved.number);
            }
        }
        for (digest, resolved) in numbers.shapes.iter().filter(|(_, resolved)| resolved.is_news) {
            self.shapes.insert((tenant, *digest), (resolved.number, resolved.is_folded));
            if let Some(shape) = wanted.shapes.get(digest).filter(|_| !resolved.is_folded) {
                self.shape_contents.insert((tenant, resolved.number), Arc::new(shape.clone()));
            }
        }
        for (digest, resolved) in numbers.sheets.iter().filter(|(_, resolved)| resolved.is_news) {
            self.sheets.insert((tenant, *digest), resolved.number);
        }
    }

    /// Forgets everything: it is read again.
    pub fn forget(&self) {
        // A digest of a sheet depends on the sheet alone.
        let Self {
            symbols,
            symbol_texts,
            shapes,
            shape_contents,
            sheets,
            sheet_contents,
            sheet_digests: _,
            folding,
            erasures: _,
        } = self;
        symbols.invalidate_all();
        symbol_texts.invalidate_all();
        shapes.invalidate_all();
        shape_contents.invalidate_all();
        sheets.invalidate_all();
        sheet_contents.invalidate_all();
        folding.forget();
    }

    /// Found in memory, else found in the table, else added, else added meanwhile by another writer and found now.
    async fn resolve_symbols(
        &self,
        connection: &mut PgConnection,
        tenant: TenantId,
        erasures: ErasuresVersion,
        wanted: &ByValue<()>,
    ) -> Result<ByValue<Resolved>, StoreError> {
        let mut text = SymbolText::new(tenant, erasures);
        let mut found: ByValue<Resolved> = BTreeMap::new();
        for (dimension, values) in wanted {
            let known = values.keys().filter_map(|value| {
                let number = self.symbols.get(text.of(*dimension, value))?;
                Some((value.clone(), Resolved { number, is_news: false, is_folded: false }))
            });
            found.insert(*dimension, known.collect());
        }
        for step in [SymbolStep::Find, SymbolStep::Add, SymbolStep::Find] {
            let is_missing = |dimension: &Dimension, value: &str| {
                found.get(dimension).is_none_or(|values| !values.contains_key(value))
            };
            let (codes, values): (Vec<i16>, Vec<String>) = wanted
                .iter()
                .flat_map(|(dimension, values)| values.keys().map(move |value| (dimension, value)))
                .filter(|(dimension, value)| is_missing(dimension, value))
                .map(|(dimension, value)| (dimension.code(), value.clone()))
                .unzip();
            if codes.is_empty() {
                break;
            }
            let rows = match step {
                SymbolStep::Find => find_symbols(connection, tenant, &codes, &values).await?,
                SymbolStep::Add => add_symbols(connection, tenant, &codes, &values).await?,
            };
            for (dimension, value, number) in rows {
                found.entry(dimension).or_default().insert(value, Resolved::news(number));
            }
        }
        Ok(found)
    }

    /// Found in memory, else in the table, else added: under its own digest while there is room, else under one that is folded.
    async fn resolve_shapes(
        &self,
        connection: &mut PgConnection,
        tenant: TenantId,
        wanted: &BTreeMap<Uuid, Shape>,
    ) -> Result<HashMap<Uuid, Resolved>, StoreError> {
        let mut found = HashMap::new();
        let mut missing = Vec::new();
        for digest in wanted.keys() {
            match self.shapes.get(&(tenant, *digest)) {
                Some((number, is_folded)) => {
                    found.insert(*digest, Resolved { number, is_news: false, is_folded });
                }
                None => missing.push(*digest),
            }
        }
        if missing.is_empty() {
            return Ok(found);
        }
        let known = find_shapes(connection, tenant, &missing).await?;
        found.extend(known.into_iter().map(|(digest, number)| (digest, Resolved::news(number))));
        let new: BTreeMap<Uuid, &Shape> = wanted
            .iter()
            .filter(|(digest, _)| !found.contains_key(*digest))
            .map(|(digest, shape)| (*digest, shape))
            .collect();
        if new.is_empty() {
            return Ok(found);
        }
        let folded = self.folding.fold(connection, tenant, &new).await?;
        let targets: BTreeMap<Uuid, &Shape> = folded.values().map(|shape| (shape.digest(), shape)).collect();
        let numbers = add_shapes(connection, tenant, &targets).await?;
        for (digest, shape) in &folded {
            let target = shape.digest();
            let number = *numbers.get(&target).ok_or(StoreError::Unreadable { what: "shape" })?;
            found.insert(*digest, Resolved { number, is_news: true, is_folded: target != *digest });
        }
        Ok(found)
    }

    async fn resolve_sheets(
        &self,
        connection: &mut PgConnection,
        tenant: TenantId,
        wanted: &BTreeMap<Uuid, Arc<PriceSheet>>,
    ) -> Result<HashMap<Uuid, Resolved>, StoreError> {
        let mut found = HashMap::new();
        let mut missing = Vec::new();
        for digest in wanted.keys() {
            match self.sheets.get(&(tenant, *digest)) {
                Some(number) => {
                    found.insert(*digest, Resolved { number, is_news: false, is_folded: false });
                }
                None => missing.push(*digest),
            }
        }
        if missing.is_empty() {
            return Ok(found);
        }
        let known = find_sheets(connection, tenant, &missing).await?;
        found.extend(known.into_iter().map(|(digest, number)| (digest, Resolved::news(number))));
        let new = wanted.iter().filter(|(digest, _)| !found.contains_key(*digest));
        let new: Vec<(Uuid, Arc<PriceSheet>)> = new.map(|(digest, sheet)| (*digest, sheet.clone())).collect();
        if new.is_empty() {
            return Ok(found);
        }
        let mut digests = Vec::with_capacity(new.len());
        let mut targets: BTreeMap<Uuid, Arc<PriceSheet>> = BTreeMap::new();
        for (digest, sheet) in self.folding.fold_sheets(connection, tenant, new).await? {
            let target = sheet_digest(&sheet)?;
            digests.push((digest, target));
            targets.insert(target, sheet);
        }
        let numbers = add_sheets(connection, tenant, &targets).await?;
        for (digest, target) in digests {
            let number = *numbers.get(&target).ok_or(StoreError::Unreadable { what: "price sheet" })?;
            found.insert(digest, Resolved { number, is_news: true, is_folded: target != digest });
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
        let mut text = SymbolText::new(tenant, self.erasures(tenant));
        let key = text.of(dimension, value);
        if let Some(number) = self.symbols.get(key) {
            return Ok(Some(number));
        }
        let found = find_symbols(connection, tenant, &[dimension.code()], &[value.to_owned()]).await?;
        let number = found.first().map(|(_, _, number)| *number);
        if let Some(number) = number {
            self.symbols.insert(key.to_owned(), number);
        }
        Ok(number)
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
        let erasures = self.erasures(tenant);
        let key = |number| (tenant, erasures, number);
        let (mut found, missing) = split(&self.symbol_texts, key, numbers);
        if !missing.is_empty() {
            for (number, text) in read_symbols(connection, tenant, &missing).await? {
                let text: Arc<str> = text.into();
                self.symbol_texts.insert(key(number), text.clone());
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
        let (mut found, missing) = split(&self.shape_contents, |number| (tenant, number), numbers);
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
        let (mut found, missing) = split(&self.sheet_contents, |number| (tenant, number), numbers);
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

impl SymbolRow {
    fn read(rows: Vec<Self>) -> Result<Vec<(Dimension, String, i64)>, StoreError> {
        let read = |row: Self| {
            let dimension = Dimension::ALL.iter().find(|dimension| dimension.code() == row.dimension);
            Ok((*dimension.ok_or(StoreError::Unreadable { what: "symbol" })?, row.value, row.symbol_id))
        };
        rows.into_iter().map(read).collect()
    }
}

/// The numbers of these values of these dimensions, as far as they are known.
pub(super) async fn find_symbols(
    connection: &mut PgConnection,
    tenant: TenantId,
    codes: &[i16],
    values: &[String],
) -> Result<Vec<(Dimension, String, i64)>, StoreError> {
    let rows = sqlx::query_file_as!(SymbolRow, "sql/dictionary/find_symbols.sql", tenant.0, codes, values);
    SymbolRow::read(rows.fetch_all(connection).instrument(statement("dictionary/find_symbols", "SELECT")).await?)
}

/// Adds these values, sorted; gives back what was not there.
pub(super) async fn add_symbols(
    connection: &mut PgConnection,
    tenant: TenantId,
    codes: &[i16],
    values: &[String],
) -> Result<Vec<(Dimension, String, i64)>, StoreError> {
    if codes.is_empty() {
        return Ok(Vec::new());
    }
    let rows = sqlx::query_file_as!(SymbolRow, "sql/dictionary/add_symbols.sql", tenant.0, codes, values);
    SymbolRow::read(rows.fetch_all(connection).instrument(statement("dictionary/add_symbols", "INSERT")).await?)
}

/// The numbers of these shapes, as far as they are known.
pub(super) async fn find_shapes(
    connection: &mut PgConnection,
    tenant: TenantId,
    digests: &[Uuid],
) -> Result<HashMap<Uuid, i64>, StoreError> {
    let rows = sqlx::query_file!("sql/dictionary/find_shapes.sql", tenant.0, digests)
        .fetch_all(connection)
        .instrument(statement("dictionary/find_shapes", "SELECT"))
        .await?;
    Ok(rows.into_iter().map(|row| (row.digest, row.shape_id)).collect())
}

/// The numbers of these shapes, which are added where they are missing, or were added meanwhile by another writer.
async fn add_shapes(
    connection: &mut PgConnection,
    tenant: TenantId,
    wanted: &BTreeMap<Uuid, &Shape>,
) -> Result<HashMap<Uuid, i64>, StoreError> {
    let mut found = find_shapes(connection, tenant, &wanted.keys().copied().collect::<Vec<_>>()).await?;
    let (digests, contents) = absent(&found, wanted, "shape")?;
    if !digests.is_empty() {
        let rows = sqlx::query_file!("sql/dictionary/add_shapes.sql", tenant.0, &digests, &contents)
            .fetch_all(&mut *connection)
            .instrument(statement("dictionary/add_shapes", "INSERT"))
            .await?;
        found.extend(rows.into_iter().map(|row| (row.digest, row.shape_id)));
        let (raced, _) = absent(&found, wanted, "shape")?;
        if !raced.is_empty() {
            found.extend(find_shapes(connection, tenant, &raced).await?);
        }
    }
    Ok(found)
}

/// The numbers of these price sheets, as far as they are known.
async fn find_sheets(
    connection: &mut PgConnection,
    tenant: TenantId,
    digests: &[Uuid],
) -> Result<HashMap<Uuid, i64>, StoreError> {
    let rows = sqlx::query_file!("sql/dictionary/find_price_sheets.sql", tenant.0, digests)
        .fetch_all(connection)
        .instrument(statement("dictionary/find_price_sheets", "SELECT"))
        .await?;
    Ok(rows.into_iter().map(|row| (row.digest, row.price_sheet_id)).collect())
}

/// The numbers of these price sheets, added as shapes are.
async fn add_sheets(
    connection: &mut PgConnection,
    tenant: TenantId,
    wanted: &BTreeMap<Uuid, Arc<PriceSheet>>,
) -> Result<HashMap<Uuid, i64>, StoreError> {
    let (digests, contents) = absent(&HashMap::new(), wanted, "price sheet")?;
    let rows = sqlx::query_file!("sql/dictionary/add_price_sheets.sql", tenant.0, &digests, &contents)
        .fetch_all(&mut *connection)
        .instrument(statement("dictionary/add_price_sheets", "INSERT"))
        .await?;
    let mut found: HashMap<Uuid, i64> = rows.into_iter().map(|row| (row.digest, row.price_sheet_id)).collect();
    let (raced, _) = absent(&found, wanted, "price sheet")?;
    if !raced.is_empty() {
        found.extend(find_sheets(connection, tenant, &raced).await?);
    }
    Ok(found)
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

fn split<K: Hash + Eq + Send + Sync + 'static, T: Clone + Send + Sync + 'static>(
    cache: &Cache<K, T>,
    key: impl Fn(i64) -> K,
    numbers: impl IntoIterator<Item = i64>,
) -> (HashMap<i64, T>, Vec<i64>) {
    let mut found = HashMap::new();
    let mut missing = BTreeSet::new();
    for number in numbers {
        match cache.get(&key(number)) {
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
