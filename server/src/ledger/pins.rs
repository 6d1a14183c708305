//! What the caller's key pins: what contradicts it is somebody else's, and is not there for the caller.

use std::sync::Arc;

use tollgate_domain::dimensions::Dimensions;
use tollgate_domain::erasure::Eraser;

use crate::store::reservations::Reservation;

/// The dimensions that the caller's key pins; none for whoever may act for everybody. The key itself is a stamp and no pin.
/// Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Pins {
    pinned: Arc<Dimensions>,
}

impl Pins {
    /// Those of a key.
    pub fn new(pinned: Arc<Dimensions>) -> Self {
        Self { pinned }
    }

    /// Whether what has these dimensions may be the caller's. A name that is being erased is known by its pseudonym, too.
    pub fn admit(&self, dimensions: &Dimensions, erasers: &[Eraser]) -> bool {
        if dimensions.carries(&self.pinned) {
            return true;
        }
        let mut erased = Dimensions::clone(&self.pinned);
        erasers.iter().for_each(|eraser| eraser.erase_from_dimensions(&mut erased));
        dimensions.carries(&erased)
    }

    /// Whether the reservation may be the caller's. One that ended before its check arrived is nobody's.
    pub fn admit_reservation(&self, reservation: &Reservation, erasers: &[Eraser]) -> bool {
        reservation.context.as_ref().is_none_or(|context| self.admit(&context.dimensions, erasers))
    }
}
