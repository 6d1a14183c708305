//! HTTP/2 by hand: a client that may break every rule, which no library lets one do.

pub(crate) mod frame;
pub(crate) mod raw;
