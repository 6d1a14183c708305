//! Attacks of many connections that hardly say anything.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::attack::Tally;
use crate::http2::frame::{PREFACE, call, claiming, flag, kind};
use crate::http2::raw::Raw;

/// Connections that a server takes by default.
const ALLOWED: u64 = 10_000;
/// So many more are tried.
const BEYOND: u64 = 500;
/// Files of a process beside its connections.
const OTHER_FILES: u64 = 300;
/// Connections that are opened at once.
const AT_ONCE: u64 = 250;
/// Longest time for opening them: a slow machine attacks with fewer, and says with how many.
const OPENING: Duration = Duration::from_secs(30);
/// Connections of slow clients.
const SLOW: usize = 200;
/// Time between two bytes of a slow client.
const SLOWNESS: Duration = Duration::from_millis(300);
/// How soon a refused connection shows that it is one.
const REFUSAL: Duration = Duration::from_millis(500);

/// Lets this process, and servers that it starts, have as many files as the system allows, and says how many.
pub(super) fn raise_open_files() -> anyhow::Result<u64> {
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    setrlimit(Resource::RLIMIT_NOFILE, hard, hard)?;
    Ok(hard)
}

/// As many connections as are allowed and some more, which then say nothing.
pub(super) async fn idle(
    address: SocketAddr,
    ready: CancellationToken,
    stop: CancellationToken,
) -> anyhow::Result<Tally> {
    let (files, _) = getrlimit(Resource::RLIMIT_NOFILE)?;
    let wanted = (ALLOWED + BEYOND).min(files.saturating_sub(OTHER_FILES));
    let mut held = Vec::new();
    let mut tally = Tally::default();
    let start = Instant::now();
    while tally.attempts < wanted && start.elapsed() < OPENING {
        let mut opening = JoinSet::new();
        for _ in 0..AT_ONCE.min(wanted - tally.attempts) {
            opening.spawn(Raw::open(address));
        }
        while let Some(opened) = opening.join_next().await {
            tally.attempts += 1;
            match opened? {
                Ok(raw) => held.push(raw),
                Err(_) => tally.ended += 1,
            }
        }
    }
    // One that was refused is closed by now; those that are held say nothing for longer than this.
    let mut looking = JoinSet::new();
    for mut raw in held {
        looking.spawn(async move {
            let heard = raw.listen(1, REFUSAL).await;
            (raw, heard.is_some())
        });
    }
    let mut still = Vec::new();
    while let Some(looked) = looking.join_next().await {
        let (raw, refused) = looked?;
        if refused { tally.ended += 1 } else { still.push(raw) }
    }
    tally.held = still.len() as u64;
    ready.cancel();
    stop.cancelled().await;
    Ok(tally)
}

/// Prefaces, a byte at a time.
pub(super) async fn slow_preface(address: SocketAddr, stop: CancellationToken) -> anyhow::Result<Tally> {
    trickle(address, stop, false, PREFACE.to_vec()).await
}

/// A list of headers, a byte at a time.
pub(super) async fn slow_headers(address: SocketAddr, stop: CancellationToken) -> anyhow::Result<Tally> {
    let list = call("/tollgate.v1.UsageService/RecordUsage", &[]);
    let claimed = claiming(8_000, kind::HEADERS, flag::END_HEADERS, 1, &list);
    trickle(address, stop, true, claimed).await
}

async fn trickle(address: SocketAddr, stop: CancellationToken, greet: bool, bytes: Vec<u8>) -> anyhow::Result<Tally> {
    let mut clients = JoinSet::new();
    for _ in 0..SLOW {
        let (stop, bytes) = (stop.clone(), bytes.clone());
        clients.spawn(async move {
            let (mut attempts, mut ended) = (0, 0);
            while !stop.is_cancelled() {
                attempts += 1;
                let opened = if greet { Raw::open(address).await } else { Raw::mute(address).await };
                let Ok(mut raw) = opened else { continue };
                for byte in bytes.iter().copied().chain(std::iter::repeat(0)) {
                    if stop.is_cancelled() {
                        return (attempts, ended);
                    }
                    if raw.say(&[byte]).await.is_err() {
                        ended += 1;
                        break;
                    }
                    tokio::time::sleep(SLOWNESS).await;
                }
            }
            (attempts, ended)
        });
    }
    let mut tally = Tally { held: SLOW as u64, ..Tally::default() };
    while let Some(client) = clients.join_next().await {
        let (attempts, ended) = client?;
        tally.attempts += attempts;
        tally.ended += ended;
    }
    Ok(tally)
}
