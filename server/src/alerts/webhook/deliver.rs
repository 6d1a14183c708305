//! Takes what waits for the webhook and posts it, on any replica.

use std::time::Duration;

use futures::future::join_all;
use jiff::{SignedDuration, Timestamp};
use sqlx::PgPool;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::Webhook;
use super::body::{Bodies, BodyError};
use crate::live::Hub;
use crate::metrics::{DeliveryOutcome, Metrics};
use crate::store::alerts::{self, Attempt, DueDelivery, StoredAlert};
use crate::store::{StoreError, audit};
use crate::tenant::TenantId;

/// What is due is looked for at least this often.
const PERIOD: Duration = Duration::from_secs(1);
/// Most attempts at once.
const AT_ONCE: i64 = 8;
/// How long an attempt belongs to the replica that took it: longer than it can last.
const LEASE: Duration = Duration::from_secs(60);
/// First and longest wait after an attempt that failed.
const BACKOFF: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(3_600));
/// How long a message is tried, from the alert on.
const GIVE_UP_AFTER: SignedDuration = SignedDuration::from_hours(24);
/// Most attempts at an alert that cannot be read, whose age is not known either: about a day of them.
const UNREADABLE_ATTEMPTS: i32 = 36;

/// Delivers until `stop`.
pub async fn run(webhook: Webhook, all_tenants: PgPool, hub: Hub, metrics: Metrics, stop: CancellationToken) {
    let bodies = match Bodies::new() {
        Ok(bodies) => bodies,
        Err(error) => {
            tracing::error!(error = &error as &dyn std::error::Error, "no alert can be delivered");
            return;
        }
    };
    let courier = Courier { webhook, bodies, all_tenants, metrics };
    let mut raised = hub.alerts_raised();
    let mut pause = Duration::ZERO;
    while next_round(pause, &mut raised, &stop).await {
        pause = match courier.round().await {
            Ok(true) => Duration::ZERO,
            Ok(false) => PERIOD,
            Err(error) => {
                tracing::warn!(error = &error as &dyn std::error::Error, "alerts could not be delivered");
                PERIOD
            }
        };
    }
}

/// Waits for the next round, which new alerts bring forward; `false` = the end.
async fn next_round(pause: Duration, raised: &mut watch::Receiver<u64>, stop: &CancellationToken) -> bool {
    tokio::select! {
        biased;
        () = stop.cancelled() => false,
        () = tokio::time::sleep(pause) => true,
        changed = raised.changed() => changed.is_ok(),
    }
}

struct Courier {
    webhook: Webhook,
    bodies: Bodies,
    all_tenants: PgPool,
    metrics: Metrics,
}

impl Courier {
    /// One round; says whether more may be waiting.
    async fn round(&self) -> Result<bool, StoreError> {
        let mut more = false;
        for (tenant, _) in audit::tenants(&self.all_tenants).await? {
            let due = alerts::claim_deliveries(&self.all_tenants, tenant, AT_ONCE, LEASE).await?;
            more |= i64::try_from(due.len()).is_ok_and(|count| count == AT_ONCE);
            let attempts = due.iter().map(|delivery| self.deliver(tenant, delivery));
            join_all(attempts).await.into_iter().collect::<Result<(), StoreError>>()?;
        }
        Ok(more)
    }

    async fn alert(&self, tenant: TenantId, id: Uuid) -> Result<Vec<StoredAlert>, StoreError> {
        let mut connection = self.all_tenants.acquire().await?;
        alerts::get(&mut connection, tenant, &[id]).await
    }

    async fn deliver(&self, tenant: TenantId, delivery: &DueDelivery) -> Result<(), StoreError> {
        let attempt = match self.alert(tenant, delivery.alert_id).await {
            Ok(found) => match found.first() {
                Some(alert) => self.attempt(delivery, alert).await,
                // Purged meanwhile, and its delivery with it.
                None => return Ok(()),
            },
            Err(error @ StoreError::Unreadable { .. }) => unreadable(delivery, error.to_string()),
            Err(error) => return Err(error),
        };
        let DueDelivery { alert_id, attempt: number } = delivery;
        let outcome = match &attempt {
            Attempt::Delivered => DeliveryOutcome::Delivered,
            Attempt::Retried { error, after } => {
                tracing::warn!(%alert_id, attempt = number, error, ?after, "an alert was not delivered and is tried again");
                DeliveryOutcome::Retried
            }
            Attempt::GivenUp { error } => {
                tracing::error!(%alert_id, attempts = number, error, "an alert was not delivered and is given up");
                DeliveryOutcome::GivenUp
            }
        };
        self.metrics.delivered(outcome);
        alerts::end_delivery(&self.all_tenants, tenant, *alert_id, &attempt).await
    }

    async fn attempt(&self, delivery: &DueDelivery, alert: &StoredAlert) -> Attempt {
        match self.post(alert).await {
            Ok(()) => Attempt::Delivered,
            Err(error) => failed(delivery, alert, error, Timestamp::now()),
        }
    }

