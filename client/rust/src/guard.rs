//! A hold with an owner.

use std::sync::Arc;
use std::time::Duration;

use tollgate_proto::v1;

use crate::check::CheckAnswer;
use crate::client::Client;
use crate::count::local_duration;
use crate::error::Error;
use crate::heartbeat::{Heartbeat, Pulse};
use crate::receipt::RecordReceipt;
use crate::recorder::Recorder;
use crate::reservation::{Extension, extension};

/// The lead of a reservation whose request named none.
const DEFAULT_TTL: Duration = Duration::from_secs(300);

/// What happens to a reservation whose guard is dropped without having been settled or released.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum OnDrop {
    /// It is released in the background: the call was never made. Needs a tokio runtime; without one it expires.
    Release,
    /// It stays held until it expires: the call may have been made, and billed.
    LeaveToExpire,
}

/// What a call may cost, held for it. Made by [`Client::reserve`].
///
/// Call [`Reserved::mark_dispatched`] when the call goes out, and [`Reserved::settle`] with what it used. If the guard is
/// dropped before, as by an early return, the hold is released when the call had not gone out yet, and left to expire when it
/// had, because it may be billed; [`Reserved::on_drop`] decides otherwise.
#[derive(Debug)]
#[must_use = "dropping the guard gives the hold up"]
pub struct Reserved {
    client: Client,
    reservation_id: String,
    ttl: Duration,
    answer: Option<CheckAnswer>,
    dispatched: bool,
    ended: bool,
    on_drop: Option<OnDrop>,
    pulse: Arc<Pulse>,
    heartbeat: Option<Heartbeat>,
}

impl Reserved {
    /// The guard of a hold that is about to be asked for.
    pub(crate) fn new(client: Client, request: &v1::CheckBudgetRequest) -> Self {
        let ttl = request.ttl.as_ref().map_or(DEFAULT_TTL, local_duration);
        Self {
            client,
            reservation_id: request.reservation_id.clone(),
            ttl,
            answer: None,
            dispatched: false,
            ended: false,
            on_drop: None,
            pulse: Arc::new(Pulse::new(ttl)),
            heartbeat: None,
        }
    }

    /// Tollgate answered: the hold was made or, where the answer is degraded, nothing is held.
    pub(crate) fn answered(mut self, answer: CheckAnswer) -> Self {
        // Nothing to give up: what an earlier try may have held is released by the server.
        self.ended = answer.is_degraded();
        if let Some(remaining) = answer.reservation().and_then(|reservation| reservation.remaining_ttl.as_ref()) {
            self.pulse = Arc::new(Pulse::new(local_duration(remaining)));
        }
        self.answer = Some(answer);
        self
    }

    /// The hold was not made, so that there is nothing to give up.
    pub(crate) fn refused(mut self, error: Error) -> Error {
        self.ended = true;
        error
    }

    /// Whether Tollgate answered without its database, so that nothing is held: the call is then recorded unreserved.
    #[must_use]
    pub fn is_degraded(&self) -> bool {
        self.answer.as_ref().is_some_and(CheckAnswer::is_degraded)
    }

    /// The reservation's id.
    #[must_use]
    pub fn reservation_id(&self) -> &str {
        &self.reservation_id
    }

    /// Tollgate's answer. `None` if it could not be reached and the call may run unreserved.
    #[must_use]
    pub fn answer(&self) -> Option<&CheckAnswer> {
        self.answer.as_ref()
    }

    /// The model to use instead of the one that was asked for, if the call was downgraded.
    #[must_use]
    pub fn use_model(&self) -> Option<&v1::ModelRef> {
        self.answer.as_ref().and_then(CheckAnswer::use_model)
    }

    /// Notes that the call goes out now, so that it may be billed from here on.
    pub fn mark_dispatched(&mut self) {
        self.dispatched = true;
    }

    /// What happens when the guard is dropped, in place of what follows from [`Reserved::mark_dispatched`].
    pub fn on_drop(&mut self, on_drop: OnDrop) {
        self.on_drop = Some(on_drop);
    }

