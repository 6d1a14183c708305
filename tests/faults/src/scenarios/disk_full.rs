//! The file system of Postgres is full, so that its log cannot be written; then there is room again.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rand::Rng as _;
use sqlx::{ConnectOptions as _, Connection as _};

use super::trial::{Trial, until_recording};
use crate::load::Load;
use crate::report::Report;
use crate::stage::Stage;
use tollgate_stage::wait::until;
use tollgate_stage::{Cluster, Ground};

const SIZE: &str = "320m";
const REPLICAS: usize = 2;
static BLOCK: [u8; 64 << 10] = [0; 64 << 10];

/// Fills it so often.
pub(super) async fn run(stage: &Stage) -> anyhow::Result<Report> {
    let rounds = stage.rounds(1, 10);
    let folder = match Mounted::new(stage.folder().join("small")) {
        Ok(folder) => folder,
        Err(why) => return Ok(Report::skipped(format!("no small file system can be mounted here: {why}"))),
    };
    let mut report = Report::default();
    let bar = stage.progress("disk-full", rounds);
    let cluster = Cluster::start(&folder.0).await?;
    let ground = cluster.ground().await?;
    let url = ground.url();
    let mut trial = Trial::over(stage, 0, ground, &url, REPLICAS, true).await?;
    let load = Load::start(&trial.service, &trial.history, &mut trial.rng).await?;
    for _ in 0..rounds {
        tokio::time::sleep(Duration::from_millis(trial.rng.random_range(200..800))).await;
        let ballast = fill(&folder.0)?;
        until_refused(&trial.ground).await?;
        std::fs::remove_file(ballast)?;
        until_back(&cluster, &trial.ground).await?;
        let start = Instant::now();
        for replica in &trial.replicas {
            until_recording(replica, &trial.history).await?;
        }
        report.returned(start.elapsed(), super::RETURN_LIMIT);
        report.faults += 1;
        bar.inc(1);
    }
    load.stop().await;
    trial.end(&mut report).await?;
    cluster.stop().await?;
    Ok(report)
}

/// Writes until there is no room.
fn fill(folder: &Path) -> anyhow::Result<PathBuf> {
    let path = folder.join("ballast");
    let mut file = OpenOptions::new().create(true).append(true).open(&path)?;
    while file.write_all(&BLOCK).is_ok() {}
    Ok(path)
}

/// Writes to the log, and to nothing else, until that cannot be written: Postgres gives up at once and starts anew.
async fn until_refused(ground: &Ground) -> anyhow::Result<()> {
    until("the log of the database is full", || async {
        let Ok(mut connection) = ground.options.connect().await else { return Some(()) };
        let write = "SELECT pg_logical_emit_message(true, 'ballast', repeat(md5(random()::text), 32768))";
        while sqlx::query(write).execute(&mut connection).await.is_ok() {}
        // An error is no end: the connection itself has to be gone.
        sqlx::query("SELECT 1").execute(&mut connection).await.is_err().then_some(())
    })
    .await
}

/// Waits until it answers again; one that gave up is started.
async fn until_back(cluster: &Cluster, ground: &Ground) -> anyhow::Result<()> {
    until("the database is back", || async {
        if !cluster.is_alive() {
            cluster.restart().await.ok()?;
        }
        ground.options.connect().await.ok()?.close().await.ok()
    })
    .await
}

/// A small file system; it is unmounted when dropped.
struct Mounted(PathBuf);

impl Mounted {
    fn new(folder: PathBuf) -> anyhow::Result<Self> {
        std::fs::create_dir_all(&folder)?;
        let options = format!("size={SIZE},mode=755");
        let output = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &options, "tmpfs"])
            .arg(&folder)
            .stdin(Stdio::null())
            .output()?;
        anyhow::ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr).trim());
        std::fs::set_permissions(&folder, std::fs::Permissions::from_mode(0o755))?;
        Ok(Self(folder))
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        // What is still used goes away with its last user.
        let _unmounted = Command::new("umount").arg("--lazy").arg(&self.0).status();
    }
}
