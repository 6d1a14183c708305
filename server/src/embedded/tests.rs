//! The private Postgres against a real one.

use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use nix::unistd::{Pid, getpgid};
use sqlx::{Connection, PgConnection};

use super::account::Account;
use super::process::{self, PidFile};
use super::*;

/// Tells the test binary, started a second time, to be the other process.
const OTHER_PROCESS: &str = "TOLLGATE_TEST_OTHER_PROCESS";

/// A folder under the system's temporary one that any user can pass through. When it goes, so does any server in it.
pub(super) struct TemporaryFolder {
    path: PathBuf,
}

impl TemporaryFolder {
    pub(super) fn new() -> Self {
        let path = std::env::temp_dir().join(format!("tollgate-embedded-{}", uuid::Uuid::now_v7().simple()));
        std::fs::create_dir(&path).unwrap();
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o755)).unwrap();
        Self { path }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    fn settings(&self) -> Settings {
        self.settings_for("data")
    }

    fn settings_for(&self, name: &str) -> Settings {
        Settings { data_dir: Some(self.path.join(name)), ..Settings::default() }
    }

    fn cluster(&self) -> PathBuf {
        self.path.join("data/cluster")
    }
}

impl Drop for TemporaryFolder {
    fn drop(&mut self) {
        for entry in std::fs::read_dir(&self.path).unwrap().flatten() {
            let cluster = entry.path().join("cluster");
            let left = process::read(&cluster).as_deref().and_then(PidFile::parse).map(|file| file.pid);
            if let Some(pid) = left.filter(|pid| works_in(*pid, &cluster)) {
                process::signal(pid, Signal::SIGQUIT).unwrap();
                wait_until("the server is gone", || !process::is_alive(pid));
            }
        }
        std::fs::remove_dir_all(&self.path).unwrap();
    }
}

fn works_in(pid: Pid, cluster: &Path) -> bool {
    std::fs::read_link(format!("/proc/{pid}/cwd")).is_ok_and(|folder| folder == cluster)
}

