//! Requests that are being received: no tenant has all the room for them.

use bytes::Bytes;
use futures::stream::{self, StreamExt as _};
use http_body::Frame;
use http_body_util::StreamBody;
use tollgate_proto::v1;
use tollgate_server::auth::Permission;
use tollgate_server::tenant::TenantId;
use tonic::Code;
use tonic::body::Body;
use tonic::transport::Channel;
use tower::ServiceExt as _;

use crate::harness::TestServer;
use crate::harness::build::{event, record, session};
use crate::harness::keys::{holding, keyed};
use crate::harness::refusal::reason;
use crate::harness::wait::until;

const OTHER: TenantId = TenantId(2);
/// All the room there is.
const ROOM: usize = 200_000;

/// A call whose message lacks its last byte.
async fn begin(server: &TestServer, secret: &str, bytes: u32) {
    let mut message = vec![0];
    message.extend((bytes + 1).to_be_bytes());
    message.resize(message.len() + usize::try_from(bytes).unwrap(), 0);
    let sent = stream::iter([Ok::<_, tonic::Status>(Frame::data(Bytes::from(message)))]).chain(stream::pending());
    let request = http::Request::post("/tollgate.v1.UsageService/RecordUsage")
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .header("authorization", format!("Bearer {secret}"))
        .body(Body::new(StreamBody::new(sent)))
        .unwrap();
    let channel = Channel::from_shared(server.url.clone()).unwrap().connect().await.unwrap();
    tokio::spawn(async move { channel.oneshot(request).await });
}

/// Usage that takes some room.
fn large() -> v1::RecordUsageRequest {
    let metadata_json = format!("{{\"note\": \"{}\"}}", "x".repeat(3_500));
    record(v1::UsageEvent { metadata_json, ..event(session("s"), 1, 1) })
}

#[tokio::test]
async fn a_tenant_that_fills_its_room_leaves_some_to_the_others() {
    let mut config = keyed();
    config.server.connections.received_bytes = ROOM;
    let server = TestServer::configured(&config).await;
    server.execute("INSERT INTO tenant (tenant_id, name) VALUES (2, 'other')").await;
    let greedy = server.key(&[Permission::Record]).await.secret;
    let other = server.issue(OTHER, holding(&[Permission::Record])).await.secret;
    for _ in 0..3 {
        begin(&server, &greedy, 49_000).await;
    }
    let refused =
        until("the tenant has its share", || async { server.showing(&greedy).usage.record_usage(large()).await.err() })
            .await;
    assert_eq!((refused.code(), reason(&refused).as_str()), (Code::ResourceExhausted, "QUEUE_FULL"), "{refused}");
    server.showing(&other).usage.record_usage(large()).await.unwrap();
}
