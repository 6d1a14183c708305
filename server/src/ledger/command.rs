//! What the ledger is asked to do, and what it answers.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::oneshot;
use tollgate_domain::budget::{BudgetState, Choice, Decision};
use tollgate_domain::event::UsageEvent;
use tollgate_domain::measures::Charge;
use tollgate_domain::model::ModelRef;
use tollgate_domain::notices::Notices;
use tollgate_domain::price::{Cost, PriceSheet};
use tollgate_domain::tokens::TokenUsage;
use uuid::Uuid;

use super::adjust::{Adjust, AdjustAnswer};
use super::claim::Claim;
use super::holds::CheckPlan;
use super::pins::Pins;
use super::weight;
use super::withdrawals::Withdrawal;
use crate::app::AppError;
use crate::store::reservations::Reservation;
use crate::trace::CallTrace;

/// Where an answer goes, and the spans of its call, which end with it.
#[derive(Debug)]
pub struct Reply<T> {
    sender: oneshot::Sender<Result<T, AppError>>,
    trace: CallTrace,
}

impl<T> Reply<T> {
    /// To the call in which this runs.
    pub(super) fn new() -> (Self, oneshot::Receiver<Result<T, AppError>>) {
        let (sender, answer) = oneshot::channel();
        (Self { sender, trace: CallTrace::enqueued() }, answer)
    }

    /// A caller that is gone does not mind.
    fn send(self, answer: Result<T, AppError>) {
        drop(self.sender.send(answer));
    }

    fn is_closed(&self) -> bool {
        self.sender.is_closed()
    }
}

/// One event to record, validated and priced.
#[derive(Debug, Clone)]
pub struct Record {
    /// The event as its caller told it.
    pub event: UsageEvent,
    /// Digest of that telling.
    pub fingerprint: Uuid,
    /// The prices in force; `None` = unpriced.
    pub sheet: Option<Arc<PriceSheet>>,
    /// What it is charged.
    pub charge: Charge,
    /// Whether the answer is to show the counters that it is charged to.
    pub wants_budgets: bool,
    /// What the caller's key pins: a reservation that contradicts it does not pay.
    pub pins: Pins,
}

/// What became of an event.
#[derive(Debug, Clone)]
pub struct RecordAnswer {
    /// Whether an earlier telling was recorded, and this answers for it.
    pub duplicate: bool,
    /// Its id.
    pub event_id: Uuid,
    /// What was charged.
    pub charge: Charge,
    /// Which budget windows were charged.
    pub charge_time: Timestamp,
    /// How it was charged.
    pub notices: Notices,
    /// The reservation after it.
    pub reservation: Option<Reservation>,
    /// The counters that it was charged to, where they were asked for.
    pub budgets: Vec<BudgetState>,
    /// The session that it counts in.
    pub session_id: Option<String>,
}

/// A check that holds where it is admitted.
#[derive(Debug, Clone)]
pub struct Reserve {
    /// The id that a hold consumes.
    pub id: Uuid,
    /// Digest of the check.
    pub fingerprint: Uuid,
    /// What is checked.
    pub plan: CheckPlan,
    /// How long the hold lasts.
    pub ttl: Duration,
    /// Whether its caller still waits for the ledger.
    pub claim: Claim,
}

/// What a check answers.
#[derive(Debug, Clone)]
pub struct CheckAnswer {
    /// The decision.
    pub decision: Decision,
    /// Why it is refused; empty where it is not.
    pub reason: &'static str,
    /// The hold.
    pub reservation: Option<Reservation>,
    /// Largest output that every budget affords.
    pub affordable_output_tokens: Option<u64>,
    /// Whether it would not even fit an empty window.
    pub never_fits: bool,
    /// The worst case that was checked.
    pub estimate: Cost,
    /// The model that the worst case was priced as.
    pub model: ModelRef,
    /// Every budget that applied.
    pub budgets: Vec<BudgetState>,
    /// What a caller that cannot reach Tollgate should do.
    pub when_unreachable: Choice,
    /// The database's clock.
    pub now: Timestamp,
    /// Whether it was decided without the database.
    pub degraded: bool,
}

