//! Two replicas of an older release are exchanged for the newer one, one after the other, under load. The first new one brings the
//! schema up to date while the other old one goes on; an old one is started anew on the new schema; and all of it once more
//! backwards, as when a release is taken back.
//!
//! Without an older program the tested one plays both parts, and the schema grows as a later release could make it: every table
//! has a column more. So every statement meets columns that it does not know.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;
use rand::Rng as _;
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _};

use super::trial::{Trial, until_recording};
use crate::load::Load;
use crate::report::Report;
use crate::stage::Stage;

const REPLICAS: usize = 2;
/// For how many milliseconds the load goes on between two exchanges.
const BETWEEN_MS: std::ops::Range<u64> = 500..1_500;

/// What a later release could add, and the note of it that a migration leaves. Partitions get the column with their table.
const GROW: &str = "
    DO $$
    DECLARE
        grown regclass;
    BEGIN
        SET LOCAL lock_timeout = '2s';
        FOR grown IN
            SELECT oid FROM pg_class
            WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p') AND NOT relispartition
                AND relname <> '_sqlx_migrations'
        LOOP
            EXECUTE format('ALTER TABLE %s ADD COLUMN of_a_later_release text NOT NULL DEFAULT ''unknown''', grown);
        END LOOP;
        CREATE TABLE of_a_later_release (tenant_id integer PRIMARY KEY);
        INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time)
        VALUES (9001, 'of a later release', true, '', 0);
    END
    $$";

/// Tries to grow the schema between calls that hold its tables.
const TRIES: usize = 100;

/// Exchanges.
pub(super) async fn run(stage: &Stage) -> anyhow::Result<Report> {
    let mut report = Report::default();
    let rounds = stage.rounds(1, 3);
    let bar = stage.progress("upgrade", rounds);
    for round in 0..rounds {
        upgrade(stage, round as u64, &mut report).await?;
        bar.inc(1);
    }
    report.note(match stage.old_binary() {
        Some(old) => format!("from {} to {}", old.display(), stage.binary().display()),
        None => "one program on a schema that grew under it; name an older one with --old".to_owned(),
    });
    Ok(report)
}

async fn upgrade(stage: &Stage, round: u64, report: &mut Report) -> anyhow::Result<()> {
    let new = stage.binary().to_owned();
    let old = stage.old_binary().unwrap_or(&new).to_owned();
    let mut trial = Trial::of_program(stage, round, &old, REPLICAS, true).await?;
    let load = Load::start(&trial.service, &trial.history, &mut trial.rng).await?;
    pause(&mut trial).await;
    if stage.old_binary().is_none() {
        grow(&trial).await?;
        // Both go on with the connections and the plans that they have.
        for replica in &trial.replicas {
            until_recording(replica, &trial.history).await?;
        }
    }
    // Forwards, with an old one that is started anew meanwhile; then backwards, and forwards again.
    for (index, program) in [(0, &new), (1, &old), (1, &new), (0, &old), (1, &old), (0, &new), (1, &new)] {
        exchange(&mut trial, index, program.clone(), report).await?;
        pause(&mut trial).await;
    }
    load.stop().await;
    trial.close(report).await
}

/// Stops a replica in order, and starts this program in its place; everybody records afterwards.
async fn exchange(trial: &mut Trial<'_>, index: usize, program: PathBuf, report: &mut Report) -> anyhow::Result<()> {
    let replica = trial.replicas.get_mut(index).context("there is no such replica")?;
    if !replica.terminate().await? {
        report.violations.push("a server did not stop in order".to_owned());
    }
    replica.exchange(program);
    report.returned(replica.restart().await?, super::RETURN_LIMIT);
    for replica in &trial.replicas {
        until_recording(replica, &trial.history).await?;
    }
    report.faults += 1;
    Ok(())
}

async fn pause(trial: &mut Trial<'_>) {
    tokio::time::sleep(Duration::from_millis(trial.rng.random_range(BETWEEN_MS))).await;
}

/// Adds to the schema, as soon as every table is free for a moment.
async fn grow(trial: &Trial<'_>) -> anyhow::Result<()> {
    let mut connection = trial.ground.options.connect().await?;
    for _ in 0..TRIES {
        match sqlx::raw_sql(AssertSqlSafe(GROW)).execute(&mut connection).await {
            Ok(_) => return Ok(connection.close().await?),
            Err(error) if is_contended(&error) => tokio::time::sleep(Duration::from_millis(50)).await,
            Err(error) => return Err(error.into()),
        }
    }
    anyhow::bail!("the tables were never free all at once")
}

fn is_contended(error: &sqlx::Error) -> bool {
    let code = error.as_database_error().and_then(|error| error.code());
    matches!(code.as_deref(), Some("40P01" | "55P03"))
}
