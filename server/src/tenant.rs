//! Whose data it is.

use std::sync::Arc;

/// A tenant's number. It comes from the credential alone, and every statement names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TenantId(pub i32);

impl TenantId {
    /// The tenant of callers without a credential, where the server asks for none.
    pub const LOCAL: Self = Self(1);
    /// No tenant: nothing is stored under this number.
    pub const NOBODY: Self = Self(0);
}

/// A tenant under the name that people and headers use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tenant {
    /// Its number.
    pub id: TenantId,
    /// Its name, unique.
    pub name: Arc<str>,
}

impl Tenant {
    /// The tenant that every database has.
    pub fn local() -> Self {
        Self { id: TenantId::LOCAL, name: Arc::from("local") }
    }
}
