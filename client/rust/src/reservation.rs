//! Checks and the life of reservations.

use std::time::{Duration, Instant};

use tollgate_proto::v1;

use crate::check::{CheckAnswer, CheckOutcome, CheckRequest, Decision};
use crate::client::Client;
use crate::count::wire_duration;
use crate::error::Error;
use crate::guard::Reserved;
use crate::pages::{self, Pages};
use crate::unreachable::Choice;

/// The outcome of extending a reservation.
#[derive(Debug, Clone, PartialEq)]
pub struct Extension {
    /// [`Decision::Denied`]: stop the call; what was held stays held.
    pub decision: Decision,
    /// The reservation after the extension.
    pub reservation: Option<v1::Reservation>,
    /// The counters that matched.
    pub budgets: Vec<v1::BudgetState>,
}

impl Client {
    /// Asks whether a call may run and, unless it only peeks, holds what it may cost.
    ///
    /// If Tollgate cannot be reached, the outcome says what to do instead: what Tollgate itself said last about such calls, or
    /// else the default of the client. A hold whose answer was lost is released in the background when the call is denied; when
    /// it is allowed, name the reservation in the event all the same, which settles the hold if there is one.
    ///
    /// # Errors
    /// [`Error::Refused`] if Tollgate refuses the request itself. A refusal by a budget is an outcome.
    pub async fn check(&self, request: &CheckRequest) -> Result<CheckOutcome, Error> {
        let message = request.message();
        let budgets = self.budgets();
        let answered = self
            .call(message.clone(), |request| {
                let mut budgets = budgets.clone();
                async move { budgets.check_budget(request).await }
            })
            .await;
        match answered {
            Ok(answer) => {
                self.memory().learn(message, &answer, Instant::now());
                Ok(CheckOutcome::Answered(Box::new(CheckAnswer::new(answer))))
            }
            Err(cause) if cause.is_transient() => {
                let (choice, remembered) = self.memory().choose(message, Instant::now());
                match choice {
                    // Worth a word, since the call runs unreserved; a denial reaches the caller anyway.
                    Choice::Allow => tracing::warn!(remembered, %cause, "no decision from tollgate, the call may run"),
                    Choice::Deny => {
                        tracing::debug!(remembered, %cause, "no decision from tollgate, the call may not run");
                    }
                }
                if choice == Choice::Deny && request.reserves() {
                    self.release_in_background(request.reservation_id().to_owned(), "no answer to the check");
                }
                Ok(CheckOutcome::Unreachable { choice, remembered, cause })
            }
            Err(error) => Err(error),
        }
    }

    /// Holds what a call may cost and returns a guard that settles, extends or releases it. If Tollgate cannot be reached and
    /// such calls are allowed then, the guard holds nothing and works all the same.
    ///
    /// # Errors
    /// [`Error::NotAllowed`] if a budget does not let the call run, with the answer that tells why; a transient error if
    /// Tollgate cannot be reached and such calls are denied then; [`Error::Refused`] if Tollgate refuses the request itself;
    /// [`Error::Invalid`] if the request only peeks.
    pub async fn reserve(&self, request: CheckRequest) -> Result<Reserved, Error> {
        if !request.reserves() || request.reservation_id().is_empty() {
            return Err(Error::invalid("mode", "use CheckRequest::reserve, or Client::check to peek"));
        }
        // Made before the check is sent, so that a caller who stops waiting leaves no hold behind.
        let reserved = Reserved::new(self.clone(), request.message());
        match self.check(&request).await {
            Ok(CheckOutcome::Answered(answer)) if answer.decision().may_run() => Ok(reserved.answered(*answer)),
            Ok(CheckOutcome::Unreachable { choice: Choice::Allow, .. }) => Ok(reserved),
            Ok(CheckOutcome::Answered(answer)) => Err(reserved.refused(Error::NotAllowed(answer))),
            Ok(CheckOutcome::Unreachable { choice: Choice::Deny, cause, .. }) => Err(reserved.refused(cause)),
            Err(error) => Err(reserved.refused(error)),
        }
    }

