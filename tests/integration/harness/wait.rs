//! Waiting for states, never for durations.

use std::future::Future;
use std::time::{Duration, Instant};

use super::cluster::LONGEST_WAIT;

/// Asks until the answer is there.
///
/// # Panics
/// Where it never comes.
pub(crate) async fn until<T, F>(what: &str, mut ask: impl FnMut() -> F) -> T
where
    F: Future<Output = Option<T>>,
{
    let deadline = Instant::now() + LONGEST_WAIT;
    loop {
        if let Some(answer) = ask().await {
            return answer;
        }
        assert!(Instant::now() < deadline, "never came: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Waits for a future, but not forever.
///
/// # Panics
/// Where it never ends.
pub(crate) async fn bounded<T>(what: &str, future: impl Future<Output = T>) -> T {
    tokio::time::timeout(LONGEST_WAIT, future).await.unwrap_or_else(|_| panic!("never ended: {what}"))
}
