//! What every test stands on: a private Postgres, a database of its own, servers over it, and clients.

pub(crate) mod build;
mod cluster;
pub(crate) mod collector;
pub(crate) mod keys;
pub(crate) mod outage;
pub(crate) mod program;
pub(crate) mod refusal;
mod server;
pub(crate) mod time;
pub(crate) mod wait;

pub(crate) use cluster::{LONGEST_WAIT, database};
pub(crate) use server::TestServer;
