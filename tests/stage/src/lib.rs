//! What tests and measurements of the whole product stand on: a private Postgres that ends with its user, the real
//! `tollgate` binary as a process of its own, and what the system tells about processes.

pub mod binary;
pub mod cluster;
pub mod folder;
pub mod processes;
pub mod replica;
pub mod wait;

pub use self::cluster::{Cluster, Ground};
pub use self::replica::{Launch, Replica};
