//! A Postgres for the length of one chore: `DATABASE_URL`'s, or a private one that is thrown away.

use std::{
    env,
    ffi::OsStr,
    fs::{self, File},
    os::unix::{fs::chown, process::CommandExt as _},
    path::{Path, PathBuf},
    process::{self, Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail, ensure};
use nix::unistd::{Uid, User};

/// How long a private server may take to answer.
const START_LIMIT: Duration = Duration::from_secs(60);
/// The superuser of a private server.
const SUPERUSER: &str = "tollgate";
/// Where Debian keeps one folder of programs for each major version, off PATH.
const DEBIAN_FOLDER: &str = "/usr/lib/postgresql";
/// Accounts that run the server when the chore is run by root, in order of preference.
const UNPRIVILEGED: [&str; 2] = ["postgres", "nobody"];
/// Starts the server and stops it once standard input closes, which the system does however the chore ends.
const WATCHED_START: &str = r#""$0" "$@" & server=$!; read -r _; kill -QUIT "$server"; wait "$server""#;

/// An empty database that lasts as long as this value.
#[derive(Debug)]
pub(crate) struct ScratchDatabase {
    url: String,
    name: String,
    server_url: String,
    _server: Option<PrivateServer>,
}

impl ScratchDatabase {
    /// Creates a database on the server that `DATABASE_URL` names, or on a private one if it is unset.
    ///
    /// # Errors
    /// If no Postgres is installed, or the server refuses.
    pub(crate) fn create() -> anyhow::Result<Self> {
        let (server_url, server) = match env::var("DATABASE_URL") {
            Ok(url) if !url.is_empty() => (url, None),
            _ => {
                let server = PrivateServer::start()?;
                (server.url(), Some(server))
            }
        };
        let name = format!("tollgate_scratch_{}", process::id());
        let url = with_database(&server_url, &name)?;
        run_sql(&server_url, [format!("--command=CREATE DATABASE {name}")])?;
        Ok(Self { url, name, server_url, _server: server })
    }

    /// How to connect to it.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// Runs the statements of a file in one transaction.
    ///
    /// # Errors
    /// If a statement fails: the message is the server's.
    pub(crate) fn apply(&self, file: &Path) -> anyhow::Result<()> {
        run_sql(&self.url, [OsStr::new("--single-transaction"), OsStr::new("--file"), file.as_os_str()])
    }
}

impl Drop for ScratchDatabase {
    fn drop(&mut self) {
        // A server that is gone has taken the database along.
        let _gone =
            run_sql(&self.server_url, [format!("--command=DROP DATABASE IF EXISTS {} WITH (FORCE)", self.name)]);
    }
}

/// A server that listens on a Unix socket in a temporary folder and keeps nothing.
#[derive(Debug)]
struct PrivateServer {
    watcher: Child,
    folder: tempfile::TempDir,
}

impl PrivateServer {
    fn start() -> anyhow::Result<Self> {
        let programs = find_programs()?;
        let folder = tempfile::Builder::new().prefix("tollgate-").tempdir().context("create a temporary folder")?;
        let account = server_account()?;
        if let Some(account) = &account {
            chown(folder.path(), Some(account.uid.as_raw()), Some(account.gid.as_raw()))
                .with_context(|| format!("give {} to {}", folder.path().display(), account.name))?;
        }
        let data = folder.path().join("data");
        create_cluster(&programs, &data, account.as_ref())?;

        let log = File::create(folder.path().join("log")).context("create the log of the private postgres")?;
        let mut command = Command::new("sh");
        command.args(["-c", WATCHED_START]).arg(programs.join("postgres")).arg("-D").arg(&data);
        command.arg("-k").arg(folder.path());
        // Nothing is kept, so nothing has to reach the disk.
        command.args(["-c", "listen_addresses=", "-c", "fsync=off"]);
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(log);
        let watcher = isolated(&mut command, account.as_ref()).spawn().context("start a private postgres")?;
        let mut server = Self { watcher, folder };
        server.wait_until_ready()?;
        Ok(server)
    }

    fn url(&self) -> String {
        let socket_folder = percent_encoded(&self.folder.path().to_string_lossy());
        format!("postgres:///postgres?host={socket_folder}&user={SUPERUSER}")
    }

    fn wait_until_ready(&mut self) -> anyhow::Result<()> {
        let deadline = Instant::now() + START_LIMIT;
        let url = self.url();
        while let Err(error) = run_sql(&url, ["--command=SELECT 1"]) {
            let ended = self.watcher.try_wait().context("look after the private postgres")?.is_some();
            if ended || Instant::now() > deadline {
                let log = fs::read_to_string(self.folder.path().join("log")).unwrap_or_default();
                return Err(error.context(format!("the private postgres does not start:\n{log}")));
            }
            thread::sleep(Duration::from_millis(50));
        }
        Ok(())
    }
}

impl Drop for PrivateServer {
    fn drop(&mut self) {
        drop(self.watcher.stdin.take());
        // The folder is removed next: the server has to be gone by then.
        let _ended = self.watcher.wait();
    }
}

fn create_cluster(programs: &Path, data: &Path, account: Option<&User>) -> anyhow::Result<()> {
    let mut command = Command::new(programs.join("initdb"));
    command.arg("-D").arg(data).args(["--username", SUPERUSER, "--encoding", "UTF8"]);
    // The folder is closed to other users, so whoever reaches the socket may connect.
    command.args(["--no-locale", "--auth", "trust", "--no-sync"]);
    let output = isolated(&mut command, account).output().context("run initdb")?;
    ensure!(output.status.success(), "initdb failed:\n{}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}

/// Without the caller's locale and Postgres settings, in a folder that every user may enter, as the server's account.
fn isolated<'command>(command: &'command mut Command, account: Option<&User>) -> &'command mut Command {
    command.env_clear().env("PATH", env::var_os("PATH").unwrap_or_default()).env("LC_ALL", "C").current_dir("/");
    if let Some(account) = account {
        command.uid(account.uid.as_raw()).gid(account.gid.as_raw());
    }
    command
}

/// Postgres refuses to run as root: the account to run it as instead, or none if this is not root.
fn server_account() -> anyhow::Result<Option<User>> {
    if !Uid::effective().is_root() {
        return Ok(None);
    }
    let account = UNPRIVILEGED.into_iter().find_map(|name| User::from_name(name).ok().flatten());
    account.map(Some).context("postgres does not run as root: create a user named postgres")
}

/// The folder that holds both `initdb` and `postgres`; of several versions the newest.
fn find_programs() -> anyhow::Result<PathBuf> {
    let mut folders: Vec<PathBuf> = env::split_paths(&env::var_os("PATH").unwrap_or_default()).collect();
    if let Ok(output) = Command::new("pg_config").arg("--bindir").output() {
        folders.push(PathBuf::from(String::from_utf8_lossy(&output.stdout).trim()));
    }
    let mut versions: Vec<PathBuf> =
        fs::read_dir(DEBIAN_FOLDER).into_iter().flatten().flatten().map(|entry| entry.path()).collect();
    versions.sort_by_key(|folder| {
        std::cmp::Reverse(folder.file_name().and_then(|name| name.to_str()?.parse::<u32>().ok()))
    });
    folders.extend(versions.into_iter().map(|folder| folder.join("bin")));
    folders
        .into_iter()
        .find(|folder| folder.join("initdb").is_file() && folder.join("postgres").is_file())
        .context("no postgres found: `apt install postgresql`, or set DATABASE_URL")
}

fn run_sql<A: AsRef<OsStr>>(url: &str, arguments: impl IntoIterator<Item = A>) -> anyhow::Result<()> {
    let mut command = Command::new("psql");
    command.args(["--no-psqlrc", "--quiet", "--set", "ON_ERROR_STOP=1", "--dbname", url]).args(arguments);
    let output = command.stdin(Stdio::null()).output().context("run psql: `apt install postgresql`")?;
    ensure!(output.status.success(), "psql failed:\n{}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}

/// The same server, another database.
fn with_database(url: &str, name: &str) -> anyhow::Result<String> {
    let Some((scheme, rest)) = url.split_once("://") else {
        bail!("DATABASE_URL is not of the form postgres://user@host/database");
    };
    let (location, parameters) = rest.split_once('?').map_or((rest, None), |(location, after)| (location, Some(after)));
    let authority = location.split_once('/').map_or(location, |(authority, _)| authority);
    let parameters = parameters.map(|parameters| format!("?{parameters}")).unwrap_or_default();
    Ok(format!("{scheme}://{authority}/{name}{parameters}"))
}

fn percent_encoded(text: &str) -> String {
    text.bytes().fold(String::new(), |mut encoded, byte| {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'/' | b'.' | b'_' | b'-' => encoded.push(char::from(byte)),
            _ => encoded.push_str(&format!("%{byte:02X}")),
        }
        encoded
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_database_of_a_url_is_replaced() {
        for (url, expected) in [
            ("postgres://me:secret@db:5432/one?sslmode=require", "postgres://me:secret@db:5432/two?sslmode=require"),
            ("postgres:///one?host=/run/it", "postgres:///two?host=/run/it"),
            ("postgresql://db", "postgresql://db/two"),
        ] {
            assert_eq!(with_database(url, "two").unwrap(), expected);
        }
        assert!(with_database("host=db", "two").is_err());
    }

    #[test]
    fn a_folder_fits_into_a_url() {
        assert_eq!(percent_encoded("/tmp/a b&c"), "/tmp/a%20b%26c");
    }
}
