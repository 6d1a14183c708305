//! The HTTP endpoint that a Prometheus server reads.

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::Metrics;

const TEXT_FORMAT: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Answers `GET /metrics` and `GET /ready` on `listener` until `stop`; from `draining` on nothing is ready.
pub async fn serve(listener: TcpListener, metrics: Metrics, draining: CancellationToken, stop: CancellationToken) {
    let readiness = Router::new().route("/ready", get(ready)).with_state((metrics.clone(), draining));
    let routes = Router::new().route("/metrics", get(read)).with_state(metrics).merge(readiness);
    if let Err(error) = axum::serve(listener, routes).with_graceful_shutdown(stop.cancelled_owned()).await {
        tracing::error!(%error, "the metrics endpoint ended unexpectedly");
    }
}

/// Whether everything is served, and why not. While the database is away a replica goes on answering checks: whoever takes it out
/// of service for that takes these answers away, too.
async fn ready(State((metrics, draining)): State<(Metrics, CancellationToken)>) -> (StatusCode, &'static str) {
    if draining.is_cancelled() {
        return (StatusCode::SERVICE_UNAVAILABLE, "draining\n");
    }
    if metrics.outage.is_database_away() {
        let why = "the database is away: checks are answered by the budgets' `unavailable` choices, and nothing is recorded\n";
        return (StatusCode::SERVICE_UNAVAILABLE, why);
    }
    (StatusCode::OK, "ready\n")
}

async fn read(State(metrics): State<Metrics>) -> Response {
    match metrics.text() {
        Ok(text) => ([(header::CONTENT_TYPE, TEXT_FORMAT)], text).into_response(),
        Err(error) => {
            tracing::error!(%error, "the metrics cannot be written down");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}
