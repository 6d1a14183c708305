//! The only place where wire messages and domain values meet. Every conversion destructures its message, so that a new
//! field fails to compile until it is dealt with.

pub mod alert;
pub mod amend;
pub mod api_key;
pub mod audit;
pub mod budget;
pub mod check;
pub mod cost;
pub mod dimensions;
pub mod erasure;
pub mod event;
pub mod limit_override;
pub mod page_token;
pub mod price;
pub mod provider_usage;
pub mod reprice;
pub mod reservation;
pub mod summary;
pub mod tokens;
pub mod totals;
pub mod values;
