//! A database as after months of use, and the plans that it makes.

use std::collections::BTreeSet;

use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions as _, PgConnection, PgPool};
use tokio::sync::OnceCell;
use tollgate_server::store::partitions;
use tollgate_server::store::scoped::ROLE;

use super::folder_of_statements;
use super::plan::Plan;
use super::schema::Schema;
use super::statement::{Case, Planned, Statement};
use crate::harness::database;

static FILLED: OnceCell<PgConnectOptions> = OnceCell::const_new();

async fn fill() -> PgConnectOptions {
    let options = database().await;
    let pool = PgPool::connect_lazy_with(options.clone());
    // The months of the fill alone: an empty partition is read whole at no cost, which would say nothing.
    let drop_all = "DO $$ DECLARE name text; BEGIN
        FOR name IN SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = 'usage_event'::regclass
        LOOP EXECUTE 'DROP TABLE ' || name; END LOOP;
    END $$";
    sqlx::raw_sql(drop_all).execute(&pool).await.unwrap();
    let (first, last) = ("2020-01-01T00:00:00Z".parse().unwrap(), "2020-04-29T00:00:00Z".parse().unwrap());
    partitions::ensure(&pool, first, last).await.unwrap();
    sqlx::raw_sql(include_str!("fill.sql")).execute(&pool).await.unwrap();
    sqlx::raw_sql("VACUUM (ANALYZE)").execute(&pool).await.unwrap();
    pool.close().await;
    options
}

/// Who runs a statement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reader {
    /// The ledger and upkeep, past row-level security.
    Owner,
    /// Reads and administration, confined to the tenant.
    Tenant,
}

/// A connection to a filled database.
pub(super) struct Filled {
    connection: PgConnection,
    pub(super) schema: Schema,
}

impl Filled {
    /// To the one database, which the first that asks fills: that takes some seconds.
    pub(super) async fn connect() -> Self {
        let options = FILLED.get_or_init(fill).await;
        // As the server's connections are set.
        let settings = [("TimeZone", "UTC"), ("jit", "off")];
        let mut connection = options.clone().options(settings).connect().await.unwrap();
        let schema = Schema::read(&mut connection).await;
        Self { connection, schema }
    }

    /// Runs something past the statements.
    pub(super) async fn execute(&mut self, text: impl Into<String>) {
        sqlx::raw_sql(AssertSqlSafe(text.into())).execute(&mut self.connection).await.unwrap();
    }

    /// Makes the statement known to the connection, for [`Self::plan`].
    pub(super) async fn prepare(&mut self, statement: &Statement) {
        let text = std::fs::read_to_string(folder_of_statements().join(statement.file)).unwrap();
        self.execute(format!("PREPARE {} AS {text}", statement.name())).await;
    }

    /// From here on everything runs as whoever this is.
    pub(super) async fn become_reader(&mut self, reader: Reader) {
        let change = match reader {
            Reader::Owner => "RESET ROLE; RESET tollgate.tenant".to_owned(),
            Reader::Tenant => format!("SET ROLE {ROLE}; SET tollgate.tenant = '1'"),
        };
        self.execute(change).await;
    }

    /// Whether the statement is one that the present reader may run.
    pub(super) async fn may_run(&mut self, statement: &Statement, case: &Case) -> bool {
        let text = format!("EXPLAIN {}", self.call(statement, case).await);
        let refused = sqlx::raw_sql(AssertSqlSafe(text)).execute(&mut self.connection).await.err();
        let code = |error: &sqlx::Error| error.as_database_error().and_then(|error| error.code().map(String::from));
        refused.is_none_or(|error| code(&error).as_deref() != Some("42501"))
    }

    /// The plan of a statement.
    pub(super) async fn plan(&mut self, statement: &Statement, case: &Case) -> Plan {
        self.explain("FORMAT JSON", statement, case).await
    }

    /// The partitions of the events that a statement reads when it is run, which is then taken back.
    pub(super) async fn partitions_read(&mut self, statement: &Statement, case: &Case) -> BTreeSet<String> {
        self.execute("BEGIN").await;
        let plan = self.explain("FORMAT JSON, ANALYZE, TIMING OFF", statement, case).await;
        self.execute("ROLLBACK").await;
        plan.partitions_read(&self.schema)
    }

    async fn explain(&mut self, options: &str, statement: &Statement, case: &Case) -> Plan {
        let mode = match case.planned {
            Planned::ForAnyValues => "force_generic_plan",
            Planned::ForTheseValues => "force_custom_plan",
        };
        self.execute(format!("SET plan_cache_mode = {mode}")).await;
        let text = format!("EXPLAIN ({options}) {}", self.call(statement, case).await);
        let answer = sqlx::query_scalar(AssertSqlSafe(text)).persistent(false).fetch_one(&mut self.connection).await;
        Plan(answer.unwrap_or_else(|error| panic!("{} ({}): {error}", statement.file, case.what)))
    }

    async fn call(&mut self, statement: &Statement, case: &Case) -> String {
        let values = self.values(statement, case).await;
        let values = if values.is_empty() { String::new() } else { format!("({})", values.join(", ")) };
        format!("EXECUTE {}{values}", statement.name())
    }

    /// The values of all parameters, in order.
    async fn values(&mut self, statement: &Statement, case: &Case) -> Vec<String> {
        let count: Option<i32> =
            sqlx::query_scalar("SELECT cardinality(parameter_types) FROM pg_prepared_statements WHERE name = $1")
                .bind(statement.name())
                .fetch_one(&mut self.connection)
                .await
                .unwrap();
        let count = usize::try_from(count.unwrap_or(0)).unwrap();
        let given = |number: usize| case.values.iter().find(|(place, _)| *place == number).map(|(_, value)| *value);
        let default = |number: usize| if number == 1 { "1" } else { "NULL" };
        (1..=count).map(|number| given(number).unwrap_or_else(|| default(number)).to_owned()).collect()
    }
}