    async fn post(&self, alert: &StoredAlert) -> Result<(), String> {
        let body = self.bodies.of(alert).map_err(|error: BodyError| error.to_string())?;
        let timestamp = Timestamp::now().as_second();
        let posted = self.webhook.sender.post(&alert.alert_id.to_string(), timestamp, body).await;
        posted.map_err(|error| error.to_string())
    }
}

/// What follows a failure: another attempt, unless it has been tried for long enough.
fn failed(delivery: &DueDelivery, alert: &StoredAlert, error: String, now: Timestamp) -> Attempt {
    let wait = backoff(delivery.attempt);
    let after = wait + rand::random_range(Duration::ZERO..=wait / 4);
    let age = now.duration_since(alert.create_time);
    let late = SignedDuration::try_from(after).map_or(true, |after| age.saturating_add(after) > GIVE_UP_AFTER);
    if late { Attempt::GivenUp { error } } else { Attempt::Retried { error, after } }
}

/// What follows an alert that this version cannot read: a newer replica may, and the others do not wait for it.
fn unreadable(delivery: &DueDelivery, error: String) -> Attempt {
    if delivery.attempt >= UNREADABLE_ATTEMPTS {
        Attempt::GivenUp { error }
    } else {
        Attempt::Retried { error, after: backoff(delivery.attempt) }
    }
}

/// The wait after an attempt, without its jitter.
fn backoff(attempt: i32) -> Duration {
    let (first, longest) = BACKOFF;
    let doublings = u32::try_from(attempt.saturating_sub(1)).unwrap_or(0).min(31);
    first.saturating_mul(1_u32.checked_shl(doublings).unwrap_or(u32::MAX)).min(longest)
}

#[cfg(test)]
mod tests {
    use tollgate_domain::alert::Subject;
    use tollgate_domain::model::ModelRef;
    use uuid::Uuid;

    use super::*;

    fn alert(create_time: Timestamp) -> StoredAlert {
        StoredAlert {
            alert_id: Uuid::now_v7(),
            position: 1,
            create_time,
            event_id: None,
            reservation_id: None,
            subject: Subject::UnpricedModel { model: ModelRef::new("openai", "gpt-17"), partial: false },
            acknowledgement: None,
        }
    }

    #[test]
    fn waits_double_up_to_an_hour() {
        assert_eq!([1, 2, 3, 4].map(backoff), [1, 2, 4, 8].map(Duration::from_secs));
        assert_eq!([13, 40, i32::MAX].map(backoff), [Duration::from_secs(3_600); 3]);
        assert_eq!(backoff(0), Duration::from_secs(1));
    }

    #[test]
    fn a_day_of_failures_is_enough() {
        let now = Timestamp::now();
        let of_age = |hours: i64, attempt: i32| {
            let alert = alert(now - SignedDuration::from_hours(hours));
            failed(&DueDelivery { alert_id: alert.alert_id, attempt }, &alert, "away".to_owned(), now)
        };
        let Attempt::Retried { after, .. } = of_age(0, 3) else { panic!("tried again") };
        assert!((Duration::from_secs(4)..=Duration::from_secs(5)).contains(&after), "{after:?}");
        assert!(matches!(of_age(22, 30), Attempt::Retried { .. }));
        assert!(matches!(of_age(24, 30), Attempt::GivenUp { .. }));
    }

    #[test]
    fn what_cannot_be_read_is_left_to_newer_replicas_for_a_day() {
        let of_attempt = |attempt| unreadable(&DueDelivery { alert_id: Uuid::nil(), attempt }, "newer".to_owned());
        let Attempt::Retried { after, .. } = of_attempt(1) else { panic!("tried again") };
        assert_eq!(after, Duration::from_secs(1));
        assert!(matches!(of_attempt(UNREADABLE_ATTEMPTS), Attempt::GivenUp { .. }));
    }

    #[test]
    fn a_message_is_the_json_of_the_contract_and_always_the_same() {
        let bodies = Bodies::new().unwrap();
        let mut alert = alert("2026-05-01T10:00:00Z".parse().unwrap());
        let body = bodies.of(&alert).unwrap();
        let json: serde_json::Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(json["type"], "tollgate.alert.raised");
        assert_eq!(json["timestamp"], "2026-05-01T10:00:00Z");
        assert_eq!(json["data"]["alertId"], alert.alert_id.to_string());
        assert_eq!(json["data"]["kind"], "KIND_UNPRICED_MODEL");
        assert_eq!(json["data"]["createTime"], "2026-05-01T10:00:00Z");
        assert_eq!(json["data"]["model"]["providerName"], "openai");
        alert.acknowledgement = Some(crate::store::alerts::Acknowledgement {
            time: Timestamp::now(),
            by: "key".to_owned(),
            note: "seen".to_owned(),
        });
        assert_eq!(bodies.of(&alert).unwrap(), body);
    }
}
