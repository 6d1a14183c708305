//! How much one connection may say before others are heard.
//!
//! A task of tokio is interrupted nowhere: who sends as fast as the network carries would be read for milliseconds on end, and as
//! many such connections as there are threads would be all that is heard. What the runtime counts by itself are reads, 128
//! in a turn, whatever they hold. And who sends what has to be refused is read more slowly, so that refusing does not
//! take the processors from those whose calls are taken.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::time::{Sleep, sleep};

/// Most bytes that are read in one turn: a fraction of a millisecond's work, and more than nearly every request has.
const BYTES: usize = 64 << 10;
/// How long a connection is not read after a refusal: a fraction of what the refused are asked to wait.
const PAUSE: Duration = Duration::from_millis(50);

/// How fast a connection is read.
#[derive(Debug, Default)]
pub(super) struct Pace {
    refused: AtomicBool,
}

impl Pace {
    /// Bytes were refused that the connection had sent.
    pub(super) fn refused(&self) {
        self.refused.store(true, Ordering::Relaxed);
    }

    /// Whether there was a refusal since it was asked last.
    pub(super) fn was_refused(&self) -> bool {
        self.refused.swap(false, Ordering::Relaxed)
    }
}

/// What a connection has read in its turn.
#[derive(Debug, Default)]
pub(super) struct Turn {
    read: usize,
    pace: Arc<Pace>,
    pause: Option<Pin<Box<Sleep>>>,
}

impl Turn {
    /// How fast the connection is read.
    pub(super) fn pace(&self) -> Arc<Pace> {
        self.pace.clone()
    }

    /// Reads with `read`, which says how many bytes it read; ends the turn when it has had its share.
    pub(super) fn poll<E>(
        &mut self,
        context: &mut Context<'_>,
        read: impl FnOnce(&mut Context<'_>) -> Poll<Result<usize, E>>,
    ) -> Poll<Result<(), E>> {
        if self.pause.is_none() && self.pace.was_refused() {
            self.pause = Some(Box::pin(sleep(PAUSE)));
        }
        if let Some(pause) = &mut self.pause {
            ready!(pause.as_mut().poll(context));
            self.pause = None;
            self.read = 0;
        }
        if self.read >= BYTES {
            self.read = 0;
            // There may be more: this task comes back behind those that wait.
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        let polled = read(context);
        match &polled {
            Poll::Ready(Ok(bytes)) => self.read += bytes,
            Poll::Ready(Err(_)) | Poll::Pending => self.read = 0,
        }
        polled.map_ok(drop)
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use futures::task::noop_waker_ref;
    use tokio::time::Instant;

    use super::*;

    /// How many reads of so many bytes come before the turn ends.
    fn reads(turn: &mut Turn, bytes: usize) -> usize {
        let mut context = Context::from_waker(noop_waker_ref());
        (0..10_000)
            .take_while(|_| turn.poll(&mut context, |_| Poll::Ready(Ok::<_, Infallible>(bytes))).is_ready())
            .count()
    }

    #[test]
    fn a_turn_ends_with_its_share_and_another_one_begins() {
        let mut turn = Turn::default();
        assert_eq!(reads(&mut turn, BYTES / 8), 8);
        assert_eq!(reads(&mut turn, BYTES / 8), 8);
        assert_eq!(reads(&mut turn, 4 * BYTES), 1);
    }

    #[test]
    fn who_has_nothing_more_to_say_begins_anew() {
        let mut turn = Turn::default();
        let mut context = Context::from_waker(noop_waker_ref());
        for _ in 0..100 {
            assert!(turn.poll(&mut context, |_| Poll::Ready(Ok::<_, Infallible>(BYTES / 2))).is_ready());
            assert!(turn.poll(&mut context, |_| Poll::<Result<usize, Infallible>>::Pending).is_pending());
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_is_not_read_for_a_while_after_a_refusal() {
        let mut turn = Turn::default();
        let pace = turn.pace();
        let mut read = async || {
            let start = Instant::now();
            std::future::poll_fn(|context| turn.poll(context, |_| Poll::Ready(Ok::<_, Infallible>(1)))).await.unwrap();
            start.elapsed()
        };
        assert_eq!(read().await, Duration::ZERO);
        pace.refused();
        pace.refused();
        assert!(read().await >= PAUSE);
        assert_eq!(read().await, Duration::ZERO, "one pause for what was refused before it");
    }
}
