//! A tenant offers ten times its share of the queue: how long a quiet tenant's calls take alone, and beside it.
//!
//! Both are programs that keep to the rules, and speak to the real server. The flood runs behind everybody else, as its machines
//! would not be those of the server. What even a bare row takes that is inserted into the same database and committed is measured, too:
//! no call can take less.

use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use sqlx::{ConnectOptions as _, PgConnection};
use tokio::process::Command;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tollgate_client::v1;
use tollgate_client::v1::batch_record_usage_response::item::Item;
use tollgate_client::v1::usage_service_client::UsageServiceClient;
use tonic::transport::Channel;
use tonic::{Code, Request, Status};

use super::attackers::Attackers;
use crate::caller::{Answer, Endpoint};
use crate::report::Report;
use crate::requests::event;
use crate::stage::Stage;
use tollgate_stage::Replica;
use tollgate_stage::wait::bounded;

/// Events of one batch.
const BATCH: usize = 500;
/// Batches that the flood has open or is asked to send later: 36,000 events. With two tenants one may have 3,584 of the queue's 8,192 places, an eighth of
/// which is kept.
const FLOODS: usize = 72;
/// How long its calls may take: that of the Rust client.
const TIMEOUT: Duration = Duration::from_secs(3);
/// Its connections.
const CONNECTIONS: usize = 8;
/// How long it waits after a refusal that names no time: the shortest one that a server names.
const PAUSE: Duration = Duration::from_millis(50);
/// Calls of the quiet tenant are this far apart.
const PERIOD: Duration = Duration::from_millis(20);
/// The quiet tenant is measured alone and beside the flood in turns, so that a machine that changes its pace does so for both.
const TURNS: usize = 4;
/// How much slower calls may be beside the flood, as a ratio of 99th percentiles.
const SLOWDOWN_LIMIT: u32 = 2;
/// What the answer to a refused call says.
const PUSHBACK: &str = "grpc-retry-pushback-ms";

/// How long things took.
#[derive(Debug, Default)]
struct Times {
    calls: Vec<Duration>,
    statements: Vec<Duration>,
}

/// What the flood did.
#[derive(Debug, Default, Clone, Copy)]
struct Tally {
    recorded: u64,
    refused: u64,
}

/// So many calls of the quiet tenant, alone and beside the flood.
pub(super) async fn run(stage: &Stage) -> anyhow::Result<Report> {
    let calls = stage.rounds(150, 2_000).div_ceil(TURNS);
    let ground = stage.cluster.ground().await?;
    let (replicas, service) = stage.replicas(&ground.url(), 1).await?;
    let replica = replicas.into_iter().next().context("there is no replica")?;
    let secret = key_of_another_tenant(stage, &ground.url()).await?;
    let mut connection = ground.options.connect().await?;
    sqlx::query("CREATE TABLE fair_bare (number bigint)").execute(&mut connection).await?;
    let bar = stage.progress("fair", TURNS * 2);
    let attackers = Attackers::start()?;
    let mut report = Report::default();

    // The first calls of a server are slow in their own right.
    measure(service.nth(0), &mut connection, 50, &mut Times::default()).await?;
    let (mut alone, mut beside, mut all) = (Times::default(), Times::default(), Tally::default());
    for _ in 0..TURNS {
        measure(service.nth(0), &mut connection, calls, &mut alone).await?;
        bar.inc(1);
        let flood = Flood::start(&attackers, &replica, &secret)?;
        flood.is_refused().await?;
        let before = flood.so_far();
        measure(service.nth(0), &mut connection, calls, &mut beside).await?;
        let after = flood.so_far();
        if after.recorded == before.recorded || after.refused == before.refused {
            report.violations.push(format!("the flood was not there while it was measured: {before:?}, {after:?}"));
        }
        let Tally { recorded, refused } = flood.stop().await?;
        all = Tally { recorded: all.recorded + recorded, refused: all.refused + refused };
        report.snapshots += 1;
        bar.inc(1);
    }

    for (what, times) in [("alone", &mut alone), ("beside the flood", &mut beside)] {
        let Times { calls, statements } = times;
        calls.sort_unstable();
        statements.sort_unstable();
        report.note(format!(
            "{what}: {} calls, p50 {:?}, p99 {:?}; a bare row that is inserted and committed p50 {:?}, p99 {:?}",
            calls.len(),
            share(calls, 50),
            share(calls, 99),
            share(statements, 50),
            share(statements, 99),
        ));
    }
    let ratio = share(&beside.calls, 99).as_micros() * 100 / share(&alone.calls, 99).as_micros().max(1);
    report.note(format!(
        "the p99 of calls was {}.{:02} times as long; the flood: {} events recorded, {} refused",
        ratio / 100,
        ratio % 100,
        all.recorded,
        all.refused,
    ));
    if stage.judge && ratio > u128::from(SLOWDOWN_LIMIT) * 100 {
        report.violations.push(format!("calls were {}.{:02} times slower", ratio / 100, ratio % 100));
    }
    let stored: i64 =
        sqlx::query_scalar("SELECT count(*) FROM usage_event WHERE tenant_id <> 1").fetch_one(&mut connection).await?;
    if u64::try_from(stored)? < all.recorded {
        report.violations.push(format!("{} events of the flood are lost", all.recorded - u64::try_from(stored)?));
    }
    report.faults = all.refused;
    report.operations = all.recorded + u64::try_from(alone.calls.len() + beside.calls.len())?;
    report.acked = report.operations;
    drop(connection);
    if !replica.stop().await? {
        report.violations.push("the server did not stop in order".to_owned());
    }
    stage.cluster.drop_ground(ground).await?;
    Ok(report)
}

