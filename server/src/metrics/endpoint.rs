//! The HTTP endpoint that a Prometheus server reads.

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::{Metrics, Watch};

const TEXT_FORMAT: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Answers `GET /metrics`, `GET /ready` and `GET /live` on `listener` until `stop`; before the server has started and from `draining` on
/// nothing is ready.
pub async fn serve(
    listener: TcpListener,
    metrics: Metrics,
    watch: Watch,
    draining: CancellationToken,
    stop: CancellationToken,
) {
    let readiness = Router::new().route("/ready", get(ready)).with_state((metrics.clone(), watch.clone(), draining));
    // Answers as long as the process can answer anything: what is not ready is not helped by being started again.
    let alive = Router::new().route("/live", get(async || "alive\n"));
    let routes = Router::new().route("/metrics", get(read)).with_state((metrics, watch)).merge(readiness).merge(alive);
    if let Err(error) = axum::serve(listener, routes).with_graceful_shutdown(stop.cancelled_owned()).await {
        tracing::error!(%error, "the metrics endpoint ended unexpectedly");
    }
}

/// Whether everything is served, and why not. While the database is away a replica goes on answering checks: whoever takes it out
/// of service for that takes these answers away, too.
async fn ready(
    State((metrics, watch, draining)): State<(Metrics, Watch, CancellationToken)>,
) -> (StatusCode, &'static str) {
    if draining.is_cancelled() {
        return (StatusCode::SERVICE_UNAVAILABLE, "draining\n");
    }
    let Some(server) = watch.server() else {
        let why = "starting: the database is opened, and its schema brought up to date\n";
        return (StatusCode::SERVICE_UNAVAILABLE, why);
    };
    if metrics.outage.is_database_away() {
        let why = "the database is away: checks are answered by the budgets' `unavailable` choices, and nothing is recorded\n";
        return (StatusCode::SERVICE_UNAVAILABLE, why);
    }
    if server.state().is_queue_full() {
        let why = "the ledger's queue is full: new calls are refused until the database has caught up\n";
        return (StatusCode::SERVICE_UNAVAILABLE, why);
    }
    if metrics.is_catalog_refused() {
        return (StatusCode::OK, "ready, with the price catalog before the one that was refused: see the log\n");
    }
    (StatusCode::OK, "ready\n")
}

async fn read(State((metrics, watch)): State<(Metrics, Watch)>) -> Response {
    metrics.show_state(watch.server());
    match metrics.text() {
        Ok(text) => ([(header::CONTENT_TYPE, TEXT_FORMAT)], text).into_response(),
        Err(error) => {
            tracing::error!(%error, "the metrics cannot be written down");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}
