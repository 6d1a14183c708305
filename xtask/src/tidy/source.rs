//! The files that the rules look at.

use std::{fs, path::Path};

use anyhow::Context as _;

/// Folders that hold nothing written by hand.
const SKIPPED_FOLDERS: [&str; 6] = [".git", ".sqlx", "target", "node_modules", ".venv", "__pycache__"];
/// What is written by hand, by the end of the name.
const ENDINGS: [&str; 9] = [".rs", ".sql", ".proto", ".toml", ".md", ".py", ".yaml", ".yml", ".sh"];
/// What is written by hand and has no such ending.
const NAMES: [&str; 5] = [".ci/deployment", ".ci/refused-dependencies", ".ci/run", "Dockerfile", ".dockerignore"];
/// Written by `cargo xtask codegen`.
const GENERATED: &str = "proto/src/generated/";

/// A file that somebody wrote.
#[derive(Debug, Clone)]
pub(crate) struct Source {
    /// Relative to the workspace, with slashes.
    pub(crate) path: String,
    pub(crate) text: String,
}

impl Source {
    /// Whether the path ends like this.
    pub(crate) fn ends_with(&self, ending: &str) -> bool {
        self.path.ends_with(ending)
    }

    /// Whether the file holds nothing but tests.
    pub(crate) fn is_test(&self) -> bool {
        self.path.starts_with("tests/") || self.path.contains("/tests/") || self.ends_with("/tests.rs")
    }

    /// The lines with their numbers from 1, without those that are comments from their start.
    pub(crate) fn code_lines(&self) -> impl Iterator<Item = (usize, &str)> {
        let comment = if self.ends_with(".sql") { "--" } else { "//" };
        let numbered = self.text.lines().enumerate().map(|(index, line)| (index.saturating_add(1), line));
        numbered.filter(move |(_, line)| !line.trim_start().starts_with(comment))
    }
}

/// Every file under `workspace` that somebody wrote, in the order of the paths.
pub(crate) fn read_all(workspace: &Path) -> anyhow::Result<Vec<Source>> {
    let mut sources = Vec::new();
    collect(workspace, "", &mut sources)?;
    sources.sort_by(|left, right| left.path.cmp(&right.path));
    Ok(sources)
}

fn collect(workspace: &Path, folder: &str, sources: &mut Vec<Source>) -> anyhow::Result<()> {
    let directory = workspace.join(folder);
    for entry in fs::read_dir(&directory).with_context(|| format!("list {}", directory.display()))? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let path = if folder.is_empty() { name.clone() } else { format!("{folder}/{name}") };
        let kind = entry.file_type()?;
        if kind.is_dir() && !SKIPPED_FOLDERS.contains(&name.as_str()) {
            collect(workspace, &path, sources)?;
        } else if kind.is_file() && is_written_by_hand(&path) {
            let text = fs::read_to_string(entry.path()).with_context(|| format!("read {path}"))?;
            sources.push(Source { path, text });
        }
    }
    Ok(())
}

fn is_written_by_hand(path: &str) -> bool {
    let known = NAMES.contains(&path) || ENDINGS.iter().any(|ending| path.ends_with(ending));
    known && !path.starts_with(GENERATED)
}

#[cfg(test)]
pub(crate) fn source(path: &str, text: &str) -> Source {
    Source { path: path.to_owned(), text: text.to_owned() }
}
