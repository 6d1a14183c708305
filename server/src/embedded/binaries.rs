//! Finds an installed Postgres.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::error::EmbeddedError;

/// The oldest major version of Postgres that Tollgate runs on.
pub(super) const OLDEST_MAJOR: u32 = 15;
/// The newest major version of Postgres that Tollgate was tried on.
pub(super) const NEWEST_MAJOR: u32 = 18;

/// Folders whose children named with this prefix hold one installation each, in the given subfolder.
const FAMILIES: [(&str, &str, &str); 7] = [
    ("/usr/lib/postgresql", "", "bin"),
    ("/usr", "pgsql-", "bin"),
    ("/usr/libexec", "postgresql", ""),
    ("/opt/homebrew/opt", "postgresql@", "bin"),
    ("/usr/local/opt", "postgresql@", "bin"),
    ("/home/linuxbrew/.linuxbrew/opt", "postgresql@", "bin"),
    ("/Applications/Postgres.app/Contents/Versions", "", "bin"),
];

/// An installation of Postgres: a folder with `initdb` and `postgres` beside each other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Binaries {
    pub(super) directory: PathBuf,
    pub(super) major: u32,
}

impl Binaries {
    /// The installation to use: of the major version that wrote `cluster`, or the newest if there is no cluster yet.
    pub(super) fn find(explicit: Option<&Path>, cluster: &Path) -> Result<Self, EmbeddedError> {
        let (directories, searched) = match explicit {
            Some(directory) => (vec![directory.to_owned()], directory.display().to_string()),
            None => (
                candidate_directories(),
                "PATH, pg_config, /usr/lib/postgresql, /usr/pgsql-*, /usr/libexec, Homebrew, Postgres.app".to_owned(),
            ),
        };
        let found: Vec<Self> = directories.iter().filter_map(|directory| Self::inspect(directory)).collect();
        choose(found, cluster_major(cluster), cluster, searched)
    }

    /// The server program.
    pub(super) fn postgres(&self) -> PathBuf {
        self.directory.join("postgres")
    }

    /// The program that creates a cluster.
    pub(super) fn initdb(&self) -> PathBuf {
        self.directory.join("initdb")
    }

    fn inspect(directory: &Path) -> Option<Self> {
        // Links are followed because Postgres looks for its other files relative to where the program really is.
        let directory = directory.join("postgres").canonicalize().ok()?.parent()?.to_owned();
        if !directory.join("initdb").is_file() {
            return None;
        }
        let major = parse_version(&output_of(&directory.join("postgres"), "--version")?)?;
        Some(Self { directory, major })
    }
}

/// The major version recorded in a Postgres data folder, if it is one.
fn cluster_major(cluster: &Path) -> Option<u32> {
    std::fs::read_to_string(cluster.join("PG_VERSION")).ok()?.trim().parse().ok()
}

/// All the places an installation may be, in order of preference.
fn candidate_directories() -> Vec<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut directories: Vec<PathBuf> =
        std::env::split_paths(&path).filter(|directory| directory.is_absolute()).collect();
    directories.extend(output_of(Path::new("pg_config"), "--bindir").map(|line| PathBuf::from(line.trim())));
    for (parent, prefix, subfolder) in FAMILIES {
        directories.extend(children(Path::new(parent), prefix).map(|child| child.join(subfolder)));
    }
    directories.extend(["/opt/homebrew/bin", "/usr/local/bin", "/usr/local/pgsql/bin"].map(PathBuf::from));
    directories
}

fn children(parent: &Path, prefix: &'static str) -> impl Iterator<Item = PathBuf> + use<> {
    std::fs::read_dir(parent)
        .into_iter()
        .flatten()
        .flatten()
        .filter(move |entry| entry.file_name().to_string_lossy().starts_with(prefix))
        .map(|entry| entry.path())
}

fn output_of(program: &Path, argument: &str) -> Option<String> {
    let output = Command::new(program).arg(argument).current_dir("/").stdin(Stdio::null()).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Reads the major version out of `postgres (PostgreSQL) 15.13 (Debian 15.13-0)`, `… 18beta1`, `… 17devel`.
fn parse_version(line: &str) -> Option<u32> {
    let version = line.split_once("(PostgreSQL)")?.1.trim_start();
    let end = version.find(|character: char| !character.is_ascii_digit()).unwrap_or(version.len());
    version.get(..end)?.parse().ok()
}

fn choose(
    found: Vec<Binaries>,
    needed: Option<u32>,
    cluster: &Path,
    searched: String,
) -> Result<Binaries, EmbeddedError> {
    let mut usable: Vec<Binaries> =
        found.into_iter().filter(|binaries| (OLDEST_MAJOR..=NEWEST_MAJOR).contains(&binaries.major)).collect();
    // Stable: among equals the first in the search order wins.
    usable.sort_by_key(|binaries| std::cmp::Reverse(binaries.major));
    let majors = list_of_majors(&usable);
    let chosen = usable.into_iter().find(|binaries| needed.is_none_or(|major| major == binaries.major));
    match (chosen, needed) {
        (Some(binaries), _) => Ok(binaries),
        (None, Some(needed)) if !majors.is_empty() => {
            Err(EmbeddedError::MajorMissing { cluster: cluster.to_owned(), needed, found: majors })
        }
        (None, _) => Err(EmbeddedError::BinariesNotFound { searched }),
    }
}

fn list_of_majors(binaries: &[Binaries]) -> String {
    let mut majors: Vec<String> = binaries.iter().map(|binaries| binaries.major.to_string()).collect();
    majors.dedup();
    majors.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn installed(majors: &[u32]) -> Vec<Binaries> {
        majors.iter().map(|&major| Binaries { directory: PathBuf::from(format!("/pg/{major}")), major }).collect()
    }

    fn chosen(majors: &[u32], needed: Option<u32>) -> Result<u32, EmbeddedError> {
        choose(installed(majors), needed, Path::new("/data"), "everywhere".into()).map(|binaries| binaries.major)
    }

    #[test]
    fn versions_are_read() {
        assert_eq!(parse_version("postgres (PostgreSQL) 15.13 (Debian 15.13-0+deb12u1)\n"), Some(15));
        assert_eq!(parse_version("postgres (PostgreSQL) 18beta1\n"), Some(18));
        assert_eq!(parse_version("postgres (PostgreSQL) 16\n"), Some(16));
        assert_eq!(parse_version("something else 15"), None);
    }

    #[test]
    fn the_major_of_the_data_wins_over_the_newest() {
        assert_eq!(chosen(&[13, 15, 17, 99], None).unwrap(), 17);
        assert_eq!(chosen(&[15, 17], Some(15)).unwrap(), 15);
    }

    #[test]
    fn what_is_missing_is_said() {
        let error = chosen(&[16, 17, 16], Some(15)).unwrap_err().to_string();
        assert!(error.contains("PostgreSQL 15, but only 17, 16 is"), "{error}");
        let error = chosen(&[12], None).unwrap_err().to_string();
        assert!(error.contains("apt install postgresql") && error.contains("DATABASE_URL"), "{error}");
    }

    #[test]
    fn an_explicit_folder_is_the_only_one_searched() {
        let error = Binaries::find(Some(Path::new("/nowhere")), Path::new("/nowhere")).unwrap_err();
        assert!(error.to_string().contains("looked in /nowhere"), "{error}");
    }
}
