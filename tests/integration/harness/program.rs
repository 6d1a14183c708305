//! The real `tollgate serve` over a database of its own, with its log.

use std::fs::File;
use std::process::{Child, Command, Stdio};

use sqlx::ConnectOptions as _;
use sqlx::postgres::PgConnectOptions;
use tempfile::TempDir;
use tonic::transport::Channel;

use super::wait::{bounded, until};

/// A server as a process.
pub(crate) struct Program {
    child: Child,
    folder: TempDir,
    pub(crate) url: String,
}

impl Program {
    /// Starts it with these variables on top, and waits until it serves.
    pub(crate) async fn start(options: &PgConnectOptions, variables: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let log = File::create(folder.path().join("log")).unwrap();
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let listen = format!("127.0.0.1:{port}");
        let child = Command::new(env!("CARGO_BIN_EXE_tollgate"))
            .arg("serve")
            .env_clear()
            .env("DATABASE_URL", options.to_url_lossy().as_str())
            .env("TOLLGATE_SERVER__LISTEN", &listen)
            .envs(variables.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        let program = Self { child, folder, url: format!("http://{listen}") };
        program.channel().await;
        program
    }

    /// A connection to it.
    pub(crate) async fn channel(&self) -> Channel {
        let endpoint = Channel::from_shared(self.url.clone()).unwrap();
        until("the server answers", || async { endpoint.connect().await.ok() }).await
    }

    /// Its log so far.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap()
    }

    /// Asks it to stop, waits until it has, and returns its log.
    pub(crate) async fn stop(mut self) -> String {
        let pid = nix::unistd::Pid::from_raw(i32::try_from(self.child.id()).unwrap());
        nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM).unwrap();
        let ended = until("the server ends", || {
            let ended = self.child.try_wait().unwrap();
            async move { ended }
        });
        let status = bounded("the end of the server", ended).await;
        let log = self.log();
        assert!(status.success(), "{log}");
        log
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _gone_already = self.child.kill().and_then(|()| self.child.wait());
    }
}
