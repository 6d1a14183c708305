//! The limit of the disk: COPY of the same rows into a table with exactly the columns and indexes of `usage_event`, 500 rows a
//! transaction, and nothing else.

use std::sync::Arc;

use anyhow::Context as _;
use bytes::{Buf as _, Bytes, BytesMut};
use futures::TryStreamExt as _;
use sqlx::{Connection as _, PgConnection};
use tollgate_stage::Ground;
use uuid::Uuid;

use crate::load::{Caller, Done};
use crate::requests::BATCH;
use crate::stage::connect;

/// How a binary COPY begins: its signature, no flags, no extension.
const HEADER: &[u8] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";
/// How it ends.
const TRAILER: &[u8] = &(-1_i16).to_be_bytes();
/// How a row begins: with the number of its fields, then the length of the first, which is the event's id.
const ID_LENGTH: std::ops::Range<usize> = 2..6;
/// Where the id lies in a row.
const ID: std::ops::Range<usize> = 6..22;
/// Most rows that are kept to be copied again, each time with a new id.
const ROWS: usize = 50_000;
/// Numbers of connections that are tried.
pub(crate) const CONNECTIONS: [usize; 3] = [1, 2, 4];

/// Rows that the server wrote, as binary COPY gives them.
pub(crate) async fn harvest(ground: &Ground) -> anyhow::Result<Arc<[Bytes]>> {
    let mut connection = connect(ground).await?;
    let statement = format!("COPY (SELECT * FROM usage_event LIMIT {ROWS}) TO STDOUT (FORMAT binary)");
    let stream = connection.copy_out_raw(&statement).await?;
    let parts: Vec<Bytes> = stream.try_collect().await?;
    let mut data = Bytes::from(parts.concat());
    connection.close().await?;
    anyhow::ensure!(data.starts_with(HEADER), "COPY begins in another way than expected");
    data.advance(HEADER.len());
    let mut rows = Vec::new();
    while let Some(length) = length_of_row(&data)? {
        rows.push(data.split_to(length));
    }
    let first = rows.first().context("there are no events to be copied")?;
    let length = first.get(ID_LENGTH).unwrap_or_default();
    anyhow::ensure!(length == 16_i32.to_be_bytes(), "the first column of usage_event is not its id");
    Ok(rows.into())
}

/// Bytes of the next row; `None` at the end.
fn length_of_row(data: &Bytes) -> anyhow::Result<Option<usize>> {
    let mut rest = data.clone();
    let fields = rest.try_get_i16().context("COPY ends within a row")?;
    if fields < 0 {
        return Ok(None);
    }
    for _ in 0..fields {
        let length = rest.try_get_i32().context("COPY ends within a row")?;
        // Less than 0 is NULL, which has no bytes.
        let length = usize::try_from(length).unwrap_or_default();
        anyhow::ensure!(rest.len() >= length, "COPY ends within a field");
        rest.advance(length);
    }
    Ok(Some(data.len() - rest.len()))
}

/// Makes the table, empty.
pub(crate) async fn prepare(ground: &Ground) -> anyhow::Result<()> {
    let mut connection = connect(ground).await?;
    sqlx::raw_sql("DROP TABLE IF EXISTS copied_event; CREATE TABLE copied_event (LIKE usage_event INCLUDING ALL)")
        .execute(&mut connection)
        .await?;
    Ok(connection.close().await?)
}

/// Copies batches over a connection of its own.
#[derive(Debug)]
pub(crate) struct Copier {
    connection: PgConnection,
    rows: Arc<[Bytes]>,
    next: usize,
}

/// So many copiers.
pub(crate) async fn copiers(ground: &Ground, rows: &Arc<[Bytes]>, count: usize) -> anyhow::Result<Vec<Copier>> {
    let mut copiers = Vec::new();
    for number in 0..count {
        let next = number * BATCH;
        copiers.push(Copier { connection: connect(ground).await?, rows: rows.clone(), next });
    }
    Ok(copiers)
}

impl Caller for Copier {
    async fn call(&mut self) -> anyhow::Result<Done> {
        let mut message = BytesMut::from(HEADER);
        for _ in 0..BATCH {
            let index = self.next % self.rows.len().max(1);
            self.next = index + 1;
            let start = message.len();
            message.extend_from_slice(self.rows.get(index).context("there are no rows")?);
            let id = message.get_mut(start + ID.start..start + ID.end).context("a row has no id")?;
            id.copy_from_slice(Uuid::now_v7().as_bytes());
        }
        message.extend_from_slice(TRAILER);
        let mut copy = self.connection.copy_in_raw("COPY copied_event FROM STDIN (FORMAT binary)").await?;
        copy.send(message).await?;
        Ok(Done::of(copy.finish().await?))
    }
}
