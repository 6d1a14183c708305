//! One settle, sent 100 times at once over all replicas: after the replica of its check was killed, after its hold expired,
//! after the window of its check ended. It is charged once, in the window of its check.

use std::time::{Duration, SystemTime};

use anyhow::Context as _;
use futures::future::try_join_all;
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use sqlx::{ConnectOptions as _, PgConnection};
use tollgate_client::{Window, v1};

use super::calls::{Purse, reserve};
use super::trial::Trial;
use crate::ledger;
use crate::report::Report;
use crate::requests::{budget_of, event, id_of, settling};
use crate::stage::Stage;
use tollgate_stage::wait::until;

const REPLICAS: usize = 2;
const TRIES: usize = 100;
const LIMIT: u64 = 1_000;
const HELD: u64 = 40;
const USED: u64 = 25;
/// How soon the windows of a round end.
const WINDOW_ENDS_IN: Duration = Duration::from_secs(2);
const SHORTEST_LEAD: Duration = Duration::from_secs(1);
const LONG_LEAD: Duration = Duration::from_secs(120);

/// What happens between the check and its settle.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Late {
    Killed,
    Expired,
    RolledOver,
}

/// So many rounds of each.
pub(super) async fn run(stage: &Stage) -> anyhow::Result<Report> {
    let rounds = stage.rounds(2, 30);
    let mut report = Report::default();
    let bar = stage.progress("settle", rounds * 3);
    let mut trial = Trial::open(stage, 0, REPLICAS, true).await?;
    for number in 0..rounds {
        for late in [Late::Killed, Late::Expired, Late::RolledOver] {
            round(&mut trial, late, number, &mut report).await?;
            report.faults += 1;
            bar.inc(1);
        }
    }
    trial.close(&mut report).await?;
    report.note(format!("each settle sent {TRIES} times"));
    Ok(report)
}

async fn round(trial: &mut Trial<'_>, late: Late, number: usize, report: &mut Report) -> anyhow::Result<()> {
    let user = format!("settler-{late:?}-{number}");
    let budget_id = format!("budget-{late:?}-{number}");
    let ends = SystemTime::now() + WINDOW_ENDS_IN;
    let budget = budget_of(&user, &budget_id, LIMIT, Window::minute("UTC"));
    let budget = budget.with(|budget| {
        if let Some(window) = &mut budget.window {
            window.anchor = Some(ends.into());
        }
    });
    trial.service.create_budget(&mut trial.rng, budget.into()).await?;
    let purse = Purse::new(trial, &user, 0);
    let lead = if late == Late::Expired { SHORTEST_LEAD } else { LONG_LEAD };
    let (reservation_id, decision) = reserve(&purse, &mut trial.rng, HELD, lead).await?;
    anyhow::ensure!(decision == v1::Decision::Allowed, "a check of an empty counter was denied");

    let mut connection = trial.ground.options.connect().await?;
    match late {
        Late::Killed => trial.replicas.first_mut().context("there is no replica")?.kill()?,
        Late::Expired => until_no_hold(&trial.ground.options, &reservation_id).await?,
        Late::RolledOver => until_passed(&trial.ground.options, ends).await?,
    }
    let answers = settle_often(trial, &purse, &reservation_id).await?;
    if late == Late::Killed {
        trial.replicas.first_mut().context("there is no replica")?.restart().await?;
    }
    let recorded = answers.iter().filter(|result| **result == v1::RecordResult::Recorded).count();
    if recorded > 1 || (late != Late::Killed && recorded != 1) {
        report.violations.push(format!("{user}: {recorded} of {TRIES} answers say that the event was new"));
    }
    report.violations.extend(charged_once(&mut connection, &budget_id, &user).await?);
    Ok(())
}

async fn settle_often(
    trial: &mut Trial<'_>,
    purse: &Purse,
    reservation_id: &str,
) -> anyhow::Result<Vec<v1::RecordResult>> {
    let event = settling(event(Some(&purse.user), "settled", USED), reservation_id);
    trial.history.intend(&event);
    let tries = (0..TRIES).map(|_| {
        let mut rng = StdRng::seed_from_u64(trial.rng.random());
        let (service, event) = (purse.service.clone(), event.clone());
        async move {
            let send = |endpoint: crate::caller::Endpoint| {
                let event = event.clone();
                async move { endpoint.record(event).await }
            };
            service.insist(&mut rng, "a settle", send).await
        }
    });
    let tries: Vec<_> = tries.collect();
    let answers = try_join_all(tries).await?;
    if let Some(id) = id_of(&event) {
        trial.history.acked(id);
    }
    Ok(answers.iter().map(v1::RecordUsageResponse::result).collect())
}

/// The first window, which is that of the check, has spent the event's tokens; no other has spent or holds anything.
async fn charged_once(connection: &mut PgConnection, budget_id: &str, user: &str) -> anyhow::Result<Option<String>> {
    let counters = ledger::counters(connection, budget_id, user).await?;
    let used = i64::try_from(USED)?;
    let mut windows = counters.iter();
    let first = windows.next().is_some_and(|counter| counter.spent == used && counter.committed() == used);
    let right = first && windows.all(|counter| counter.committed() == 0);
    Ok((!right).then(|| format!("{user}: {used} tokens are not charged once in the window of the check: {counters:?}")))
}

async fn until_no_hold(options: &sqlx::postgres::PgConnectOptions, reservation_id: &str) -> anyhow::Result<()> {
    let id = uuid::Uuid::parse_str(reservation_id)?;
    until("the hold expires", || async move {
        let mut connection = options.connect().await.ok()?;
        ledger::has_expired(&mut connection, id).await.ok()?.then_some(())
    })
    .await
}

async fn until_passed(options: &sqlx::postgres::PgConnectOptions, at: SystemTime) -> anyhow::Result<()> {
    let at = at.duration_since(SystemTime::UNIX_EPOCH)?.as_micros();
    let at = i64::try_from(at)?;
    until("the window ends", || async move {
        let mut connection = options.connect().await.ok()?;
        (ledger::clock_micros(&mut connection).await.ok()? > at).then_some(())
    })
    .await
}
