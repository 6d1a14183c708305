//! The one integration binary: every capability against a real Postgres, over real sockets.

mod harness;
mod usage;
