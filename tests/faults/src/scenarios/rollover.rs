//! Windows of a minute end under load. Each budget's windows begin at another second, so that many end in one minute.

use std::time::{Duration, SystemTime};

use sqlx::ConnectOptions as _;
use tollgate_client::Window;

use super::trial::Trial;
use crate::ledger;
use crate::load::Load;
use crate::report::Report;
use crate::requests::budget;
use crate::stage::Stage;
use tollgate_stage::wait::until;

const REPLICAS: usize = 2;
const LIMIT: u64 = 1_000_000;
/// Time from one end of a window to the next.
const STEP: Duration = Duration::from_secs(2);
/// What the load itself creates.
const LOADED: [&str; 2] = ["users", "users-by-minute"];

/// So many windows end.
pub(super) async fn run(stage: &Stage) -> anyhow::Result<Report> {
    let rollovers = stage.rounds(3, 20);
    let mut report = Report::default();
    let bar = stage.progress("rollover", rollovers);
    let mut trial = Trial::open(stage, 0, REPLICAS, true).await?;
    let load = Load::start(&trial.service, &trial.history, &mut trial.rng).await?;
    let start = SystemTime::now();
    for number in 0..rollovers {
        let anchor = start + STEP.saturating_mul(u32::try_from(number)?.saturating_add(2));
        let budget = budget(&format!("rolling-{number}"), LIMIT, Window::minute("UTC")).with(|budget| {
            if let Some(window) = &mut budget.window {
                window.anchor = Some(anchor.into());
            }
        });
        trial.service.create_budget(&mut trial.rng, budget.into()).await?;
    }
    let options = trial.ground.options.clone();
    until("every budget has counted in two windows", || async {
        let mut connection = options.connect().await.ok()?;
        let used = ledger::windows_used(&mut connection).await.ok()?;
        let rolled = used.iter().filter(|(id, windows)| !LOADED.contains(&id.as_str()) && *windows > 1).count();
        bar.set_position(rolled as u64);
        (rolled == rollovers).then_some(())
    })
    .await?;
    report.faults = rollovers as u64;
    load.stop().await;
    trial.close(&mut report).await?;
    Ok(report)
}