/// The counters of a check that refused, or all of them.
pub fn check_budgets_view(budgets: Vec<BudgetState>, all: bool) -> Vec<BudgetState> {
    if all { budgets } else { budgets.into_iter().filter(|state| state.refused).collect() }
}

/// An extension of a reservation.
#[derive(Debug, Clone)]
pub struct Extension {
    /// Which one.
    pub id: Uuid,
    /// New lead from now; `None` leaves the expiry.
    pub ttl: Option<Duration>,
    /// Rises; a lower one is ignored.
    pub sequence: i64,
    /// Cumulative usage so far.
    pub running: Option<TokenUsage>,
    /// Priced running usage: the charge if the call ended now.
    pub running_sheet: Option<Arc<PriceSheet>>,
    /// A new worst case to hold for.
    pub raise: Option<CheckPlan>,
    /// What the caller's key pins.
    pub pins: Pins,
}

/// What an extension answers.
#[derive(Debug, Clone)]
pub struct ExtendAnswer {
    /// [`Decision::Denied`] = stop the stream; the hold stays.
    pub decision: Decision,
    /// The reservation after it.
    pub reservation: Reservation,
    /// Its counters.
    pub budgets: Vec<BudgetState>,
}

/// What a release answers.
#[derive(Debug, Clone)]
pub struct ReleaseAnswer {
    /// The reservation after it.
    pub reservation: Reservation,
    /// Its counters.
    pub budgets: Vec<BudgetState>,
}

/// One thing to do, with where its answer goes.
#[derive(Debug)]
pub enum Command {
    /// Record an event.
    Record(Box<Record>, Reply<RecordAnswer>),
    /// Decide a check and hold for it.
    Reserve(Box<Reserve>, Reply<CheckAnswer>),
    /// Extend a reservation.
    Extend(Box<Extension>, Reply<ExtendAnswer>),
    /// Release a reservation.
    Release {
        /// Which one.
        id: Uuid,
        /// Why.
        reason: String,
        /// What the caller's key pins.
        pins: Pins,
        /// Where the answer goes.
        reply: Reply<ReleaseAnswer>,
    },
    /// Correct events.
    Adjust(Box<Adjust>, Reply<AdjustAnswer>),
    /// End a reservation whose time has run out.
    Expire {
        /// Which one.
        id: Uuid,
        /// Where the answer goes.
        reply: Reply<()>,
    },
    /// Release a hold that its caller was never told of.
    Withdraw {
        /// Which one.
        withdrawal: Withdrawal,
        /// Where the answer goes: whether there was such a hold.
        reply: Reply<bool>,
    },
}

/// An answer that waits for its transaction to commit.
#[derive(Debug)]
pub(super) enum Answer {
    Recorded(Box<RecordAnswer>),
    Checked(Box<CheckAnswer>),
    Extended(Box<ExtendAnswer>),
    Released(Box<ReleaseAnswer>),
    Adjusted(Box<AdjustAnswer>),
    Expired,
    Withdrawn(bool),
}

impl Command {
    /// The reservation that it reads or changes.
    pub(super) fn reservation_id(&self) -> Option<Uuid> {
        match self {
            Self::Record(record, _) => record.event.reservation.map(|used| used.reservation_id),
            Self::Reserve(reserve, _) => Some(reserve.id),
            Self::Extend(extension, _) => Some(extension.id),
            Self::Release { id, .. } | Self::Expire { id, .. } => Some(*id),
            Self::Withdraw { withdrawal, .. } => Some(withdrawal.id),
            Self::Adjust(..) => None,
        }
    }

    /// The spans of its call.
    pub(super) fn trace(&self) -> &CallTrace {
        match self {
            Self::Record(_, reply) => &reply.trace,
            Self::Reserve(_, reply) => &reply.trace,
            Self::Extend(_, reply) => &reply.trace,
            Self::Release { reply, .. } => &reply.trace,
            Self::Adjust(_, reply) => &reply.trace,
            Self::Expire { reply, .. } => &reply.trace,
            Self::Withdraw { reply, .. } => &reply.trace,
        }
    }

