//! The disk of the private Postgres. How full other databases' disks are is for their operators to see.

use std::path::Path;

use nix::sys::statvfs::statvfs;

use super::finding::Finding;

const CHECK: &str = "database.disk";
const GIBIBYTE: u64 = 1 << 30;
/// Below this, the next checkpoint may not fit.
const TOO_LITTLE: u64 = GIBIBYTE / 2;
/// Below this, months of usage do not fit.
const LITTLE: u64 = 4 * GIBIBYTE;

/// How much room its folder has.
pub(super) fn disk(folder: &Path) -> Finding {
    let free = match statvfs(folder) {
        Ok(found) => found.blocks_available().saturating_mul(found.fragment_size()),
        Err(error) => return Finding::unknown(CHECK, &error),
    };
    judged(free)
}

fn judged(free: u64) -> Finding {
    let found = format!("{} MiB are free", free >> 20);
    let advice = "make room: a full disk stops the database, and with it everything that records";
    match free {
        free if free < TOO_LITTLE => Finding::fail(CHECK, found, advice),
        free if free < LITTLE => Finding::warn(CHECK, found, advice),
        _ => Finding::ok(CHECK, found),
    }
}

#[cfg(test)]
mod tests {
    use super::super::finding::Verdict;
    use super::*;

    #[test]
    fn a_full_disk_fails_before_it_is_full() {
        for (free, verdict) in [(0, Verdict::Fail), (GIBIBYTE, Verdict::Warn), (9 * GIBIBYTE, Verdict::Ok)] {
            assert_eq!(judged(free).verdict, verdict, "{free}");
        }
        assert_ne!(disk(Path::new("/")).found, "");
        assert_eq!(disk(Path::new("/nowhere")).verdict, Verdict::Fail);
    }
}
