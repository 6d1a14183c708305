//! The data directory: where it is, what is in it, whose it is.

use std::fs::{DirBuilder, File, OpenOptions, Permissions};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use nix::fcntl::OFlag;

use super::account::Account;
use super::error::EmbeddedError;

const CLUSTER: &str = "cluster";
const UNFINISHED_CLUSTER: &str = "cluster.unfinished";
const START_LOCK: &str = "start.lock";
const USE_LOCK: &str = "use.lock";
const LOG: &str = "postgres.log";
/// What a fresh file system holds before anybody writes to it.
const LOST_AND_FOUND: &str = "lost+found";

const PRIVATE_FOLDER: u32 = 0o700;
const PRIVATE_FILE: u32 = 0o600;

/// A prepared data directory and the two users it is shared by.
#[derive(Debug, Clone)]
pub(super) struct Layout {
    root: PathBuf,
    pub(super) application: Account,
    pub(super) server: Account,
}

impl Layout {
    /// Creates the data directory where it is missing, gives it to the user that runs Postgres and checks that this
    /// user can reach it.
    pub(super) fn prepare(explicit: Option<&Path>, application: Account) -> Result<Self, EmbeddedError> {
        let root = match explicit {
            Some(path) => std::path::absolute(path).map_err(EmbeddedError::io("resolve", path))?,
            None => default_root(&application, &|name| std::env::var_os(name).map(PathBuf::from))?,
        };
        create_folder(&root)?;
        let root = root.canonicalize().map_err(EmbeddedError::io("resolve", &root))?;
        check_name(&root)?;
        let server = match root.join(CLUSTER).metadata() {
            Ok(cluster) => owner_of_cluster(&root, cluster.uid(), &application)?,
            Err(_) => Account::for_server(&application)?,
        };
        let layout = Self { root, application, server };
        layout.check_contents()?;
        layout.take_over()?;
        layout.server.check_reaches(&layout.root)?;
        Ok(layout)
    }

    /// The data directory itself.
    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    /// The folder Postgres calls its data directory.
    pub(super) fn cluster(&self) -> PathBuf {
        self.root.join(CLUSTER)
    }

    /// A place to create a cluster in before it is moved to its name, different at every call.
    pub(super) fn unfinished_cluster(&self) -> PathBuf {
        self.root.join(format!("{UNFINISHED_CLUSTER}.{}", uuid::Uuid::now_v7().simple()))
    }

    /// What earlier processes left when they were killed while creating a cluster.
    pub(super) fn abandoned_clusters(&self) -> Vec<PathBuf> {
        let entries = std::fs::read_dir(&self.root).into_iter().flatten().flatten();
        entries
            .filter(|entry| entry.file_name().to_string_lossy().starts_with(UNFINISHED_CLUSTER))
            .map(|entry| entry.path())
            .collect()
    }

    /// Held while the server is started or stopped.
    pub(super) fn start_lock(&self) -> PathBuf {
        self.root.join(START_LOCK)
    }

    /// Held, shared, by every process that uses the server.
    pub(super) fn use_lock(&self) -> PathBuf {
        self.root.join(USE_LOCK)
    }

    /// The server's log.
    pub(super) fn log(&self) -> PathBuf {
        self.root.join(LOG)
    }

    /// Opens a file for reading and appending; it belongs to the user that runs Postgres.
    pub(super) fn open_file(&self, path: &Path) -> Result<File, EmbeddedError> {
        let mut options = OpenOptions::new();
        options.read(true).append(true).create(true);
        self.open_for_server(&mut options, path)
    }

    /// Replaces a file's content in one step; it belongs to the user that runs Postgres.
    pub(super) fn replace_file(&self, path: &Path, content: &str) -> Result<(), EmbeddedError> {
        let new = path.with_extension("new");
        let mut file = self.open_for_server(OpenOptions::new().write(true).create(true).truncate(true), &new)?;
        file.write_all(content.as_bytes()).and_then(|()| file.sync_all()).map_err(EmbeddedError::io("write", &new))?;
        std::fs::rename(&new, path).map_err(EmbeddedError::io("replace", path))
    }

    /// Makes a folder belong to the user that runs Postgres. Only root can need it.
    pub(super) fn give_to_server(&self, folder: &Path) -> Result<(), EmbeddedError> {
        if self.application.uid == self.server.uid {
            return Ok(());
        }
        std::os::unix::fs::lchown(folder, Some(self.server.uid), Some(self.server.gid))
            .map_err(EmbeddedError::io("change the owner of", folder))
    }

    /// Never follows a link at the end of the path: the folder is the server user's, and root writes here.
    fn open_for_server(&self, options: &mut OpenOptions, path: &Path) -> Result<File, EmbeddedError> {
        let options = options.mode(PRIVATE_FILE).custom_flags(OFlag::O_NOFOLLOW.bits());
        let file = options.open(path).map_err(EmbeddedError::io("open", path))?;
        if self.application.uid != self.server.uid {
            std::os::unix::fs::fchown(&file, Some(self.server.uid), Some(self.server.gid))
                .map_err(EmbeddedError::io("change the owner of", path))?;
        }
        Ok(file)
    }

