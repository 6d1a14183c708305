//! Who calls.

use std::future::pending;
use std::sync::{Arc, LazyLock};

use tollgate_domain::dimensions::Dimensions;
use uuid::Uuid;

use super::credentials::Standing;
use super::{Permission, Permissions, Refusal};
use crate::tenant::TenantId;

/// Who makes a call: what the credential says, and nothing that the call says. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Caller {
    /// Whose data it is.
    pub tenant: TenantId,
    /// The key; absent without a credential and for a view token.
    pub api_key_id: Option<Uuid>,
    /// What it may do.
    pub permissions: Permissions,
    /// Values that the key puts into every call.
    pub pinned: Arc<Dimensions>,
    /// The same with the key itself: what is stamped on usage and checks.
    pub stamp: Arc<Dimensions>,
    /// Encoded scopes that a view token watches; absent for everybody else.
    pub view_scopes: Option<Arc<[Vec<u8>]>>,
    /// What it stands on; absent without a credential.
    pub(super) standing: Option<Standing>,
}

static NO_DIMENSIONS: LazyLock<Arc<Dimensions>> = LazyLock::new(Arc::default);

impl Caller {
    /// A caller without a credential, where the server asks for none: the local tenant with everything.
    pub fn local() -> Self {
        Self { tenant: TenantId::LOCAL, permissions: Permissions::EVERYTHING, ..Self::nobody() }
    }

    /// Nobody: no tenant and no permission.
    pub fn nobody() -> Self {
        Self {
            tenant: TenantId::NOBODY,
            api_key_id: None,
            permissions: Permissions::NONE,
            pinned: NO_DIMENSIONS.clone(),
            stamp: NO_DIMENSIONS.clone(),
            view_scopes: None,
            standing: None,
        }
    }

    /// Whether the caller holds a view token.
    pub fn only_watches(&self) -> bool {
        self.view_scopes.is_some()
    }

    /// Asks for a permission.
    ///
    /// # Errors
    /// [`Refusal::Lacks`] and [`Refusal::OnlyWatches`].
    pub fn require(&self, permission: Permission) -> Result<(), Refusal> {
        match self.only_watches() {
            true => Err(Refusal::OnlyWatches),
            false if self.permissions.allow(permission) => Ok(()),
            false => Err(Refusal::Lacks(permission)),
        }
    }

    /// Waits until the credential is good no longer, and says why: a stream must not outlive it. Never, without one.
    pub async fn ended(&self) -> Refusal {
        match &self.standing {
            Some(standing) => standing.ended().await,
            None => pending().await,
        }
    }
}
