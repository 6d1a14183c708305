//! What the product is compared with.

pub(crate) mod connections;
pub(crate) mod copy;
pub(crate) mod per_call;
pub(crate) mod redis;
pub(crate) mod row_lock;
