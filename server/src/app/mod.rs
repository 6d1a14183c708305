//! The use cases, one file each.

pub mod error;

pub use error::AppError;
