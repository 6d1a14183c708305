//! Upgrades from the program of another revision to the one at hand, under load: the scenario `upgrade` of `tests/faults`.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context as _, ensure};

use crate::{cargo::cargo, folder};

/// Where the sources and programs of other revisions lie, below the build folder.
const FOLDER: &str = "upgrade";

/// Builds the server as it was at `revision`, and exchanges it for the present one, and back, under load.
///
/// # Errors
/// If the revision does not exist or build, or anything is lost, counted twice or refused on the way.
pub(crate) fn run(revision: &str, arguments: &[&str]) -> anyhow::Result<()> {
    let old = build(revision)?;
    let status = cargo()
        .args(["run", "--quiet", "--locked", "--package", "tollgate-faults", "--", "upgrade", "--old"])
        .arg(&old)
        .args(arguments)
        .current_dir(folder::workspace()?)
        .status()
        .context("run cargo")?;
    ensure!(status.success(), "the upgrade from {revision} does not hold");
    Ok(())
}

/// The program of a revision. What is there already is not built again: a commit does not change.
fn build(revision: &str) -> anyhow::Result<PathBuf> {
    let commit = commit(revision)?;
    let target = folder::target()?;
    let binary = target.join(FOLDER).join(&commit).join("tollgate");
    if binary.is_file() {
        return Ok(binary);
    }
    let sources = tempfile::tempdir_in(&target).context("create a temporary folder")?;
    unpack(&commit, sources.path())?;
    // In the same build folder, where what both revisions depend on is built already.
    let status = cargo()
        .args(["build", "--quiet", "--locked", "--package", "tollgate-server", "--bin", "tollgate", "--target-dir"])
        .arg(&target)
        .current_dir(sources.path())
        .status()
        .context("run cargo")?;
    ensure!(status.success(), "the server of {revision} cannot be built");
    fs::create_dir_all(target.join(FOLDER).join(&commit))?;
    fs::copy(target.join("debug/tollgate"), &binary).context("keep the program")?;
    Ok(binary)
}

fn commit(revision: &str) -> anyhow::Result<String> {
    let answer = Command::new("git")
        .args(["rev-parse", "--verify", "--quiet", "--end-of-options", &format!("{revision}^{{commit}}")])
        .current_dir(folder::workspace()?)
        .output()
        .context("run git")?;
    ensure!(answer.status.success(), "there is no revision {revision}");
    Ok(String::from_utf8(answer.stdout)?.trim().to_owned())
}

/// Writes the files of a commit into a folder.
fn unpack(commit: &str, folder: &Path) -> anyhow::Result<()> {
    let mut archive = Command::new("git")
        .args(["archive", commit])
        .current_dir(folder::workspace()?)
        .stdout(Stdio::piped())
        .spawn()
        .context("run git")?;
    let files = archive.stdout.take().context("git says nothing")?;
    let unpacked = Command::new("tar").arg("--extract").current_dir(folder).stdin(files).status().context("run tar")?;
    ensure!(archive.wait()?.success() && unpacked.success(), "the files of {commit} cannot be read");
    Ok(())
}
