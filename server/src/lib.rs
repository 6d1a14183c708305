//! The Tollgate server: meters what LLM calls use and cost, and gates them against budgets.
//!
//! `grpc` decodes and encodes, `app` holds the use cases, `ledger` is the one writer, `live` streams totals, `store` is
//! the only place that knows SQL. `ARCHITECTURE.md` at the root is the map.

pub mod alerts;
pub mod app;
pub mod auth;
pub mod boot;
pub mod cli;
pub mod config;
pub mod embedded;
pub mod grpc;
pub mod hexadecimal;
pub mod ledger;
pub mod live;
pub mod metrics;
pub mod prices;
pub mod store;
pub mod tasks;
pub mod telemetry;
pub mod tenant;
pub mod trace;
pub mod transport;
