//! The operating-system users: the one Tollgate runs as and the one Postgres runs as.

use std::fs::Metadata;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use nix::unistd::{Uid, User};

use super::error::EmbeddedError;

/// Accounts that may run Postgres when Tollgate is root, in order of preference.
const UNPRIVILEGED: [&str; 2] = ["postgres", "nobody"];

/// A user of the operating system.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Account {
    pub(super) name: String,
    pub(super) uid: u32,
    pub(super) gid: u32,
}

impl Account {
    /// The user this process acts as: the effective one, which is what peer authentication sees.
    pub(super) fn current() -> Result<Self, EmbeddedError> {
        Self::by_uid(Uid::effective().as_raw())
    }

    /// The user with this id.
    pub(super) fn by_uid(uid: u32) -> Result<Self, EmbeddedError> {
        match User::from_uid(Uid::from_raw(uid)) {
            Ok(Some(user)) => Ok(user.into()),
            Ok(None) | Err(_) => Err(EmbeddedError::UnknownAccount { uid }),
        }
    }

    /// The user that runs Postgres when there is no cluster yet whose owner decides.
    pub(super) fn for_server(application: &Self) -> Result<Self, EmbeddedError> {
        if !application.is_root() {
            return Ok(application.clone());
        }
        UNPRIVILEGED
            .into_iter()
            .find_map(|name| User::from_name(name).ok().flatten())
            .map(Self::from)
            .filter(|account| !account.is_root())
            .ok_or(EmbeddedError::NoServerAccount)
    }

    /// Whether this is the superuser.
    pub(super) fn is_root(&self) -> bool {
        self.uid == 0
    }

    /// Whether the permission bits let this user pass through every folder of an absolute path.
    ///
    /// Supplementary groups do not count: they are dropped together with root. Access lists are not seen.
    ///
    /// # Errors
    /// [`EmbeddedError::Unreachable`] with the folder that bars the way.
    pub(super) fn check_reaches(&self, path: &Path) -> Result<(), EmbeddedError> {
        for folder in path.ancestors() {
            let metadata = folder.metadata().map_err(EmbeddedError::io("inspect", folder))?;
            if metadata.is_dir() && !self.enters(&metadata) {
                return Err(EmbeddedError::Unreachable {
                    path: path.to_owned(),
                    barrier: folder.to_owned(),
                    account: self.name.clone(),
                });
            }
        }
        Ok(())
    }

    fn enters(&self, folder: &Metadata) -> bool {
        let execute = if folder.uid() == self.uid {
            0o100
        } else if folder.gid() == self.gid {
            0o010
        } else {
            0o001
        };
        self.is_root() || folder.permissions().mode() & execute != 0
    }
}

impl From<User> for Account {
    fn from(user: User) -> Self {
        Self { name: user.name, uid: user.uid.as_raw(), gid: user.gid.as_raw() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_closed_parent_is_named() {
        let folder = super::super::tests::TemporaryFolder::new();
        let closed = folder.path().join("closed");
        let inner = closed.join("inner");
        std::fs::create_dir_all(&inner).unwrap();
        std::fs::set_permissions(&closed, PermissionsExt::from_mode(0o700)).unwrap();
        let stranger = Account { name: "stranger".into(), uid: 54_321, gid: 54_321 };

        let error = stranger.check_reaches(&inner).unwrap_err();
        assert!(matches!(&error, EmbeddedError::Unreachable { barrier, .. } if *barrier == closed), "{error}");

        std::fs::set_permissions(&closed, PermissionsExt::from_mode(0o701)).unwrap();
        stranger.check_reaches(&inner).unwrap();
    }

    #[test]
    fn only_root_gives_up_its_account() {
        let somebody = Account { name: "somebody".into(), uid: 1000, gid: 1000 };
        assert_eq!(Account::for_server(&somebody).unwrap(), somebody);
        let root = Account { name: "root".into(), uid: 0, gid: 0 };
        if let Ok(server) = Account::for_server(&root) {
            assert!(!server.is_root());
        }
    }
}
