//! Tells other replicas what this one touched, and hears what they did.

use std::time::Duration;

use tokio::time::sleep;

use super::hub::Hub;
use super::lanes::spread;
use super::notice::{self, ReplicaId, Touched};
use crate::store::StoreError;
use crate::store::notify::TouchChannel;

/// Least time between two notices: NOTIFY takes a lock that all commits of the database share.
const PAUSE: Duration = Duration::from_millis(50);
/// First and longest wait after the database did not answer.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));

/// Runs until the hub drains. Does nothing where notices are switched off: then the hub's polling does it all.
pub async fn exchange_touches(hub: Hub, channel: TouchChannel) {
    if !hub.shared.settings.notify {
        return;
    }
    let replica = ReplicaId::random();
    let draining = hub.draining().clone();
    tokio::select! {
        () = draining.cancelled() => {}
        () = tell(&hub, &channel, replica) => {}
        () = hear(&hub, &channel, replica) => {}
    }
}

async fn tell(hub: &Hub, channel: &TouchChannel, replica: ReplicaId) {
    let mut wait = Backoff::default();
    loop {
        let touched = hub.shared.outbox.take().await;
        match channel.send(&notice::write(replica, &touched)).await {
            Ok(()) => wait = Backoff::default(),
            Err(error) => {
                tracing::warn!(error = &error as &dyn std::error::Error, "other replicas could not be notified");
                hub.shared.outbox.add_everything();
                sleep(wait.next()).await;
            }
        }
        sleep(PAUSE).await;
    }
}

async fn hear(hub: &Hub, channel: &TouchChannel, replica: ReplicaId) {
    let mut wait = Backoff::default();
    loop {
        let Err(error) = hear_until_lost(hub, channel, replica, &mut wait).await;
        tracing::warn!(error = &error as &dyn std::error::Error, "the notices of other replicas cannot be heard");
        sleep(wait.next()).await;
    }
}

async fn hear_until_lost(
    hub: &Hub,
    channel: &TouchChannel,
    replica: ReplicaId,
    wait: &mut Backoff,
) -> Result<std::convert::Infallible, StoreError> {
    let mut listener = channel.listen().await?;
    *wait = Backoff::default();
    // What was touched while nobody listened.
    hub.touch_everything();
    loop {
        match notice::read(replica, &listener.receive().await?) {
            None => {}
            Some(Touched::Everything) => hub.touch_everything(),
            Some(Touched::Scopes(scopes)) => hub.touch_hashes(scopes),
        }
    }
}

/// Waits that double.
#[derive(Default)]
struct Backoff {
    failures: u32,
}

impl Backoff {
    fn next(&mut self) -> Duration {
        let (first, longest) = BACKOFF;
        let wait = first.saturating_mul(1 << self.failures.min(16)).min(longest);
        self.failures = self.failures.saturating_add(1);
        spread(wait)
    }
}
