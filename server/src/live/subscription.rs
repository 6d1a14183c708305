//! One subscriber.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use jiff::Timestamp;
use tokio_util::sync::CancellationToken;

use super::entry::{Entry, SubscriberId};
use super::hub::Shared;
use super::mailbox::{Mailbox, lock};
use super::reading::{LiveError, Reading};

/// Longest wait for the first reading of all scopes.
const FIRST_READING_TIMEOUT: Duration = Duration::from_secs(10);

/// A subscriber of some scopes. Dropping it ends it, and frees the scopes that nobody else watches.
pub struct Subscription {
    shared: Arc<Shared>,
    id: SubscriberId,
    mailbox: Arc<Mailbox>,
    scopes: Vec<Watched>,
}

struct Watched {
    entry: Arc<Entry>,
    /// The last publication that was taken.
    taken: u64,
}

impl Watched {
    fn take_newest(&mut self, position: usize) -> Option<Seen> {
        let newest = self.entry.newest()?;
        self.taken = newest.publication;
        Some(Seen { position, reading: newest.reading })
    }

    fn take_newer(&mut self, position: usize) -> Option<Seen> {
        let taken = self.taken;
        let seen = self.take_newest(position)?;
        (self.taken > taken).then_some(seen)
    }
}

/// A reading of the scope at a position.
#[derive(Debug, Clone)]
pub struct Seen {
    /// Which scope, in the order in which they were given.
    pub position: usize,
    /// The newest reading of it.
    pub reading: Arc<Reading>,
}

impl std::fmt::Debug for Subscription {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Subscription").field("id", &self.id).finish_non_exhaustive()
    }
}

impl Subscription {
    pub(super) fn new(shared: Arc<Shared>, id: SubscriberId, mailbox: Arc<Mailbox>, entries: Vec<Arc<Entry>>) -> Self {
        let scopes = entries.into_iter().map(|entry| Watched { entry, taken: 0 }).collect();
        Self { shared, id, mailbox, scopes }
    }

    /// Waits until every scope was read after this subscription began, and takes all readings. To be called first.
    ///
    /// # Errors
    /// [`LiveError`]: why a scope cannot be read.
    pub async fn snapshot(&mut self) -> Result<Vec<Seen>, LiveError> {
        let read = async {
            let mut bits = 0_u64;
            while usize::try_from(bits.count_ones()).is_ok_and(|read| read < self.scopes.len()) {
                self.mailbox.filled().await?;
                bits |= self.mailbox.take();
            }
            Ok(())
        };
        tokio::select! {
            () = self.shared.draining.cancelled() => Err(LiveError::ShuttingDown),
            read = tokio::time::timeout(FIRST_READING_TIMEOUT, read) => read.unwrap_or(Err(LiveError::Unavailable)),
        }?;
        Ok(self.take_all())
    }

    /// Waits until a scope changed that was not taken since.
    ///
    /// # Errors
    /// [`LiveError::ShuttingDown`] when the server drains.
    pub async fn changed(&self) -> Result<(), LiveError> {
        tokio::select! {
            biased;
            () = self.shared.draining.cancelled() => Err(LiveError::ShuttingDown),
            filled = self.mailbox.filled() => filled,
        }
    }

    /// Takes the newest readings of the scopes that changed.
    pub fn take_changed(&mut self) -> Vec<Seen> {
        let bits = self.mailbox.take();
        let marked = (0_usize..).zip(&mut self.scopes).filter(|(position, _)| bits & (1 << position) != 0);
        // A mark may come after its reading was taken: then there is nothing new behind it.
        marked.filter_map(|(position, watched)| watched.take_newer(position)).collect()
    }

    /// Takes the newest readings of all scopes, known ones too.
    pub fn take_all(&mut self) -> Vec<Seen> {
        self.mailbox.take();
        (0..).zip(&mut self.scopes).filter_map(|(position, watched)| watched.take_newest(position)).collect()
    }

    /// The time up to which the newest readings of all scopes are known to be complete.
    pub fn as_of(&self) -> Option<Timestamp> {
        self.scopes.iter().filter_map(|watched| watched.entry.as_of()).min()
    }

    /// Ends the subscription when cancelled.
    pub fn draining(&self) -> &CancellationToken {
        &self.shared.draining
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        let mut table = lock(&self.shared.table);
        if let Some(watched) = self.scopes.first() {
            table.dismiss(watched.entry.tenant);
        }
        for (position, watched) in (0_u8..).zip(&self.scopes) {
            table.leave(&watched.entry, self.id, position);
        }
        self.shared.watched.store(table.watched(), Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use crate::live::HubSettings;
    use crate::live::scripted::{ScriptedSource, TENANT, session};

    #[tokio::test(start_paused = true)]
    async fn a_mark_behind_which_nothing_is_new_says_nothing() {
        let source = ScriptedSource::new();
        let hub = source.hub(HubSettings::default());
        let mut subscription = hub.watch(TENANT, vec![session("a")]).unwrap();
        subscription.snapshot().await.unwrap();
        // As when a reading is published while it is taken.
        subscription.mailbox.mark(0);
        assert!(subscription.take_changed().is_empty());
    }
}
