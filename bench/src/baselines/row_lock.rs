//! The budget check that applications write by hand: a transaction per check that lifts what is held where it fits, and inserts
//! the hold, prepared, over a pool.

use rust_decimal::Decimal;
use sqlx::{Connection as _, PgConnection};
use tollgate_stage::Ground;
use uuid::Uuid;

use crate::load::{Caller, Done};
use crate::stage::connect;

/// Numbers of connections that are tried.
pub(crate) const CONNECTIONS: [usize; 4] = [4, 8, 16, 32];

const TABLES: &str = "
    DROP TABLE IF EXISTS quota, quota_hold;
    CREATE TABLE quota (
        quota_id integer PRIMARY KEY, spent numeric(28,12) NOT NULL, held numeric(28,12) NOT NULL,
        most numeric(28,12) NOT NULL
    );
    INSERT INTO quota VALUES (1, 0, 0, 1000000000);
    CREATE TABLE quota_hold (
        hold_id uuid PRIMARY KEY, quota_id integer NOT NULL, amount numeric(28,12) NOT NULL,
        expires_at timestamptz NOT NULL
    )";
const LIFT: &str = "UPDATE quota SET held = held + $1 WHERE quota_id = 1 AND spent + held + $1 <= most";
const HOLD: &str = "INSERT INTO quota_hold VALUES ($1, 1, $2, now() + interval '5 minutes')";

/// Makes the tables, with one budget.
pub(crate) async fn prepare(ground: &Ground) -> anyhow::Result<()> {
    let mut connection = connect(ground).await?;
    sqlx::raw_sql(TABLES).execute(&mut connection).await?;
    Ok(connection.close().await?)
}

/// Checks over a connection of its own.
#[derive(Debug)]
pub(crate) struct Holder {
    connection: PgConnection,
}

/// So many holders.
pub(crate) async fn holders(ground: &Ground, count: usize) -> anyhow::Result<Vec<Holder>> {
    let mut holders = Vec::new();
    for _ in 0..count {
        holders.push(Holder { connection: connect(ground).await? });
    }
    Ok(holders)
}

impl Caller for Holder {
    async fn call(&mut self) -> anyhow::Result<Done> {
        let amount = Decimal::new(41, 3);
        let mut transaction = self.connection.begin().await?;
        let fits = sqlx::query(LIFT).bind(amount).execute(&mut *transaction).await?.rows_affected();
        anyhow::ensure!(fits == 1, "the budget of the baseline is used up");
        sqlx::query(HOLD).bind(Uuid::now_v7()).bind(amount).execute(&mut *transaction).await?;
        transaction.commit().await?;
        Ok(Done::of(1))
    }
}
