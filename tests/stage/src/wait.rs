//! Waiting for states, never for durations.

use std::future::Future;
use std::time::{Duration, Instant};

/// Longest wait for any state. Generous: a wait ends as soon as the state is there.
pub const LONGEST: Duration = Duration::from_secs(90);

/// How often a state is asked for.
const ASK_AGAIN: Duration = Duration::from_millis(10);
/// Longest wait for one answer to that question.
const ANSWER_LIMIT: Duration = Duration::from_secs(5);

/// Asks until the answer is there.
///
/// # Errors
/// Where it does not come within [`LONGEST`].
pub async fn until<T, F>(what: &str, mut ask: impl FnMut() -> F) -> anyhow::Result<T>
where
    F: Future<Output = Option<T>>,
{
    let deadline = Instant::now() + LONGEST;
    loop {
        if let Ok(Some(answer)) = tokio::time::timeout(ANSWER_LIMIT, ask()).await {
            return Ok(answer);
        }
        anyhow::ensure!(Instant::now() < deadline, "never came in {LONGEST:?}: {what}");
        tokio::time::sleep(ASK_AGAIN).await;
    }
}

/// Waits for a future, but not forever.
///
/// # Errors
/// Where it does not end within [`LONGEST`].
pub async fn bounded<T>(what: &str, future: impl Future<Output = T>) -> anyhow::Result<T> {
    tokio::time::timeout(LONGEST, future).await.map_err(|_| anyhow::anyhow!("never ended in {LONGEST:?}: {what}"))
}
