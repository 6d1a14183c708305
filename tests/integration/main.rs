//! The one integration binary: every capability against a real Postgres, over real sockets.

mod budgets;
mod crash;
mod harness;
mod reservations;
mod usage;
