//! What a server is told before it is measured, what it really answers, and what its database holds afterwards.

use std::time::{Duration, SystemTime};

use rand::rngs::StdRng;
use sqlx::Connection as _;
use tollgate_proto::v1;
use tollgate_proto::v1::budget_service_client::BudgetServiceClient;
use tollgate_stage::Ground;
use uuid::Uuid;

use crate::callers::{allowed, recorded};
use crate::echo::Replies;
use crate::population::Population;
use crate::requests;
use crate::stage::connect;
use crate::wire::Connections;

/// Far away: what happens at a limit is not measured.
const LIMIT_USD: &str = "1000000000";

/// How far back budgets count, so that what is recorded with earlier times moves counters, too.
const COUNTED: Duration = Duration::from_secs(40 * 86_400);

/// Budgets in US dollars that every call matches, hard and far from their limits.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Budgets {
    /// One counter for everybody.
    One,
    /// A counter for each user and day.
    PerUser,
    /// One for everybody by month, one for each project by month, one for each user by day.
    Three,
}

impl Budgets {
    /// How many counters an event moves.
    pub(crate) fn counters(self) -> u64 {
        match self {
            Self::One | Self::PerUser => 1,
            Self::Three => 3,
        }
    }

    fn definitions(self) -> Vec<v1::Budget> {
        use v1::window::Kind::{Day, Month};
        let everybody = budget("everybody", Month, None);
        let users = budget("users", Day, Some("user_id"));
        match self {
            Self::One => vec![everybody],
            Self::PerUser => vec![users],
            Self::Three => vec![everybody, budget("projects", Month, Some("project_id")), users],
        }
    }

    /// Creates them.
    pub(crate) async fn create(self, url: &str) -> anyhow::Result<()> {
        let mut client = BudgetServiceClient::connect(url.to_owned()).await?;
        for budget in self.definitions() {
            let request_id = Uuid::now_v7().to_string();
            let request = v1::CreateBudgetRequest { budget: Some(budget), request_id, validate_only: false };
            client.create_budget(request).await?;
        }
        Ok(())
    }
}

fn budget(budget_id: &str, kind: v1::window::Kind, per: Option<&str>) -> v1::Budget {
    let key = |name: &str| v1::DimensionKey { name: name.to_owned(), label: String::new() };
    v1::Budget {
        budget_id: budget_id.to_owned(),
        unit: v1::Unit::Usd.into(),
        limit: LIMIT_USD.to_owned(),
        window: Some(v1::Window { kind: kind.into(), time_zone: "UTC".to_owned(), ..Default::default() }),
        per: per.map(key).into_iter().collect(),
        rules: vec![v1::Rule { at_fraction: "1".to_owned(), action: v1::Action::Block.into(), ..Default::default() }],
        count_from: Some((SystemTime::now() - COUNTED).into()),
        ..Default::default()
    }
}

/// Asks for one of each, so that the baseline answers the same. Leaves one event and one hold behind.
pub(crate) async fn replies(url: &str, population: &Population, rng: &mut StdRng) -> anyhow::Result<Replies> {
    let mut wire = Connections::open(url, 1).await?.nth(0)?;
    let check = wire.check(requests::check_of(population, 0, rng).fresh()).await?;
    allowed(&check)?;
    let record = wire.record(requests::event_of(population, 0, rng).fresh()).await?;
    recorded(&record)?;
    Ok(Replies { record, check })
}

/// Events that [`replies`] leaves behind.
pub(crate) const LEFT_BY_REPLIES: u64 = 1;

/// Requires that the database holds exactly the events that were acknowledged.
pub(crate) async fn require_events(ground: &Ground, acknowledged: u64) -> anyhow::Result<()> {
    let mut connection = connect(ground).await?;
    let stored: i64 = sqlx::query_scalar("SELECT count(*) FROM usage_event").fetch_one(&mut connection).await?;
    connection.close().await?;
    anyhow::ensure!(
        u64::try_from(stored)? == acknowledged,
        "{acknowledged} events were acknowledged and {stored} are stored"
    );
    Ok(())
}
