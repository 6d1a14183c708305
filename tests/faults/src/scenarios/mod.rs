//! One scenario per file.

mod kills;

use std::time::Instant;

use crate::arguments::Scenario;
use crate::report::{self, Report};
use crate::stage::Stage;

/// Runs a scenario; one that cannot go on has failed.
pub(crate) async fn run(scenario: Scenario, stage: &Stage) -> Report {
    let start = Instant::now();
    let outcome = match scenario {
        Scenario::ServerKill => kills::servers(stage).await,
        Scenario::PostgresKill => kills::postgres(stage).await,
        _ => Ok(Report::skipped("not there".into())),
    };
    let report = outcome.unwrap_or_else(|error| report::failed(scenario, &error));
    let elapsed_ms = u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX);
    Report { scenario: scenario.name(), elapsed_ms, ..report }
}
