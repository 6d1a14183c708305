//! The real binary, killed.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use tollgate_proto::v1;
use tollgate_proto::v1::usage_service_client::UsageServiceClient;
use tonic::transport::Channel;

use crate::harness::build::{event, key, record, session};
use crate::harness::wait::until;

/// `tollgate serve` on the embedded default, in a folder of its own.
struct Binary {
    child: Child,
    url: String,
}

impl Binary {
    async fn start(data_dir: &Path) -> Self {
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let listen = format!("127.0.0.1:{port}");
        let child = Command::new(env!("CARGO_BIN_EXE_tollgate"))
            .arg("serve")
            .env_remove("DATABASE_URL")
            .env("TOLLGATE_SERVER__LISTEN", &listen)
            .env("TOLLGATE_EMBEDDED__DATA_DIR", data_dir)
            .stdin(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        Self { child, url: format!("http://{listen}") }
    }

    async fn usage(&self) -> UsageServiceClient<Channel> {
        until("the server answers", || async { UsageServiceClient::connect(self.url.clone()).await.ok() }).await
    }

    fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    async fn stop(mut self) {
        let pid = nix::unistd::Pid::from_raw(i32::try_from(self.child.id()).unwrap());
        nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM).unwrap();
        let status = until("the server ends", || {
            let ended = self.child.try_wait().unwrap();
            async move { ended }
        })
        .await;
        assert!(status.success());
    }
}

fn folder() -> PathBuf {
    std::env::temp_dir().join(format!("tollgate-crash-{}-{}", std::process::id(), uuid::Uuid::now_v7().simple()))
}

#[tokio::test]
async fn invariant_1_a_kill_between_ack_and_next_call_loses_nothing() {
    let data_dir = folder();
    let mut acked = 0;
    for round in 0..3 {
        let server = Binary::start(&data_dir).await;
        let mut usage = server.usage().await;
        for _ in 0..20 {
            let answer = usage.record_usage(record(event(session("s"), 1_000, 1_000))).await.unwrap().into_inner();
            acked += 1;
            assert_eq!(answer.session_totals.unwrap().calls, acked, "round {round}");
        }
        // No drain, no goodbye: the private Postgres stays behind and is adopted by the next server.
        server.kill();
    }
    let server = Binary::start(&data_dir).await;
    let mut usage = server.usage().await;
    let summary = v1::GetSummaryRequest {
        start_time: Some(prost_types::Timestamp { seconds: 1_700_000_000, nanos: 0 }),
        end_time: Some(prost_types::Timestamp { seconds: 4_000_000_000, nanos: 0 }),
        group_by: vec![key("model")],
        ..Default::default()
    };
    let summary = usage.get_summary(summary).await.unwrap().into_inner();
    let total = summary.total.unwrap().totals.unwrap();
    assert_eq!((total.calls, total.usd.as_str()), (60, "0.75"));
    server.stop().await;
    let verified = Command::new(env!("CARGO_BIN_EXE_tollgate"))
        .args(["verify", "--json"])
        .env_remove("DATABASE_URL")
        .env("TOLLGATE_EMBEDDED__DATA_DIR", &data_dir)
        .output()
        .unwrap();
    assert!(verified.status.success(), "{}", String::from_utf8_lossy(&verified.stdout));
    std::fs::remove_dir_all(&data_dir).unwrap();
}

#[tokio::test]
async fn calls_under_way_when_the_server_is_killed_count_once_when_retried() {
    let data_dir = folder();
    let first = Binary::start(&data_dir).await;
    let usage = first.usage().await;
    let events: Vec<v1::UsageEvent> = (0..200).map(|_| event(session("s"), 1_000, 1_000)).collect();
    let sends: Vec<_> = events
        .iter()
        .cloned()
        .map(|event| {
            let mut usage = usage.clone();
            tokio::spawn(async move { usage.record_usage(record(event)).await.is_ok() })
        })
        .collect();
    // Somewhere in the middle.
    until("some are acknowledged", || async { sends.iter().any(tokio::task::JoinHandle::is_finished).then_some(()) })
        .await;
    first.kill();
    for send in sends {
        send.await.unwrap();
    }
    let second = Binary::start(&data_dir).await;
    let mut usage = second.usage().await;
    for event in events {
        usage.record_usage(record(event)).await.unwrap();
    }
    let last = usage.record_usage(record(event(session("s"), 0, 0))).await.unwrap().into_inner();
    assert_eq!(last.session_totals.unwrap().usd, "2.5");
    second.stop().await;
    std::fs::remove_dir_all(&data_dir).unwrap();
}
