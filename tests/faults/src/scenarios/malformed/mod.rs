//! Requests that are damaged: messages inside of whole frames, many on a connection, and frames themselves, one connection
//! each. Nothing of it may stop the server, stay without an end, or leave the ledger wrong.

mod damage;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::Context as _;
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use tokio::task::JoinSet;

use crate::caller::{Answer, Endpoint};
use crate::checker::audited;
use crate::http2::raw::Raw;
use crate::report::Report;
use crate::requests::event;
use crate::stage::Stage;
use damage::{Request, damaged_frames, damaged_request, requests};

/// Connections that send at once.
const CONNECTIONS: usize = 8;
/// Requests on a connection before it is opened anew: they fit into the window of a connection that never grows.
const PIPELINED: usize = 100;
/// Of so many rounds one damages frames, and loses its connection by it.
const FRAMES_EVERY: u32 = 10;
/// Longest time until everything that was sent has an end.
const LIMIT: Duration = Duration::from_secs(45);
/// What a panic leaves in the log.
const PANIC: &str = "panicked";

/// What was sent, and what became of it.
#[derive(Debug, Default)]
struct Tally {
    messages: AtomicU64,
    frames: AtomicU64,
    answered: AtomicU64,
    closed: AtomicU64,
    hangs: AtomicU64,
}

/// So many damaged requests.
pub(super) async fn run(stage: &Stage) -> anyhow::Result<Report> {
    let rounds = stage.rounds(5_000, 1_000_000);
    let mut report = Report::default();
    let ground = stage.cluster.ground().await?;
    let (mut replicas, _) = stage.replicas(&ground.url(), 1).await?;
    let replica = replicas.pop().context("there is no replica")?;
    let address: SocketAddr = replica.url().trim_start_matches("http://").parse()?;
    let bar = stage.progress("malformed", rounds);
    let (tally, left) = (Arc::new(Tally::default()), Arc::new(AtomicUsize::new(rounds)));
    let mut rng = stage.rng(0);
    let mut senders = JoinSet::new();
    for _ in 0..CONNECTIONS {
        let rng = StdRng::seed_from_u64(rng.random());
        senders.spawn(send(address, rng, tally.clone(), left.clone(), bar.clone()));
    }
    while let Some(sender) = senders.join_next().await {
        sender??;
    }
    let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    report.faults = count(&tally.messages) + count(&tally.frames);
    report.operations = report.faults;
    report.note(format!(
        "{} damaged messages, {} damaged frames; {} streams were answered, {} connections closed; highest memory {} MiB",
        count(&tally.messages),
        count(&tally.frames),
        count(&tally.answered),
        count(&tally.closed),
        replica.highest_resident_bytes()? >> 20,
    ));
    if count(&tally.hangs) > 0 {
        report.violations.push(format!("{} times nothing came within {LIMIT:?}", count(&tally.hangs)));
    }
    if !matches!(Endpoint::of(&replica)?.record(event(None, "after", 1)).await, Answer::Acked(_)) {
        report.violations.push("the server does not record afterwards".to_owned());
    }
    let log = std::fs::read_to_string(replica.log())?;
    report.violations.extend(log.lines().filter(|line| line.contains(PANIC)).map(str::to_owned));
    report.violations.extend(audited(&ground).await?);
    report.snapshots += 1;
    if !replica.stop().await? {
        report.violations.push("the server did not stop in order".to_owned());
    }
    stage.cluster.drop_ground(ground).await?;
    Ok(report)
}

async fn send(
    address: SocketAddr,
    mut rng: StdRng,
    tally: Arc<Tally>,
    left: Arc<AtomicUsize>,
    bar: indicatif::ProgressBar,
) -> anyhow::Result<()> {
    let requests = requests();
    while let Some(count) = taken(&left) {
        if rng.random_ratio(1, FRAMES_EVERY) {
            for _ in 0..count {
                frames(address, &requests, &mut rng, &tally).await?;
            }
        } else {
            messages(address, &requests, &mut rng, &tally, count).await?;
        }
        bar.inc(count as u64);
    }
    Ok(())
}

/// Some of the rounds that are left.
fn taken(left: &AtomicUsize) -> Option<usize> {
    let before = left
        .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| (left > 0).then(|| left.saturating_sub(PIPELINED)));
    before.ok().map(|before| before.min(PIPELINED))
}

/// Damaged messages on one connection, each on a stream of its own that ends with it: each is answered, or all are closed.
async fn messages(
    address: SocketAddr,
    requests: &[Request],
    rng: &mut StdRng,
    tally: &Tally,
    count: usize,
) -> anyhow::Result<()> {
    let mut raw = Raw::open(address).await?;
    let mut bytes = Vec::new();
    for stream in (1..).step_by(2).take(count) {
        bytes.extend(damaged_request(requests, stream, rng));
    }
    tally.messages.fetch_add(count as u64, Ordering::Relaxed);
    // A server that closes early has answered as well.
    let _closed = raw.say(&bytes).await;
    listen(&mut raw, count, tally).await;
    Ok(())
}

/// Damaged frames on one connection, which then says that it has ended: so must the server.
async fn frames(address: SocketAddr, requests: &[Request], rng: &mut StdRng, tally: &Tally) -> anyhow::Result<()> {
    let mut raw = Raw::mute(address).await?;
    tally.frames.fetch_add(1, Ordering::Relaxed);
    let _closed = raw.say(&damaged_frames(requests, rng)).await;
    let _closed = raw.end().await;
    listen(&mut raw, usize::MAX, tally).await;
    Ok(())
}

async fn listen(raw: &mut Raw, streams: usize, tally: &Tally) {
    match raw.listen(streams, LIMIT).await {
        Some(heard) => {
            tally.answered.fetch_add(heard.ended as u64, Ordering::Relaxed);
            tally.closed.fetch_add(u64::from(heard.closed), Ordering::Relaxed);
        }
        None => {
            tally.hangs.fetch_add(1, Ordering::Relaxed);
        }
    }
}
