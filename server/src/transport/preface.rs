//! The first bytes of HTTP/2. They are read before HTTP/2 begins, so that a deadline holds for them, and whoever speaks
//! something else is told.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadBuf};

use super::open_headers::{Frames, OpenHeaders};
use super::turn::{Pace, Turn};

/// What a client of HTTP/2 says first.
const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// What a client of HTTP/1 is told.
const NOT_HTTP_1: &[u8] =
    b"HTTP/1.1 505 HTTP Version Not Supported\r\nconnection: close\r\ncontent-type: text/plain\r\n\
    content-length: 47\r\n\r\nthis port speaks gRPC, which is HTTP/2 alone.\r\n";
/// Most bytes of a refused request that are read, so that the client sees the answer and not a reset.
const READ_OF_REFUSED: u64 = 64 << 10;

/// Reads the preface; `None` = the client speaks something else, and was told where it may understand.
///
/// # Errors
/// Where the connection breaks.
pub(super) async fn read<IO>(mut io: IO) -> io::Result<Option<Prefaced<IO>>>
where
    IO: AsyncRead + AsyncWrite + Unpin,
{
    let mut read = [0; PREFACE.len()];
    let mut length = 0;
    while length < PREFACE.len() {
        let more = match read.get_mut(length..) {
            Some(rest) => io.read(rest).await?,
            None => 0,
        };
        length += more;
        let said = read.get(..length).unwrap_or_default();
        if !PREFACE.starts_with(said) {
            if said.iter().all(u8::is_ascii) {
                refuse(&mut io).await?;
            }
            return Ok(None);
        }
        if more == 0 {
            return Ok(None);
        }
    }
    Ok(Some(Prefaced { io, told: 0, frames: Frames::default(), turn: Turn::default() }))
}

async fn refuse(io: &mut (impl AsyncRead + AsyncWrite + Unpin)) -> io::Result<()> {
    io.write_all(NOT_HTTP_1).await?;
    io.shutdown().await?;
    tokio::io::copy(&mut io.take(READ_OF_REFUSED), &mut tokio::io::sink()).await?;
    Ok(())
}

/// A connection whose preface has been read, and is told once more; then its frames are followed.
#[derive(Debug)]
pub(super) struct Prefaced<IO> {
    io: IO,
    told: usize,
    frames: Frames,
    turn: Turn,
}

impl<IO> Prefaced<IO> {
    /// Requests whose headers do not end.
    pub(super) fn open_headers(&self) -> Arc<OpenHeaders> {
        self.frames.open_headers()
    }

    /// How fast it is read.
    pub(super) fn pace(&self) -> Arc<Pace> {
        self.turn.pace()
    }
}

impl<IO: AsyncRead + Unpin> AsyncRead for Prefaced<IO> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let rest = PREFACE.get(self.told..).unwrap_or_default();
        if rest.is_empty() {
            let Self { io, frames, turn, .. } = &mut *self;
            return turn.poll(context, |context| {
                let before = buffer.filled().len();
                let polled = Pin::new(io).poll_read(context, buffer);
                let read = buffer.filled().get(before..).unwrap_or_default();
                frames.read(read);
                polled.map_ok(|()| read.len())
            });
        }
        let part = rest.get(..rest.len().min(buffer.remaining())).unwrap_or_default();
        buffer.put_slice(part);
        self.told += part.len();
        Poll::Ready(Ok(()))
    }
}

impl<IO: AsyncWrite + Unpin> AsyncWrite for Prefaced<IO> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(context, buffer)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffers: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(context, buffers)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_preface_is_told_once_more_and_nothing_behind_it_is_read() {
        let (mut client, server) = tokio::io::duplex(1_024);
        client.write_all(PREFACE).await.unwrap();
        client.write_all(b"frames").await.unwrap();
        client.shutdown().await.unwrap();
        let mut text = Vec::new();
        read(server).await.unwrap().unwrap().read_to_end(&mut text).await.unwrap();
        assert_eq!(text, [PREFACE.as_slice(), b"frames"].concat());
    }

    #[tokio::test]
    async fn a_client_of_http_1_is_told_so() {
        let (mut client, server) = tokio::io::duplex(1_024);
        client.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
        client.shutdown().await.unwrap();
        assert!(read(server).await.unwrap().is_none());
        let mut text = String::new();
        client.read_to_string(&mut text).await.unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("HTTP/1.1 505 "), "{head}");
        assert!(head.contains(&format!("content-length: {}", body.len())), "{text}");
    }

    #[tokio::test]
    async fn other_bytes_and_an_early_end_are_no_preface() {
        for said in [b"\x16\x03\x01\x02\x00".as_slice(), b"PRI * HTTP/2.0\r\n", b""] {
            let (mut client, server) = tokio::io::duplex(1_024);
            client.write_all(said).await.unwrap();
            client.shutdown().await.unwrap();
            assert!(read(server).await.unwrap().is_none(), "{said:?}");
        }
    }
}
