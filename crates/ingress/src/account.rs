//! What is told of each request when it is over: counters for machines, and, where it is asked for, a
//! line in the log. A line has the path without its query, which may hold what is secret.

use std::{
    net::IpAddr,
    sync::{Arc, OnceLock, PoisonError, RwLock},
};

use evenkeel_model::ingress::IngressId;
use hyper::{Method, StatusCode, Version};
use metrics::{Counter, Histogram};
use tokio::time::Instant;

use crate::routes::Target;

/// Paths are shown to this length.
const LONGEST_PATH: usize = 512;

fn counter(ingress: Option<&IngressId>, status: StatusCode) -> Counter {
    let (namespace, name) = ingress.map_or(("", ""), |i| (&*i.namespace, &*i.name));
    let labels =
        [("namespace", namespace.to_owned()), ("ingress", name.to_owned()), ("code", status.as_str().to_owned())];
    metrics::counter!("evenkeel_ingress_requests_total", &labels)
}

/// The counters of one way, kept where they are counted: to find one by its labels costs more than to count.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    codes: RwLock<Vec<(StatusCode, Counter)>>,
    seconds: OnceLock<Histogram>,
}

fn seconds() -> Histogram {
    metrics::histogram!("evenkeel_ingress_request_seconds")
}

impl Counts {
    fn one(&self, ingress: &IngressId, status: StatusCode) {
        let find = |all: &[(StatusCode, Counter)]| {
            all.iter().find(|(s, _)| *s == status).map(|(_, counter)| counter.increment(1))
        };
        if find(&self.codes.read().unwrap_or_else(PoisonError::into_inner)).is_some() {
            return;
        }
        let mut all = self.codes.write().unwrap_or_else(PoisonError::into_inner);
        if find(&all).is_none() {
            let counter = counter(Some(ingress), status);
            counter.increment(1);
            // As many as there are codes, at most.
            all.push((status, counter));
        }
    }
}

/// One request, until its response was sent or broke off.
#[derive(Debug)]
pub(crate) struct Account {
    began: Instant,
    line: Option<Box<Line>>,
    /// Where it went.
    pub(crate) target: Option<Arc<Target>>,
    /// The last that was tried for it.
    pub(crate) endpoint: Option<std::net::SocketAddr>,
    pub(crate) status: StatusCode,
    sent: u64,
    broken: bool,
}

#[derive(Debug)]
struct Line {
    client: IpAddr,
    method: Method,
    version: Version,
    host: Arc<str>,
    path: String,
}

impl Account {
    /// Of a request that begins; `line` where it is to be in the log.
    pub(crate) fn new(client: IpAddr, request: &hyper::http::request::Parts, host: &str, line: bool) -> Self {
        let line = line.then(|| {
            let path = request.uri.path();
            let path = path.char_indices().nth(LONGEST_PATH).map_or(path, |(end, _)| &path[..end]).to_owned();
            let (method, version) = (request.method.clone(), request.version);
            Box::new(Line { client, method, version, host: host.into(), path })
        });
        Self {
            began: Instant::now(),
            line,
            target: None,
            endpoint: None,
            // Until it has one: the client went away.
            status: StatusCode::from_u16(499).unwrap_or(StatusCode::BAD_GATEWAY),
            sent: 0,
            broken: false,
        }
    }

    pub(crate) fn sent(&mut self, bytes: u64) {
        self.sent += bytes;
    }

    /// The response broke off at the backend's end.
    pub(crate) fn broke(&mut self) {
        self.broken = true;
    }
}

impl Drop for Account {
    fn drop(&mut self) {
        let ingress = self.target.as_ref().map(|t| &t.ingress);
        let took = self.began.elapsed().as_secs_f64();
        if let Some(target) = &self.target {
            target.counts.one(&target.ingress, self.status);
            target.counts.seconds.get_or_init(seconds).record(took);
        } else {
            counter(None, self.status).increment(1);
            seconds().record(took);
        }
        if self.broken {
            metrics::counter!("evenkeel_ingress_broken_responses_total").increment(1);
        }
        let Some(line) = &self.line else { return };
        tracing::info!(
            target: "evenkeel_ingress::access",
            client = %line.client,
            method = %line.method,
            host = &*line.host,
            path = line.path,
            version = ?line.version,
            status = self.status.as_u16(),
            bytes = self.sent,
            millis = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX),
            ingress = ingress.map(tracing::field::display),
            endpoint = self.endpoint.as_ref().map(tracing::field::display),
            broken = self.broken,
            "request"
        );
    }
}
