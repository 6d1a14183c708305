//! Where the server's Unix socket lives.

use std::fs::DirBuilder;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::error::EmbeddedError;
use super::layout::Layout;
use crate::hexadecimal::hexadecimal;

/// The port number, which only names the socket file: nothing listens on TCP.
pub(super) const PORT: u16 = 5432;

/// The longest socket path that Linux takes, in bytes without the closing zero (`sun_path`; macOS: 103).
const LONGEST_PATH: usize = if cfg!(target_os = "linux") { 107 } else { 103 };

/// The folder for the socket: the data directory itself, which has the right owner and lives exactly as long as the
/// data, or a short folder of its own when the data directory's name is too long.
pub(super) fn prepare_directory(layout: &Layout) -> Result<PathBuf, EmbeddedError> {
    if fits(layout.root()) {
        return Ok(layout.root().to_owned());
    }
    let parent = if layout.application.is_root() {
        let parent = PathBuf::from("/var/run/tollgate");
        std::fs::create_dir_all(&parent).map_err(EmbeddedError::io("create", &parent))?;
        parent
    } else {
        let parent = PathBuf::from(format!("/tmp/tollgate-{}", layout.application.uid));
        create_private(&parent)?;
        check_private(&parent, layout.application.uid)?;
        parent
    };
    let directory = parent.join(short_name(layout.root()));
    create_private(&directory)?;
    layout.give_to_server(&directory)?;
    check_private(&directory, layout.server.uid)?;
    Ok(directory)
}

/// The socket and its lock file. Both are left behind by a crash of the machine.
pub(super) fn files(directory: &Path) -> [PathBuf; 2] {
    [directory.join(format!(".s.PGSQL.{PORT}")), directory.join(format!(".s.PGSQL.{PORT}.lock"))]
}

fn fits(directory: &Path) -> bool {
    let [socket, _] = files(directory);
    socket.as_os_str().len() <= LONGEST_PATH
}

/// The same name for the same data directory, in every process.
fn short_name(root: &Path) -> String {
    let digest = Sha256::digest(root.as_os_str().as_bytes());
    hexadecimal(digest.first_chunk::<8>().map_or(&[], <[u8; 8]>::as_slice))
}

fn create_private(directory: &Path) -> Result<(), EmbeddedError> {
    match DirBuilder::new().mode(0o700).create(directory) {
        Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => {
            Err(EmbeddedError::io("create", directory)(error))
        }
        _ => Ok(()),
    }
}

/// Anybody may create folders in /tmp: one that was there already is used only if nobody else can have put anything in.
fn check_private(directory: &Path, owner: u32) -> Result<(), EmbeddedError> {
    let metadata = directory.symlink_metadata().map_err(EmbeddedError::io("inspect", directory))?;
    if metadata.is_dir() && metadata.uid() == owner && metadata.permissions().mode() & 0o077 == 0 {
        return Ok(());
    }
    Err(EmbeddedError::UnsafeSocketDirectory { path: directory.to_owned(), owner })
}

#[cfg(test)]
mod tests {
    use super::super::account::Account;
    use super::super::tests::TemporaryFolder;
    use super::*;

    #[test]
    fn a_socket_path_has_room_for_the_file_name() {
        let name_length = "/.s.PGSQL.5432".len();
        let longest = format!("/{}", "a".repeat(LONGEST_PATH - name_length - 1));
        assert!(fits(Path::new(&longest)));
        assert!(!fits(Path::new(&format!("{longest}a"))));
    }

    #[test]
    fn a_long_data_directory_gets_a_short_socket_folder() {
        let folder = TemporaryFolder::new();
        let long = folder.path().join("a".repeat(100));
        let layout = Layout::prepare(Some(&long), Account::current().unwrap()).unwrap();
        let directory = prepare_directory(&layout).unwrap();
        assert!(fits(&directory));
        assert_eq!(prepare_directory(&layout).unwrap(), directory);
        std::fs::remove_dir(directory).unwrap();
    }

    #[test]
    fn an_open_folder_is_refused() {
        let folder = TemporaryFolder::new();
        let metadata = folder.path().metadata().unwrap();
        assert!(check_private(folder.path(), metadata.uid()).is_err());
        std::fs::set_permissions(folder.path(), PermissionsExt::from_mode(0o700)).unwrap();
        check_private(folder.path(), metadata.uid()).unwrap();
        assert!(check_private(folder.path(), metadata.uid() + 1).is_err());
        let link = folder.path().join("link");
        std::os::unix::fs::symlink(folder.path(), &link).unwrap();
        assert!(check_private(&link, metadata.uid()).is_err());
    }
}
