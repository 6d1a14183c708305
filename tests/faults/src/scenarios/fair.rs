//! A tenant floods at ten times its share: how long a quiet tenant's calls take alone, and beside it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use futures::future::join_all;
use sqlx::ConnectOptions as _;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tollgate_server::app::{App, AppError};
use tollgate_server::boot::{self, Database};
use tollgate_server::config::Config;
use tollgate_server::grpc::convert::event::event as to_domain;
use tollgate_server::ledger::Pins;
use tollgate_server::tenant::TenantId;

use crate::report::Report;
use crate::requests::event;
use crate::stage::Stage;

const FLOODING: TenantId = TenantId(1);
const QUIET: TenantId = TenantId(2);
/// Callers of the flood; each keeps as many calls open as it can.
const FLOODS: usize = 8;
/// Calls of the quiet tenant are this far apart.
const PERIOD: Duration = Duration::from_millis(20);

/// So many calls of the quiet tenant, alone and beside the flood.
pub(super) async fn run(stage: &Stage) -> anyhow::Result<Report> {
    let calls = stage.rounds(150, 2_000);
    let ground = stage.cluster.ground().await?;
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let database = Database::given(ground.options.clone());
    let running = boot::start(&Config::default(), &database, listener, CancellationToken::new()).await?;
    let mut connection = ground.options.connect().await?;
    sqlx::raw_sql("INSERT INTO tenant (tenant_id, name) VALUES (2, 'quiet')").execute(&mut connection).await?;
    let app = &running.app;
    let mut report = Report { snapshots: 1, ..Report::default() };

    let alone = quiet(app, calls).await?;
    let stop = CancellationToken::new();
    let mut floods = JoinSet::new();
    for _ in 0..FLOODS {
        floods.spawn(flood(app.clone(), stop.clone()));
    }
    let beside = quiet(app, calls).await?;
    stop.cancel();
    let (mut taken, mut refused) = (0, 0);
    while let Some(ended) = floods.join_next().await {
        let (some, others) = ended??;
        taken += some;
        refused += others;
    }
    report.operations = taken + u64::try_from(2 * calls)?;
    report.acked = report.operations;
    report.faults = refused;
    for (what, times) in [("alone", &alone), ("beside the flood", &beside)] {
        report.note(format!("{what}: {calls} calls, p50 {:?}, p99 {:?}", share(times, 50), share(times, 99)));
    }
    report.note(format!("the flood: {taken} calls recorded, {refused} refused"));
    running.stop();
    running.stopped().await;
    drop(connection);
    stage.cluster.drop_ground(ground).await?;
    Ok(report)
}

/// How long each call of the quiet tenant took, sorted. None is refused.
async fn quiet(app: &App, calls: usize) -> anyhow::Result<Vec<Duration>> {
    let mut interval = tokio::time::interval(PERIOD);
    let mut times = Vec::with_capacity(calls);
    for _ in 0..calls {
        interval.tick().await;
        let event = to_domain(Some(event(None, "quiet", 10)), "event", &Default::default())?;
        let start = Instant::now();
        app.record(QUIET, event, Pins::default(), false).await.context("a call of the quiet tenant was refused")?;
        times.push(start.elapsed());
    }
    times.sort_unstable();
    Ok(times)
}

/// Fills the tenant's share again and again; says how many calls were taken and how many refused.
async fn flood(app: App, stop: CancellationToken) -> anyhow::Result<(u64, u64)> {
    let book = Arc::clone(&app.prices.book(FLOODING).await?);
    let (mut taken, mut refused) = (0, 0);
    while !stop.is_cancelled() {
        let mut waiting = Vec::new();
        let pause = loop {
            let event = to_domain(Some(event(None, "flood", 10)), "event", &Default::default())?;
            match app.enqueue_record(FLOODING, event, &book, Default::default(), false) {
                Ok(answer) => waiting.push(answer),
                Err(AppError::Full { retry_after, .. }) => break retry_after,
                Err(error) => return Err(error.into()),
            }
            tokio::task::yield_now().await;
        };
        refused += 1;
        for answer in join_all(waiting).await {
            answer??;
            taken += 1;
        }
        tokio::time::sleep(pause).await;
    }
    Ok((taken, refused))
}

fn share(sorted: &[Duration], percent: usize) -> Duration {
    let place = (sorted.len() * percent / 100).min(sorted.len().saturating_sub(1));
    sorted.get(place).copied().unwrap_or_default()
}
