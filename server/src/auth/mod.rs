//! Who calls, and what they may do.
//!
//! A credential is a secret that the server issued; what is kept of it is looked up by the id inside of it and remembered for
//! two seconds, so that a revocation or an expiry is in force everywhere within five.

mod caller;
mod credentials;
mod header;
mod last_use;
mod permission;
mod refusal;
mod secret;

pub use caller::Caller;
pub use credentials::{Credentials, LOOK_UP_CONNECTIONS};
pub use header::{Presented, TENANT_HEADER, presented, strip};
pub use last_use::LastUses;
pub use permission::{Permission, Permissions};
pub use refusal::Refusal;
pub use secret::{NewSecret, NoRandomness, PresentedSecret, SecretDigest, SecretId, SecretKind};
