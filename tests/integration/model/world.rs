//! What programs are about: few people, few models, and a clock that stands still until it is told to move.

use std::collections::BTreeMap;

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use rust_decimal::Decimal;
use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions as _};
use tollgate_domain::budget::model::{Rate, Who};
use tollgate_proto::v1;

use crate::harness::build::model;

/// The zone of daily windows.
pub(super) const ZONE: &str = "Europe/Berlin";

/// Models, from dear to unknown, with their providers.
pub(super) const MODELS: [(&str, &str); 4] =
    [("gpt-4o", "openai"), ("gpt-4o-mini", "openai"), ("llama3", "ollama"), ("unheard-of", "nobody")];

/// Dollars per token of the catalog, told apart from it.
pub(super) fn rates() -> BTreeMap<String, Rate> {
    let priced =
        |input: i64, output: i64| Rate::Priced { input: Decimal::new(input, 8), output: Decimal::new(output, 8) };
    let rates = [priced(250, 1_000), priced(15, 60), Rate::Free, Rate::Unpriced];
    MODELS.iter().zip(rates).map(|((name, _), rate)| ((*name).to_owned(), rate)).collect()
}

/// A model for the wire.
pub(super) fn model_of(name: &str) -> v1::ModelRef {
    let provider = MODELS.iter().find(|(known, _)| *known == name).unwrap().1;
    model(provider, name)
}

/// Dimensions for the wire.
pub(super) fn dimensions(who: &Who) -> v1::Dimensions {
    let value = |name: &str| who.get(name).cloned().unwrap_or_default();
    v1::Dimensions {
        user_id: value("user_id"),
        agent_name: value("agent_name"),
        session_id: "s".to_owned(),
        ..Default::default()
    }
}

/// Six hours before the next change of the clocks in the zone: programs cross a day of 23 or 25 hours.
pub(super) fn beginning() -> Timestamp {
    let zone = TimeZone::get(ZONE).unwrap();
    let change = zone.following(Timestamp::now()).next().unwrap().timestamp();
    change - SignedDuration::from_hours(6)
}

/// Puts a clock of the test's own in the place of the database's.
pub(super) async fn stop_clock(options: &PgConnectOptions, at: Timestamp) {
    let name = options.get_database().unwrap();
    let statements = format!(
        "CREATE TABLE public.stopped_clock (at timestamptz NOT NULL);
         INSERT INTO public.stopped_clock VALUES ('{at}');
         CREATE FUNCTION public.clock_timestamp() RETURNS timestamptz LANGUAGE sql VOLATILE
             AS 'SELECT at FROM public.stopped_clock';
         GRANT SELECT ON public.stopped_clock TO tollgate_tenant;
         ALTER DATABASE {name} SET search_path = public, pg_catalog;"
    );
    let mut connection = options.clone().connect().await.unwrap();
    sqlx::raw_sql(AssertSqlSafe(statements)).execute(&mut connection).await.unwrap();
}
