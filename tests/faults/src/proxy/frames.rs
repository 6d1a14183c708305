//! The frames of the PostgreSQL protocol, version 3, as far as a proxy needs to know them: a byte that says what it is, the
//! length of the rest, the rest. Only what a client says first has no such byte.

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt as _};

/// The length, itself included.
const LENGTH: usize = 4;
const QUERY: u8 = b'Q';
const COMMAND_COMPLETE: u8 = b'C';

/// Who speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    /// Its first frame has no type.
    Client,
    Server,
}

/// One frame, whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Frame {
    kind: Option<u8>,
    bytes: Bytes,
    /// Whether it had to be waited for; others arrived with the one before.
    pub(super) waited_for: bool,
}

impl Frame {
    /// As it came.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Whether a client asks to commit.
    pub(super) fn is_commit(&self) -> bool {
        self.kind == Some(QUERY) && self.text().is_some_and(|text| text.trim_ascii().eq_ignore_ascii_case(b"COMMIT"))
    }

    /// Whether a server says that it has committed.
    pub(super) fn is_committed(&self) -> bool {
        self.kind == Some(COMMAND_COMPLETE) && self.text() == Some(b"COMMIT")
    }

    /// What follows the length, up to the closing zero.
    fn text(&self) -> Option<&[u8]> {
        self.bytes.get(1 + LENGTH..)?.strip_suffix(&[0])
    }
}

/// Cuts what one side says into frames.
pub(super) struct Frames<R> {
    from: R,
    buffer: BytesMut,
    has_type: bool,
    waited: bool,
}

impl<R: AsyncRead + Unpin> Frames<R> {
    /// Reads what this side says.
    pub(super) fn new(from: R, side: Side) -> Self {
        Self { from, buffer: BytesMut::with_capacity(16 * 1_024), has_type: side == Side::Server, waited: true }
    }

    /// The next frame; `None` = the connection is over.
    pub(super) async fn next(&mut self) -> Option<Frame> {
        loop {
            if let Some(frame) = self.take() {
                return Some(frame);
            }
            self.waited = true;
            if self.from.read_buf(&mut self.buffer).await.ok()? == 0 {
                return None;
            }
        }
    }

    fn take(&mut self) -> Option<Frame> {
        let head = usize::from(self.has_type);
        let length = self.buffer.get(head..head + LENGTH)?;
        let length = length.iter().fold(0_usize, |length, byte| length << 8 | usize::from(*byte));
        let whole = head.checked_add(length)?;
        if self.buffer.len() < whole {
            return None;
        }
        let kind = if self.has_type { self.buffer.first().copied() } else { None };
        self.has_type = true;
        let waited_for = std::mem::take(&mut self.waited);
        Some(Frame { kind, bytes: self.buffer.split_to(whole).freeze(), waited_for })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_commit_is_seen_wherever_the_packets_end() {
        let startup = [0, 0, 0, 9, 0, 3, 0, 0, 0];
        let commit = b"Q\0\0\0\x0bCOMMIT\0";
        let begin = b"Q\0\0\0\x0aBEGIN\0";
        let said = [&startup[..], begin, commit].concat();
        for packet in 1..said.len() {
            let mut frames = in_packets(&said, packet);
            let mut seen = Vec::new();
            while let Some(frame) = frames.next().await {
                seen.push((frame.bytes().to_vec(), frame.is_commit()));
            }
            assert_eq!(
                seen,
                [(startup.to_vec(), false), (begin.to_vec(), false), (commit.to_vec(), true)],
                "packets of {packet} bytes"
            );
        }
    }

    #[tokio::test]
    async fn the_answer_to_a_commit_is_seen() {
        let said = b"C\0\0\0\x0bCOMMIT\0Z\0\0\0\x05I";
        let mut frames = Frames::new(&said[..], Side::Server);
        assert!(frames.next().await.unwrap().is_committed());
        assert!(!frames.next().await.unwrap().is_committed());
        assert!(frames.next().await.is_none());
    }

    /// What a client says, in packets of so many bytes.
    fn in_packets(said: &[u8], packet: usize) -> Frames<impl AsyncRead + Unpin + use<>> {
        let (mut to, from) = tokio::io::duplex(packet);
        let said = said.to_vec();
        tokio::spawn(async move { tokio::io::AsyncWriteExt::write_all(&mut to, &said).await });
        Frames::new(from, Side::Client)
    }
}
