//! The port: encryption, bounds of connections and calls, and the end of connections.

mod certificates;
mod encryption;
mod endings;
mod identities;
mod limits;
mod port;
mod receiving;
