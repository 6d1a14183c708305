//! The only place that knows sqlx. One statement per file under `sql/`, checked at compile time.

pub mod adjustments;
pub mod alerts;
pub mod audit;
pub mod audit_range;
pub mod backfill;
pub mod budgets;
pub mod connect;
pub mod counters;
pub mod dictionary;
pub mod error;
pub mod event_row;
pub mod heartbeat;
pub mod ledger;
pub mod lent;
pub mod measures_row;
mod money;
mod narrow_event;
pub mod notify;
pub mod overrides;
pub mod partitions;
pub mod periods;
pub mod prices;
pub mod rebuild;
mod record;
pub mod reservations;
pub mod retention;
pub mod scoped;
pub mod sessions;
pub mod shape;
pub mod summaries;
pub mod time;
pub mod usage;
pub mod windows;

pub use error::StoreError;
