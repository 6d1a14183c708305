//! A connection on which anything is said, and of which is noted what the server says to it.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::frame::{HEAD, flag, frame, hello, kind};

/// What the server said on a connection.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Heard {
    /// Streams that it ended, by an answer or a reset.
    pub(crate) ended: usize,
    /// Whether it closed the connection.
    pub(crate) closed: bool,
}

/// A connection.
#[derive(Debug)]
pub(crate) struct Raw {
    stream: TcpStream,
    unread: Vec<u8>,
}

impl Raw {
    /// Opens it and says nothing.
    pub(crate) async fn mute(address: SocketAddr) -> std::io::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, unread: Vec::new() })
    }

    /// Opens it and says what every client begins with.
    pub(crate) async fn open(address: SocketAddr) -> std::io::Result<Self> {
        let mut raw = Self::mute(address).await?;
        raw.say(&hello()).await?;
        raw.say(&frame(kind::SETTINGS, flag::ACK, 0, &[])).await?;
        Ok(raw)
    }

    /// Says this, however long the server takes to listen.
    pub(crate) async fn say(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.stream.write_all(bytes).await
    }

    /// Says that nothing more will be said.
    pub(crate) async fn end(&mut self) -> std::io::Result<()> {
        self.stream.shutdown().await
    }

    /// Says this while it reads what the server says, so that neither waits for the other; an error is the end.
    pub(crate) async fn exchange(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        let (mut reader, mut writer) = self.stream.split();
        let mut drained = [0; 16 << 10];
        let writing = writer.write_all(bytes);
        tokio::pin!(writing);
        loop {
            tokio::select! {
                written = &mut writing => return written,
                read = reader.read(&mut drained) => {
                    if read? == 0 {
                        return Err(std::io::ErrorKind::UnexpectedEof.into());
                    }
                }
            }
        }
    }

    /// Listens until so many streams have ended or the connection is closed; `None` = neither came within `limit`.
    pub(crate) async fn listen(&mut self, streams: usize, limit: Duration) -> Option<Heard> {
        timeout(limit, self.hear(streams)).await.ok()
    }

    async fn hear(&mut self, streams: usize) -> Heard {
        let mut heard = Heard::default();
        while heard.ended < streams {
            let mut part = [0; 16 << 10];
            match self.stream.read(&mut part).await {
                Ok(read @ 1..) => self.unread.extend(part.get(..read).unwrap_or_default()),
                // A reset is an end as good as another.
                Ok(0) | Err(_) => return Heard { closed: true, ..heard },
            }
            heard.ended += self.ended_streams();
        }
        heard
    }

    /// Takes whole frames off what is unread, and counts those that end a stream.
    fn ended_streams(&mut self) -> usize {
        let (mut ended, mut at) = (0, 0);
        while let Some([high, middle, low, kind, flags]) = self.unread.get(at..at + 5) {
            let length = usize::from(*high) << 16 | usize::from(*middle) << 8 | usize::from(*low);
            if self.unread.len() < at + HEAD + length {
                break;
            }
            let last = matches!(*kind, kind::DATA | kind::HEADERS) && flags & flag::END_STREAM != 0;
            ended += usize::from(last || *kind == kind::RST_STREAM);
            at += HEAD + length;
        }
        self.unread.drain(..at);
        ended
    }
}
