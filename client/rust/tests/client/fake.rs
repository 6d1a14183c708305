//! A server whose answers the test writes, over real HTTP/2 on the loopback.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::stream::{BoxStream, StreamExt};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_stream::wrappers::TcpListenerStream;
use tollgate_client::v1::budget_service_server::{BudgetService, BudgetServiceServer};
use tollgate_client::v1::usage_service_server::{UsageService, UsageServiceServer};
use tollgate_client::{Client, RetryPolicy, v1};
use tonic::{Request, Response, Status};

/// What the server does with one request.
pub(crate) enum Reply<A> {
    Answer(A),
    Fail(Status),
    /// Never answers.
    Hang,
}

type Handler<Q, A> = Box<dyn Fn(Q) -> Reply<A> + Send + Sync>;
pub(crate) type Messages = Vec<Result<v1::StreamUsageResponse, Status>>;

/// The handlers of one server; what is not set is UNIMPLEMENTED.
#[derive(Default)]
pub(crate) struct Fake {
    pub(crate) record: Option<Handler<v1::RecordUsageRequest, v1::RecordUsageResponse>>,
    pub(crate) batch: Option<Handler<v1::BatchRecordUsageRequest, v1::BatchRecordUsageResponse>>,
    pub(crate) list: Option<Handler<v1::ListUsageRequest, v1::ListUsageResponse>>,
    pub(crate) summary: Option<Handler<v1::GetSummaryRequest, v1::GetSummaryResponse>>,
    pub(crate) totals: Option<Handler<v1::GetTotalsRequest, v1::GetTotalsResponse>>,
    /// The messages of a stream, which stays open and silent after the last one unless that is an error.
    pub(crate) stream: Option<Handler<v1::StreamUsageRequest, Messages>>,
    pub(crate) check: Option<Handler<v1::CheckBudgetRequest, v1::CheckBudgetResponse>>,
    pub(crate) extend: Option<Handler<v1::ExtendReservationRequest, v1::ExtendReservationResponse>>,
    pub(crate) release: Option<Handler<v1::ReleaseReservationRequest, v1::ReleaseReservationResponse>>,
    pub(crate) create_budget: Option<Handler<v1::CreateBudgetRequest, v1::CreateBudgetResponse>>,
    /// The authorization and the user agent of every request.
    pub(crate) headers: Arc<Mutex<Vec<(String, String)>>>,
}

#[derive(Clone)]
struct Service(Arc<Fake>);

impl Service {
    async fn reply<Q, A>(&self, handler: Option<&Handler<Q, A>>, request: Request<Q>) -> Result<Response<A>, Status> {
        let header =
            |name| request.metadata().get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned();
        self.0.headers.lock().unwrap().push((header("authorization"), header("user-agent")));
        let Some(handler) = handler else { return Err(not_here()) };
        match handler(request.into_inner()) {
            Reply::Answer(answer) => Ok(Response::new(answer)),
            Reply::Fail(status) => Err(status),
            Reply::Hang => std::future::pending().await,
        }
    }
}

fn not_here() -> Status {
    Status::unimplemented("the test gave no handler")
}

/// Implements a whole service, since its attribute must see the methods.
macro_rules! service {
    ($service:ident { $($method:ident($request:ident) -> $response:ident $(= $handler:ident)?;)* } $($rest:tt)*) => {
        #[tonic::async_trait]
        impl $service for Service {
            $(
                async fn $method(&self, request: Request<v1::$request>) -> Result<Response<v1::$response>, Status> {
                    service!(@reply self, request $(, $handler)?)
                }
            )*
            $($rest)*
        }
    };
    (@reply $self:ident, $request:ident, $handler:ident) => { $self.reply($self.0.$handler.as_ref(), $request).await };
    (@reply $self:ident, $request:ident) => { $self.reply(None, $request).await };
}

service! {
    UsageService {
        record_usage(RecordUsageRequest) -> RecordUsageResponse = record;
        batch_record_usage(BatchRecordUsageRequest) -> BatchRecordUsageResponse = batch;
        amend_usage(AmendUsageRequest) -> AmendUsageResponse;
        get_usage(GetUsageRequest) -> GetUsageResponse;
        list_usage(ListUsageRequest) -> ListUsageResponse = list;
        get_totals(GetTotalsRequest) -> GetTotalsResponse = totals;
        get_summary(GetSummaryRequest) -> GetSummaryResponse = summary;
    }

    type ExportUsageStream = BoxStream<'static, Result<v1::ExportUsageResponse, Status>>;
    async fn export_usage(
        &self,
        _: Request<v1::ExportUsageRequest>,
    ) -> Result<Response<Self::ExportUsageStream>, Status> {
        Err(not_here())
    }

    type StreamUsageStream = BoxStream<'static, Result<v1::StreamUsageResponse, Status>>;
    async fn stream_usage(
        &self,
        request: Request<v1::StreamUsageRequest>,
    ) -> Result<Response<Self::StreamUsageStream>, Status> {
        let messages = self.reply(self.0.stream.as_ref(), request).await?.into_inner();
        Ok(Response::new(futures::stream::iter(messages).chain(futures::stream::pending()).boxed()))
    }
}

