//! Messages that are no messages: bytes that do not follow the protocol are the caller's fault, and say so.
//!
//! What decodes them answers INTERNAL, as gRPC has it, and no retry would help: clients and alarms would take it for a
//! fault of the server.

use std::pin::Pin;
use std::task::{Context, Poll};

use http::{Request, Response};
use tonic::{Code, Status};
use tower::{Layer, Service};

use super::status::status;
use crate::app::AppError;

/// How a message that cannot be read is told.
const UNREADABLE: &str = "failed to decode Protobuf message: ";

/// Tells callers of messages that cannot be read.
#[derive(Debug, Clone, Copy, Default)]
pub struct UnreadableMessages;

/// [`UnreadableMessages`] in front of a service.
#[derive(Debug, Clone)]
pub struct TellsUnreadable<S> {
    inner: S,
}

impl<S> Layer<S> for UnreadableMessages {
    type Service = TellsUnreadable<S>;

    fn layer(&self, inner: S) -> Self::Service {
        TellsUnreadable { inner }
    }
}

impl<S, B, R> Service<Request<B>> for TellsUnreadable<S>
where
    S: Service<Request<B>, Response = Response<R>>,
    S::Future: Send + 'static,
    R: Default + 'static,
{
    type Response = Response<R>;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Response<R>, S::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let answered = self.inner.call(request);
        Box::pin(async move {
            let response = answered.await?;
            Ok(match unreadable(&response) {
                Some(error) => status(&error).into_http(),
                None => response,
            })
        })
    }
}

fn unreadable<R>(response: &Response<R>) -> Option<AppError> {
    // Most answers have their status at the end, and no message that cannot be read gets so far.
    let told = Status::from_header_map(response.headers())?;
    let why = told.message().strip_prefix(UNREADABLE).filter(|_| told.code() == Code::Internal)?;
    let (field, why) = located(why);
    Some(AppError::invalid(field, format!("cannot be read: {why}")))
}

/// Splits `Message.field: Inner.field: why` into the path of the field, and why; of a whole message, the path is `request`.
fn located(text: &str) -> (String, &str) {
    let mut path = Vec::new();
    let mut rest = text;
    while let Some((place, after)) = rest.split_once(": ")
        && let Some((message, field)) = place.split_once('.')
        && !message.contains(' ')
        && !field.contains(' ')
    {
        path.push(field);
        rest = after;
    }
    let field = if path.is_empty() { "request".to_owned() } else { path.join(".") };
    (field, rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_field_that_cannot_be_read_is_named() {
        let text = "RecordUsageRequest.event: UsageEvent.call_id: invalid string value: data is not UTF-8 encoded";
        assert_eq!(located(text), ("event.call_id".to_owned(), "invalid string value: data is not UTF-8 encoded"));
        assert_eq!(located("invalid wire type: 7"), ("request".to_owned(), "invalid wire type: 7"));
    }
}