    /// Refuses a folder that holds anything of somebody else's: its owner and permissions are about to change.
    fn check_contents(&self) -> Result<(), EmbeddedError> {
        let entries = std::fs::read_dir(&self.root).map_err(EmbeddedError::io("read", &self.root))?;
        let names: Vec<String> =
            entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
        let ours = names.iter().any(|name| name == START_LOCK || name == CLUSTER);
        if ours || names.iter().all(|name| name == LOST_AND_FOUND) {
            return Ok(());
        }
        Err(EmbeddedError::unusable(
            &self.root,
            "it is not empty and holds no data of tollgate; choose an empty directory",
        ))
    }

    fn take_over(&self) -> Result<(), EmbeddedError> {
        let metadata = self.root.metadata().map_err(EmbeddedError::io("inspect", &self.root))?;
        if metadata.uid() != self.server.uid {
            if !self.application.is_root() {
                return Err(EmbeddedError::unusable(
                    &self.root,
                    format!(
                        "it belongs to user id {}; start tollgate as that user, or choose another directory",
                        metadata.uid()
                    ),
                ));
            }
            self.give_to_server(&self.root)?;
        }
        if metadata.permissions().mode() & 0o7777 != PRIVATE_FOLDER {
            std::fs::set_permissions(&self.root, Permissions::from_mode(PRIVATE_FOLDER))
                .map_err(EmbeddedError::io("restrict", &self.root))?;
        }
        Ok(())
    }
}

/// Creates a folder that only its owner may enter, with its parents, which others may enter.
fn create_folder(path: &Path) -> Result<(), EmbeddedError> {
    if path.is_dir() {
        return Ok(());
    }
    if let Some(parent) = path.parent() {
        std::fs::create_dir_all(parent).map_err(EmbeddedError::io("create", parent))?;
    }
    match DirBuilder::new().mode(PRIVATE_FOLDER).create(path) {
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists && path.is_dir() => Ok(()),
        outcome => outcome.map_err(EmbeddedError::io("create", path)),
    }
}

/// Root's home is closed to the user that runs Postgres, so root's data goes where services keep theirs.
fn default_root(application: &Account, variable: &dyn Fn(&str) -> Option<PathBuf>) -> Result<PathBuf, EmbeddedError> {
    if application.is_root() {
        return Ok(PathBuf::from("/var/lib/tollgate"));
    }
    let absolute = |name| variable(name).filter(|path| path.is_absolute());
    absolute("XDG_DATA_HOME")
        .or_else(|| absolute("HOME").map(|home| home.join(".local/share")))
        .map(|data| data.join("tollgate"))
        .ok_or(EmbeddedError::NoDataDirectory)
}

fn check_name(root: &Path) -> Result<(), EmbeddedError> {
    match root.to_str() {
        Some(name) if !name.chars().any(char::is_control) => Ok(()),
        _ => Err(EmbeddedError::unusable(root, "its name is not plain UTF-8; choose another")),
    }
}

/// Data that exists is served by the user who owns it, because Postgres refuses anybody else.
fn owner_of_cluster(root: &Path, owner: u32, application: &Account) -> Result<Account, EmbeddedError> {
    let problem = match owner {
        0 => "its cluster belongs to root, as which PostgreSQL refuses to run; give it to the user `postgres` with chown -R".to_owned(),
        _ if application.is_root() || owner == application.uid => return Account::by_uid(owner),
        _ => format!("its cluster belongs to user id {owner}; start tollgate as that user, or choose another directory"),
    };
    Err(EmbeddedError::unusable(root, problem))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn account(uid: u32) -> Account {
        Account { name: "somebody".into(), uid, gid: uid }
    }

    #[test]
    fn the_default_place_follows_the_user() {
        let nothing = |_: &str| None;
        let home = |name: &str| (name == "HOME").then(|| PathBuf::from("/home/a"));
        let both = |name: &str| Some(PathBuf::from(if name == "HOME" { "/home/a" } else { "/data" }));
        let relative = |_: &str| Some(PathBuf::from("relative"));
        assert_eq!(default_root(&account(0), &home).unwrap(), Path::new("/var/lib/tollgate"));
        assert_eq!(default_root(&account(7), &home).unwrap(), Path::new("/home/a/.local/share/tollgate"));
        assert_eq!(default_root(&account(7), &both).unwrap(), Path::new("/data/tollgate"));
        assert!(matches!(default_root(&account(7), &nothing), Err(EmbeddedError::NoDataDirectory)));
        assert!(matches!(default_root(&account(7), &relative), Err(EmbeddedError::NoDataDirectory)));
    }

    #[test]
    fn a_folder_of_somebody_else_is_left_alone() {
        let folder = super::super::tests::TemporaryFolder::new();
        std::fs::write(folder.path().join("letter.txt"), "dear").unwrap();
        let before = folder.path().metadata().unwrap().permissions().mode();
        let error = Layout::prepare(Some(folder.path()), Account::current().unwrap()).unwrap_err();
        assert!(error.to_string().contains("not empty"), "{error}");
        assert_eq!(folder.path().metadata().unwrap().permissions().mode(), before);
    }

    #[test]
    fn data_is_served_by_its_owner() {
        let current = Account::current().unwrap();
        assert!(owner_of_cluster(Path::new("/d"), 0, &current).is_err());
        assert!(owner_of_cluster(Path::new("/d"), 7, &account(8)).is_err());
    }
}
