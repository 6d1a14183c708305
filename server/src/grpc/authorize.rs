//! Before every call: who calls, and whether they may.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures::stream::{BoxStream, Stream, StreamExt as _, unfold};
use http::request::Parts;
use http::{Request, Response};
use tonic::Status;
use tower::{Layer, Service};

use super::needs::{Need, need};
use super::status::status;
use crate::app::AppError;
use crate::auth::{Caller, Credentials, Presented, PresentedSecret, Refusal, presented, strip};
use crate::ledger::Pins;
use crate::transport::{ClientCertificate, Sender};

/// Puts a [`Caller`] into every request, or refuses it.
#[derive(Debug, Clone)]
pub struct AuthorizeLayer {
    credentials: Credentials,
    required: bool,
}

impl AuthorizeLayer {
    /// Where a credential is not `required`, callers without one are the local tenant with everything; one that is sent is
    /// checked in any case.
    pub fn new(credentials: Credentials, required: bool) -> Self {
        Self { credentials, required }
    }

    /// Who calls the method at the path of this request.
    async fn caller(&self, head: &Parts) -> Result<Caller, AppError> {
        let need = need(head.uri.path());
        if need == Some(Need::Nothing) {
            return Ok(Caller::nobody());
        }
        let caller = match self.shown(head).await? {
            Some(caller) => caller,
            None if self.required => return Err(Refusal::Missing.into()),
            None => Caller::local(),
        };
        need.ok_or(AppError::NotImplemented("this method"))?.check(&caller)?;
        Ok(caller)
    }
}

impl AuthorizeLayer {
    /// Who shows a secret or, where one is asked for and none is sent, the client certificate of a key.
    async fn shown(&self, head: &Parts) -> Result<Option<Caller>, Refusal> {
        let presented = presented(&head.headers)?;
        let certificate = head.extensions.get::<ClientCertificate>();
        match certificate.filter(|_| self.required && presented.secret.is_none()) {
            None => self.credentials.caller(presented).await,
            Some(certificate) => {
                let secret = Some(PresentedSecret::of_certificate(certificate.public_key()));
                match self.credentials.caller(Presented { secret, ..presented }).await {
                    // A certificate need not be that of a key: the caller lacks a credential.
                    Err(Refusal::Unknown) => Ok(None),
                    shown => shown,
                }
            }
        }
    }
}

impl<S> Layer<S> for AuthorizeLayer {
    type Service = Authorize<S>;

    fn layer(&self, inner: S) -> Authorize<S> {
        Authorize { layer: self.clone(), inner }
    }
}

/// What [`AuthorizeLayer`] makes of a service.
#[derive(Debug, Clone)]
pub struct Authorize<S> {
    layer: AuthorizeLayer,
    inner: S,
}

impl<S, B, R> Service<Request<B>> for Authorize<S>
where
    S: Service<Request<B>, Response = Response<R>> + Clone + Send + 'static,
    S::Future: Send,
    B: Send + 'static,
    R: Default,
{
    type Response = Response<R>;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Response<R>, S::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let layer = self.layer.clone();
        // The one that is ready serves the call, its copy the next one.
        let ready = self.inner.clone();
        let mut inner = std::mem::replace(&mut self.inner, ready);
        Box::pin(async move {
            let (mut head, body) = request.into_parts();
            match layer.caller(&head).await {
                Ok(caller) => {
                    strip(&mut head.headers);
                    if let Some(sender) = head.extensions.get::<Sender>() {
                        sender.is(caller.tenant);
                    }
                    head.extensions.insert(caller);
                    inner.call(Request::from_parts(head, body)).await
                }
                Err(error) => Ok(status(&error).into_http()),
            }
        })
    }
}

/// Who makes this call.
pub(super) fn caller_of<T>(request: &tonic::Request<T>) -> Caller {
    // The layer is before every route; without it there would be nobody.
    request.extensions().get::<Caller>().cloned().unwrap_or_else(Caller::nobody)
}

/// What the caller's key pins.
pub(super) fn pins_of(caller: &Caller) -> Pins {
    Pins::new(caller.pinned.clone())
}

/// The stream as long as the caller's credential is good.
pub(super) fn while_authorized<T: Send + 'static>(
    caller: Caller,
    messages: impl Stream<Item = Result<T, Status>> + Send + 'static,
) -> BoxStream<'static, Result<T, Status>> {
    let ended = Box::pin(async move { caller.ended().await });
    unfold(Some((messages.boxed(), ended)), |open| async move {
        let (mut messages, mut ended) = open?;
        tokio::select! {
            biased;
            refusal = &mut ended => Some((Err(status(&refusal.into())), None)),
            message = messages.next() => message.map(|message| (message, Some((messages, ended)))),
        }
    })
    .boxed()
}
