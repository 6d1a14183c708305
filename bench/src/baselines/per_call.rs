//! What applications write by hand: a transaction per call that inserts a log row of text and numbers and updates the totals
//! of the session, prepared, over a pool.

use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use rust_decimal::Decimal;
use sqlx::{Connection as _, PgConnection};
use tollgate_stage::Ground;
use uuid::Uuid;

use crate::calls::{TracedCall, traced};
use crate::load::{Caller, Done};
use crate::population::Population;
use crate::stage::connect;

/// Numbers of connections that are tried.
pub(crate) const CONNECTIONS: [usize; 4] = [4, 8, 16, 32];

const TABLES: &str = "
    DROP TABLE IF EXISTS llm_call, llm_session;
    CREATE TABLE llm_call (
        call_id uuid PRIMARY KEY, created_at timestamptz NOT NULL DEFAULT now(), session_id text NOT NULL,
        user_id text NOT NULL, project text NOT NULL, agent text NOT NULL, provider text NOT NULL, model text NOT NULL,
        input_tokens bigint NOT NULL, output_tokens bigint NOT NULL, cache_read_tokens bigint NOT NULL,
        cost_usd numeric(28,12) NOT NULL, latency_ms integer NOT NULL, trace_id text
    );
    CREATE INDEX ON llm_call (session_id, created_at);
    CREATE TABLE llm_session (
        session_id text PRIMARY KEY, calls bigint NOT NULL, input_tokens bigint NOT NULL,
        output_tokens bigint NOT NULL, cost_usd numeric(28,12) NOT NULL
    )";
const LOG: &str = "
    INSERT INTO llm_call (call_id, session_id, user_id, project, agent, provider, model, input_tokens, output_tokens,
                          cache_read_tokens, cost_usd, latency_ms, trace_id)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)";
const ADD: &str = "
    UPDATE llm_session
    SET calls = calls + 1, input_tokens = input_tokens + $2, output_tokens = output_tokens + $3, cost_usd = cost_usd + $4
    WHERE session_id = $1";

/// Makes the tables, with the sessions and without calls.
pub(crate) async fn prepare(ground: &Ground, sessions: usize) -> anyhow::Result<()> {
    let mut connection = connect(ground).await?;
    sqlx::raw_sql(TABLES).execute(&mut connection).await?;
    let names: Vec<String> = (0..sessions).map(Population::session_id).collect();
    sqlx::query("INSERT INTO llm_session SELECT name, 0, 0, 0, 0 FROM unnest($1::text[]) AS name")
        .bind(names)
        .execute(&mut connection)
        .await?;
    Ok(connection.close().await?)
}

/// Records call by call over a connection of its own.
#[derive(Debug)]
pub(crate) struct Writer {
    connection: PgConnection,
    calls: Vec<TracedCall>,
    sessions: usize,
    rng: StdRng,
}

/// So many writers.
pub(crate) async fn writers(ground: &Ground, sessions: usize, count: usize) -> anyhow::Result<Vec<Writer>> {
    let mut writers = Vec::new();
    for number in 0..count {
        let (connection, rng) = (connect(ground).await?, StdRng::seed_from_u64(number as u64));
        writers.push(Writer { connection, calls: traced()?, sessions, rng });
    }
    Ok(writers)
}

impl Caller for Writer {
    async fn call(&mut self) -> anyhow::Result<Done> {
        let session = self.rng.random_range(0..self.sessions.max(1));
        let index = self.rng.random_range(0..self.calls.len().max(1));
        let call = self.calls.get(index).copied().unwrap_or(TracedCall { input: 1, output: 1, cache_read: 0 });
        let session_id = Population::session_id(session);
        // The price of one model: what is measured is the database.
        let cost = Decimal::new(call.input * 25 + call.output * 100, 7);
        let mut transaction = self.connection.begin().await?;
        sqlx::query(LOG)
            .bind(Uuid::now_v7())
            .bind(&session_id)
            .bind(Population::user_id(session))
            .bind("project-1")
            .bind("agent-writer")
            .bind("openai")
            .bind("gpt-4o")
            .bind(call.input)
            .bind(call.output)
            .bind(call.cache_read)
            .bind(cost)
            .bind(1_200)
            .bind(format!("{:032x}", self.rng.random::<u128>()))
            .execute(&mut *transaction)
            .await?;
        sqlx::query(ADD)
            .bind(&session_id)
            .bind(call.input)
            .bind(call.output)
            .bind(cost)
            .execute(&mut *transaction)
            .await?;
        transaction.commit().await?;
        Ok(Done::of(1))
    }
}
