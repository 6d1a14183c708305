//! The orchestrator: every call is checked, held, run (here: waited for) and recorded, many at once, over the socket.

use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tollgate_client::{CheckAnswer, CheckRequest, Client, Error, Event, Reserved, v1};

use super::cast::PlannedCall;
use super::pace::Pace;
use super::sums::Sums;
use super::tally::{Ending, Tally};

/// The time that a model takes before its first token, in the time of the trace.
const FIRST_TOKEN: Duration = Duration::from_millis(300);
/// The time that a model takes for each token of the answer, in the time of the trace.
const EACH_TOKEN: Duration = Duration::from_millis(12);

/// What the replay and its display share.
pub(super) type SharedTally = Arc<Mutex<Tally>>;

/// Reads or changes the tally.
pub(super) fn with_tally<T>(tally: &SharedTally, act: impl FnOnce(&mut Tally) -> T) -> T {
    act(&mut tally.lock().unwrap_or_else(PoisonError::into_inner))
}

/// Replays calls through a client.
#[derive(Debug, Clone)]
pub(super) struct Replay {
    /// The way to the server.
    pub(super) client: Client,
    /// How fast.
    pub(super) pace: Pace,
    /// The most calls at once.
    pub(super) concurrency: NonZeroUsize,
}

impl Replay {
    /// Replays all calls, counting them in `tally`, and returns when the last one has ended. `interrupt` lets no further call
    /// begin.
    pub(super) async fn run(&self, calls: Vec<PlannedCall>, tally: &SharedTally, interrupt: &CancellationToken) {
        let places = Arc::new(Semaphore::new(self.concurrency.get()));
        let (began, began_at) = (Instant::now(), SystemTime::now());
        let mut under_way = JoinSet::new();
        for call in calls {
            let due = self.pace.scaled(call.traced.offset);
            let place = tokio::select! {
                () = interrupt.cancelled() => break,
                place = async {
                    tokio::time::sleep_until(began + due).await;
                    places.clone().acquire_owned().await
                } => place,
            };
            let start_time = if self.pace == Pace::Max { SystemTime::now() } else { began_at + due };
            let (replay, tally) = (self.clone(), tally.clone());
            under_way.spawn(async move {
                let ending = replay.call(&call, start_time).await;
                with_tally(&tally, |tally| tally.count(ending));
                drop(place);
            });
            while under_way.try_join_next().is_some() {}
        }
        while under_way.join_next().await.is_some() {}
    }

    async fn call(&self, call: &PlannedCall, start_time: SystemTime) -> Ending {
        let request = CheckRequest::reserve(call.wanted())
            .dimensions(call.dimensions.clone())
            .input_tokens(call.traced.input_tokens)
            .max_output_tokens(call.output_limit())
            .view(v1::ResponseView::Ack);
        let asked = Instant::now();
        let reserved = self.client.reserve(request).await;
        let check = asked.elapsed();
        match reserved {
            Ok(reserved) => self.run_and_record(call, start_time, reserved, check).await,
            Err(Error::NotAllowed(answer)) => {
                Ending::Refused { explanation: format!("{}: {}", call.user, told(&answer)), check }
            }
            Err(error) => Ending::Failed(format!("a call could not be checked: {error}")),
        }
    }

    async fn run_and_record(
        &self,
        call: &PlannedCall,
        start_time: SystemTime,
        mut reserved: Reserved,
        check: Duration,
    ) -> Ending {
        let (wanted_provider, wanted_model) = call.model;
        let (provider, model) = match reserved.use_model() {
            Some(other) => (other.provider_name.clone(), other.model.clone()),
            None => (wanted_provider.to_owned(), wanted_model.to_owned()),
        };
        let downgrade = (model != wanted_model).then(|| {
            let why = reserved.answer().map(told).unwrap_or_default();
            format!("{} wanted {wanted_model}; {why}", call.agent.name)
        });
        reserved.mark_dispatched();
        let tokens = call.traced;
        let answering = EACH_TOKEN.saturating_mul(u32::try_from(tokens.output_tokens).unwrap_or(u32::MAX));
        tokio::time::sleep(self.pace.scaled(FIRST_TOKEN.saturating_add(answering))).await;
        let event = Event::chat(provider, &model)
            .dimensions(call.dimensions.clone())
            .start_time(start_time)
            .end_time(SystemTime::now().max(start_time))
            .time_to_first_token(self.pace.scaled(FIRST_TOKEN))
            .tokens(tokens.input_tokens, tokens.output_tokens);
        let sent = Instant::now();
        let receipt = reserved.settle(event).await;
        let record = sent.elapsed();
        match receipt {
            Ok(receipt) => match receipt.usd() {
                Some(usd) => {
                    let (input_tokens, output_tokens) = (tokens.input_tokens, tokens.output_tokens);
                    let sums = Sums { calls: 1, input_tokens, output_tokens, usd };
                    Ending::Recorded { model, sums, downgrade, check, record }
                }
                None => Ending::Failed(format!("a call of {model} was recorded without a price")),
            },
            Err(error) => Ending::Failed(format!("a call could not be recorded: {error}")),
        }
    }
}

/// The answer in words, whether or not the server found any.
fn told(answer: &CheckAnswer) -> String {
    if answer.explanation().is_empty() { answer.to_string() } else { answer.explanation().to_owned() }
}
