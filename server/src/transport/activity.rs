//! Which requests a connection has under way, and whether it is quiet.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Frame, SizeHint};
use tonic::body::Body;

/// The requests of one connection.
#[derive(Debug, Default)]
pub(super) struct Activity {
    under_way: AtomicUsize,
    begun: AtomicU64,
}

impl Activity {
    /// A request begins, and ends when the answer is dropped.
    pub(super) fn begin(self: &Arc<Self>) -> UnderWay {
        self.begun.fetch_add(1, Ordering::Relaxed);
        self.under_way.fetch_add(1, Ordering::Relaxed);
        UnderWay(self.clone())
    }

    /// Ends when there was no request for at least `time`, at the latest after twice as long.
    pub(super) async fn quiet_for(&self, time: Duration) {
        loop {
            let before = self.begun.load(Ordering::Relaxed);
            let was_quiet = self.under_way.load(Ordering::Relaxed) == 0;
            tokio::time::sleep(time).await;
            if was_quiet && self.begun.load(Ordering::Relaxed) == before {
                return;
            }
        }
    }
}

/// A request that is under way as long as this lives.
#[derive(Debug)]
pub(super) struct UnderWay(Arc<Activity>);

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.under_way.fetch_sub(1, Ordering::Relaxed);
    }
}

/// What is sent in answer to a request that is under way until then.
#[derive(Debug)]
pub(super) struct Answer {
    body: Body,
    _under_way: Option<UnderWay>,
}

impl Answer {
    /// The request is under way until the answer is sent or given up; `None` = it does not count.
    pub(super) fn new(body: Body, under_way: Option<UnderWay>) -> Self {
        Self { body, _under_way: under_way }
    }
}

impl http_body::Body for Answer {
    type Data = Bytes;
    type Error = tonic::Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, tonic::Status>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIME: Duration = Duration::from_secs(10);

    #[tokio::test(start_paused = true)]
    async fn a_connection_is_quiet_from_its_last_answer_on() {
        let activity = Arc::new(Activity::default());
        let answer = Answer::new(Body::empty(), Some(activity.begin()));
        let quiet = tokio::spawn({
            let activity = activity.clone();
            async move { activity.quiet_for(TIME).await }
        });
        tokio::time::sleep(5 * TIME).await;
        assert!(!quiet.is_finished(), "a request is under way");
        drop(answer);
        quiet.await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_between_two_looks_is_not_missed() {
        let activity = Arc::new(Activity::default());
        let start = tokio::time::Instant::now();
        let later = activity.clone();
        tokio::spawn(async move {
            tokio::time::sleep(TIME / 2).await;
            drop(later.begin());
        });
        activity.quiet_for(TIME).await;
        assert_eq!(start.elapsed().as_secs(), 2 * TIME.as_secs());
    }
}
