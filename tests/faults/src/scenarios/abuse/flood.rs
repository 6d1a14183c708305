//! Attacks that send as much as they can on a few connections, and come back when they are thrown out.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::attack::Tally;
use crate::http2::raw::Raw;

/// Connections of an attacker.
const CONNECTIONS: usize = 4;
/// Streams on one of them until it is opened anew.
const STREAMS: u32 = 100_000;
/// Pause between two pieces: the attacker runs on the same processors as whoever is attacked, and must leave some of them.
const PAUSE: Duration = Duration::from_millis(1);
/// Pause before a connection is opened anew.
const COME_BACK: Duration = Duration::from_millis(20);

/// What is sent for each stream.
type Piece = Arc<dyn Fn(u32) -> Vec<u8> + Send + Sync>;

/// What is sent on each connection: something first, then pieces without end.
#[derive(Clone)]
pub(super) struct Flood {
    first: Vec<u8>,
    at_once: usize,
    piece: Piece,
}

impl Flood {
    /// The same piece again and again, after something that comes once.
    pub(super) fn one_stream(first: Vec<u8>, piece: Vec<u8>) -> Self {
        Self { first, at_once: 1, piece: Arc::new(move |_| piece.clone()) }
    }

    /// A piece for each new stream, so many of them at once.
    pub(super) fn each_stream(at_once: usize, piece: impl Fn(u32) -> Vec<u8> + Send + Sync + 'static) -> Self {
        Self { first: Vec::new(), at_once, piece: Arc::new(piece) }
    }
}

/// Floods until it is told to stop.
pub(super) async fn run(address: SocketAddr, stop: CancellationToken, flood: Flood) -> anyhow::Result<Tally> {
    let mut attackers = JoinSet::new();
    for _ in 0..CONNECTIONS {
        let (flood, stop) = (flood.clone(), stop.clone());
        attackers.spawn(async move {
            let mut tally = Tally { held: 1, ..Tally::default() };
            let stopped = stop.cancelled();
            tokio::pin!(stopped);
            loop {
                tokio::select! {
                    () = &mut stopped => return tally,
                    () = connection(address, &flood, &mut tally) => tally.ended += 1,
                }
                tokio::time::sleep(COME_BACK).await;
            }
        });
    }
    let mut all = Tally::default();
    while let Some(tally) = attackers.join_next().await {
        let Tally { attempts, held, ended } = tally?;
        all = Tally { attempts: all.attempts + attempts, held: all.held + held, ended: all.ended + ended };
    }
    Ok(all)
}

/// Until the server ends it.
async fn connection(address: SocketAddr, flood: &Flood, tally: &mut Tally) {
    let Ok(mut raw) = Raw::open(address).await else { return };
    if raw.say(&flood.first).await.is_err() {
        return;
    }
    let mut streams = (1..STREAMS).step_by(2);
    loop {
        // Whole pieces at once: an attacker that makes them a byte at a time attacks its own processor.
        let mut pieces = Vec::new();
        for stream in streams.by_ref().take(flood.at_once) {
            pieces.extend((flood.piece)(stream));
        }
        if pieces.is_empty() || raw.exchange(&pieces).await.is_err() {
            return;
        }
        tally.attempts += 1;
        tokio::time::sleep(PAUSE).await;
    }
}