    /// Keeps a reservation alive, and may report running usage or raise what is held. [`Reserved`] counts the sequence by
    /// itself.
    ///
    /// # Errors
    /// [`Error::Refused`] with the reason `RESERVATION_ENDED` or `RESERVATION_NOT_FOUND`, or a transient error.
    pub async fn extend(&self, request: v1::ExtendReservationRequest) -> Result<Extension, Error> {
        let budgets = self.budgets();
        let answer = self
            .call(request, |request| {
                let mut budgets = budgets.clone();
                async move { budgets.extend_reservation(request).await }
            })
            .await?;
        let v1::ExtendReservationResponse { decision, reservation, budgets } = answer;
        Ok(Extension { decision: Decision::from_wire(decision), reservation, budgets })
    }

    /// Ends a reservation and frees what is left of its hold. Safe to repeat, also for one that was never made.
    ///
    /// # Errors
    /// [`Error::Refused`] if the id is malformed, or a transient error.
    pub async fn release(
        &self,
        reservation_id: impl Into<String>,
        reason: impl Into<String>,
    ) -> Result<v1::Reservation, Error> {
        let request = v1::ReleaseReservationRequest { reservation_id: reservation_id.into(), reason: reason.into() };
        let budgets = self.budgets();
        let answer = self
            .call(request, |request| {
                let mut budgets = budgets.clone();
                async move { budgets.release_reservation(request).await }
            })
            .await?;
        answer.reservation.ok_or(Error::Protocol("a release was answered without its reservation"))
    }

    /// One reservation.
    ///
    /// # Errors
    /// [`Error::Refused`] with the reason `RESERVATION_NOT_FOUND`, or a transient error.
    pub async fn get_reservation(&self, reservation_id: impl Into<String>) -> Result<v1::Reservation, Error> {
        let request = v1::GetReservationRequest { reservation_id: reservation_id.into() };
        let budgets = self.budgets();
        let answer = self
            .call(request, |request| {
                let mut budgets = budgets.clone();
                async move { budgets.get_reservation(request).await }
            })
            .await?;
        answer.reservation.ok_or(Error::Protocol("a reservation was answered without its content"))
    }

    /// Reservations that satisfy the request, newest first, over all pages from its `page_token` on.
    #[must_use]
    pub fn list_reservations(&self, request: v1::ListReservationsRequest) -> Pages<v1::Reservation> {
        let client = self.clone();
        pages::stream(request.page_token.clone(), move |page_token| {
            let client = client.clone();
            let request = v1::ListReservationsRequest { page_token, ..request.clone() };
            async move {
                let budgets = client.budgets();
                let page = client
                    .call(request, |request| {
                        let mut budgets = budgets.clone();
                        async move { budgets.list_reservations(request).await }
                    })
                    .await?;
                Ok((page.reservations, page.next_page_token))
            }
        })
    }

    /// Releases a reservation without anybody waiting for it. If that fails, the reservation expires by itself.
    pub(crate) fn release_in_background(&self, reservation_id: String, reason: &'static str) {
        let Ok(runtime) = tokio::runtime::Handle::try_current() else {
            tracing::warn!(reservation_id, "left a reservation to expire: there is no runtime to release it");
            return;
        };
        let client = self.clone();
        runtime.spawn(async move {
            if let Err(error) = client.release(reservation_id.clone(), reason).await {
                tracing::debug!(reservation_id, %error, "left a reservation to expire: it could not be released");
            }
        });
    }
}

/// The message that extends a reservation.
pub(crate) fn extension(
    reservation_id: &str,
    sequence: i64,
    ttl: Option<Duration>,
    running: Option<v1::TokenUsage>,
) -> v1::ExtendReservationRequest {
    v1::ExtendReservationRequest {
        reservation_id: reservation_id.to_owned(),
        ttl: ttl.map(wire_duration),
        sequence,
        running_usage: running,
        raise_to: None,
        model: None,
    }
}
