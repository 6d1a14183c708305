//! RecordUsage: price, enqueue, answer.

use std::sync::Arc;

use tollgate_domain::event::UsageEvent;
use tollgate_domain::extract::ModelUsage;
use tollgate_domain::measures::Charge;
use tollgate_domain::model::ModelRef;
use tollgate_domain::price::{PriceBook, PriceError, PriceSheet, sheet_with_others};

use super::{App, AppError};
use crate::ledger::{Pins, Record, RecordAnswer, RecordTold};
use crate::tenant::TenantId;

/// Events of a batch that are made ready before others get a turn: a fraction of a millisecond's work. A task of tokio is
/// interrupted nowhere, and a whole batch would hold its thread for milliseconds.
const EVENTS_OF_A_TURN: usize = 8;

impl App {
    /// Records one event: answered only after its transaction committed, with the counters that it was charged to where
    /// `wants_budgets`. A reservation that contradicts the pins of the caller's key does not pay for it.
    ///
    /// # Errors
    /// [`AppError`].
    pub async fn record(
        &self,
        tenant: TenantId,
        event: UsageEvent,
        pins: Pins,
        wants_budgets: bool,
    ) -> Result<RecordAnswer, AppError> {
        let book = self.prices.book(tenant).await?;
        self.ledger.record(tenant, Record { wants_budgets, pins, ..priced(event, &book)? }).await
    }

    /// Makes the events of a batch ready, each by `event`, and enqueues them together, so that they share transactions; the answers
    /// come later, in their order. Those for which there is no place are not made ready only to be refused.
    ///
    /// # Errors
    /// [`AppError`] where there is a place for none of them, or where prices cannot be read.
    pub async fn enqueue_batch<M>(
        &self,
        tenant: TenantId,
        messages: Vec<M>,
        event: impl Fn(M) -> Result<UsageEvent, AppError>,
        pins: &Pins,
        wants_budgets: bool,
    ) -> Result<Vec<Result<RecordTold, AppError>>, AppError> {
        let book = self.prices.book(tenant).await?;
        let mut places = self.ledger.claim(tenant, messages.len())?;
        let mut free = places.count();
        let mut ready = Vec::with_capacity(messages.len());
        for (number, message) in messages.into_iter().enumerate() {
            if free == 0 {
                ready.push(Err(places.beyond()));
                continue;
            }
            if number % EVENTS_OF_A_TURN == EVENTS_OF_A_TURN - 1 {
                tokio::task::yield_now().await;
            }
            let priced = event(message).and_then(|event| priced(event, &book));
            free -= usize::from(priced.is_ok());
            ready.push(priced);
        }
        let enqueue = |record: Result<Record, AppError>| {
            self.ledger.enqueue_record(&mut places, Record { wants_budgets, pins: pins.clone(), ..record? })
        };
        Ok(ready.into_iter().map(enqueue).collect())
    }
}

/// The event with what it costs by these prices.
pub(super) fn priced(event: UsageEvent, book: &PriceBook) -> Result<Record, AppError> {
    let fingerprint = event.fingerprint();
    let (sheet, charge) = price_by(&event, book)?;
    Ok(Record { event, fingerprint, sheet, charge, wants_budgets: false, pins: Pins::default() })
}

/// What an event is charged by these prices, those for the time at which it started.
pub(super) fn price_by(event: &UsageEvent, book: &PriceBook) -> Result<(Option<Arc<PriceSheet>>, Charge), AppError> {
    let reported = event.response_model.as_ref().filter(|_| event.usage_api.is_some());
    let asked = if reported.is_some() { &event.request_model } else { event.model() };
    let sheet = sheet_of(asked, reported, &event.additional, |model| book.find(model, event.start_time));
    let cost = event.used().bill(sheet.as_deref()).map_err(not_priced)?;
    Ok((sheet, Charge::of(event, cost)))
}

/// The prices of the model that a provider reported, else of the one that was asked for, in the tier that served it: an
/// alias or a deployment may have a price where the model behind it has none.
pub(super) fn sheet_of(
    asked: &ModelRef,
    reported: Option<&ModelRef>,
    additional: &[ModelUsage],
    find: impl Fn(&ModelRef) -> Option<Arc<PriceSheet>>,
) -> Option<Arc<PriceSheet>> {
    let Some(reported) = reported else { return sheet_with_others(asked, additional, find) };
    let known = |model: &&ModelRef| find(model).is_some();
    let asked = ModelRef { model: asked.model.clone(), ..reported.clone() };
    let model = [reported, &asked].into_iter().find(known).unwrap_or(reported);
    sheet_with_others(model, additional, find)
}

/// Why usage cannot be priced, in the terms of the contract.
pub(super) fn not_priced(error: PriceError) -> AppError {
    match error {
        PriceError::TooLarge => AppError::invalid("event", "its cost is above what can be held"),
        PriceError::Negative => AppError::invalid("event.units", "must not be negative"),
    }
}
