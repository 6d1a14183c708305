//! Recording usage.

use std::time::Duration;

use tokio::time::Instant;
use tollgate_proto::v1::batch_record_usage_response::item::Item;
use tollgate_proto::v1::{self, ResponseView};

use crate::batch::{self, Chunk};
use crate::client::Client;
use crate::error::Error;
use crate::event;
use crate::failure::Failure;
use crate::receipt::RecordReceipt;
use crate::refusal::Refusal;

/// What became of one event of a batch that reached Tollgate.
#[derive(Debug)]
pub(crate) enum ItemOutcome {
    Recorded(RecordReceipt),
    /// The same event may succeed when it is sent again.
    Retryable(Refusal),
    Refused(Refusal),
}

impl Client {
    /// Records an event and answers once it is durable.
    ///
    /// # Errors
    /// [`Error::Refused`] if Tollgate refuses the event, which a budget never does; a transient error if Tollgate cannot be
    /// reached within the deadline: the event may have been recorded then, so send it again with the same id.
    pub async fn record(&self, event: impl Into<v1::UsageEvent>) -> Result<RecordReceipt, Error> {
        self.record_with_view(event, ResponseView::Unspecified).await
    }

    /// Records an event and says how much of the answer is wanted: less is cheaper.
    ///
    /// # Errors
    /// As for [`Client::record`].
    pub async fn record_with_view(
        &self,
        event: impl Into<v1::UsageEvent>,
        view: ResponseView,
    ) -> Result<RecordReceipt, Error> {
        let request = v1::RecordUsageRequest { event: Some(event::complete(event)), view: view.into() };
        let usage = self.usage();
        let answer = self
            .call(request, |request| {
                let mut usage = usage.clone();
                async move { usage.record_usage(request).await }
            })
            .await?;
        Ok(RecordReceipt::new(answer))
    }

    /// Records any number of events, split into batches that Tollgate accepts. Each event succeeds or fails for itself; the
    /// results are in the order of the events. What may succeed on another attempt is sent again with the same ids.
    pub async fn record_batch<E: Into<v1::UsageEvent>>(
        &self,
        events: impl IntoIterator<Item = E>,
        view: ResponseView,
    ) -> Vec<Result<RecordReceipt, Error>> {
        let events: Vec<_> = events.into_iter().map(event::complete).collect();
        let mut results = Vec::with_capacity(events.len());
        for chunk in batch::split(events) {
            match chunk {
                Chunk::Sendable(events) => results.extend(self.record_chunk(events, view).await),
                Chunk::TooLarge(event) => results.push(Err(Error::Refused(Box::new(batch::too_large(&event))))),
            }
        }
        results
    }

    /// Records one batch, retrying the items that ask for it.
    async fn record_chunk(&self, events: Vec<v1::UsageEvent>, view: ResponseView) -> Vec<Result<RecordReceipt, Error>> {
        let deadline = Instant::now() + self.deadline();
        let mut results: Vec<Option<Result<RecordReceipt, Error>>> = events.iter().map(|_| None).collect();
        let mut open: Vec<(usize, v1::UsageEvent)> = events.into_iter().enumerate().collect();
        let mut attempts = 0;
        while !open.is_empty() {
            attempts += 1;
            let sent = open.iter().map(|(_, event)| event.clone()).collect();
            let outcomes = self.send_batch(sent, view).await;
            let last = attempts >= self.retry().max_attempts || Instant::now() >= deadline;
            let mut again = Vec::new();
            match outcomes {
                Err(error) => {
                    for (index, _) in open {
                        set(&mut results, index, Err(error.clone()));
                    }
                }
                Ok(outcomes) => {
                    for ((index, event), outcome) in open.into_iter().zip(outcomes) {
                        match outcome {
                            ItemOutcome::Recorded(receipt) => set(&mut results, index, Ok(receipt)),
                            ItemOutcome::Retryable(_) if !last => again.push((index, event)),
                            ItemOutcome::Retryable(refusal) | ItemOutcome::Refused(refusal) => {
                                set(&mut results, index, Err(Error::Refused(Box::new(refusal))));
                            }
                        }
                    }
                }
            }
            open = again;
            if !open.is_empty() {
                tokio::time::sleep(self.retry().backoff(attempts, None)).await;
            }
        }
        results.into_iter().map(|result| result.unwrap_or(Err(Error::Protocol("an item without a result")))).collect()
    }

    /// Sends one batch, with the retries of any call.
    async fn send_batch(&self, events: Vec<v1::UsageEvent>, view: ResponseView) -> Result<Vec<ItemOutcome>, Error> {
        let expected = events.len();
        let request = v1::BatchRecordUsageRequest { events, view: view.into() };
        let usage = self.usage();
        let answer = self
            .call(request, |request| {
                let mut usage = usage.clone();
                async move { usage.batch_record_usage(request).await }
            })
            .await?;
        outcomes(answer, expected)
    }

    /// Sends one batch once, for the recorder, which retries for as long as it takes.
    pub(crate) async fn attempt_batch(
        &self,
        events: Vec<v1::UsageEvent>,
        limit: Duration,
    ) -> Result<Result<Vec<ItemOutcome>, Error>, Failure> {
        let expected = events.len();
        let request = v1::BatchRecordUsageRequest { events, view: ResponseView::Ack.into() };
        let usage = self.usage();
        let send = |request| {
            let mut usage = usage.clone();
            async move { usage.batch_record_usage(request).await }
        };
        let answer = self.attempt(request, limit, &send).await?;
        Ok(outcomes(answer, expected))
    }
}

fn set(results: &mut [Option<Result<RecordReceipt, Error>>], index: usize, result: Result<RecordReceipt, Error>) {
    if let Some(slot) = results.get_mut(index) {
        *slot = Some(result);
    }
}

/// The outcome of every item, in the order of the request.
fn outcomes(answer: v1::BatchRecordUsageResponse, expected: usize) -> Result<Vec<ItemOutcome>, Error> {
    if answer.items.len() != expected {
        return Err(Error::Protocol("a batch was answered with another number of items"));
    }
    answer
        .items
        .into_iter()
        .map(|item| match item.item {
            Some(Item::Ok(receipt)) => Ok(ItemOutcome::Recorded(RecordReceipt::new(receipt))),
            Some(Item::Error(error)) if error.retryable => Ok(ItemOutcome::Retryable(Refusal::from_item(error))),
            Some(Item::Error(error)) => Ok(ItemOutcome::Refused(Refusal::from_item(error))),
            None => Err(Error::Protocol("an item of a batch was answered without a result")),
        })
        .collect()
}
