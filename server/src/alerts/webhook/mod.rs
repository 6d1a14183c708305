//! The webhook: every alert is posted to one receiver, at least once, signed by the rules of Standard Webhooks
//! (<https://www.standardwebhooks.com>).

mod address;
mod body;
mod deliver;
mod send;
mod signature;
mod target;

pub use deliver::run;
pub use signature::{Secret, SecretError};
pub use target::{Target, TargetError};

use send::Sender;

/// Where alerts are posted, and how.
#[derive(Debug)]
pub struct Webhook {
    sender: Sender,
}

impl Webhook {
    /// Posts to `target`, signing with each of `secrets`, so that a receiver may know an old one or a new one. Private addresses are
    /// refused unless they are allowed.
    pub fn new(target: Target, secrets: Vec<Secret>, allow_private_addresses: bool) -> Self {
        Self { sender: Sender::new(target, secrets, allow_private_addresses) }
    }
}
