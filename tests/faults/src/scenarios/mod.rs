//! One scenario per file.

mod abuse;
mod attackers;
mod calls;
mod cancel;
mod cuts;
mod disk_full;
mod fair;
mod first_calls;
mod hammer;
mod kills;
mod label_bomb;
mod limits;
mod malformed;
mod outage;
mod pause;
mod rolling;
mod rollover;
mod settle;
mod slow;
mod trial;
mod upgrade;

use std::time::{Duration, Instant};

use crate::arguments::Scenario;
use crate::report::{self, Report};
use crate::stage::Stage;

/// Longest time until it serves again.
const RETURN_LIMIT: Duration = Duration::from_secs(10);

/// Runs a scenario; one that cannot go on has failed.
pub(crate) async fn run(scenario: Scenario, stage: &Stage) -> Report {
    let start = Instant::now();
    let outcome = match scenario {
        Scenario::Hammer => hammer::run(stage).await,
        Scenario::FirstCalls => first_calls::run(stage).await,
        Scenario::ServerKill => kills::servers(stage).await,
        Scenario::PostgresKill => kills::postgres(stage).await,
        Scenario::Cuts => cuts::run(stage).await,
        Scenario::Settle => settle::run(stage).await,
        Scenario::Pause => pause::run(stage).await,
        Scenario::Limits => limits::run(stage).await,
        Scenario::Rollover => rollover::run(stage).await,
        Scenario::Cancel => cancel::run(stage).await,
        Scenario::Slow => slow::run(stage).await,
        Scenario::Outage => outage::run(stage).await,
        Scenario::DiskFull => disk_full::run(stage).await,
        Scenario::Rolling => rolling::run(stage).await,
        Scenario::Upgrade => upgrade::run(stage).await,
        Scenario::Abuse => abuse::run(stage).await,
        Scenario::Malformed => malformed::run(stage).await,
        Scenario::Fair => fair::run(stage).await,
        Scenario::LabelBomb => label_bomb::run(stage).await,
    };
    let report = outcome.unwrap_or_else(|error| report::failed(scenario, &error));
    let elapsed_ms = u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX);
    Report { scenario: scenario.name(), elapsed_ms, ..report }
}
