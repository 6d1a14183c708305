//! Bytes an event, over all tables and indexes, after a million events of thirty days.

use sqlx::{Connection as _, Row as _};
use tollgate_stage::Ground;

use super::Bench;
use crate::figures::{Goal, Row};
use crate::history::History;
use crate::ledger::{self, Budgets};
use crate::stage::connect;
use crate::statistics::{mebibytes, per, rate};

/// Bytes an event.
const ALL: Goal = Goal::AtMost(300.0);
/// Unless told otherwise.
const EVENTS: u64 = 1_000_000;

/// Bytes of every table with its indexes, partitions counted for their parent, the largest first.
const SIZES: &str = "
    SELECT coalesce(parent.relname, class.relname)::text AS name,
           sum(pg_total_relation_size(class.oid))::bigint AS bytes,
           sum(pg_indexes_size(class.oid))::bigint AS indexes
    FROM pg_class class
    LEFT JOIN pg_inherits inherits ON inherits.inhrelid = class.oid
    LEFT JOIN pg_class parent ON parent.oid = inherits.inhparent
    WHERE class.relnamespace = 'public'::regnamespace AND class.relkind = 'r'
    GROUP BY 1 ORDER BY 2 DESC";

pub(super) async fn run(bench: &mut Bench<'_>) -> anyhow::Result<()> {
    let product = bench.stage.product(1).await?;
    let url = product.url(0)?;
    Budgets::Three.create(&url).await?;
    let empty = total(&sizes(&product.ground).await?);
    let mut history = History::new(bench.options.seed)?;
    bench.tell("recording");
    let took = history.record(&url, bench.options.events.unwrap_or(EVENTS)).await?;
    let events = history.events();
    ledger::require_events(&product.ground, events).await?;
    report(bench, &product.ground, events, empty).await?;
    bench.add(
        Row::new("disk, recording", rate(events, took), "events/s").note("thirty days, batches of 500, 4 callers"),
    )?;
    bench.stage.end(product).await
}

/// Reports what the events of a database take, less what it had when it was empty.
async fn report(bench: &mut Bench<'_>, ground: &Ground, events: u64, empty: u64) -> anyhow::Result<()> {
    let tables = sizes(ground).await?;
    let all = total(&tables);
    let note = format!("{events} events, {:.0} MiB less {:.0} MiB when empty", mebibytes(all), mebibytes(empty));
    bench.add(Row::new("disk", per(all.saturating_sub(empty), events), "bytes/event").against(ALL).note(note))?;
    // What is below a byte tells nothing.
    for table in tables.iter().filter(|table| table.bytes > events) {
        let note = format!("of it indexes: {:.1}", per(table.indexes, events));
        bench.add(Row::new(format!("disk, {}", table.name), per(table.bytes, events), "bytes/event").note(note))?;
    }
    Ok(())
}

/// A table with its partitions.
#[derive(Debug)]
struct Size {
    name: String,
    bytes: u64,
    indexes: u64,
}

fn total(tables: &[Size]) -> u64 {
    tables.iter().map(|table| table.bytes).sum()
}

async fn sizes(ground: &Ground) -> anyhow::Result<Vec<Size>> {
    let mut connection = connect(ground).await?;
    let rows = sqlx::query(SIZES).fetch_all(&mut connection).await?;
    connection.close().await?;
    let size = |row: sqlx::postgres::PgRow| {
        Ok(Size {
            name: row.try_get("name")?,
            bytes: u64::try_from(row.try_get::<i64, _>("bytes")?)?,
            indexes: u64::try_from(row.try_get::<i64, _>("indexes")?)?,
        })
    };
    rows.into_iter().map(size).collect()
}
