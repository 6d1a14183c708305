//! What Tollgate answers to a recorded event.

use std::time::SystemTime;

use rust_decimal::Decimal;
use tollgate_proto::v1;

use crate::count::{local_amount, local_time};

/// The proof that an event is recorded and durable.
#[derive(Debug, Clone, PartialEq)]
pub struct RecordReceipt {
    /// Boxed, because receipts are moved about in batches and mostly short.
    message: Box<v1::RecordUsageResponse>,
}

impl RecordReceipt {
    pub(crate) fn new(message: v1::RecordUsageResponse) -> Self {
        Self { message: Box::new(message) }
    }

    /// The event's id.
    #[must_use]
    pub fn event_id(&self) -> &str {
        &self.message.event_id
    }

    /// Whether the same event had been recorded before, as happens when the answer to a first attempt was lost. This is its
    /// first result then, and nothing was charged again.
    #[must_use]
    pub fn is_duplicate(&self) -> bool {
        self.message.result() == v1::RecordResult::Duplicate
    }

    /// What the event cost in USD. `None` if it has no price yet, if only some of it has, or if the view left it out: unpriced
    /// is not zero.
    #[must_use]
    pub fn usd(&self) -> Option<Decimal> {
        let cost = self.message.cost.as_ref()?;
        match cost.state() {
            v1::PriceState::Priced | v1::PriceState::Free => local_amount(&cost.usd),
            v1::PriceState::Partial | v1::PriceState::Unpriced | v1::PriceState::Unspecified => None,
        }
    }

    /// The cost with its lines and how completely it is priced. Left out by [`v1::ResponseView::Ack`].
    #[must_use]
    pub fn cost(&self) -> Option<&v1::Cost> {
        self.message.cost.as_ref()
    }

    /// The time that placed the event in budget windows.
    #[must_use]
    pub fn charge_time(&self) -> Option<SystemTime> {
        self.message.charge_time.as_ref().and_then(local_time)
    }

    /// What was noteworthy, for example `UNRESERVED`. An open set.
    #[must_use]
    pub fn notices(&self) -> &[String] {
        &self.message.notices
    }

    /// The reservation after the event. Only with [`v1::ResponseView::Full`].
    #[must_use]
    pub fn reservation(&self) -> Option<&v1::Reservation> {
        self.message.reservation.as_ref()
    }

    /// The totals of the session after the event. Only with [`v1::ResponseView::Full`].
    #[must_use]
    pub fn session_totals(&self) -> Option<&v1::UsageTotals> {
        self.message.session_totals.as_ref()
    }

    /// The counters that the event charged. Only with [`v1::ResponseView::Full`].
    #[must_use]
    pub fn budgets(&self) -> &[v1::BudgetState] {
        &self.message.budgets
    }

    /// The message as it was received.
    #[must_use]
    pub fn into_proto(self) -> v1::RecordUsageResponse {
        *self.message
    }
}
