//! A composite value of many columns as the bytes that the database takes.
//!
//! What is derived asks each column for its type and appends it in five pieces. Rows of sums have fifty columns, of three types and
//! mostly NULL, and every event writes several.

use sqlx::error::BoxDynError;
use sqlx::postgres::PgArgumentBuffer;
use sqlx::{Encode, Postgres};
use time::OffsetDateTime;

use super::money::Money;

/// Number of a type in the database's catalog, the same in each version.
const INT8: [u8; 4] = 20_u32.to_be_bytes();
const TIMESTAMPTZ: [u8; 4] = 1_184_u32.to_be_bytes();
const NUMERIC: [u8; 4] = 1_700_u32.to_be_bytes();
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

    fn value<T: for<'q> Encode<'q, Postgres>>(&mut self, kind: [u8; 4], value: Option<T>) -> Result<(), BoxDynError> {
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
