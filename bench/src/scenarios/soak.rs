//! The mixed load for ten minutes: does it slow down, and do dead rows pile up.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use sqlx::{Connection as _, Row as _};
use tokio::task::JoinHandle;
use tollgate_stage::Ground;

use super::Bench;
use super::mixed::{Crowd, watch};
use super::record_batch::SESSIONS;
use crate::figures::{Goal, Row};
use crate::ledger::{self, Budgets};
use crate::load::drive;
use crate::population::Population;
use crate::rounds::{Ratio, Series};
use crate::stage::connect;
use crate::statistics::{mebibytes, per, rate};

/// Of the second minute's rate, in the last minute.
const STEADY: Goal = Goal::RatioAtLeast(0.95);
/// The most dead rows of a table in the second half, over those in the first one: where vacuum keeps up, they do not grow.
const BOUNDED: Goal = Goal::RatioAtMost(2.0);
/// Seconds, unless told otherwise.
const SECONDS: u64 = 600;
/// Seconds that are compared, or a fifth of a shorter run.
const MINUTE: usize = 60;
/// Between two looks at the tables.
const LOOK: Duration = Duration::from_secs(1);

/// Dead rows of what every call rewrites.
const DEAD: &str = "
    SELECT relname::text AS name, n_dead_tup AS dead, pg_total_relation_size(relid) AS bytes
    FROM pg_stat_user_tables
    WHERE relname IN ('budget_window', 'reservation', 'session_usage', 'usage_rollup', 'user_rollup')";

pub(super) async fn run(bench: &mut Bench<'_>) -> anyhow::Result<()> {
    let stage = bench.stage;
    let span = bench.options.span_of(SECONDS);
    let population = Population::new(SESSIONS, SESSIONS)?;
    let mut rng = bench.rng();
    let crowd = Crowd::new(&population, &mut rng);
    let product = stage.product(1).await?;
    let url = product.url(0)?;
    Budgets::PerUser.create(&url).await?;
    let mut watchers = watch(&url).await?;
    bench.tell(format!("{:?}", span.length));
    let looking = look(product.ground.clone(), span.warm_up + span.length);
    let sample = drive(crowd.callers(&url).await?, span, product.watched(stage)).await?;
    let looks = looking.await??;
    ledger::require_events(&product.ground, sample.completed / 2).await?;
    anyhow::ensure!(watchers.try_join_next().is_none(), "a stream ended early");

    let minute = MINUTE.min(sample.timeline.len() / 5).max(1);
    let part = |counts: &[u64]| rate(counts.iter().sum(), Duration::from_secs(counts.len() as u64));
    let second = part(sample.timeline.get(minute..2 * minute).unwrap_or_default());
    let last = part(sample.timeline.get(sample.timeline.len().saturating_sub(minute)..).unwrap_or_default());
    let steady = crate::statistics::ratio(last, second);
    let mut series = Series::default();
    series.push(sample);
    bench.add(
        Row { value: last, ..Row::rate("soak", &series, "RPCs/s") }
            .beside("its second minute", second, Ratio { median: steady, low: steady, high: steady })
            .against(STEADY)
            .note(format!("the last {minute} s of {:?}; latencies of the check", span.length)),
    )?;
    for (table, looks) in looks {
        let (early, late) = looks.split_at(looks.len() / 2);
        let most = |looks: &[Look]| looks.iter().map(|look| look.dead).max().unwrap_or_default();
        let ratio = per(most(late), most(early));
        let bytes = looks.last().map(|look| look.bytes).unwrap_or_default();
        bench.add(
            Row::new(format!("soak, dead rows of {table}"), per(most(late), 1), "rows")
                .beside("its first half", per(most(early), 1), Ratio { median: ratio, low: ratio, high: ratio })
                .against(BOUNDED)
                .note(format!("{:.1} MiB at the end", mebibytes(bytes))),
        )?;
    }
    drop(watchers);
    stage.end(product).await
}

/// A look at a table.
#[derive(Debug, Clone, Copy)]
struct Look {
    dead: u64,
    bytes: u64,
}

/// Looks at the tables again and again for so long.
fn look(ground: Ground, length: Duration) -> JoinHandle<anyhow::Result<BTreeMap<String, Vec<Look>>>> {
    tokio::spawn(async move {
        let end = Instant::now() + length;
        let mut connection = connect(&ground).await?;
        let mut looks: BTreeMap<String, Vec<Look>> = BTreeMap::new();
        while Instant::now() < end {
            for row in sqlx::query(DEAD).fetch_all(&mut connection).await? {
                let look = Look {
                    dead: u64::try_from(row.try_get::<i64, _>("dead")?)?,
                    bytes: u64::try_from(row.try_get::<i64, _>("bytes")?)?,
                };
                looks.entry(row.try_get("name")?).or_default().push(look);
            }
            tokio::time::sleep(LOOK).await;
        }
        connection.close().await?;
        Ok(looks)
    })
}
