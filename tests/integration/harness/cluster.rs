//! One private Postgres for the whole run, and an isolated database for every test.

use std::io::Write as _;
use std::os::unix::process::CommandExt as _;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _};
use tokio::sync::OnceCell;
use tollgate_server::boot::Database;
use tollgate_server::config::Config;
use tollgate_server::embedded::{EmbeddedPostgres, Settings};

const TEMPLATE: &str = "tollgate_template";

static CLUSTER: OnceCell<PgConnectOptions> = OnceCell::const_new();
static NEXT: AtomicU64 = AtomicU64::new(0);

/// A fresh database with the whole schema.
pub(crate) async fn database() -> PgConnectOptions {
    let options = CLUSTER.get_or_init(start).await;
    let name = format!("test_{}", NEXT.fetch_add(1, Ordering::Relaxed));
    let mut connection = options.clone().database("postgres").connect().await.unwrap();
    let create = format!("CREATE DATABASE {name} TEMPLATE {TEMPLATE}");
    sqlx::raw_sql(AssertSqlSafe(create)).execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
    options.clone().database(&name)
}

async fn start() -> PgConnectOptions {
    let folder = std::env::temp_dir().join(format!("tollgate-tests-{}", std::process::id()));
    let settings = Settings { data_dir: Some(folder.clone()), ..Settings::default() };
    let embedded = EmbeddedPostgres::start(&settings).await.unwrap();
    stop_with_this_process(&folder);
    let template = embedded.create_database(TEMPLATE).await.unwrap();
    Database::given(template).prepare(&Config::default()).await.unwrap();
    let options = embedded.connect_options();
    // The watcher stops it: a static is never dropped.
    std::mem::forget(embedded);
    options
}

/// Stops Postgres and drops its files when this process ends, in whatever way: the watcher sees its input close.
pub(super) fn stop_with_this_process(folder: &std::path::Path) {
    let script = r#"
        cat >/dev/null
        pid=$(find "$1" -name postmaster.pid -exec head -n 1 {} \; | head -n 1)
        if [ -n "$pid" ]; then
            kill -INT "$pid"
            while kill -0 "$pid" 2>/dev/null; do sleep 0.1; done
        fi
        rm -rf "$1"
    "#;
    let mut watcher = Command::new("sh")
        .args(["-c", script, "watcher"])
        .arg(folder)
        .process_group(0)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut input = watcher.stdin.take().unwrap();
    input.flush().unwrap();
    std::mem::forget(input);
    std::thread::spawn(move || watcher.wait());
}

/// Longest wait for any state in a test. Generous: a loaded machine is slow, and a test that waits for a state ends as
/// soon as it is there.
pub(crate) const LONGEST_WAIT: Duration = Duration::from_secs(60);
