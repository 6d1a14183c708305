//! The two lock files by which processes that share one private Postgres agree on who starts and who stops it.
//!
//! The system releases a lock when its holder dies, however it dies, so that a lock file never goes stale.

use std::fs::File;
use std::time::Duration;

use tokio::time::Instant;

use super::error::EmbeddedError;
use super::layout::Layout;

/// How often a taken lock is tried again.
const RETRY: Duration = Duration::from_millis(25);

/// A locked file. It is unlocked by word and not just by closing it: a program that another thread is launching at that
/// moment holds a copy of the open file for an instant, and the lock with it.
#[derive(Debug)]
struct Held(File);

impl Drop for Held {
    fn drop(&mut self) {
        if let Err(error) = self.0.unlock() {
            tracing::warn!(%error, "a lock file could not be unlocked");
        }
    }
}

/// The exclusive right to start or stop the server, until dropped.
#[derive(Debug)]
pub(super) struct StartLock {
    _held: Held,
}

impl StartLock {
    /// Waits for the lock, at most for the given time.
    pub(super) async fn acquire(layout: &Layout, limit: Duration) -> Result<Self, EmbeddedError> {
        let path = layout.start_lock();
        let file = layout.open_file(&path)?;
        let deadline = Instant::now() + limit;
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(Self { _held: Held(file) }),
                Err(std::fs::TryLockError::Error(source)) => {
                    return Err(EmbeddedError::io("lock", &path)(source));
                }
                Err(std::fs::TryLockError::WouldBlock) if Instant::now() >= deadline => {
                    return Err(EmbeddedError::Busy { path: layout.root().to_owned(), waited: limit });
                }
                Err(std::fs::TryLockError::WouldBlock) => tokio::time::sleep(RETRY).await,
            }
        }
    }
}

/// The mark that this process uses the server, until dropped.
#[derive(Debug)]
pub(super) struct UseLock {
    held: Held,
}

impl UseLock {
    /// Marks the server as used. Asking for the start lock makes sure that nobody is stopping the server meanwhile.
    pub(super) fn acquire(layout: &Layout, _start: &StartLock) -> Result<Self, EmbeddedError> {
        let path = layout.use_lock();
        let file = layout.open_file(&path)?;
        file.lock_shared().map_err(EmbeddedError::io("lock", &path))?;
        Ok(Self { held: Held(file) })
    }

    /// Gives the mark up and tells whether nobody else holds one, which stays so while the start lock is held.
    pub(super) fn release(self, _start: &StartLock) -> bool {
        let Held(file) = &self.held;
        file.unlock().is_ok() && file.try_lock().is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::super::account::Account;
    use super::super::tests::TemporaryFolder;
    use super::*;

    #[tokio::test]
    async fn the_last_one_out_is_told_so() {
        let folder = TemporaryFolder::new();
        let layout = Layout::prepare(Some(folder.path()), Account::current().unwrap()).unwrap();
        let start = StartLock::acquire(&layout, Duration::ZERO).await.unwrap();
        let error = StartLock::acquire(&layout, Duration::from_millis(30)).await.unwrap_err();
        assert!(matches!(error, EmbeddedError::Busy { .. }));

        let first = UseLock::acquire(&layout, &start).unwrap();
        let second = UseLock::acquire(&layout, &start).unwrap();
        assert!(!first.release(&start));
        assert!(second.release(&start));
        drop(start);
        StartLock::acquire(&layout, Duration::ZERO).await.unwrap();
    }
}
