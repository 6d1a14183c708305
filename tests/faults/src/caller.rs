//! Callers: what they send, once or until it is answered, and what they then know.

use std::error::Error as _;
use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rand::Rng as _;
use rand::rngs::StdRng;
use tollgate_client::v1;
use tollgate_client::v1::budget_service_client::BudgetServiceClient;
use tollgate_client::v1::usage_service_client::UsageServiceClient;
use tonic::transport::Channel;
use tonic::{Code, Request, Response, Status};

use tollgate_stage::Replica;
use tollgate_stage::wait::LONGEST;

/// How long a caller waits for one answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// What a caller knows after one attempt.
#[derive(Debug)]
pub(crate) enum Answer<T> {
    /// It was done, or decided.
    Acked(T),
    /// It was done or not.
    Unknown,
    /// It was not done: come back later.
    Busy,
    /// It was refused for good.
    Refused(Status),
}

/// A replica as callers see it.
#[derive(Debug, Clone)]
pub(crate) struct Endpoint {
    usage: UsageServiceClient<Channel>,
    budgets: BudgetServiceClient<Channel>,
    patience: Duration,
}

impl Endpoint {
    /// That of a replica.
    pub(crate) fn of(replica: &Replica) -> anyhow::Result<Self> {
        Self::new(&replica.url())
    }

    /// Connects with the first call, and again whenever the connection is lost.
    pub(crate) fn new(url: &str) -> anyhow::Result<Self> {
        let channel = tonic::transport::Endpoint::from_shared(url.to_owned())?
            .connect_timeout(Duration::from_secs(2))
            .tcp_nodelay(true)
            .connect_lazy();
        let usage = UsageServiceClient::new(channel.clone());
        Ok(Self { usage, budgets: BudgetServiceClient::new(channel), patience: PATIENCE })
    }

    /// The same for callers that wait so long for an answer.
    pub(crate) fn with_patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// Records an event.
    pub(crate) async fn record(&self, event: v1::UsageEvent) -> Answer<v1::RecordUsageResponse> {
        let mut usage = self.usage.clone();
        let request = v1::RecordUsageRequest { event: Some(event), view: v1::ResponseView::Ack.into() };
        self.sorted(request, |request| async move { usage.record_usage(request).await }).await
    }

    /// Records a batch.
    pub(crate) async fn record_batch(&self, events: Vec<v1::UsageEvent>) -> Answer<v1::BatchRecordUsageResponse> {
        let mut usage = self.usage.clone();
        let request = v1::BatchRecordUsageRequest { events, view: v1::ResponseView::Ack.into() };
        self.sorted(request, |request| async move { usage.batch_record_usage(request).await }).await
    }

    /// Asks for a hold.
    pub(crate) async fn check(&self, request: v1::CheckBudgetRequest) -> Answer<v1::CheckBudgetResponse> {
        let mut budgets = self.budgets.clone();
        match self.sorted(request, |request| async move { budgets.check_budget(request).await }).await {
            // Answered without the database: it holds nothing and says nothing of an earlier try.
            Answer::Acked(answer) if answer.degraded => Answer::Unknown,
            answer => answer,
        }
    }

    /// Extends a hold.
    pub(crate) async fn extend(&self, request: v1::ExtendReservationRequest) -> Answer<v1::ExtendReservationResponse> {
        let mut budgets = self.budgets.clone();
        self.sorted(request, |request| async move { budgets.extend_reservation(request).await }).await
    }

    /// Frees a hold.
    pub(crate) async fn release(&self, reservation_id: &str) -> Answer<v1::ReleaseReservationResponse> {
        let mut budgets = self.budgets.clone();
        let request =
            v1::ReleaseReservationRequest { reservation_id: reservation_id.to_owned(), reason: "not used".to_owned() };
        self.sorted(request, |request| async move { budgets.release_reservation(request).await }).await
    }

    /// Creates a budget.
    pub(crate) async fn create_budget(&self, request: v1::CreateBudgetRequest) -> Answer<v1::CreateBudgetResponse> {
        let mut budgets = self.budgets.clone();
        self.sorted(request, |request| async move { budgets.create_budget(request).await }).await
    }

    /// Changes a budget.
    pub(crate) async fn update_budget(&self, request: v1::UpdateBudgetRequest) -> Answer<v1::UpdateBudgetResponse> {
        let mut budgets = self.budgets.clone();
        self.sorted(request, |request| async move { budgets.update_budget(request).await }).await
    }

