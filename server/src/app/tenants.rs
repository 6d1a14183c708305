//! Tenants: created and listed by whoever runs the service.

use sqlx::PgPool;

use super::AppError;
use crate::store::credentials::{self, StoredTenant};
use crate::tenant::Tenant;

/// Longest name of a tenant, in bytes.
const NAME_BYTES_LIMIT: usize = 64;
/// Most tenants that a list shows.
const LIST_LIMIT: i64 = 100_000;

/// Creates a tenant; `None` where one has the name.
///
/// # Errors
/// [`AppError::Invalid`] for a name that no header could carry, and others.
pub async fn create_tenant(pool: &PgPool, name: &str) -> Result<Option<StoredTenant>, AppError> {
    let usable = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-_.".contains(&byte);
    if !(1..=NAME_BYTES_LIMIT).contains(&name.len()) || !name.bytes().all(usable) {
        let rule = format!("must have 1 to {NAME_BYTES_LIMIT} characters of a-z, 0-9, `-`, `_` and `.`");
        return Err(AppError::invalid("name", rule));
    }
    Ok(credentials::create_tenant(pool, name).await?)
}

/// Lists tenants in the order in which they were created.
///
/// # Errors
/// [`AppError`].
pub async fn list_tenants(pool: &PgPool) -> Result<Vec<StoredTenant>, AppError> {
    Ok(credentials::list_tenants(pool, LIST_LIMIT).await?)
}

/// The tenants of these names, all of which must be there.
///
/// # Errors
/// [`AppError::Invalid`] that names the first that is not.
pub async fn tenants_named(pool: &PgPool, names: &[String]) -> Result<Vec<Tenant>, AppError> {
    let tenants = credentials::find_tenants(pool, names).await?;
    let is_there = |name: &str| tenants.iter().any(|tenant| &*tenant.name == name);
    match names.iter().find(|name| !is_there(name)) {
        None => Ok(tenants),
        Some(missing) => {
            let rule = format!("must exist: there is no tenant `{missing}`, create it with `tollgate tenants create`");
            Err(AppError::invalid("tenant", rule))
        }
    }
}
