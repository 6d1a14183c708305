//! Checks that hold nothing, decided together: those that wait at the same moment share one snapshot, so that many callers cost
//! the database hardly more than one.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Mutex, mpsc, oneshot};

use super::AppError;
use crate::ledger::{CheckAnswer, CheckPlan, Ledger};
use crate::prices::Prices;
use crate::store::scoped::TenantPool;
use crate::store::{StoreError, ledger};
use crate::tenant::TenantId;

/// Most checks that wait; one more is refused at once.
const WAITING: usize = 10_000;
/// When it should be sent again: a few snapshots later.
const RETRY_AFTER: Duration = Duration::from_millis(50);
/// Most checks of one snapshot.
const TOGETHER: usize = 256;
/// Snapshots at once: one decides while the other reads.
const READERS: usize = 2;

#[derive(Debug)]
struct Waiting {
    tenant: TenantId,
    plan: CheckPlan,
    reply: oneshot::Sender<Result<CheckAnswer, AppError>>,
}

/// Where checks wait. The readers end with the last of its clones.
#[derive(Debug, Clone)]
pub(super) struct Peeks {
    sender: mpsc::Sender<Waiting>,
}

impl Peeks {
    /// Starts the readers.
    pub(super) fn start(tenants: &TenantPool, ledger: &Ledger, prices: &Prices) -> Self {
        let (sender, receiver) = mpsc::channel(WAITING);
        let receiver = Arc::new(Mutex::new(receiver));
        for _ in 0..READERS {
            let reader = Reader { tenants: tenants.clone(), ledger: ledger.clone(), prices: prices.clone() };
            tokio::spawn(reader.run(receiver.clone()));
        }
        Self { sender }
    }

    /// Decides a check in a snapshot that begins after this call.
    ///
    /// # Errors
    /// [`AppError`].
    pub(super) async fn decide(&self, tenant: TenantId, plan: CheckPlan) -> Result<CheckAnswer, AppError> {
        let (reply, answer) = oneshot::channel();
        self.sender.try_send(Waiting { tenant, plan, reply }).map_err(|refused| match refused {
            mpsc::error::TrySendError::Full(_) => {
                AppError::Full { what: "the queue of checks", retry_after: RETRY_AFTER }
            }
            mpsc::error::TrySendError::Closed(_) => AppError::ShuttingDown,
        })?;
        answer.await.unwrap_or(Err(AppError::Unavailable))
    }
}

struct Reader {
    tenants: TenantPool,
    ledger: Ledger,
    prices: Prices,
}

impl Reader {
    async fn run(self, receiver: Arc<Mutex<mpsc::Receiver<Waiting>>>) {
        let mut taken = Vec::with_capacity(TOGETHER);
        while receiver.lock().await.recv_many(&mut taken, TOGETHER).await > 0 {
            let mut by_tenant: BTreeMap<TenantId, Vec<Waiting>> = BTreeMap::new();
            // Nobody waits for the others any more.
            for waiting in taken.drain(..).filter(|waiting| !waiting.reply.is_closed()) {
                by_tenant.entry(waiting.tenant).or_default().push(waiting);
            }
            for (tenant, waiting) in by_tenant {
                self.answer(tenant, waiting).await;
            }
        }
    }

    async fn answer(&self, tenant: TenantId, waiting: Vec<Waiting>) {
        let (plans, replies): (Vec<CheckPlan>, Vec<_>) = waiting.into_iter().map(|one| (one.plan, one.reply)).unzip();
        let decided = tokio::select! {
            biased;
            decided = self.decide(tenant, &plans) => decided,
            // A silent database would hold the reader until its connection breaks.
            () = self.ledger.presence().went_away() => Err(AppError::Unavailable),
        };
        match decided {
            Ok(answers) => {
                for (reply, answer) in replies.into_iter().zip(answers) {
                    // A caller that is gone does not mind.
                    drop(reply.send(answer));
                }
            }
            // Told to each in its own words: an error is not shared.
            Err(error) => {
                let again = || match &error {
                    AppError::Unavailable => AppError::Unavailable,
                    _ => AppError::Internal,
                };
                replies.into_iter().for_each(|reply| drop(reply.send(Err(again()))));
            }
        }
    }

    async fn decide(
        &self,
        tenant: TenantId,
        plans: &[CheckPlan],
    ) -> Result<Vec<Result<CheckAnswer, AppError>>, AppError> {
        if self.ledger.presence().is_away() {
            return Err(StoreError::unanswered().into());
        }
        // Its few statements look for rows by their whole keys: to plan them for each check took three times as long as to run
        // them.
        let mut transaction = self.tenants.planned_once(tenant).await?;
        let clock = ledger::clock(&mut transaction, tenant).await?;
        self.prices.noticed(tenant, clock.prices_version);
        self.ledger.peek(&mut transaction, tenant, plans, clock).await
    }
}
