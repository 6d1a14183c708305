//! Whose data it is.

/// A tenant's number. It comes from the credential alone, and every statement names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TenantId(pub i32);

impl TenantId {
    /// The tenant of a server that asks for no credential.
    pub const LOCAL: Self = Self(1);
}
