//! Summing up a batch, before it is written.

use std::collections::BTreeMap;
use std::hint::black_box;

use sqlx::Encode;
use sqlx::postgres::PgArgumentBuffer;
use tollgate_domain::measures::Measures;
use tollgate_server::store::ledger::SessionKey;
use tollgate_server::store::measures_row::MeasuresRow;

use crate::{Routine, sample};

/// Events of one batch, as the ledger takes them at most.
const EVENTS: i64 = 500;
/// Rows that they add to.
const ROWS: i64 = 40;

/// The measures of one event.
pub(crate) fn of_event() -> anyhow::Result<Routine> {
    let event = sample::event()?;
    let charge = sample::charge(&event)?;
    Ok(Routine::new(move || {
        drop(black_box(Measures::of(black_box(&event), &charge)));
    }))
}

/// A batch added up by row, and its rows as they are sent to the database.
pub(crate) fn of_batch() -> anyhow::Result<Routine> {
    let event = sample::event()?;
    let measures = Measures::of(&event, &sample::charge(&event)?)?;
    Ok(Routine::new(move || {
        let mut sums: BTreeMap<SessionKey, Measures> = BTreeMap::new();
        for number in 0..EVENTS {
            // As events of many sessions arrive: not in the order of their rows.
            let session = number * 7 % ROWS;
            let key = SessionKey { session, descendants: false, shape: 1, adjustment: false };
            // A sum of a few hundred small amounts always fits.
            black_box(sums.entry(key).or_default().add(black_box(&measures))).ok();
        }
        black_box(sums.values().map(MeasuresRow::from).collect::<Vec<_>>());
    }))
}

/// The rows of a batch as the bytes that are sent to the database.
pub(crate) fn of_rows() -> anyhow::Result<Routine> {
    let event = sample::event()?;
    let measures = Measures::of(&event, &sample::charge(&event)?)?;
    let rows = vec![MeasuresRow::from(&measures); usize::try_from(ROWS)?];
    Ok(Routine::new(move || {
        let mut buffer = PgArgumentBuffer::default();
        // Rows of fixed columns always encode.
        black_box(Encode::<sqlx::Postgres>::encode_by_ref(black_box(&rows), &mut buffer)).ok();
        drop(black_box(buffer));
    }))
}
