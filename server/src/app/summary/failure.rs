//! Why a pass over the data ended early.

use tollgate_domain::amount::AmountError;

use crate::app::AppError;
use crate::store::StoreError;

/// Why a pass over the data ended early.
#[derive(Debug)]
pub(super) enum Failure {
    /// More groups or rows than may be held: another way may do.
    TooMany,
    /// A sum cannot be held.
    TooLarge,
    /// Anything else.
    App(AppError),
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Self::App(error.into())
    }
}

impl From<AppError> for Failure {
    fn from(error: AppError) -> Self {
        Self::App(error)
    }
}

impl From<AmountError> for Failure {
    fn from(_: AmountError) -> Self {
        Self::TooLarge
    }
}

impl From<Failure> for AppError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::TooMany => Self::QueryTooWide(
                "it has too many groups; ask for a shorter range, a coarser granularity, fewer dimensions, or a `top`"
                    .to_owned(),
            ),
            Failure::TooLarge => {
                Self::QueryTooWide("its sums have more digits than can be held; ask for a shorter range".to_owned())
            }
            Failure::App(error) => error,
        }
    }
}
