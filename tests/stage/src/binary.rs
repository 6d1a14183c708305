//! The `tollgate` binary that is to be run.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::Context as _;

/// What cargo tells the programs that it runs about their package. Build scripts that look at it would run again, and all that stands
/// on them would be built again, twice a run: here, and when this program is built the next time.
const TOLD: [&str; 3] = ["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_CRATE_"];

/// Builds the server, optimised or not, and says where it is. With `package`, the name of the caller's own, beside it, what
/// the caller was built of is used again.
///
/// # Errors
/// Where cargo is missing or the build fails.
pub fn build(package: &str, release: bool) -> anyhow::Result<PathBuf> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command
        .args(["build", "--quiet", "--locked", "--bin", "tollgate"])
        .args(["--package", "tollgate-server", "--package", package])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .stdin(Stdio::null());
    if release {
        command.arg("--release");
    }
    let names = std::env::vars_os().filter_map(|(name, _)| name.into_string().ok());
    for name in names.filter(|name| TOLD.iter().any(|told| name.starts_with(told))) {
        command.env_remove(name);
    }
    let status = command.status().context("cargo cannot be run: name a server with --binary")?;
    anyhow::ensure!(status.success(), "the server cannot be built");
    let own = std::env::current_exe()?;
    let profiles = own.parent().and_then(std::path::Path::parent).context("this program lies in no target folder")?;
    let binary = profiles.join(if release { "release" } else { "debug" }).join("tollgate");
    anyhow::ensure!(binary.is_file(), "there is no {}: name a server with --binary", binary.display());
    Ok(binary)
}
