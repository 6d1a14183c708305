//! What a caller should know about how an event was charged.

/// A set of notices.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Notices(i16);

impl Notices {
    /// A hard budget was charged without a reservation, or the one that was named contradicts what the caller's key pins.
    pub const UNRESERVED: Self = Self(1);
    /// The reservation had run out or ended before.
    pub const LATE: Self = Self(2);
    /// A budget that matches was not held by the reservation.
    pub const NOT_HELD: Self = Self(4);
    /// The charge lifted a budget above its limit.
    pub const OVERRUN: Self = Self(8);
    /// A budget window was charged that had ended before.
    pub const CLOSED_WINDOW: Self = Self(16);

    /// The reported cost lies further from ours than is tolerated.
    pub const REPORTED_COST_DIFFERS: Self = Self(32);

    const NAMED: [(Self, &'static str); 6] = [
        (Self::UNRESERVED, "UNRESERVED"),
        (Self::LATE, "LATE"),
        (Self::NOT_HELD, "NOT_HELD"),
        (Self::OVERRUN, "OVERRUN"),
        (Self::CLOSED_WINDOW, "CLOSED_WINDOW"),
        (Self::REPORTED_COST_DIFFERS, "REPORTED_COST_DIFFERS"),
    ];

    /// No notice.
    pub const fn none() -> Self {
        Self(0)
    }

    /// Adds those of `other`.
    pub const fn add(&mut self, other: Self) {
        self.0 |= other.0;
    }

    /// Whether all of `other` are there.
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// For the database.
    pub const fn code(self) -> i16 {
        self.0
    }

    /// From the database; what a newer version wrote is kept, but has no name.
    pub const fn from_code(code: i16) -> Self {
        Self(code)
    }

    /// Their names on the wire.
    pub fn names(self) -> Vec<&'static str> {
        Self::NAMED.iter().filter(|(notice, _)| self.contains(*notice)).map(|(_, name)| *name).collect()
    }
}
