//! Before what would be recorded is decoded: whether there is room for it.
//!
//! A tenant that floods has nearly all of its events refused. Each message that is decoded and checked only to be refused takes the
//! processors from calls that are taken; here its bytes are dropped as they come. They are waited for: a stream that was reset while
//! its client still sends would count as a fault of the connection, which has other calls.

use std::pin::{Pin, pin};
use std::task::{Context, Poll};

use futures::future::{BoxFuture, Either};
use http::{Request, Response};
use http_body::Body;
use http_body_util::BodyExt as _;
use tower::{Layer, Service};

use super::status::status;
use crate::app::AppError;
use crate::auth::Caller;
use crate::ledger::Ledger;

/// What may be large, and always goes through the queue. Checks may be those that only look, which wait elsewhere.
const RECORDING: [&str; 2] = ["/tollgate.v1.UsageService/RecordUsage", "/tollgate.v1.UsageService/BatchRecordUsage"];

/// Turns away what would find no room. Behind [`super::AuthorizeLayer`], which tells who calls.
#[derive(Debug, Clone)]
pub struct TurnAwayLayer {
    ledger: Ledger,
}

impl TurnAwayLayer {
    /// In front of this ledger.
    pub fn new(ledger: Ledger) -> Self {
        Self { ledger }
    }

    fn refusal<B>(&self, request: &Request<B>) -> Option<AppError> {
        if !RECORDING.contains(&request.uri().path()) {
            return None;
        }
        let caller = request.extensions().get::<Caller>()?;
        self.ledger.room(caller.tenant).err()
    }
}

impl<S> Layer<S> for TurnAwayLayer {
    type Service = TurnsAway<S>;

    fn layer(&self, inner: S) -> TurnsAway<S> {
        TurnsAway { layer: self.clone(), inner }
    }
}

/// What [`TurnAwayLayer`] makes of a service.
#[derive(Debug, Clone)]
pub struct TurnsAway<S> {
    layer: TurnAwayLayer,
    inner: S,
}

impl<S, B, R> Service<Request<B>> for TurnsAway<S>
where
    S: Service<Request<B>, Response = Response<R>>,
    B: Body + Send + 'static,
    B::Data: Send,
    B::Error: Send,
    R: Default,
{
    type Response = Response<R>;
    type Error = S::Error;
    type Future = Either<BoxFuture<'static, Result<Response<R>, S::Error>>, S::Future>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        match self.layer.refusal(&request) {
            Some(error) => Either::Left(Box::pin(async move {
                drain(pin!(request.into_body())).await;
                Ok(status(&error).into_http())
            })),
            None => Either::Right(self.inner.call(request)),
        }
    }
}

/// Drops what is sent, as it comes, until its end or what is over a bound.
async fn drain<B: Body>(mut body: Pin<&mut B>) {
    while let Some(Ok(_)) = body.frame().await {}
}
