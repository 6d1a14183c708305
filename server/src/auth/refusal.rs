//! Why a caller is turned away.

use thiserror::Error;

use super::Permission;

/// Why a caller is turned away.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum Refusal {
    /// No credential was sent.
    #[error("a credential is missing: send `authorization: Bearer <api key>`")]
    Missing,
    /// What was sent is not a secret that Tollgate issues, or several were sent.
    #[error("the credential is malformed: send one api key as it was issued, as `authorization: Bearer <api key>`")]
    Malformed,
    /// Nobody has this secret.
    #[error("the credential is unknown: check the api key, or ask for another one")]
    Unknown,
    /// It worked until a while ago.
    #[error("the credential has expired: use the new secret of the api key, or ask for another one")]
    Expired,
    /// The key was revoked.
    #[error("the api key was revoked: ask for another one")]
    Revoked,
    /// The key lacks a permission.
    #[error("the api key lacks the permission {}: use one that has it", .0.name())]
    Lacks(Permission),
    /// A view token watches, and nothing else.
    #[error("a view token may call StreamUsage and GetTotals alone: use an api key")]
    OnlyWatches,
    /// A view token watches its own scopes, as they are.
    #[error("the view token is not for scope `scopes[{0}]`: ask for the scopes that it was created for, unchanged")]
    OtherScope(usize),
    /// The header names a tenant for which the credential does not speak.
    #[error("the credential does not speak for the tenant that `x-tollgate-tenant` names: leave the header out")]
    OtherTenant,
    /// The key that is to get a secret speaks for other tenants, too.
    #[error(
        "the api key speaks for other tenants: only who runs the service gives it a secret, by `tollgate keys rotate --database`"
    )]
    SpeaksForOthers,
    /// Too many credentials are looked up.
    #[error("too many credentials are looked up at the same time")]
    Busy,
    /// The database is away, and this replica does not know the credential.
    #[error("the database cannot be reached to look the credential up")]
    Unavailable,
    /// A defect.
    #[error("internal error")]
    Internal,
}

impl Refusal {
    /// Its name for programs, where the credential itself is at fault.
    pub const fn credential_fault(self) -> Option<&'static str> {
        match self {
            Self::Missing => Some("MISSING"),
            Self::Malformed => Some("MALFORMED"),
            Self::Unknown => Some("UNKNOWN"),
            Self::Expired => Some("EXPIRED"),
            Self::Revoked => Some("REVOKED"),
            _ => None,
        }
    }
}
