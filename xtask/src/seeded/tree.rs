//! A copy of the sources to break.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, ensure};

use super::bug::Bug;
use crate::folder;

/// What a build of dependencies leaves, in the folder of a profile.
const PARTS: [&str; 3] = [".fingerprint", "build", "deps"];

/// The copy, with a build folder of its own.
#[derive(Debug)]
pub(super) struct Tree {
    workspace: PathBuf,
    /// The sources.
    pub(super) sources: PathBuf,
    /// Its build folder.
    pub(super) build: PathBuf,
    /// Read once: the workspace may be worked on meanwhile.
    files: BTreeMap<PathBuf, Vec<u8>>,
}

impl Tree {
    /// Copies what git knows, and what was built of dependencies.
    ///
    /// # Errors
    /// If git is not there, or a file cannot be copied.
    pub(super) fn create() -> anyhow::Result<Self> {
        let workspace = folder::workspace()?;
        let seeded = folder::target()?.join("seeded");
        let (sources, build) = (seeded.join("sources"), seeded.join("build"));
        let listed = git(&workspace, &["ls-files", "-z", "--cached", "--others", "--exclude-standard"])?;
        let listed = listed.split('\0').filter(|name| !name.is_empty()).map(PathBuf::from);
        let mut files = BTreeMap::new();
        for name in listed.filter(|name| workspace.join(name).is_file()) {
            let content = fs::read(workspace.join(&name)).with_context(|| format!("read {}", name.display()))?;
            files.insert(name, content);
        }
        let tree = Self { workspace, sources, build, files };
        tree.copy_dependencies()?;
        tree.remove_strangers()?;
        tree.restore()?;
        Ok(tree)
    }

    /// Makes every file what it was in the workspace. One that is the same keeps its time, so that it is not built again.
    ///
    /// # Errors
    /// If a file cannot be written.
    pub(super) fn restore(&self) -> anyhow::Result<()> {
        for (name, content) in &self.files {
            let to = self.sources.join(name);
            if fs::read(&to).is_ok_and(|found| found == *content) {
                continue;
            }
            if let Some(parent) = to.parent() {
                fs::create_dir_all(parent).with_context(|| format!("create {}", parent.display()))?;
            }
            fs::write(&to, content).with_context(|| format!("write {}", to.display()))?;
        }
        Ok(())
    }

    /// Applies a patch.
    ///
    /// # Errors
    /// If it does not apply.
    pub(super) fn apply(&self, bug: &Bug) -> anyhow::Result<()> {
        patch(&self.sources, bug, &["--no-backup-if-mismatch"])
    }

    /// Files of an earlier copy that the workspace no longer has.
    fn remove_strangers(&self) -> anyhow::Result<()> {
        let mut folders = vec![self.sources.clone()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(&folder).into_iter().flatten() {
                let path = entry?.path();
                let name = path.strip_prefix(&self.sources)?;
                if path.is_dir() {
                    folders.push(path);
                } else if !self.files.contains_key(name) {
                    fs::remove_file(&path).with_context(|| format!("remove {}", path.display()))?;
                }
            }
        }
        Ok(())
    }

    /// What the workspace's own build made of dependencies spares an hour on a small machine; without it, all is built.
    fn copy_dependencies(&self) -> anyhow::Result<()> {
        let (from, to) = (self.workspace.join("target/debug"), self.build.join("debug"));
        if to.exists() || !from.exists() {
            return Ok(());
        }
        fs::create_dir_all(&to).with_context(|| format!("create {}", to.display()))?;
        for part in PARTS.map(|part| from.join(part)).into_iter().filter(|part| part.exists()) {
            let copied = Command::new("cp").args(["--archive", "--reflink=auto"]).arg(&part).arg(&to).status();
            ensure!(copied.context("run cp")?.success(), "{} cannot be copied", part.display());
        }
        Ok(())
    }
}

/// Asks whether a patch applies to the workspace as it is, and changes nothing.
///
/// # Errors
/// If it does not.
pub(super) fn applies(bug: &Bug) -> anyhow::Result<()> {
    patch(&folder::workspace()?, bug, &["--dry-run"])
}

fn patch(sources: &Path, bug: &Bug, options: &[&str]) -> anyhow::Result<()> {
    // Not git: the copy stands inside a repository, and its files are not those of the repository.
    let applied = Command::new("patch")
        .args(["--strip=1", "--forward", "--batch", "--fuzz=2", "--reject-file=-"])
        .args(options)
        .arg("-i")
        .arg(&bug.file)
        .current_dir(sources)
        .output()
        .context("run patch")?;
    ensure!(applied.status.success(), "the patch does not apply: {}", String::from_utf8_lossy(&applied.stdout));
    Ok(())
}

fn git(folder: &Path, arguments: &[&str]) -> anyhow::Result<String> {
    let output = Command::new("git").args(arguments).current_dir(folder).output().context("run git")?;
    ensure!(output.status.success(), "git failed: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).context("a file's name is not unicode")
}
