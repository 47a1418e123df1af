//! The Kubernetes API: requests in, reads of the published state and answers of the conductor out.
//!
//! The host makes an [`Api`] with its [`Backend`] and hands it to [`serve`]. The layer decides
//! nothing: it parses, checks form, selects, formats. One file a mechanism: `rest` finds what a
//! request is about, `read` and `watch` answer from [`live`], `write` puts questions.

mod absent;
mod accept;
mod access;
mod access_log;
#[cfg(test)]
mod access_matrix_tests;
#[cfg(test)]
mod access_tests;
mod accounts;
mod apply;
mod auth;
pub mod backend;
#[cfg(test)]
mod bad_input_tests;
#[cfg(test)]
mod bad_route_tests;
mod body;
mod channels;
mod custom;
mod diff;
mod discovery;
mod events;
mod exec;
mod extras;
mod forward;
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) mod fuzzing;
mod gate;
mod given;
mod grants;
mod health;
mod issuer;
mod jsonpatch;
mod leases;
mod lines;
pub mod live;
mod logs;
mod netcheck;
#[cfg(test)]
mod node_tests;
mod nodes;
mod objects;
mod openapi;
mod options;
mod path;
mod pods;
mod protobuf;
mod proxy;
mod query;
mod read;
mod rebalance;
mod rest;
mod reviews;
mod scale;
mod select;
mod serve;
mod server;
mod signing;
mod sources;
mod spdy;
mod status;
mod tables;
#[cfg(test)]
mod tests;
mod tokens;
mod twice;
mod usage;
mod watch;
mod websocket;
mod write;

use std::sync::Arc;

use axum::{Router, middleware, routing};
use evenkeel_model::Time;
use metrics_exporter_prometheus::PrometheusHandle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tower_http::compression::{CompressionLayer, predicate::Predicate};

use self::status::Failure;
use crate::{dispatch::Agents, oidc::Oidc, pki::Pki};

pub use access_log::{AccessLog, Logged};
pub use auth::{ADMINS, Client, Identity, Peer, Shown};
pub use backend::{
    AskError, Backend, BackupError, Download, Health, Later, LogRequest, LogStream, ServerCondition, SnapshotError,
};
pub use health::install_metrics;
pub use live::{Live, Subscription, Taken, TooOld, WatchEvent};
pub use serve::{Entrance, serve};
pub(crate) use tables::human;

/// The state of the API.
pub struct Api {
    backend: Arc<dyn Backend>,
    now: fn() -> Time,
    stop: CancellationToken,
    kept: read::KeptViews,
    lines: lines::Lines,
    leases: leases::Renewals,
    openapi: openapi::v2::Cache,
    metrics: Option<PrometheusHandle>,
    /// Free places of commands in containers.
    commands: Arc<Semaphore>,
    pki: Option<Arc<Pki>>,
    /// Whose ID tokens are taken.
    oidc: Option<Arc<Oidc>>,
    /// Where requests are noted.
    log: Option<Arc<AccessLog>>,
}

impl std::fmt::Debug for Api {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Api").finish_non_exhaustive()
    }
}

impl Api {
    /// An API over a backend. Streams end when `stop` is cancelled. `metrics` is what
    /// [`install_metrics`] gave; without it `/metrics` is 404.
    pub fn new(backend: Arc<dyn Backend>, stop: CancellationToken, metrics: Option<PrometheusHandle>) -> Self {
        let commands = Arc::new(Semaphore::new(exec::COMMANDS));
        Self {
            backend,
            now: crate::host::wall,
            stop,
            kept: read::KeptViews::default(),
            lines: lines::Lines::default(),
            leases: leases::Renewals::default(),
            openapi: openapi::v2::Cache::default(),
            metrics,
            commands,
            pki: None,
            oidc: None,
            log: None,
        }
    }

    /// A place among the commands and connections that lead into pods; `are` says what there are enough of.
    fn turn(&self, are: &str) -> Result<OwnedSemaphorePermit, Failure> {
        self.commands.clone().try_acquire_owned().map_err(|_| Failure {
            retry_after: Some(1),
            ..Failure::new(429, "TooManyRequests", format!("{} {are} already, as many as may", exec::COMMANDS))
        })
    }

    /// With the tokens and nodes of a CA. Without one there are no tokens to be had.
    #[must_use]
    pub fn with_pki(self, pki: Arc<Pki>) -> Self {
        Self { pki: Some(pki), ..self }
    }

    /// With an issuer of ID tokens.
    #[must_use]
    pub fn with_oidc(self, oidc: Option<Arc<Oidc>>) -> Self {
        Self { oidc, ..self }
    }

    /// With a log of requests.
    #[must_use]
    pub fn with_log(self, log: Option<Arc<AccessLog>>) -> Self {
        Self { log, ..self }
    }
}

/// Marks an answer that is a stream: it is not compressed, for a compressor holds lines back.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Streaming;

/// Marks a long answer whose length is not known before it is made.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Long;

/// Answers below this many bytes are not worth compressing: as in Kubernetes.
const COMPRESS_FROM: u64 = 128 << 10;

#[derive(Clone, Copy)]
struct BigAnswers;

impl Predicate for BigAnswers {
    fn should_compress<B: axum::body::HttpBody>(&self, response: &axum::http::Response<B>) -> bool {
        let (streams, long) =
            (response.extensions().get::<Streaming>().is_some(), response.extensions().get::<Long>().is_some());
        !streams && (long || response.body().size_hint().exact().is_some_and(|n| n >= COMPRESS_FROM))
    }
}

/// All routes. The listener puts a [`Client`] and a [`Peer`] into each request. Agents' calls pass
/// by what is for REST alone (compression, one panic one answer).
pub fn router(api: Arc<Api>, agents: Option<Agents>) -> Router {
    let rest = rest_router(api);
    match agents {
        Some(agents) => Router::new().route_service(AGENTS, agents.service()).merge(rest),
        None => rest,
    }
}

/// The paths of the agents' service.
const AGENTS: &str = "/evenkeel.agent.v1.Agents/{call}";

fn rest_router(api: Arc<Api>) -> Router {
    Router::new()
        .route("/livez", routing::get(health::livez))
        .route("/healthz", routing::get(health::healthz))
        .route("/readyz", routing::get(health::readyz))
        .route("/hooks/git/{source}", routing::post(extras::hook))
        .fallback(rest::handle)
        .with_state(api)
        .layer(CompressionLayer::new().compress_when(BigAnswers))
        .layer(middleware::from_fn(health::guard))
}
