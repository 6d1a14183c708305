//! RPCs that the contract defines and this version does not have: they say so (`UNIMPLEMENTED`), and are listed in
//! ARCHITECTURE.md.

use tonic::Status;

use super::status::status;
use crate::app::AppError;

/// The answer of a planned RPC.
pub(super) fn planned(name: &'static str) -> Status {
    status(&AppError::NotImplemented(name))
}