/// The secret of a key that records for a tenant which is made for it.
async fn key_of_another_tenant(stage: &Stage, database_url: &str) -> anyhow::Result<String> {
    run_command(stage, database_url, &["tenants", "create", "flooding"]).await?;
    let create = ["keys", "create", "--database", "--permission", "record", "--tenant", "flooding"];
    Ok(run_command(stage, database_url, &create).await?.trim().to_owned())
}

async fn run_command(stage: &Stage, database_url: &str, arguments: &[&str]) -> anyhow::Result<String> {
    let mut command = Command::new(stage.binary());
    command.args(arguments).env("DATABASE_URL", database_url).stdin(Stdio::null());
    let output = command.output().await?;
    anyhow::ensure!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8(output.stdout)?)
}

/// Adds how long calls of the quiet tenant take, one after the other, and statements between them. None is refused.
async fn measure(
    endpoint: &Endpoint,
    connection: &mut PgConnection,
    calls: usize,
    times: &mut Times,
) -> anyhow::Result<()> {
    let mut interval = tokio::time::interval(PERIOD);
    for _ in 0..calls {
        interval.tick().await;
        let start = Instant::now();
        let answer = endpoint.record(event(None, "quiet", 10)).await;
        times.calls.push(start.elapsed());
        anyhow::ensure!(matches!(answer, Answer::Acked(_)), "a call of the quiet tenant was not taken: {answer:?}");
        let start = Instant::now();
        sqlx::query("INSERT INTO fair_bare VALUES (1)").execute(&mut *connection).await?;
        times.statements.push(start.elapsed());
    }
    Ok(())
}

/// Programs of a tenant that has far more to record than its share.
struct Flood {
    stop: CancellationToken,
    refused: CancellationToken,
    counts: Arc<Counts>,
    callers: Vec<JoinHandle<anyhow::Result<()>>>,
}

/// Events of the flood.
#[derive(Debug, Default)]
struct Counts {
    recorded: AtomicU64,
    refused: AtomicU64,
}

impl Flood {
    fn start(attackers: &Attackers, replica: &Replica, secret: &str) -> anyhow::Result<Self> {
        let (stop, refused, counts) = (CancellationToken::new(), CancellationToken::new(), Arc::<Counts>::default());
        let mut callers = Vec::new();
        for _ in 0..CONNECTIONS {
            let channel = tonic::transport::Endpoint::from_shared(replica.url())?.tcp_nodelay(true).connect_lazy();
            for _ in 0..FLOODS / CONNECTIONS {
                let usage = UsageServiceClient::new(channel.clone());
                let (secret, refused, counts) = (secret.to_owned(), refused.clone(), counts.clone());
                callers.push(attackers.spawn(flood(usage, secret, refused, counts, stop.clone())));
            }
        }
        Ok(Self { stop, refused, counts, callers })
    }

    /// Waits until it has more than its share.
    async fn is_refused(&self) -> anyhow::Result<()> {
        bounded("the flood is refused", self.refused.cancelled()).await
    }

    fn so_far(&self) -> Tally {
        let Counts { recorded, refused } = &*self.counts;
        Tally { recorded: recorded.load(Ordering::Relaxed), refused: refused.load(Ordering::Relaxed) }
    }

    async fn stop(self) -> anyhow::Result<Tally> {
        self.stop.cancel();
        let tally = self.counts;
        for caller in self.callers {
            caller.await??;
        }
        Ok(Tally { recorded: tally.recorded.load(Ordering::Relaxed), refused: tally.refused.load(Ordering::Relaxed) })
    }
}

/// Sends batches, each when the one before is answered; waits where it is told to, and where events were refused.
async fn flood(
    mut usage: UsageServiceClient<Channel>,
    secret: String,
    is_refused: CancellationToken,
    counts: Arc<Counts>,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    while !stop.is_cancelled() {
        let events = (0..BATCH).map(|_| event(None, "flood", 10)).collect();
        let mut request = Request::new(v1::BatchRecordUsageRequest { events, view: v1::ResponseView::Ack.into() });
        request.set_timeout(TIMEOUT);
        request.metadata_mut().insert("x-api-key", secret.parse()?);
        let (recorded, pause) = match usage.batch_record_usage(request).await {
            Ok(answer) => {
                let items = answer.into_inner().items;
                (items.iter().filter(|item| matches!(item.item, Some(Item::Ok(_)))).count(), PAUSE)
            }
            Err(refusal) => (0, told_pause(&refusal)?),
        };
        counts.recorded.fetch_add(recorded as u64, Ordering::Relaxed);
        if recorded < BATCH {
            counts.refused.fetch_add((BATCH - recorded) as u64, Ordering::Relaxed);
            is_refused.cancel();
            let _stopped = tokio::time::timeout(pause, stop.cancelled()).await;
        }
    }
    Ok(())
}

/// How long a server that is full wants to be left alone; what took too long comes back as soon as any.
fn told_pause(refusal: &Status) -> anyhow::Result<Duration> {
    let told = refusal.metadata().get(PUSHBACK).and_then(|value| value.to_str().ok()?.parse().ok());
    match (refusal.code(), told) {
        (Code::ResourceExhausted, Some(milliseconds)) => Ok(Duration::from_millis(milliseconds)),
        (Code::DeadlineExceeded | Code::Cancelled, _) => Ok(PAUSE),
        _ => Err(anyhow::anyhow!("a batch was refused: {refusal}")),
    }
}

fn share(sorted: &[Duration], percent: usize) -> Duration {
    let place = (sorted.len() * percent / 100).min(sorted.len().saturating_sub(1));
    sorted.get(place).copied().unwrap_or_default()
}