    /// A writer took it.
    pub(super) fn taken(&mut self) {
        let trace = match self {
            Self::Record(_, reply) => &mut reply.trace,
            Self::Reserve(_, reply) => &mut reply.trace,
            Self::Extend(_, reply) => &mut reply.trace,
            Self::Release { reply, .. } => &mut reply.trace,
            Self::Adjust(_, reply) => &mut reply.trace,
            Self::Expire { reply, .. } => &mut reply.trace,
            Self::Withdraw { reply, .. } => &mut reply.trace,
        };
        trace.taken();
    }

    /// The corrections that it makes.
    pub(super) fn adjust(&self) -> Option<&Adjust> {
        match self {
            Self::Adjust(adjust, _) => Some(adjust),
            _ => None,
        }
    }

    /// Whether nothing of it is to stay: its transaction is its own, and is rolled back.
    pub(super) fn is_rehearsal(&self) -> bool {
        self.adjust().is_some_and(|adjust| adjust.validate_only)
    }

    /// About how many bytes it takes while it waits.
    pub(super) fn weight(&self) -> usize {
        match self {
            Self::Record(record, _) => weight::of_record(record),
            Self::Reserve(reserve, _) => weight::of_reserve(reserve),
            Self::Adjust(adjust, _) => weight::of_adjust(adjust),
            Self::Extend(extension, _) => weight::of_extension(extension),
            Self::Release { reason, .. } => weight::BASE + reason.len(),
            Self::Expire { .. } | Self::Withdraw { .. } => weight::BASE,
        }
    }

    /// Whether nobody waits for it and nothing would be lost: a hold for a caller that is gone would only leak. Usage
    /// is a fact, and is recorded even then.
    pub(super) fn is_abandoned(&self) -> bool {
        match self {
            Self::Reserve(reserve, reply) => reply.is_closed() || reserve.claim.is_given_up(),
            Self::Record(..)
            | Self::Extend(..)
            | Self::Release { .. }
            | Self::Adjust(..)
            | Self::Expire { .. }
            | Self::Withdraw { .. } => false,
        }
    }

    /// Whether its caller was answered without the database meanwhile.
    pub(super) fn is_given_up(&self) -> bool {
        matches!(self, Self::Reserve(reserve, _) if reserve.claim.is_given_up())
    }

    /// Sends the answer; a caller that is gone does not mind. Returns the id of a hold whose caller was told otherwise meanwhile.
    pub(super) fn answer(self, answer: Result<Answer, AppError>) -> Option<Uuid> {
        match (self, answer) {
            (Self::Reserve(reserve, _), answer) if !reserve.claim.answer() => {
                return matches!(answer, Ok(Answer::Checked(checked)) if checked.reservation.is_some())
                    .then_some(reserve.id);
            }
            (Self::Record(_, reply), Ok(Answer::Recorded(answer))) => reply.send(Ok(*answer)),
            (Self::Reserve(_, reply), Ok(Answer::Checked(answer))) => reply.send(Ok(*answer)),
            (Self::Extend(_, reply), Ok(Answer::Extended(answer))) => reply.send(Ok(*answer)),
            (Self::Release { reply, .. }, Ok(Answer::Released(answer))) => reply.send(Ok(*answer)),
            (Self::Adjust(_, reply), Ok(Answer::Adjusted(answer))) => reply.send(Ok(*answer)),
            (Self::Expire { reply, .. }, Ok(Answer::Expired)) => reply.send(Ok(())),
            (Self::Withdraw { reply, .. }, Ok(Answer::Withdrawn(found))) => reply.send(Ok(found)),
            (command, Err(error)) => command.refuse(error),
            (command, Ok(_)) => command.refuse(AppError::Internal),
        }
        None
    }

    fn refuse(self, error: AppError) {
        match self {
            Self::Record(_, reply) => reply.send(Err(error)),
            Self::Reserve(_, reply) => reply.send(Err(error)),
            Self::Extend(_, reply) => reply.send(Err(error)),
            Self::Release { reply, .. } => reply.send(Err(error)),
            Self::Adjust(_, reply) => reply.send(Err(error)),
            Self::Expire { reply, .. } => reply.send(Err(error)),
            Self::Withdraw { reply, .. } => reply.send(Err(error)),
        }
    }
}
