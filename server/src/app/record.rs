//! RecordUsage: price, enqueue, answer.

use std::sync::Arc;

use tokio::sync::oneshot;
use tollgate_domain::event::UsageEvent;
use tollgate_domain::measures::Charge;
use tollgate_domain::price::{PriceError, PriceSheet, price};

use super::{App, AppError};
use crate::ledger::{Record, RecordAnswer};
use crate::tenant::TenantId;

impl App {
    /// Records one event: answered only after its transaction committed.
    ///
    /// # Errors
    /// [`AppError`].
    pub async fn record(&self, tenant: TenantId, event: UsageEvent) -> Result<RecordAnswer, AppError> {
        let record = self.priced(event)?;
        self.ledger.record(tenant, record).await
    }

    /// Enqueues one event of a batch; the answer comes later.
    ///
    /// # Errors
    /// [`AppError`] for what can be refused at once.
    pub fn enqueue_record(
        &self,
        tenant: TenantId,
        event: UsageEvent,
    ) -> Result<oneshot::Receiver<Result<RecordAnswer, AppError>>, AppError> {
        self.ledger.enqueue_record(tenant, self.priced(event)?)
    }

    /// The event with the prices known now.
    pub(super) fn priced(&self, event: UsageEvent) -> Result<Record, AppError> {
        let fingerprint = event.fingerprint();
        let (sheet, charge) = self.price_now(&event)?;
        Ok(Record { event, fingerprint, sheet, charge })
    }

    /// What an event is charged by the prices that are known now for the time at which it started.
    pub(super) fn price_now(&self, event: &UsageEvent) -> Result<(Option<Arc<PriceSheet>>, Charge), AppError> {
        let sheet = self.catalog.find(event.model(), event.start_time);
        let cost = price(event.usage.as_ref(), &event.units, sheet.as_deref()).map_err(|error| match error {
            PriceError::TooLarge => AppError::invalid("event", "its cost is above what can be held"),
            PriceError::Negative => AppError::invalid("event.units", "must not be negative"),
        })?;
        Ok((sheet, Charge::of(event, cost)))
    }
}
