//! The server's log: opened by the launcher, bounded, and shown when a start fails.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

use super::error::EmbeddedError;
use super::layout::Layout;

/// A longer log is emptied before the next start, in bytes.
const LARGEST: u64 = 10 * 1024 * 1024;
/// How much of the end is looked at, in bytes.
const TAIL: u64 = 16 * 1024;
/// How many lines of it are shown.
const LINES_SHOWN: usize = 20;

/// The log, opened for the server to write to, and the length it had before.
pub(super) fn open(layout: &Layout) -> Result<(File, u64), EmbeddedError> {
    let path = layout.log();
    let file = layout.open_file(&path)?;
    let length = file.metadata().map_err(EmbeddedError::io("inspect", &path))?.len();
    if length <= LARGEST {
        return Ok((file, length));
    }
    file.set_len(0).map_err(EmbeddedError::io("empty", &path))?;
    Ok((file, 0))
}

/// The last lines written after the given position. Best effort: this is for an error message.
pub(super) fn tail(path: &Path, after: u64) -> String {
    read_tail(path, after).unwrap_or_else(|error| format!("(the log cannot be read: {error})"))
}

fn read_tail(path: &Path, after: u64) -> std::io::Result<String> {
    let mut file = File::open(path)?;
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(after.max(length.saturating_sub(TAIL))))?;
    let mut bytes = Vec::new();
    file.take(TAIL).read_to_end(&mut bytes)?;
    let text = String::from_utf8_lossy(&bytes);
    let lines: Vec<&str> = text.lines().collect();
    let shown = lines.get(lines.len().saturating_sub(LINES_SHOWN)..).unwrap_or_default();
    Ok(shown.join("\n"))
}

#[cfg(test)]
mod tests {
    use super::super::account::Account;
    use super::super::tests::TemporaryFolder;
    use super::*;

    #[test]
    fn the_end_is_shown_and_a_long_log_is_emptied() {
        let folder = TemporaryFolder::new();
        let layout = Layout::prepare(Some(folder.path()), Account::current().unwrap()).unwrap();
        let lines: Vec<String> = (0..100).map(|line| format!("line {line}")).collect();
        std::fs::write(layout.log(), lines.join("\n")).unwrap();
        let shown = tail(&layout.log(), 0);
        assert!(shown.starts_with("line 80\n") && shown.ends_with("line 99"), "{shown}");
        let (file, before) = open(&layout).unwrap();
        assert_eq!(tail(&layout.log(), before), "");

        file.set_len(LARGEST + 1).unwrap();
        assert_eq!(open(&layout).unwrap().1, 0);
        assert_eq!(layout.log().metadata().unwrap().len(), 0);
    }
}
