//! The wire: decode, call the use case, encode.

mod admin_service;
mod alert_service;
mod authorize;
mod budget_service;
pub mod convert;
mod health;
mod methods;
pub mod needs;
mod observe;
mod overrides;
mod planned;
mod price_service;
mod reprice;
pub mod status;
mod turn_away;
mod unreadable;
mod usage_service;

pub use admin_service::AdminApi;
pub use alert_service::AlertApi;
pub use authorize::AuthorizeLayer;
pub use budget_service::BudgetApi;
pub use health::HealthApi;
pub use methods::Methods;
pub use observe::Observe;
pub use price_service::{PriceApi, quantities_of};
pub use turn_away::TurnAwayLayer;
pub use unreadable::UnreadableMessages;
pub use usage_service::UsageApi;

use tonic::Request;

use crate::tenant::TenantId;

/// Whose call this is.
fn tenant_of<T>(request: &Request<T>) -> TenantId {
    authorize::caller_of(request).tenant
}
