//! Folders whose files a chore writes and the pipeline compares.

use std::{
    collections::BTreeMap,
    env, fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, bail};

/// The content of each file, by name.
pub(crate) type Files = BTreeMap<String, Vec<u8>>;

/// Root of the workspace that cargo runs this in.
///
/// Asked at run time: two checkouts that share a build folder share the program, too, and it must not write into the other.
///
/// # Errors
/// If it is not run by cargo, or xtask was moved out of its workspace.
pub(crate) fn workspace() -> anyhow::Result<PathBuf> {
    let xtask = env::var_os("CARGO_MANIFEST_DIR").context("run it as `cargo xtask`")?;
    let workspace = Path::new(&xtask).parent().context("xtask stands outside its workspace")?;
    Ok(workspace.to_owned())
}

/// The workspace's build folder, created if need be.
///
/// # Errors
/// If it cannot be created.
pub(crate) fn target() -> anyhow::Result<PathBuf> {
    let target = workspace()?.join("target");
    fs::create_dir_all(&target).with_context(|| format!("create {}", target.display()))?;
    Ok(target)
}

/// Every file directly in `folder`, by name. A folder that does not exist is empty.
///
/// # Errors
/// If the folder or a file cannot be read, or a name is not unicode.
pub(crate) fn read(folder: &Path) -> anyhow::Result<Files> {
    let mut files = Files::new();
    if !folder.exists() {
        return Ok(files);
    }
    for entry in fs::read_dir(folder).with_context(|| format!("list {}", folder.display()))? {
        let path = entry?.path();
        let Some(name) = path.file_name().and_then(|name| name.to_str()) else {
            bail!("{} has a name that is not unicode", path.display());
        };
        if path.is_file() {
            let content = fs::read(&path).with_context(|| format!("read {}", path.display()))?;
            files.insert(name.to_owned(), content);
        }
    }
    Ok(files)
}

/// Makes `folder` hold exactly `fresh`: writes what is new or other, removes what is stale.
///
/// # Errors
/// If the folder cannot be written.
pub(crate) fn replace(folder: &Path, fresh: &Files) -> anyhow::Result<()> {
    fs::create_dir_all(folder).with_context(|| format!("create {}", folder.display()))?;
    let present = read(folder)?;
    for stale in present.keys().filter(|name| !fresh.contains_key(*name)) {
        fs::remove_file(folder.join(stale)).with_context(|| format!("remove {stale}"))?;
    }
    for (name, content) in fresh {
        if present.get(name) != Some(content) {
            fs::write(folder.join(name), content).with_context(|| format!("write {name}"))?;
        }
    }
    Ok(())
}

/// The name of each file of `folder` (relative to the workspace) that is not what `fresh` says, and what is wrong with it.
///
/// # Errors
/// If the folder cannot be read.
pub(crate) fn differences(folder: &str, fresh: &Files) -> anyhow::Result<Vec<(String, &'static str)>> {
    let committed = read(&workspace()?.join(folder))?;
    let mut differences = Vec::new();
    for (name, content) in fresh {
        match committed.get(name) {
            None => differences.push((name.clone(), "is missing")),
            Some(found) if found != content => differences.push((name.clone(), "is out of date")),
            Some(_) => {}
        }
    }
    let stale = committed.into_keys().filter(|name| !fresh.contains_key(name));
    differences.extend(stale.map(|name| (name, "is no longer generated")));
    Ok(differences)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replacing_writes_what_is_new_and_removes_what_is_stale() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("stale"), "1").unwrap();
        fs::write(folder.path().join("changed"), "1").unwrap();
        let fresh = Files::from([("changed".to_owned(), b"2".to_vec()), ("new".to_owned(), b"3".to_vec())]);

        replace(folder.path(), &fresh).unwrap();

        assert_eq!(read(folder.path()).unwrap(), fresh);
    }
}