    /// Sends once, and sorts what comes back.
    async fn sorted<Q, A, F>(&self, message: Q, send: impl FnOnce(Request<Q>) -> F) -> Answer<A>
    where
        F: Future<Output = Result<Response<A>, Status>>,
    {
        let mut request = Request::new(message);
        request.set_timeout(self.patience);
        match tokio::time::timeout(self.patience, send(request)).await {
            Ok(Ok(answer)) => Answer::Acked(answer.into_inner()),
            Ok(Err(status)) => sort(status),
            Err(_) => Answer::Unknown,
        }
    }
}

fn sort<A>(status: Status) -> Answer<A> {
    match status.code() {
        Code::Unavailable | Code::DeadlineExceeded | Code::Cancelled => Answer::Unknown,
        // The transport's own words for a connection that broke; what a server says has no local cause.
        Code::Unknown | Code::Internal if status.source().is_some() => Answer::Unknown,
        Code::ResourceExhausted => Answer::Busy,
        _ => Answer::Refused(status),
    }
}

/// All replicas.
#[derive(Debug, Clone)]
pub(crate) struct Service {
    first: Endpoint,
    others: Arc<[Endpoint]>,
}

impl Service {
    /// Over these replicas.
    pub(crate) fn new(endpoints: Vec<Endpoint>) -> anyhow::Result<Self> {
        let mut endpoints = endpoints.into_iter();
        let first = endpoints.next().ok_or_else(|| anyhow::anyhow!("a service needs a replica"))?;
        Ok(Self { first, others: endpoints.collect() })
    }

    /// How many replicas there are.
    pub(crate) fn len(&self) -> usize {
        self.others.len() + 1
    }

    /// One of them, counted round.
    pub(crate) fn nth(&self, number: usize) -> &Endpoint {
        let others = number.checked_rem(self.len()).and_then(|index| self.others.get(index.checked_sub(1)?));
        others.unwrap_or(&self.first)
    }

    /// One of them.
    pub(crate) fn any(&self, rng: &mut StdRng) -> Endpoint {
        self.nth(rng.random_range(0..self.len())).clone()
    }

    /// Sends the same to one replica after another until one of them has decided.
    ///
    /// # Errors
    /// Where none ever does, or the last word is a refusal.
    pub(crate) async fn insist<T, F>(
        &self,
        rng: &mut StdRng,
        what: &str,
        mut send: impl FnMut(Endpoint) -> F,
    ) -> anyhow::Result<T>
    where
        F: Future<Output = Answer<T>>,
    {
        let deadline = Instant::now() + LONGEST;
        loop {
            match send(self.any(rng)).await {
                Answer::Acked(answer) => return Ok(answer),
                Answer::Refused(status) => anyhow::bail!("{what} was refused: {status}"),
                Answer::Unknown | Answer::Busy => {}
            }
            anyhow::ensure!(Instant::now() < deadline, "{what} was not answered in {LONGEST:?}");
            tokio::time::sleep(Duration::from_millis(rng.random_range(5..50))).await;
        }
    }

    /// Creates a budget and waits for the answer.
    pub(crate) async fn create_budget(&self, rng: &mut StdRng, budget: v1::Budget) -> anyhow::Result<()> {
        let request = v1::CreateBudgetRequest {
            budget: Some(budget),
            request_id: uuid::Uuid::now_v7().to_string(),
            validate_only: false,
        };
        self.insist(rng, "a new budget", |endpoint| {
            let request = request.clone();
            async move { endpoint.create_budget(request).await }
        })
        .await
        .map(drop)
    }

    /// Sets a budget's limit and waits for the answer.
    pub(crate) async fn set_limit(&self, rng: &mut StdRng, budget_id: &str, limit: u64) -> anyhow::Result<()> {
        let budget = v1::Budget { budget_id: budget_id.to_owned(), limit: limit.to_string(), ..Default::default() };
        let request = v1::UpdateBudgetRequest {
            budget: Some(budget),
            update_mask: Some(prost_types::FieldMask { paths: vec!["limit".to_owned()] }),
            request_id: uuid::Uuid::now_v7().to_string(),
            validate_only: false,
        };
        self.insist(rng, "a new limit", |endpoint| {
            let request = request.clone();
            async move { endpoint.update_budget(request).await }
        })
        .await
        .map(drop)
    }
}
