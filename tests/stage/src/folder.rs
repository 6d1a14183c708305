//! Folders of tests and measurements.

use std::io::ErrorKind;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

/// A folder for temporary files that was not there, and that the account of Postgres may enter. A process that was killed leaves its
/// own behind, and numbers of processes come back.
///
/// # Errors
/// Where it cannot be made.
pub fn fresh(prefix: &str) -> anyhow::Result<PathBuf> {
    let process = std::process::id();
    for attempt in 0_u64.. {
        let folder = std::env::temp_dir().join(format!("{prefix}-{process}-{attempt}"));
        match std::fs::create_dir(&folder) {
            Ok(()) => {
                std::fs::set_permissions(&folder, std::fs::Permissions::from_mode(0o755))?;
                return Ok(folder);
            }
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error.into()),
        }
    }
    anyhow::bail!("there is no name left for a folder")
}
