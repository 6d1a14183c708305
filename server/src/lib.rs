//! The Tollgate server: meters what LLM calls use and cost, and gates them against budgets.
//!
//! `grpc` decodes and encodes, `app` holds the use cases, `ledger` is the one writer, `live` streams totals, `store` is
//! the only place that knows SQL. `ARCHITECTURE.md` at the root is the map.

pub mod app;
pub mod embedded;
pub mod store;
pub mod tenant;
