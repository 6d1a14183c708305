//! Creates a cluster: the folder of files that one Postgres server serves.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;
use std::process::Stdio;

use super::account::Account;
use super::binaries::Binaries;
use super::configuration;
use super::connection::ROLE;
use super::error::EmbeddedError;
use super::layout::Layout;

/// Creates the cluster if there is none.
///
/// It is made under another name and moved to its own when it is complete and on disk: a process killed at any point
/// leaves no cluster or a whole one.
pub(super) async fn ensure(layout: &Layout, binaries: &Binaries) -> Result<(), EmbeddedError> {
    let cluster = layout.cluster();
    if cluster.join("PG_VERSION").is_file() {
        return Ok(());
    }
    let unfinished = layout.unfinished_cluster();
    let preparing = (layout.clone(), unfinished.clone());
    tokio::task::spawn_blocking(move || make_folder(&preparing.0, &preparing.1)).await??;
    run_initdb(layout, binaries, &unfinished).await?;
    let finishing = layout.clone();
    tokio::task::spawn_blocking(move || finish(&finishing, &unfinished)).await?
}

fn make_folder(layout: &Layout, unfinished: &Path) -> Result<(), EmbeddedError> {
    for abandoned in layout.abandoned_clusters() {
        // An orphaned initdb may still be writing there: what cannot be removed now is removed the next time.
        if let Err(error) = std::fs::remove_dir_all(&abandoned) {
            tracing::warn!(folder = %abandoned.display(), %error, "an unfinished cluster could not be removed");
        }
    }
    DirBuilder::new().mode(0o700).create(unfinished).map_err(EmbeddedError::io("create", unfinished))?;
    layout.give_to_server(unfinished)
}

async fn run_initdb(layout: &Layout, binaries: &Binaries, unfinished: &Path) -> Result<(), EmbeddedError> {
    let initdb = binaries.initdb();
    let mut command = command(&initdb, layout);
    command
        .arg("--pgdata")
        .arg(unfinished)
        .args(["--username", ROLE, "--encoding", "UTF8", "--no-locale", "--data-checksums"])
        .args(["--auth-local", "peer", "--auth-host", "reject"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    let output = command.output().await.map_err(EmbeddedError::io("run", &initdb))?;
    if output.status.success() {
        return Ok(());
    }
    let text = [output.stdout, output.stderr].concat();
    Err(EmbeddedError::CreateCluster { output: String::from_utf8_lossy(&text).trim().to_owned() })
}

fn finish(layout: &Layout, unfinished: &Path) -> Result<(), EmbeddedError> {
    let settings = unfinished.join("postgresql.conf");
    let mut file = OpenOptions::new().append(true).open(&settings).map_err(EmbeddedError::io("open", &settings))?;
    file.write_all(configuration::INCLUDE.as_bytes())
        .and_then(|()| file.sync_all())
        .map_err(EmbeddedError::io("write", &settings))?;
    std::fs::rename(unfinished, layout.cluster()).map_err(EmbeddedError::io("name", unfinished))?;
    File::open(layout.root()).and_then(|folder| folder.sync_all()).map_err(EmbeddedError::io("sync", layout.root()))
}

/// A program of Postgres, run as the right user, from a folder that user can enter, with none of our environment (a
/// bad LANG alone makes initdb fail) and out of reach of the terminal's Ctrl-C.
pub(super) fn command(program: &Path, layout: &Layout) -> tokio::process::Command {
    let mut command = tokio::process::Command::new(program);
    command
        .env_clear()
        .env("LC_ALL", "C")
        .env("PATH", "/usr/bin:/bin")
        .current_dir("/")
        .stdin(Stdio::null())
        .process_group(0);
    let Account { uid, gid, .. } = layout.server;
    if uid != layout.application.uid {
        command.uid(uid).gid(gid);
    }
    command
}
