//! Rules about the text of any file.

use super::source::Source;
use super::unneeded;

/// A file that is longer has more than one purpose.
const LONGEST_FILE: usize = 800;
/// Documents are read from their beginning, and their length says nothing about their purpose.
const DOCUMENT_ENDING: &str = ".md";

/// Marks of work that is not finished. Split, so that this file is not a finding.
const UNFINISHED: [&str; 4] = [concat!("TO", "DO"), concat!("FIX", "ME"), concat!("XX", "X:"), concat!("#[ig", "nore")];

/// Folders that exist on one machine only. Split, so that this file is not a finding.
const MACHINE_FOLDERS: [&str; 4] =
    [concat!("/ho", "me/"), concat!("/Us", "ers/"), concat!("/ro", "ot/"), concat!("/wo", "rk/")];
/// Files that name such a folder, and why.
const MACHINE_FOLDER_EXCEPTIONS: [&str; 2] = [
    // Where Homebrew installs itself on every Linux.
    "server/src/embedded/binaries.rs",
    // An example of a home folder in a test.
    "server/src/embedded/layout.rs",
];

/// Files above [`LONGEST_FILE`] lines.
pub(super) fn long_files(sources: &[Source]) -> Vec<String> {
    let code = sources.iter().filter(|source| !source.ends_with(DOCUMENT_ENDING));
    code.map(|source| (source, source.text.lines().count()))
        .filter(|(_, lines)| *lines > LONGEST_FILE)
        .map(|(source, lines)| format!("{}: has {lines} lines, more than {LONGEST_FILE}: split it", source.path))
        .collect()
}

/// Marks of unfinished work and tests that are switched off.
pub(super) fn unfinished_work(sources: &[Source]) -> Vec<String> {
    lines_with(sources, &UNFINISHED)
        .map(|(source, line, mark)| format!("{}:{line}: finish what `{mark}` marks, or remove it", source.path))
        .collect()
}

/// Absolute paths of somebody's machine.
pub(super) fn machine_paths(sources: &[Source]) -> Vec<String> {
    let found: Vec<_> = lines_with(sources, &MACHINE_FOLDERS).collect();
    let is_found = |path: &str| found.iter().any(|(source, ..)| source.path == path);
    let mut findings = unneeded("no machine paths", MACHINE_FOLDER_EXCEPTIONS, is_found);
    findings.extend(
        found
            .iter()
            .filter(|(source, ..)| !MACHINE_FOLDER_EXCEPTIONS.contains(&source.path.as_str()))
            .map(|(source, line, folder)| format!("{}:{line}: `{folder}` exists on one machine only", source.path)),
    );
    findings
}

fn lines_with<'a>(
    sources: &'a [Source],
    marks: &'static [&'static str],
) -> impl Iterator<Item = (&'a Source, usize, &'static str)> {
    sources.iter().flat_map(move |source| {
        source.text.lines().enumerate().filter_map(move |(index, line)| {
            let mark = marks.iter().find(|mark| line.contains(**mark))?;
            Some((source, index.saturating_add(1), *mark))
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tidy::source::source;

    #[test]
    fn long_code_is_found_and_long_prose_is_not() {
        let text = "line\n".repeat(LONGEST_FILE + 1);
        let findings = long_files(&[source("a.rs", &text), source("a.md", &text), source("b.rs", "line\n")]);
        assert_eq!(findings, ["a.rs: has 801 lines, more than 800: split it"]);
    }

    #[test]
    fn unfinished_work_is_found_with_its_line() {
        let text = format!("fine\n// {}: later\n", UNFINISHED[0]);
        assert_eq!(unfinished_work(&[source("a.rs", &text)]).len(), 1);
        assert!(unfinished_work(&[source("a.rs", &text)])[0].starts_with("a.rs:2:"));
        assert_eq!(unfinished_work(&[source("a.rs", "#[test]")]), Vec::<String>::new());
    }

    #[test]
    fn exceptions_that_nobody_needs_are_found() {
        let exception = source(MACHINE_FOLDER_EXCEPTIONS[0], &format!("{}somebody", MACHINE_FOLDERS[0]));
        let other = source("a.md", &format!("see {}somebody", MACHINE_FOLDERS[0]));
        let findings = machine_paths(&[exception, other]);
        assert_eq!(findings.len(), 2, "{findings:?}");
        assert!(findings[0].contains(MACHINE_FOLDER_EXCEPTIONS[1]) && findings[0].contains("no longer needed"));
        assert!(findings[1].starts_with("a.md:1:"));
    }
}
