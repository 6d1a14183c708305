//! A composite value of many columns as the bytes that the database takes.
//!
//! What is derived asks each column for its type and appends it in five pieces. Rows of sums have fifty columns, of three types and
//! mostly NULL, and every event writes several.

use rust_decimal::Decimal;
use serde_json::Value;
use sqlx::error::BoxDynError;
use sqlx::postgres::PgArgumentBuffer;
use sqlx::{Encode, Postgres};
use time::OffsetDateTime;
use uuid::Uuid;

use super::money::Money;

/// Number of a type in the database's catalog, the same in each version.
const INT8: [u8; 4] = 20_u32.to_be_bytes();
const INT2: [u8; 4] = 21_u32.to_be_bytes();
const INT4: [u8; 4] = 23_u32.to_be_bytes();
const TEXT: [u8; 4] = 25_u32.to_be_bytes();
const INT8_ARRAY: [u8; 4] = 1_016_u32.to_be_bytes();
const TIMESTAMPTZ: [u8; 4] = 1_184_u32.to_be_bytes();
const NUMERIC: [u8; 4] = 1_700_u32.to_be_bytes();
const UUID: [u8; 4] = 2_950_u32.to_be_bytes();
const JSONB: [u8; 4] = 3_802_u32.to_be_bytes();
/// The length that says NULL.
const NULL: [u8; 4] = (-1_i32).to_be_bytes();
/// Room for most values, so that it is found once: columns have a type, a length and at most a word or two.
const ROOM: usize = 1_024;

/// A composite value that is being written, column by column.
pub(super) struct RecordWriter<'a> {
    buffer: &'a mut PgArgumentBuffer,
    /// Where it begins: with the number of its columns.
    start: usize,
    columns: u32,
}

impl<'a> RecordWriter<'a> {
    /// Begins a value.
    pub(super) fn new(buffer: &'a mut PgArgumentBuffer) -> Self {
        let start = buffer.len();
        buffer.reserve(ROOM);
        buffer.extend_from_slice(&0_u32.to_be_bytes());
        Self { buffer, start, columns: 0 }
    }

    /// Ends it.
    pub(super) fn finish(self) {
        put(self.buffer, self.start, self.columns.to_be_bytes());
    }

    /// A column of type BIGINT.
    pub(super) fn count(&mut self, count: Option<i64>) {
        match count {
            None => self.null(INT8),
            Some(count) => {
                self.columns += 1;
                let ([a, b, c, d], [e, f, g, h]) = (INT8, 8_i32.to_be_bytes());
                let [i, j, k, l, m, n, o, p] = count.to_be_bytes();
                self.buffer.extend_from_slice(&[a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p]);
            }
        }
    }

    /// A column of type NUMERIC.
    pub(super) fn money(&mut self, money: Option<Money>) -> Result<(), BoxDynError> {
        self.value(NUMERIC, money)
    }

    /// A column of type TIMESTAMPTZ.
    pub(super) fn time(&mut self, time: Option<OffsetDateTime>) -> Result<(), BoxDynError> {
        self.value(TIMESTAMPTZ, time)
    }

    /// A column of type INTEGER.
    pub(super) fn integer(&mut self, integer: Option<i32>) -> Result<(), BoxDynError> {
        self.value(INT4, integer)
    }

    /// A column of type SMALLINT.
    pub(super) fn small(&mut self, integer: i16) -> Result<(), BoxDynError> {
        self.value(INT2, Some(integer))
    }

    /// A column of type NUMERIC that may hold more digits than money.
    pub(super) fn number(&mut self, number: Option<Decimal>) -> Result<(), BoxDynError> {
        self.value(NUMERIC, number)
    }

    /// A column of type UUID.
    pub(super) fn uuid(&mut self, id: Option<Uuid>) -> Result<(), BoxDynError> {
        self.value(UUID, id)
    }

    /// A column of type TEXT.
    pub(super) fn text(&mut self, text: Option<&str>) -> Result<(), BoxDynError> {
        self.value(TEXT, text)
    }

    /// A column of type JSONB.
    pub(super) fn json(&mut self, json: Option<&Value>) -> Result<(), BoxDynError> {
        self.value(JSONB, json)
    }

    /// A column of type BIGINT[].
    pub(super) fn counts<'q, T>(&mut self, counts: Option<&'q [T]>) -> Result<(), BoxDynError>
    where
        &'q [T]: Encode<'q, Postgres>,
    {
        self.value(INT8_ARRAY, counts)
    }

    fn value<'q, T: Encode<'q, Postgres>>(&mut self, kind: [u8; 4], value: Option<T>) -> Result<(), BoxDynError> {
        let Some(value) = value else {
            self.null(kind);
            return Ok(());
        };
        let place = self.buffer.len() + kind.len();
        self.head(kind, NULL);
        let start = self.buffer.len();
        // None of the types that are written here becomes NULL by itself.
        let _is_null = value.encode_by_ref(self.buffer)?;
        let length = i32::try_from(self.buffer.len() - start)?;
        put(self.buffer, place, length.to_be_bytes());
        Ok(())
    }

    fn null(&mut self, kind: [u8; 4]) {
        self.head(kind, NULL);
    }

    fn head(&mut self, [a, b, c, d]: [u8; 4], [e, f, g, h]: [u8; 4]) {
        self.columns += 1;
        self.buffer.extend_from_slice(&[a, b, c, d, e, f, g, h]);
    }
}

fn put(buffer: &mut PgArgumentBuffer, place: usize, bytes: [u8; 4]) {
    for (at, byte) in buffer.iter_mut().skip(place).zip(bytes) {
        *at = byte;
    }
}
