//! Bytes of requests that are being received: of one request, and of all together.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use tonic::Status;

use super::room::{Room, Sender};
use super::turn::Pace;
use crate::app::AppError;
use crate::grpc::status::{request_too_large, status};
use crate::tenant::TenantId;

/// What a request may have beside its message: the frame of gRPC, and little else.
const BESIDE_THE_MESSAGE: usize = 1_024;
/// When to send a request again that had no room.
const RETRY: Duration = Duration::from_millis(250);

/// Bounds of the requests that are being received.
#[derive(Debug, Clone)]
pub(super) struct ReceivedBytes {
    request_limit: usize,
    room: Room,
}

impl ReceivedBytes {
    /// For requests with messages of up to `message_bytes`, of up to `limit` bytes together.
    pub(super) fn new(message_bytes: usize, limit: usize) -> Self {
        Self { request_limit: message_bytes.saturating_add(BESIDE_THE_MESSAGE), room: Room::new(limit) }
    }

    /// A body whose bytes count until it is dropped, which is when its message is decoded; `pace` is that of its connection.
    pub(super) fn counted<B>(&self, body: B, sender: Sender, pace: Arc<Pace>) -> Counted<B> {
        Counted { body, held: 0, bounds: self.clone(), sender, pace }
    }

    fn take(&self, tenant: TenantId, held: usize, bytes: usize) -> Result<(), Status> {
        if held.saturating_add(bytes) > self.request_limit {
            return Err(request_too_large(self.request_limit));
        }
        if self.room.take(tenant, bytes) {
            return Ok(());
        }
        Err(status(&AppError::Full { what: "room for requests that are being received", retry_after: RETRY }))
    }
}

/// A request's body.
#[derive(Debug)]
pub(super) struct Counted<B> {
    body: B,
    held: usize,
    bounds: ReceivedBytes,
    sender: Sender,
    pace: Arc<Pace>,
}

impl<B> Body for Counted<B>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<tonic::codegen::StdError>,
{
    type Data = Bytes;
    type Error = tonic::codegen::StdError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let polled = Pin::new(&mut self.body).poll_frame(context);
        let frame = match polled {
            Poll::Ready(Some(Ok(frame))) => frame,
            other => return other.map(|frame| frame.map(|frame| frame.map_err(Into::into))),
        };
        if let Some(data) = frame.data_ref() {
            let bytes = data.len();
            if let Err(refused) = self.bounds.take(self.sender.tenant(), self.held, bytes) {
                self.pace.refused();
                return Poll::Ready(Some(Err(refused.into())));
            }
            self.held += bytes;
        }
        Poll::Ready(Some(Ok(frame)))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl<B> Drop for Counted<B> {
    fn drop(&mut self) {
        self.bounds.room.give_back(self.sender.tenant(), self.held);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::{BodyExt as _, Full};

    fn body(bytes: usize) -> Full<Bytes> {
        Full::new(Bytes::from(vec![0; bytes]))
    }

    fn sender() -> Sender {
        let sender = Sender::default();
        sender.is(TenantId(1));
        sender
    }

    async fn code(room: &ReceivedBytes, bytes: usize) -> Option<tonic::Code> {
        let refused = room.counted(body(bytes), sender(), Arc::default()).collect().await.err()?;
        Some(refused.downcast_ref::<Status>().unwrap().code())
    }

    #[tokio::test]
    async fn a_request_larger_than_a_message_is_refused() {
        let room = ReceivedBytes::new(1_000, 10_000);
        assert_eq!(code(&room, 1_000 + BESIDE_THE_MESSAGE).await, None);
        assert_eq!(code(&room, 1_001 + BESIDE_THE_MESSAGE).await, Some(tonic::Code::ResourceExhausted));
    }

    #[tokio::test]
    async fn requests_share_the_room_until_they_are_dropped() {
        let room = ReceivedBytes::new(2_000, 4_000);
        let mut first = room.counted(body(2_000), sender(), Arc::default());
        first.frame().await.unwrap().unwrap();
        assert_eq!(code(&room, 1_000).await, None);
        let pace = Arc::new(Pace::default());
        let refused = room.counted(body(1_001), sender(), pace.clone()).collect().await.unwrap_err();
        assert_eq!(refused.downcast_ref::<Status>().unwrap().code(), tonic::Code::ResourceExhausted);
        assert!(pace.was_refused(), "its connection is read more slowly");
        drop(first);
        assert_eq!(code(&room, 2_001).await, None);
    }
}