    /// Records the last event of the reservation, which ends it and frees what is left.
    ///
    /// # Errors
    /// As for [`Client::record`]. The hold then stays until it expires; keep a clone of the event to settle later, or use
    /// [`Reserved::settle_with`], which does not give up.
    pub async fn settle(mut self, event: impl Into<v1::UsageEvent>) -> Result<RecordReceipt, Error> {
        let event = self.paying(event, false);
        self.dispatched = true;
        let receipt = self.client.record(event).await?;
        self.ended = true;
        Ok(receipt)
    }

    /// Hands the last event of the reservation to a recorder, which sends it until it is accepted. Never blocks. Answers
    /// whether the recorder had room for the event; if not, the hold stays until it expires.
    pub fn settle_with(mut self, recorder: &Recorder, event: impl Into<v1::UsageEvent>) -> bool {
        let event = self.paying(event, false);
        self.dispatched = true;
        self.ended = recorder.record(event);
        self.ended
    }

    /// Records an event and keeps the reservation open for others: for failed attempts, agent runs and batch jobs.
    ///
    /// # Errors
    /// As for [`Client::record`].
    pub async fn attempt(&mut self, event: impl Into<v1::UsageEvent>) -> Result<RecordReceipt, Error> {
        self.dispatched = true;
        let event = self.paying(event, true);
        self.client.record(event).await
    }

    /// Renews the lead of the reservation and reports what has been used so far, cumulatively.
    ///
    /// # Errors
    /// As for [`Client::extend`].
    pub async fn extend(&self, running: impl Into<v1::TokenUsage>) -> Result<Extension, Error> {
        self.send_extension(Some(running.into())).await
    }

    /// Renews the lead of the reservation.
    ///
    /// # Errors
    /// As for [`Client::extend`].
    pub async fn renew(&self) -> Result<Extension, Error> {
        self.send_extension(None).await
    }

    async fn send_extension(&self, running: Option<v1::TokenUsage>) -> Result<Extension, Error> {
        let request = extension(&self.reservation_id, self.pulse.next_sequence(), Some(self.ttl), running);
        let extension = self.client.extend(request).await?;
        self.pulse.note(&extension);
        Ok(extension)
    }

    /// Renews the lead in the background whenever half of it is over, until the guard is settled, released or dropped. For
    /// calls of unknown length. Does nothing where nothing is held.
    pub fn start_heartbeat(&mut self) {
        if self.heartbeat.is_none() && !self.is_degraded() {
            let id = self.reservation_id.clone();
            self.heartbeat = Some(Heartbeat::start(self.client.clone(), id, self.ttl, Arc::clone(&self.pulse)));
        }
    }

    /// Whether Tollgate has denied an extension or ended the reservation: stop the call.
    #[must_use]
    pub fn must_stop(&self) -> bool {
        self.pulse.must_stop()
    }

    /// Ends the reservation and frees what is left of it, because the call was not made or is fully recorded.
    ///
    /// # Errors
    /// As for [`Client::release`]. The hold then stays until it expires.
    pub async fn release(mut self, reason: impl Into<String>) -> Result<v1::Reservation, Error> {
        let released = self.client.release(self.reservation_id.clone(), reason).await?;
        self.ended = true;
        Ok(released)
    }

    /// Gives up the guard and keeps the hold, to be settled elsewhere by its id.
    #[must_use = "the id is needed to settle or release the hold"]
    pub fn detach(mut self) -> String {
        self.ended = true;
        self.reservation_id.clone()
    }

    /// The event with this reservation as the one that pays, where something is held.
    fn paying(&self, event: impl Into<v1::UsageEvent>, keep_open: bool) -> v1::UsageEvent {
        let mut event = event.into();
        if self.is_degraded() {
            return event;
        }
        event.reservation = Some(v1::ReservationUse { reservation_id: self.reservation_id.clone(), keep_open });
        event
    }
}

impl Drop for Reserved {
    fn drop(&mut self) {
        let default = if self.dispatched { OnDrop::LeaveToExpire } else { OnDrop::Release };
        if !self.ended && self.on_drop.unwrap_or(default) == OnDrop::Release {
            self.client.release_in_background(std::mem::take(&mut self.reservation_id), "dropped before the call");
        }
    }
}
