//! The one integration binary: every capability against a real Postgres, over real sockets.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test says what it expects by failing"
)]

mod alerts;
mod auditing;
mod auth;
mod boundaries;
mod budgets;
mod canaries;
mod confinement;
mod corrections;
mod crash;
mod dashboards;
mod degraded;
mod doctor;
mod documentation;
mod erasing;
mod field_rules;
mod harness;
mod limits;
mod listing;
mod metrics;
mod model;
mod narrowing;
mod plans;
mod prices;
mod provider_usage;
mod rebuilding;
mod recording;
mod reservations;
mod retention;
mod serving;
mod streaming;
mod summaries;
mod traces;
mod transport;
mod upgrading;
mod usage;
