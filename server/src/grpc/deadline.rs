//! `grpc-timeout`: how long a caller waits, told to what works for it.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use http::{HeaderMap, Request};
use tokio::time::Instant;
use tower::{Layer, Service};

use crate::ledger::deadline::within;

const TIMEOUT: &str = "grpc-timeout";
/// Most digits that the protocol allows.
const DIGITS: usize = 8;

/// Puts the deadline of each call around it.
#[derive(Debug, Clone, Copy, Default)]
pub struct Deadlines;

/// [`Deadlines`] in front of a service.
#[derive(Debug, Clone)]
pub struct WithDeadline<S> {
    inner: S,
}

impl<S> Layer<S> for Deadlines {
    type Service = WithDeadline<S>;

    fn layer(&self, inner: S) -> Self::Service {
        WithDeadline { inner }
    }
}

impl<S, B> Service<Request<B>> for WithDeadline<S>
where
    S: Service<Request<B>>,
    S::Future: Send + 'static,
    S::Response: 'static,
    S::Error: 'static,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<S::Response, S::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let deadline = timeout(request.headers()).and_then(|timeout| Instant::now().checked_add(timeout));
        Box::pin(within(deadline, self.inner.call(request)))
    }
}

/// The timeout that the caller told; `None` where there is none, or none that can be read.
fn timeout(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(TIMEOUT)?.to_str().ok()?;
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    if digits.is_empty() || digits.len() > DIGITS || !digits.bytes().all(|digit| digit.is_ascii_digit()) {
        return None;
    }
    let count: u64 = digits.parse().ok()?;
    match unit {
        "H" => Some(Duration::from_secs(count * 3_600)),
        "M" => Some(Duration::from_secs(count * 60)),
        "S" => Some(Duration::from_secs(count)),
        "m" => Some(Duration::from_millis(count)),
        "u" => Some(Duration::from_micros(count)),
        "n" => Some(Duration::from_nanos(count)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timeouts_are_read_in_every_unit_of_the_protocol() {
        let read =
            |text: &'static str| timeout(&HeaderMap::from_iter([(TIMEOUT.parse().unwrap(), text.parse().unwrap())]));
        for (text, seconds) in
            [("2H", 7_200.0), ("3M", 180.0), ("99999999S", 99_999_999.0), ("20m", 0.02), ("5u", 5e-6)]
        {
            assert_eq!(read(text), Some(Duration::from_secs_f64(seconds)), "{text}");
        }
        assert_eq!(read("7n"), Some(Duration::from_nanos(7)));
        for broken in ["", "S", "-1S", "1", "1s", "999999999S", "1.5S"] {
            assert_eq!(read(broken), None, "{broken}");
        }
        assert_eq!(timeout(&HeaderMap::new()), None);
    }
}
