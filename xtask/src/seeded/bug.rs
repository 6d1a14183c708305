//! A bug: a patch whose head says what it breaks and which tests must see it.

use std::path::PathBuf;

use anyhow::{Context as _, bail, ensure};

use crate::folder;

/// Where the patches are, relative to the workspace.
const FOLDER: &str = "tests/seeded_bugs";

/// Tests that must fail with a bug.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Catcher {
    /// Of which crate.
    pub(super) suite: Suite,
    /// Part of their names.
    pub(super) filter: String,
}

/// Where tests stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Suite {
    /// In the domain's own modules.
    Domain,
    /// In the integration binary.
    Integration,
}

/// One patch.
#[derive(Debug)]
pub(super) struct Bug {
    /// Name of its file, without the ending.
    pub(super) name: String,
    /// What it breaks.
    pub(super) broken: String,
    /// Who must see it.
    pub(super) caught_by: Vec<Catcher>,
    /// Whether a statement is another one, which a database has to be asked about.
    pub(super) changes_sql: bool,
    /// The patch.
    pub(super) file: PathBuf,
}

/// The named bugs in the order of their names; all of them where none is named. Part of a name is enough.
///
/// # Errors
/// If there is none of a name, or a patch does not say what it has to.
pub(super) fn chosen(names: &[&str]) -> anyhow::Result<Vec<Bug>> {
    let folder = folder::workspace()?.join(FOLDER);
    let mut bugs = Vec::new();
    for (file, content) in folder::read(&folder)? {
        let Some(name) = file.strip_suffix(".patch") else { continue };
        if names.is_empty() || names.iter().any(|wanted| name.contains(wanted)) {
            let content = String::from_utf8(content).with_context(|| format!("{FOLDER}/{file} is no text"))?;
            let bug = read(name, &content).with_context(|| format!("read {FOLDER}/{file}"))?;
            bugs.push(Bug { file: folder.join(&file), ..bug });
        }
    }
    for wanted in names {
        ensure!(bugs.iter().any(|bug| bug.name.contains(wanted)), "no patch in {FOLDER} is called `{wanted}`");
    }
    ensure!(!bugs.is_empty(), "there is no patch in {FOLDER}");
    Ok(bugs)
}

fn read(name: &str, content: &str) -> anyhow::Result<Bug> {
    let head = || content.lines().take_while(|line| !line.starts_with("diff ") && !line.starts_with("--- "));
    let told = |word: &str| {
        let word = format!("{word}: ");
        head().filter_map(move |line| line.strip_prefix(word.as_str())).map(str::trim).map(str::to_owned)
    };
    let broken = told("broken").next().context("its head needs a line `broken: ..`")?;
    let caught_by = told("caught-by").map(|line| catcher(&line)).collect::<anyhow::Result<Vec<Catcher>>>()?;
    ensure!(!caught_by.is_empty(), "its head needs a line `caught-by: domain|integration FILTER`");
    let changes_sql = content.lines().any(|line| line.starts_with("+++ b/server/sql/"));
    Ok(Bug { name: name.to_owned(), broken, caught_by, changes_sql, file: PathBuf::new() })
}

fn catcher(line: &str) -> anyhow::Result<Catcher> {
    let (suite, filter) = line.split_once(' ').context("name the suite and part of a test's name")?;
    let suite = match suite {
        "domain" => Suite::Domain,
        "integration" => Suite::Integration,
        unknown => bail!("`{unknown}` is no suite: domain or integration"),
    };
    Ok(Catcher { suite, filter: filter.trim().to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_head_of_a_patch_says_what_it_breaks_and_who_must_see_it() {
        let content = "broken: no lock\ncaught-by: domain window::\ncaught-by: integration model::at_once\n\
                       --- a/server/sql/x.sql\n+++ b/server/sql/x.sql\n";
        let bug = read("01-x", content).unwrap();
        assert_eq!((bug.broken.as_str(), bug.changes_sql, bug.caught_by.len()), ("no lock", true, 2));
        assert_eq!(bug.caught_by[0], Catcher { suite: Suite::Domain, filter: "window::".to_owned() });
        assert!(read("02-x", "broken: nothing is said\n").is_err());
        assert!(read("03-x", "broken: x\ncaught-by: nobody y\n").is_err());
    }
}
