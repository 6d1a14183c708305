//! Running totals of watched scopes.
//!
//! There is one `entry` for every distinct scope that anybody watches, shared by all who do. It keeps the newest
//! absolute reading; a subscriber keeps one bit per scope that says whether it has seen it. So a slow reader skips
//! readings instead of queueing them, and 10,000 of them cost little more than one.
//!
//! The ledger says after each commit what it touched ([`Hub::touch`]); other replicas say it through the database
//! (`replicas`); and every entry is read again now and then in case both were missed. One refresher reads what is
//! marked, in batches, and publishes what changed.

mod entry;
mod hub;
mod lanes;
mod mailbox;
mod notice;
mod outbox;
mod reading;
mod refresh;
mod replicas;
mod scope;
mod settings;
mod subscription;
mod table;

#[cfg(test)]
pub(crate) mod scripted;
#[cfg(test)]
mod tests;

pub use hub::Hub;
pub use notice::everything_touched;
pub use reading::{LiveError, Reading, ScopeSource};
pub use replicas::exchange_touches;
pub use scope::{ScopeHash, Touch, WatchedScope};
pub use settings::HubSettings;
pub use subscription::{Seen, Subscription};
