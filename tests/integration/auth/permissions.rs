//! Every method with every kind of credential.

use prost_reflect::DescriptorPool;
use tollgate_proto::v1;
use tollgate_server::auth::Permission;
use tonic::client::Grpc;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::transport::Channel;
use tonic::{Code, Request};
use tonic_prost::ProstCodec;

use super::{assert_denied, record_once};
use crate::harness::TestServer;
use crate::harness::keys::keyed;
use crate::harness::refusal::{metadata, reason};

/// A credential of the test.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Holder {
    Nobody,
    Key(Permission),
    ViewToken,
}

/// What the documentation of the permissions says of a method: told again, not read from the server's table.
fn needs(service: &str, method: &str) -> Permission {
    let begins = |words: &[&str]| words.iter().any(|word| method.starts_with(word));
    match service {
        "tollgate.v1.AdminService" => Permission::Admin,
        "tollgate.v1.PriceService" if begins(&["Set", "End", "Reprice"]) => Permission::Prices,
        "tollgate.v1.UsageService" if begins(&["Record", "BatchRecord", "Amend"]) => Permission::Record,
        "tollgate.v1.BudgetService" if begins(&["Check", "Extend", "Release"]) => Permission::Check,
        "tollgate.v1.BudgetService" if begins(&["Create", "Update", "Delete", "Set"]) => Permission::Budgets,
        "tollgate.v1.AlertService" if begins(&["Acknowledge"]) => Permission::Budgets,
        _ => Permission::Read,
    }
}

/// The code that is expected; `None` = whatever the method itself answers.
fn expected(service: &str, method: &str, holder: Holder) -> Option<Code> {
    if service == "grpc.health.v1.Health" {
        return None;
    }
    let reflection = service.starts_with("grpc.reflection.");
    let watches = ["StreamUsage", "GetTotals"].contains(&method);
    let needed = needs(service, method);
    let allowed = match holder {
        Holder::Nobody => return Some(Code::Unauthenticated),
        Holder::ViewToken => watches,
        Holder::Key(held) => reflection || held == needed || held == Permission::Admin,
    };
    (!allowed).then_some(Code::PermissionDenied)
}

#[tokio::test]
async fn each_method_answers_each_credential_as_its_permission_says() {
    let mut config = keyed();
    config.server.reflection = true;
    let server = TestServer::configured(&config).await;
    let mut holders = vec![(Holder::Nobody, None)];
    for permission in Permission::ALL {
        holders.push((Holder::Key(permission), Some(server.key(&[permission]).await.secret)));
    }
    let admin = holders.last().unwrap().1.clone().unwrap();
    let scope = v1::WatchScope {
        key: "s".to_owned(),
        scope: Some(v1::watch_scope::Scope::SessionId("s".to_owned())),
        ..Default::default()
    };
    let wanted = v1::CreateViewTokenRequest { scopes: vec![scope], ttl: None };
    let token = server.showing(&admin).admin.create_view_token(wanted).await.unwrap().into_inner().token;
    holders.push((Holder::ViewToken, Some(token)));

    let channel = Channel::from_shared(server.url.clone()).unwrap().connect().await.unwrap();
    let mut asked = 0;
    for (service, method) in methods() {
        for (holder, secret) in &holders {
            let mut request = Request::new(());
            if let Some(secret) = secret {
                request.metadata_mut().insert("authorization", format!("Bearer {secret}").parse().unwrap());
            }
            let mut grpc = Grpc::new(channel.clone());
            grpc.ready().await.unwrap();
            let path = PathAndQuery::try_from(format!("/{service}/{method}")).unwrap();
            // An empty message: what may be asked is answered or found to lack something.
            let answer = grpc.server_streaming(request, path, ProstCodec::<(), ()>::default()).await;
            let code = answer.as_ref().err().map(tonic::Status::code);
            let refused = code.filter(|code| [Code::PermissionDenied, Code::Unauthenticated].contains(code));
            assert_eq!(refused, expected(&service, &method, *holder), "{service}/{method} {holder:?}: {code:?}");
            if let (Some(Code::PermissionDenied), Holder::Key(_), Err(status)) = (refused, holder, &answer) {
                let named = metadata(status, "permission");
                assert_eq!(named.as_deref(), Some(needs(&service, &method).name()), "{service}/{method}");
                assert!(status.message().contains(needs(&service, &method).name()), "{status:?}");
            }
            asked += 1;
        }
    }
    assert!(asked > 300, "{asked}");
}

/// Every method that is served, by the descriptors.
fn methods() -> Vec<(String, String)> {
    let mut pool = DescriptorPool::new();
    for set in [
        tollgate_proto::FILE_DESCRIPTOR_SET,
        tonic_health::pb::FILE_DESCRIPTOR_SET,
        tonic_reflection::pb::v1::FILE_DESCRIPTOR_SET,
    ] {
        pool.decode_file_descriptor_set(set).unwrap();
    }
    let mut methods = Vec::new();
    for service in pool.services() {
        let named =
            |method: prost_reflect::MethodDescriptor| (service.full_name().to_owned(), method.name().to_owned());
        methods.extend(service.methods().map(named));
    }
    methods
}

#[tokio::test]
async fn a_method_that_nobody_listed_is_refused_to_everybody() {
    let server = TestServer::configured(&keyed()).await;
    let admin = server.key(&[Permission::Admin]).await;
    let channel = Channel::from_shared(server.url.clone()).unwrap().connect().await.unwrap();
    for path in ["/tollgate.v1.UsageService/Another", "/tollgate.v2.UsageService/RecordUsage", "/", "/metrics"] {
        let mut request = Request::new(());
        request.metadata_mut().insert("authorization", format!("Bearer {}", admin.secret).parse().unwrap());
        let mut grpc = Grpc::new(channel.clone());
        grpc.ready().await.unwrap();
        let path = PathAndQuery::try_from(path).unwrap();
        let refused = grpc.unary(request, path, ProstCodec::<(), ()>::default()).await.unwrap_err();
        assert_eq!((refused.code(), reason(&refused).as_str()), (Code::Unimplemented, "NOT_IMPLEMENTED"));
    }
}

#[tokio::test]
async fn permissions_add_up_and_nothing_else_comes_with_them() {
    let server = TestServer::configured(&keyed()).await;
    let both = server.key(&[Permission::Record, Permission::Read]).await;
    let clients = server.showing(&both.secret);
    record_once(&clients).await.unwrap();
    clients.usage.clone().list_usage(v1::ListUsageRequest::default()).await.unwrap();
    let refused = clients.budgets.clone().delete_budget(v1::DeleteBudgetRequest::default()).await.unwrap_err();
    assert_denied(&refused);
    assert_eq!(metadata(&refused, "permission").as_deref(), Some("BUDGETS"));
}
