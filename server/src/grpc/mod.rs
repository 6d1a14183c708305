//! The wire: decode, call the use case, encode.

mod admin_service;
mod alert_service;
mod budget_service;
pub mod convert;
mod deadline;
mod overrides;
mod planned;
mod price_service;
mod reprice;
pub mod status;
mod unreadable;
mod usage_service;

pub use admin_service::AdminApi;
pub use alert_service::AlertApi;
pub use budget_service::BudgetApi;
pub use deadline::Deadlines;
pub use price_service::{PriceApi, quantities_of};
pub use unreadable::UnreadableMessages;
pub use usage_service::UsageApi;

use tonic::Request;

use crate::tenant::TenantId;

/// Whose call this is. A server without credentials serves one local tenant.
fn tenant_of<T>(request: &Request<T>) -> TenantId {
    request.extensions().get::<TenantId>().copied().unwrap_or(TenantId::LOCAL)
}
