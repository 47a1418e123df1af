//! `/livez`, `/readyz`, the metrics' recorder, and the guard around every request.
//!
//! Called by the router. `/livez` fails when the conductor's loop stands still; an idle one is well.

use std::{panic::AssertUnwindSafe, sync::Arc, time::Duration};

use axum::{
    body::Body,
    extract::State,
    http::{Method, Request, StatusCode},
    middleware::Next,
    response::{IntoResponse, Response},
};
use futures_util::FutureExt;
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};

use super::{Api, status::Failure};

/// One batch under way, or one event waiting, for this long: the design's bound.
const STUCK: Duration = Duration::from_secs(30);

/// Whether the loop moves.
pub(crate) async fn livez(State(api): State<Arc<Api>>) -> (StatusCode, String) {
    let health = api.backend.health();
    let stuck = |d: Option<Duration>| d.filter(|d| *d >= STUCK);
    if let Some(d) = stuck(health.batch) {
        let text = format!("one batch has been under way for {} s\n", d.as_secs());
        return (StatusCode::INTERNAL_SERVER_ERROR, text);
    }
    if let Some(d) = stuck(health.waiting) {
        let text = format!("an event has been waiting for {} s\n", d.as_secs());
        return (StatusCode::INTERNAL_SERVER_ERROR, text);
    }
    (StatusCode::OK, "ok\n".into())
}

/// Whether lists are whole and writes are taken.
pub(crate) async fn readyz(State(api): State<Arc<Api>>) -> (StatusCode, String) {
    if api.stop.is_cancelled() {
        return (StatusCode::SERVICE_UNAVAILABLE, "stopping\n".into());
    }
    if !api.backend.health().loaded {
        return (StatusCode::SERVICE_UNAVAILABLE, "loading\n".into());
    }
    livez(State(api)).await
}

/// Starts collecting metrics in this process; `None` if something already does.
pub fn install_metrics() -> Option<PrometheusHandle> {
    PrometheusBuilder::new().install_recorder().ok()
}

/// Counts a request, and turns a panic in its handling into its own 500.
pub(crate) async fn guard(request: Request<Body>, next: Next) -> Response {
    let method = verb(request.method());
    let path = request.uri().path().to_owned();
    let response = AssertUnwindSafe(next.run(request)).catch_unwind().await.unwrap_or_else(|_| {
        tracing::error!(method, path, "handling a request panicked");
        Failure::new(500, "InternalError", "the server failed on this request; its log has the reason").into_response()
    });
    let code = response.status().as_u16().to_string();
    metrics::counter!("evenkeel_api_requests_total", "method" => method, "code" => code).increment(1);
    response
}

/// A method as a label: a bounded set, whatever clients send.
fn verb(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        _ => "other",
    }
}
