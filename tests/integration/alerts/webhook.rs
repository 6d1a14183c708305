//! Posts to a receiver.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri, header};
use axum::response::{IntoResponse as _, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::hmac;
use tokio::net::TcpListener;

use super::*;

const SECRETS: [&str; 2] =
    ["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="];

/// One post.
#[derive(Debug, Clone)]
struct Post {
    path: String,
    headers: HeaderMap,
    body: Bytes,
}

impl Post {
    fn header(&self, name: &str) -> &str {
        self.headers.get(name).unwrap().to_str().unwrap()
    }

    fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    /// Whether one of its signatures is by this secret, over what it carries.
    fn is_signed_by(&self, secret: &str) -> bool {
        let key = STANDARD.decode(secret.strip_prefix("whsec_").unwrap()).unwrap();
        let key = hmac::Key::new(hmac::HMAC_SHA256, &key);
        let mut signed = format!("{}.{}.", self.header("webhook-id"), self.header("webhook-timestamp")).into_bytes();
        signed.extend(&self.body);
        self.header("webhook-signature").split(' ').any(|signature| {
            let tag = STANDARD.decode(signature.strip_prefix("v1,").unwrap()).unwrap();
            hmac::verify(&key, &signed, &tag).is_ok()
        })
    }
}

/// How a receiver answers the post of this number.
type Answer = fn(usize) -> Response;

/// A receiver on loopback that keeps what it is posted.
#[derive(Clone)]
struct Receiver {
    posts: Arc<Mutex<Vec<Post>>>,
    answer: Answer,
}

impl Receiver {
    async fn start(answer: Answer) -> (Self, SocketAddr) {
        let receiver = Self { posts: Arc::default(), answer };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let routes = Router::new().fallback(Self::take).with_state(receiver.clone());
        tokio::spawn(async move { axum::serve(listener, routes).await });
        (receiver, address)
    }

    async fn take(State(receiver): State<Self>, uri: Uri, headers: HeaderMap, body: Bytes) -> Response {
        let number = {
            let mut posts = receiver.posts.lock().unwrap();
            posts.push(Post { path: uri.to_string(), headers, body });
            posts.len()
        };
        (receiver.answer)(number)
    }

    fn posts(&self) -> Vec<Post> {
        self.posts.lock().unwrap().clone()
    }

    async fn wait_for(&self, count: usize) -> Vec<Post> {
        until("the posts", || async { Some(self.posts()).filter(|posts| posts.len() >= count) }).await
    }
}

fn accepted(_: usize) -> Response {
    StatusCode::NO_CONTENT.into_response()
}

fn posting_to(url: String) -> Config {
    let mut config = Config::default();
    config.alerts.webhook_url = Some(url.into());
    config.alerts.webhook_secrets = SECRETS.map(|secret| secret.to_owned().into()).to_vec();
    config.alerts.allow_private_addresses = true;
    config.metrics.listen = Some("127.0.0.1:0".parse().unwrap());
    config
}

/// State of the deliveries: how many wait, how many were delivered, and the errors.
async fn deliveries(server: &TestServer) -> (i64, i64, BTreeSet<String>) {
    let statement = "SELECT count(next_attempt_time), count(deliver_time), array_agg(last_error) FROM alert_delivery";
    let (waiting, delivered, errors): (i64, i64, Option<Vec<String>>) =
        sqlx::query_as(statement).fetch_one(&server.pool()).await.unwrap();
    (waiting, delivered, errors.unwrap_or_default().into_iter().filter(|error| !error.is_empty()).collect())
}

#[tokio::test]
async fn every_alert_is_posted_once_and_signed_by_each_secret() {
    let (receiver, address) = Receiver::start(accepted).await;
    let config = posting_to(format!("http://{address}/hook?team=7"));
    let server = TestServer::configured(&config).await;
    let replica = TestServer::over(server.options.clone(), &config).await;
    let rules = (1..=9).map(|tenth| on_spent(&format!("0.{tenth}"))).collect();
    keep(&server, with_rules("b", "0.025", rules)).await;
    spend(&server, "s").await;
    spend(&replica, "s").await;
    receiver.wait_for(9).await;
    until("all are delivered", || async { (deliveries(&server).await.1 == 9).then_some(()) }).await;
    let posts = receiver.posts();
    let by_id: BTreeMap<&str, &Post> = posts.iter().map(|post| (post.header("webhook-id"), post)).collect();
    assert_eq!((posts.len(), by_id.len()), (9, 9), "each once, whichever replica posts");
    for alert in all(&server).await {
        let post = by_id[alert.alert_id.as_str()];
        assert_eq!((post.path.as_str(), post.header("content-type")), ("/hook?team=7", "application/json"));
        let sent: i64 = post.header("webhook-timestamp").parse().unwrap();
        assert!((jiff::Timestamp::now().as_second() - sent).abs() < 300);
        for secret in SECRETS {
            assert!(post.is_signed_by(secret));
        }
        assert!(!post.is_signed_by("whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="));
        let json = post.json();
        assert_eq!(json["type"], "tollgate.alert.raised");
        assert_eq!(json["data"]["alertId"], alert.alert_id);
        assert_eq!(json["data"]["kind"], "KIND_RULE_FIRED");
        assert_eq!(json["data"]["rule"]["atFraction"], alert.rule.unwrap().at_fraction);
        assert_eq!(json["data"]["budget"]["budgetId"], "b");
        assert_eq!(json["data"]["budget"]["spent"], alert.budget.unwrap().spent);
    }
}

#[tokio::test]
async fn a_failing_receiver_is_tried_again_with_the_same_id_and_body() {
    let (receiver, address) = Receiver::start(|number| {
        let status = if number <= 2 { StatusCode::INTERNAL_SERVER_ERROR } else { StatusCode::OK };
        (status, "canary".repeat(100_000)).into_response()
    })
    .await;
    let server = TestServer::configured(&posting_to(format!("http://{address}/"))).await;
    keep(&server, with_rules("b", "0.02", vec![on_spent("0.5")])).await;
    spend(&server, "s").await;
    let posts = receiver.wait_for(3).await;
    let different = |read: fn(&Post) -> String| posts.iter().map(read).collect::<BTreeSet<_>>().len();
    assert_eq!(different(|post| post.header("webhook-id").to_owned()), 1);
    assert_eq!(different(|post| String::from_utf8(post.body.to_vec()).unwrap()), 1);
    assert!(posts.iter().all(|post| post.is_signed_by(SECRETS[0])));
    until("it is delivered", || async { (deliveries(&server).await.1 == 1).then_some(()) }).await;
    let metrics = crate::metrics::get(&server, "/metrics").await;
    for line in [
        "tollgate_alerts_total{kind=\"rule_fired\"} 1\n",
        "tollgate_alerts_total{kind=\"overrun\"} 0\n",
        "tollgate_webhook_deliveries_total{outcome=\"retried\"} 2\n",
        "tollgate_webhook_deliveries_total{outcome=\"delivered\"} 1\n",
    ] {
        assert!(metrics.contains(line), "{line}{metrics}");
    }
    // As if what became of it had been lost on the way: the receiver knows the message by its id.
    server.execute("UPDATE alert_delivery SET deliver_time = NULL, next_attempt_time = now()").await;
    let posts = receiver.wait_for(4).await;
    assert_eq!(posts[3].header("webhook-id"), posts[0].header("webhook-id"));
}

#[tokio::test]
async fn a_receiver_that_is_away_for_a_day_is_given_up() {
    let (receiver, address) = Receiver::start(|_| StatusCode::SERVICE_UNAVAILABLE.into_response()).await;
    let server = TestServer::configured(&posting_to(format!("http://{address}/"))).await;
    keep(&server, with_rules("b", "0.02", vec![on_spent("0.5")])).await;
    spend(&server, "s").await;
    receiver.wait_for(1).await;
    server.execute("UPDATE alert SET create_time = now() - interval '24 h'; UPDATE alert_delivery SET next_attempt_time = now()",
    )
    .await;
    until("it is given up", || async {
        let (waiting, delivered, errors) = deliveries(&server).await;
        let refused = errors.iter().any(|error| error.contains("503"));
        ((waiting, delivered, refused) == (0, 0, true)).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let (beyond, to) = Receiver::start(accepted).await;
    static LOCATION: std::sync::OnceLock<String> = std::sync::OnceLock::new();
    LOCATION.set(format!("http://{to}/")).unwrap();
    let (receiver, address) = Receiver::start(|_| {
        (StatusCode::TEMPORARY_REDIRECT, [(header::LOCATION, LOCATION.get().unwrap().clone())]).into_response()
    })
    .await;
    let server = TestServer::configured(&posting_to(format!("http://{address}/"))).await;
    keep(&server, with_rules("b", "0.02", vec![on_spent("0.5")])).await;
    spend(&server, "s").await;
    receiver.wait_for(2).await;
    let (waiting, delivered, errors) = deliveries(&server).await;
    assert_eq!((waiting, delivered), (1, 0));
    assert!(errors.iter().any(|error| error.contains("redirect")), "{errors:?}");
    assert!(beyond.posts().is_empty());
}

#[tokio::test]
async fn a_private_address_is_refused_unless_it_is_allowed() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    for host in ["127.0.0.1", "localhost", "[::ffff:127.0.0.1]"] {
        let mut config = posting_to(format!("https://{host}:{port}/"));
        config.alerts.allow_private_addresses = false;
        let server = TestServer::configured(&config).await;
        keep(&server, with_rules("b", "0.02", vec![on_spent("0.5")])).await;
        spend(&server, "s").await;
        let errors = until("it is refused", || async {
            Some(deliveries(&server).await).filter(|(_, _, errors)| !errors.is_empty())
        })
        .await;
        assert_eq!((errors.0, errors.1), (1, 0));
        assert!(errors.2.iter().all(|error| error.contains("private address")), "{host}: {errors:?}");
    }
    let nobody = tokio::time::timeout(Duration::from_millis(100), listener.accept()).await;
    assert!(nobody.is_err(), "nothing ever connected");
}

#[tokio::test]
async fn nothing_waits_for_a_webhook_that_is_not_there() {
    let server = TestServer::start().await;
    keep(&server, with_rules("b", "0.02", vec![on_spent("0.5")])).await;
    spend(&server, "s").await;
    assert_eq!(all(&server).await.len(), 1);
    assert_eq!(deliveries(&server).await, (0, 0, BTreeSet::new()));
}