fn wait_until(what: &str, condition: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !condition() {
        assert!(Instant::now() < deadline, "waited too long until {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

async fn connect(embedded: &EmbeddedPostgres) -> PgConnection {
    PgConnection::connect_with(&embedded.connect_options()).await.unwrap()
}

async fn execute(embedded: &EmbeddedPostgres, statement: &'static str) {
    sqlx::raw_sql(statement).execute(&mut connect(embedded).await).await.unwrap();
}

async fn ask(embedded: &EmbeddedPostgres, query: &'static str) -> String {
    sqlx::query_scalar(query).fetch_one(&mut connect(embedded).await).await.unwrap()
}

/// Writes something, so that a later [`assert_kept`] can tell whether it survived.
async fn write(embedded: &EmbeddedPostgres) {
    execute(embedded, "CREATE TABLE kept AS SELECT 'it is here' AS word").await;
}

async fn assert_kept(embedded: &EmbeddedPostgres) {
    assert_eq!(ask(embedded, "SELECT word FROM kept").await, "it is here");
}

async fn stop(embedded: EmbeddedPostgres) {
    let pid = embedded.server.pid;
    embedded.stop().await.unwrap();
    assert!(!process::is_alive(pid), "the server outlived its stop");
}

#[tokio::test]
async fn what_was_written_is_there_after_a_stop() {
    let folder = TemporaryFolder::new();
    let embedded = EmbeddedPostgres::start(&folder.settings()).await.unwrap();
    write(&embedded).await;
    stop(embedded).await;
    let embedded = EmbeddedPostgres::start(&folder.settings()).await.unwrap();
    assert_kept(&embedded).await;
    stop(embedded).await;
}

#[tokio::test]
async fn it_is_durable_private_and_out_of_reach_of_the_terminal() {
    let folder = TemporaryFolder::new();
    let embedded = EmbeddedPostgres::start(&folder.settings()).await.unwrap();
    for (setting, value) in [
        ("SHOW fsync", "on"),
        ("SHOW full_page_writes", "on"),
        ("SHOW synchronous_commit", "on"),
        ("SHOW data_checksums", "on"),
        ("SHOW listen_addresses", ""),
        ("SHOW server_encoding", "UTF8"),
        ("SHOW autovacuum_naptime", "5s"),
        ("SELECT current_database()::text", "tollgate"),
    ] {
        assert_eq!(ask(&embedded, setting).await, value, "{setting}");
    }
    assert!((14..=18).contains(&embedded.major_version()));

    let pid = embedded.server.pid;
    assert_ne!(getpgid(Some(pid)).unwrap(), getpgid(None).unwrap());
    assert_ne!(std::fs::metadata(format!("/proc/{pid}")).unwrap().uid(), 0, "postgres must not be root");
    let directory = embedded.data_dir().metadata().unwrap();
    assert_eq!(directory.permissions().mode() & 0o777, 0o700);
    assert_ne!(directory.uid(), 0);

    let as_another_role = embedded.connect_options().username("somebody");
    let refusal = PgConnection::connect_with(&as_another_role).await.unwrap_err();
    assert_eq!(refusal.as_database_error().unwrap().code().unwrap(), "28000", "{refusal}");
    stop(embedded).await;
}

#[tokio::test]
async fn settings_files_cannot_weaken_durability() {
    let folder = TemporaryFolder::new();
    let embedded = EmbeddedPostgres::start(&folder.settings()).await.unwrap();
    execute(&embedded, "ALTER SYSTEM SET fsync = off").await;
    execute(&embedded, "ALTER SYSTEM SET autovacuum_naptime = '7s'").await;
    stop(embedded).await;
    let embedded = EmbeddedPostgres::start(&folder.settings()).await.unwrap();
    assert_eq!(ask(&embedded, "SHOW fsync").await, "on");
    assert_eq!(ask(&embedded, "SHOW autovacuum_naptime").await, "7s");
    stop(embedded).await;
}

#[tokio::test]
async fn a_dropped_handle_leaves_a_server_that_the_next_start_joins() {
    let folder = TemporaryFolder::new();
    let embedded = EmbeddedPostgres::start(&folder.settings()).await.unwrap();
    write(&embedded).await;
    let pid = embedded.server.pid;
    drop(embedded);
    let embedded = EmbeddedPostgres::start(&folder.settings()).await.unwrap();
    assert_eq!(embedded.server.pid, pid);
    assert_kept(&embedded).await;
    stop(embedded).await;
}

#[tokio::test]
async fn the_server_of_a_killed_process_is_joined_and_stopped_in_the_end() {
    let folder = TemporaryFolder::new();
    let mut other = start_other_process(&folder);
    let joined = EmbeddedPostgres::start(&folder.settings()).await.unwrap();
    let pid = joined.server.pid;
    write(&joined).await;
    joined.stop().await.unwrap();
    assert!(process::is_alive(pid), "the other process still uses it");

    other.kill().unwrap();
    other.wait().unwrap();
    assert!(process::is_alive(pid), "nobody told it to stop");
    let adopted = EmbeddedPostgres::start(&folder.settings()).await.unwrap();
    assert_eq!(adopted.server.pid, pid);
    assert_kept(&adopted).await;
    stop(adopted).await;
}

/// Starts this test binary again as a process that starts the server and then waits to be killed.
fn start_other_process(folder: &TemporaryFolder) -> Child {
    let child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "embedded::tests::the_other_process"])
        .env(OTHER_PROCESS, folder.path().join("data"))
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let ready = folder.path().join("ready");
    wait_until("the other process is ready", || ready.exists());
    child
}

/// Does nothing unless it is run by [`start_other_process`].
#[tokio::test]
async fn the_other_process() {
    let Some(data_dir) = std::env::var_os(OTHER_PROCESS).map(PathBuf::from) else {
        return;
    };
    let ready = data_dir.with_file_name("ready");
    let embedded =
        EmbeddedPostgres::start(&Settings { data_dir: Some(data_dir), ..Settings::default() }).await.unwrap();
    std::fs::write(ready, "").unwrap();
    tokio::time::sleep(Duration::from_secs(120)).await;
    stop(embedded).await;
}

#[tokio::test]
async fn the_last_one_out_stops_the_server() {
    let folder = TemporaryFolder::new();
    let first = EmbeddedPostgres::start(&folder.settings()).await.unwrap();
    let second = EmbeddedPostgres::start(&folder.settings()).await.unwrap();
    let third = EmbeddedPostgres::start(&folder.settings()).await.unwrap();
    let pid = first.server.pid;
    second.stop().await.unwrap();
    write(&first).await;
    first.stop().await.unwrap();
    assert!(process::is_alive(pid));
    assert_kept(&third).await;
    stop(third).await;
}

#[tokio::test]
async fn starts_at_the_same_time_share_one_server() {
    let folder = TemporaryFolder::new();
    let settings = folder.settings();
    let (first, second, third) = tokio::join!(
        EmbeddedPostgres::start(&settings),
        EmbeddedPostgres::start(&settings),
        EmbeddedPostgres::start(&settings)
    );
    let (first, second, third) = (first.unwrap(), second.unwrap(), third.unwrap());
    assert_eq!(first.server.pid, second.server.pid);
    assert_eq!(first.server.pid, third.server.pid);
    let (second, third) = tokio::join!(second.stop(), third.stop());
    second.and(third).unwrap();
    stop(first).await;
}

#[tokio::test]
async fn a_crash_of_the_server_loses_nothing() {
    let folder = TemporaryFolder::new();
    let embedded = EmbeddedPostgres::start(&folder.settings()).await.unwrap();
    write(&embedded).await;
    let pid = embedded.server.pid;
    process::signal(pid, Signal::SIGKILL).unwrap();
    wait_until("the server is dead", || !process::is_alive(pid));
    drop(embedded);
    assert!(process::read(&folder.cluster()).is_some(), "a crash leaves the process-id file");
    let embedded = EmbeddedPostgres::start(&folder.settings()).await.unwrap();
    assert_ne!(embedded.server.pid, pid);
    assert_kept(&embedded).await;
    stop(embedded).await;
}

#[tokio::test]
async fn no_server_starts_beside_a_process_of_a_crashed_one() {
    let folder = TemporaryFolder::new();
    let embedded = EmbeddedPostgres::start(&folder.settings()).await.unwrap();
    write(&embedded).await;
    let mut connection = connect(&embedded).await;
    let backend: i32 = sqlx::query_scalar("SELECT pg_backend_pid()").fetch_one(&mut connection).await.unwrap();
    let backend = Pid::from_raw(backend);
    process::signal(backend, Signal::SIGSTOP).unwrap();
    process::signal(embedded.server.pid, Signal::SIGKILL).unwrap();
    let log = embedded.log_path();
    drop(embedded);

    let settings = folder.settings();
    let starting = tokio::spawn(async move { EmbeddedPostgres::start(&settings).await });
    // It tries again and again, as the log of the private Postgres tells.
    let attempts = || {
        let lines = std::fs::read_to_string(&log).unwrap_or_default();
        lines.matches(super::server::FORMER_SERVER_STILL_ENDS).count()
    };
    let deadline = Instant::now() + Duration::from_secs(30);
    while attempts() < 2 {
        assert!(Instant::now() < deadline, "waited too long until two attempts have failed");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(!starting.is_finished(), "it must wait for the stopped process");
    process::signal(backend, Signal::SIGCONT).unwrap();
    let embedded = starting.await.unwrap().unwrap();
    assert!(!process::is_alive(backend));
    assert_kept(&embedded).await;
    stop(embedded).await;
}

#[tokio::test]
async fn files_that_name_an_innocent_process_do_not_stop_the_start() {
    let folder = TemporaryFolder::new();
    let embedded = EmbeddedPostgres::start(&folder.settings()).await.unwrap();
    let server = embedded.layout.server.clone();
    write(&embedded).await;
    stop(embedded).await;

    let mut innocent = sleep_as(&server);
    let data = folder.path().join("data");
    let text = format!("{}\n{}\n1\n5432\n{}\n\n", innocent.id(), folder.cluster().display(), data.display());
    for file in [folder.cluster().join("postmaster.pid"), data.join(".s.PGSQL.5432.lock")] {
        std::fs::write(&file, &text).unwrap();
        std::os::unix::fs::chown(&file, Some(server.uid), Some(server.gid)).unwrap();
    }
    let started = EmbeddedPostgres::start(&folder.settings()).await;
    let survived = innocent.try_wait().unwrap().is_none();
    innocent.kill().unwrap();
    innocent.wait().unwrap();
    let embedded = started.unwrap();
    assert!(survived, "the innocent process was harmed");
    assert_kept(&embedded).await;
    stop(embedded).await;

    std::fs::write(folder.cluster().join("postmaster.pid"), "").unwrap();
    let embedded = EmbeddedPostgres::start(&folder.settings()).await.unwrap();
    assert_kept(&embedded).await;
    stop(embedded).await;
}

fn sleep_as(account: &Account) -> Child {
    let mut command = Command::new("sleep");
    command.arg("60").current_dir("/");
    if Account::current().unwrap() != *account {
        command.uid(account.uid).gid(account.gid);
    }
    command.spawn().unwrap()
}

#[tokio::test]
async fn what_a_killed_creation_left_is_replaced() {
    let folder = TemporaryFolder::new();
    let layout = Layout::prepare(folder.settings().data_dir.as_deref(), Account::current().unwrap()).unwrap();
    layout.open_file(&layout.start_lock()).unwrap();
    let abandoned = layout.unfinished_cluster();
    std::fs::create_dir(&abandoned).unwrap();
    std::fs::write(abandoned.join("PG_VERSION"), "15\n").unwrap();
    let embedded = EmbeddedPostgres::start(&folder.settings()).await.unwrap();
    assert!(!abandoned.exists());
    stop(embedded).await;
}

#[tokio::test]
async fn a_failed_start_shows_the_log() {
    let folder = TemporaryFolder::new();
    let embedded = EmbeddedPostgres::start(&folder.settings()).await.unwrap();
    stop(embedded).await;
    let settings_file = folder.cluster().join("postgresql.conf");
    let good = std::fs::read_to_string(&settings_file).unwrap();
    std::fs::write(&settings_file, format!("{good}\nno_such_setting = 1\n")).unwrap();
    let error = EmbeddedPostgres::start(&folder.settings()).await.unwrap_err();
    assert!(matches!(error, EmbeddedError::Start { .. }), "{error}");
    assert!(error.to_string().contains("no_such_setting"), "{error}");
    std::fs::write(&settings_file, good).unwrap();
    stop(EmbeddedPostgres::start(&folder.settings()).await.unwrap()).await;
}

#[tokio::test]
async fn databases_are_created_once_under_any_name() {
    let folder = TemporaryFolder::new();
    let embedded = EmbeddedPostgres::start(&folder.settings()).await.unwrap();
    for _ in 0..2 {
        let options = embedded.create_database("a \"quoted\" näme").await.unwrap();
        let mut connection = PgConnection::connect_with(&options).await.unwrap();
        let name: String =
            sqlx::query_scalar("SELECT current_database()::text").fetch_one(&mut connection).await.unwrap();
        assert_eq!(name, "a \"quoted\" näme");
    }
    for refused in ["", "a\0b", &"a".repeat(64)] {
        let error = embedded.create_database(refused).await.unwrap_err();
        assert!(matches!(error, EmbeddedError::DatabaseName { .. }), "{error}");
    }
    stop(embedded).await;
}

#[tokio::test]
async fn a_data_directory_may_have_a_long_and_strange_name() {
    let folder = TemporaryFolder::new();
    let long = folder.settings_for(&format!("a, \"b\" {}", "c".repeat(100)));
    let strange = folder.settings_for("d, \"e\" f");
    for settings in [long, strange] {
        let embedded = EmbeddedPostgres::start(&settings).await.unwrap();
        let socket_directory = embedded.server.socket_directory.clone();
        let is_elsewhere = socket_directory != embedded.data_dir();
        write(&embedded).await;
        stop(embedded).await;
        if is_elsewhere {
            std::fs::remove_dir(socket_directory).unwrap();
        }
    }
}
