//! The port: which connections are taken, how they are encrypted, how long they live, and how long a call may take.
//!
//! One loop accepts (`listener`), one task runs each connection (`connection`): encryption and the preface of HTTP/2 under
//! one deadline (`handshake`), then HTTP/2 with its bounds, then the answers (`calls`). What a connection may use is
//! counted before it is used.

mod activity;
mod admission;
mod calls;
mod connection;
mod deadline;
mod handshake;
mod listener;
mod open_headers;
mod peer;
mod preface;
mod received;
mod room;
mod system;
mod tls;
mod turn;

pub use listener::Transport;
pub use peer::ClientCertificate;
pub use room::Sender;
pub use system::{keep_pages_small, raise_open_files};
pub use tls::{Tls, TlsError, certificate_expiry};
