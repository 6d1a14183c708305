//! Requests whose headers have begun and do not end. HTTP/2 waits for them for ever, and hears nothing else on the connection meanwhile.
//!
//! Frames are told apart by their first nine bytes (RFC 9113, section 4.1); what they hold is not looked at.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

/// Bytes of a frame before what it holds: its length, type, flags and stream.
const HEAD_BYTES: usize = 9;
/// Types of frames that hold headers.
const HEADERS: u8 = 1;
const CONTINUATION: u8 = 9;
/// The flag of the last of them.
const END_HEADERS: u8 = 4;

/// Since when headers have begun that have not ended.
#[derive(Debug, Default)]
pub(super) struct OpenHeaders {
    since: Mutex<Option<Instant>>,
    begun: Notify,
}

impl OpenHeaders {
    /// Ends when the same headers have been open for `time`.
    pub(super) async fn last(&self, time: Duration) {
        loop {
            let Some(since) = self.since() else {
                self.begun.notified().await;
                continue;
            };
            tokio::time::sleep_until(since + time).await;
            if self.since() == Some(since) {
                return;
            }
        }
    }

    fn since(&self) -> Option<Instant> {
        *self.since.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set(&self, since: Option<Instant>) {
        *self.since.lock().unwrap_or_else(PoisonError::into_inner) = since;
        if since.is_some() {
            self.begun.notify_one();
        }
    }
}

/// Follows the frames that a client sends.
#[derive(Debug, Default)]
pub(super) struct Frames {
    /// Bytes that were read of the head at hand.
    head: usize,
    /// Bytes that are left of what the frame holds.
    left: usize,
    kind: u8,
    flags: u8,
    /// Whether headers are open after the last byte.
    is_open: bool,
    open: Arc<OpenHeaders>,
}

impl Frames {
    /// What is told of them.
    pub(super) fn open_headers(&self) -> Arc<OpenHeaders> {
        self.open.clone()
    }

    /// Follows what was read next.
    pub(super) fn read(&mut self, mut bytes: &[u8]) {
        let was_open = self.is_open;
        let mut have_ended = false;
        while let Some((first, rest)) = bytes.split_first() {
            if self.head < HEAD_BYTES {
                self.read_head(*first);
                bytes = rest;
            } else {
                let (held, rest) = bytes.split_at(self.left.min(bytes.len()));
                self.left -= held.len();
                bytes = rest;
            }
            if self.head == HEAD_BYTES && self.left == 0 {
                have_ended |= self.end_frame();
            }
        }
        // Most headers begin and end in what is read at once: nobody need be told of these.
        match (was_open && !have_ended, self.is_open) {
            (false, true) => self.open.set(Some(Instant::now())),
            (false, false) if was_open => self.open.set(None),
            _ => {}
        }
    }

    fn read_head(&mut self, byte: u8) {
        match self.head {
            0 => self.left = usize::from(byte),
            1 | 2 => self.left = self.left << 8 | usize::from(byte),
            3 => self.kind = byte,
            4 => self.flags = byte,
            _ => {}
        }
        self.head += 1;
        if self.head == HEAD_BYTES && self.kind == HEADERS {
            self.is_open = true;
        }
    }

    /// Whether headers ended with the frame.
    fn end_frame(&mut self) -> bool {
        self.head = 0;
        let ends = matches!(self.kind, HEADERS | CONTINUATION) && self.flags & END_HEADERS != 0;
        if ends {
            self.is_open = false;
        }
        ends
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIME: Duration = Duration::from_secs(5);
    const DATA: u8 = 0;
    const SETTINGS: u8 = 4;

    fn frame(kind: u8, flags: u8, held: usize) -> Vec<u8> {
        let [.., first, second, third] = held.to_be_bytes();
        let mut frame = vec![first, second, third, kind, flags, 0, 0, 0, 1];
        frame.resize(HEAD_BYTES + held, HEADERS);
        frame
    }

    fn is_open(frames: &Frames) -> bool {
        frames.open_headers().since().is_some()
    }

    #[test]
    fn headers_are_open_until_their_last_frame_has_ended_however_they_are_cut() {
        let whole = [
            (frame(SETTINGS, 0, 6), false),
            (frame(HEADERS, END_HEADERS, 300), false),
            (frame(DATA, END_HEADERS, 70_000), false),
            (frame(HEADERS, 1, 0), true),
            (frame(CONTINUATION, 0, 1), true),
            (frame(CONTINUATION, END_HEADERS, 0), false),
            (frame(DATA, 1, 0), false),
        ];
        for size in [1, 7, 1_000, 1 << 20] {
            let mut frames = Frames::default();
            for (number, (frame, open)) in whole.iter().enumerate() {
                frame.chunks(size).for_each(|chunk| frames.read(chunk));
                assert_eq!(is_open(&frames), *open, "frame {number} in parts of {size}");
            }
        }
        let mut frames = Frames::default();
        frames.read(&frame(HEADERS, END_HEADERS, 300)[..200]);
        assert!(is_open(&frames));
    }

    #[tokio::test(start_paused = true)]
    async fn each_request_has_the_time_for_itself() {
        let mut frames = Frames::default();
        let open = frames.open_headers();
        let start = Instant::now();
        let waiting = tokio::spawn(async move { open.last(TIME).await });
        for _ in 0..10 {
            frames.read(&frame(HEADERS, 0, 1));
            tokio::time::sleep(TIME / 2).await;
            frames.read(&frame(CONTINUATION, END_HEADERS, 1));
        }
        assert!(!waiting.is_finished());
        // The next ones begin with the same bytes that end those before.
        frames.read(&frame(HEADERS, 0, 1));
        tokio::time::sleep(TIME / 2).await;
        frames.read(&[frame(CONTINUATION, END_HEADERS, 1), frame(HEADERS, 0, 1)].concat());
        waiting.await.unwrap();
        assert_eq!(
            start.elapsed().as_secs(),
            32,
            "each half of the time, and the last all of it from the moment it began"
        );
    }
}
