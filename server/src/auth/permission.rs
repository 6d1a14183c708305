//! What a credential may do.

/// One permission. The number is its code in the database and on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Permission {
    /// Record and amend usage.
    Record = 1,
    /// Check budgets, and extend and release reservations.
    Check = 2,
    /// Read usage, totals, summaries, budgets, reservations, prices and alerts.
    Read = 3,
    /// Create, update and delete budgets and overrides, and acknowledge alerts.
    Budgets = 4,
    /// Set and end prices, and reprice usage.
    Prices = 5,
    /// Everything.
    Admin = 6,
}

impl Permission {
    /// Every permission, in the order of the codes.
    pub const ALL: [Self; 6] = [Self::Record, Self::Check, Self::Read, Self::Budgets, Self::Prices, Self::Admin];

    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Record => "RECORD",
            Self::Check => "CHECK",
            Self::Read => "READ",
            Self::Budgets => "BUDGETS",
            Self::Prices => "PRICES",
            Self::Admin => "ADMIN",
        }
    }

    /// The permission of this name, in whatever case.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|permission| permission.name().eq_ignore_ascii_case(name))
    }

    /// Its code.
    pub const fn code(self) -> i16 {
        self as i16
    }

    /// The permission of this code.
    pub fn from_code(code: i16) -> Option<Self> {
        Self::ALL.into_iter().find(|permission| permission.code() == code)
    }
}

/// A set of permissions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Permissions {
    bits: u8,
}

impl Permissions {
    /// None.
    pub const NONE: Self = Self { bits: 0 };
    /// Everything.
    pub const EVERYTHING: Self = Self { bits: 1 << Permission::Admin as u8 };

    /// Whether it holds the permission, itself or by ADMIN.
    pub const fn allow(self, permission: Permission) -> bool {
        let wanted = 1 << permission as u8 | Self::EVERYTHING.bits;
        self.bits & wanted != 0
    }

    /// Whether whoever holds these may give `others` to somebody else.
    pub fn cover(self, others: Self) -> bool {
        others.iter().all(|permission| self.allow(permission))
    }

    /// The permissions that it names, in the order of the codes.
    pub fn iter(self) -> impl Iterator<Item = Permission> {
        Permission::ALL.into_iter().filter(move |permission| self.bits & (1 << *permission as u8) != 0)
    }

    /// Whether it holds nothing.
    pub const fn is_empty(self) -> bool {
        self.bits == 0
    }

    /// Codes for the database.
    pub fn codes(self) -> Vec<i16> {
        self.iter().map(Permission::code).collect()
    }

    /// From the database. A code of a later version gives nothing here.
    pub fn from_codes(codes: &[i16]) -> Self {
        codes.iter().filter_map(|code| Permission::from_code(*code)).collect()
    }
}

impl FromIterator<Permission> for Permissions {
    fn from_iter<I: IntoIterator<Item = Permission>>(permissions: I) -> Self {
        Self { bits: permissions.into_iter().fold(0, |bits, permission| bits | 1 << permission as u8) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_permission_allows_itself_and_admin_allows_all() {
        for held in Permission::ALL {
            for wanted in Permission::ALL {
                let allowed = Permissions::from_iter([held]).allow(wanted);
                assert_eq!(allowed, held == wanted || held == Permission::Admin, "{held:?} {wanted:?}");
                assert!(!Permissions::NONE.allow(wanted));
            }
        }
    }

    #[test]
    fn nobody_gives_away_more_than_they_have() {
        let some = Permissions::from_iter([Permission::Record, Permission::Check]);
        assert!(some.cover(some) && some.cover(Permissions::from_iter([Permission::Check])));
        assert!(!some.cover(Permissions::from_iter([Permission::Check, Permission::Read])));
        assert!(!some.cover(Permissions::EVERYTHING) && Permissions::EVERYTHING.cover(some));
    }

    #[test]
    fn codes_survive_the_database() {
        let all = Permissions::from_iter(Permission::ALL);
        assert_eq!(Permissions::from_codes(&all.codes()), all);
        assert_eq!(Permissions::from_codes(&[99, -1, 0]), Permissions::NONE);
    }
}