service! {
    BudgetService {
        check_budget(CheckBudgetRequest) -> CheckBudgetResponse = check;
        extend_reservation(ExtendReservationRequest) -> ExtendReservationResponse = extend;
        release_reservation(ReleaseReservationRequest) -> ReleaseReservationResponse = release;
        get_reservation(GetReservationRequest) -> GetReservationResponse;
        list_reservations(ListReservationsRequest) -> ListReservationsResponse;
        create_budget(CreateBudgetRequest) -> CreateBudgetResponse = create_budget;
        get_budget(GetBudgetRequest) -> GetBudgetResponse;
        list_budgets(ListBudgetsRequest) -> ListBudgetsResponse;
        update_budget(UpdateBudgetRequest) -> UpdateBudgetResponse;
        delete_budget(DeleteBudgetRequest) -> DeleteBudgetResponse;
        set_budget_override(SetBudgetOverrideRequest) -> SetBudgetOverrideResponse;
        list_budget_overrides(ListBudgetOverridesRequest) -> ListBudgetOverridesResponse;
        delete_budget_override(DeleteBudgetOverrideRequest) -> DeleteBudgetOverrideResponse;
        list_budget_states(ListBudgetStatesRequest) -> ListBudgetStatesResponse;
    }
}

/// A running server. It is gone, with its connections, when this is dropped.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    task: JoinHandle<()>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Server {
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(crate) async fn client(&self) -> Client {
        Client::builder(self.url()).retry(quick()).connect().await.unwrap()
    }
}

pub(crate) async fn serve(fake: Fake) -> Server {
    serve_on(TcpListener::bind("127.0.0.1:0").await.unwrap(), fake)
}

pub(crate) fn serve_on(listener: TcpListener, fake: Fake) -> Server {
    let address = listener.local_addr().unwrap();
    let service = Service(Arc::new(fake));
    let server = tonic::transport::Server::builder()
        .add_service(UsageServiceServer::new(service.clone()))
        .add_service(BudgetServiceServer::new(service))
        .serve_with_incoming(TcpListenerStream::new(listener));
    Server { address, task: tokio::spawn(async move { server.await.unwrap() }) }
}

/// Retries that need not wait for a server that answers at once.
pub(crate) fn quick() -> RetryPolicy {
    RetryPolicy {
        max_attempts: 5,
        initial_backoff: Duration::from_millis(1),
        max_backoff: Duration::from_millis(10),
        attempt_timeout: Duration::from_secs(3),
    }
}

/// Waits until something holds.
pub(crate) async fn eventually(what: &str, holds: impl Fn() -> bool) {
    for _ in 0..4_000 {
        if holds() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("never happened: {what}");
}

/// A log that handlers write and tests read.
pub(crate) struct Log<T>(Arc<Mutex<Vec<T>>>);

impl<T> Clone for Log<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T: Clone> Log<T> {
    pub(crate) fn new() -> Self {
        Self(Arc::default())
    }

    /// Appends, and answers how many there are now.
    pub(crate) fn add(&self, entry: T) -> usize {
        let mut entries = self.0.lock().unwrap();
        entries.push(entry);
        entries.len()
    }

    pub(crate) fn all(&self) -> Vec<T> {
        self.0.lock().unwrap().clone()
    }

    pub(crate) fn len(&self) -> usize {
        self.0.lock().unwrap().len()
    }
}

/// The id of an event.
pub(crate) fn id(event: &v1::UsageEvent) -> String {
    match &event.key {
        Some(v1::usage_event::Key::EventId(id)) => id.clone(),
        other => panic!("no event id: {other:?}"),
    }
}

/// The answer to an event that was recorded.
pub(crate) fn recorded(event: &v1::UsageEvent) -> v1::RecordUsageResponse {
    v1::RecordUsageResponse { result: v1::RecordResult::Recorded.into(), event_id: id(event), ..Default::default() }
}

pub(crate) fn item(item: v1::batch_record_usage_response::item::Item) -> v1::batch_record_usage_response::Item {
    v1::batch_record_usage_response::Item { item: Some(item) }
}

/// The answer to a batch of which everything was recorded.
pub(crate) fn all_recorded(request: &v1::BatchRecordUsageRequest) -> v1::BatchRecordUsageResponse {
    use v1::batch_record_usage_response::item::Item;
    v1::BatchRecordUsageResponse { items: request.events.iter().map(|event| item(Item::Ok(recorded(event)))).collect() }
}
