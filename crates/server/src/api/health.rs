//! `/livez`, `/readyz` and `/healthz` with their checks, the metrics' recorder, and the guard around every request.
//!
//! Called by the router and, for one check by its name, by `rest`: whoever asks may hear whether all is well, and who
//! may read the path of a check hears why it is not. Both have the form of Kubernetes. Deliberately not here: what
//! makes a check fail, which the host says ([`Health`](super::Health)).

use std::{collections::BTreeSet, fmt::Write as _, panic::AssertUnwindSafe, sync::Arc, time::Duration};

use axum::{
    body::Body,
    extract::State,
    http::{HeaderValue, Method, Request, StatusCode, Uri, header},
    middleware::Next,
    response::{IntoResponse, Response},
};
use futures_util::FutureExt;
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};

use super::{Api, query::Pairs, status::Failure};

/// One batch under way, or one event waiting, for this long: the design's bound.
const STUCK: Duration = Duration::from_secs(30);

/// One thing that is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Check {
    /// Requests are answered.
    Ping,
    /// The conductor's loop moves; an idle one does.
    Conductor,
    /// What the store holds is loaded: lists are whole, and writes have somewhere to go.
    Store,
    /// Nothing is waited for that only agents know.
    Recovery,
    /// The server does not stop.
    Shutdown,
}

/// Checks of a path, in the order in which they are told.
const LIVE: &[Check] = &[Check::Ping, Check::Conductor];
const READY: &[Check] = &[Check::Ping, Check::Conductor, Check::Store, Check::Recovery, Check::Shutdown];

impl Check {
    fn name(self) -> &'static str {
        match self {
            Self::Ping => "ping",
            Self::Conductor => "conductor",
            Self::Store => "store",
            Self::Recovery => "recovery",
            Self::Shutdown => "shutdown",
        }
    }

    /// Why it fails, if it does.
    fn failed(self, api: &Api) -> Option<String> {
        let health = api.backend.health();
        match self {
            Self::Ping => None,
            Self::Conductor => {
                let stuck = |d: Option<Duration>| d.filter(|d| *d >= STUCK).map(|d| d.as_secs());
                let batch = stuck(health.batch).map(|s| format!("one batch has been under way for {s} s"));
                batch.or_else(|| stuck(health.waiting).map(|s| format!("an event has been waiting for {s} s")))
            }
            Self::Store => (!health.loaded).then(|| "the store is not loaded".into()),
            Self::Recovery => health
                .recovering
                .then(|| "the database was lost or restored, and not every known node has reported yet".into()),
            Self::Shutdown => api.stop.is_cancelled().then(|| "the server is stopping".into()),
        }
    }
}

/// Whether the loop moves.
pub(crate) async fn livez(State(api): State<Arc<Api>>, uri: Uri) -> Result<Response, Failure> {
    all(&api, "livez", LIVE, &uri)
}

/// The same by its old name.
pub(crate) async fn healthz(State(api): State<Arc<Api>>, uri: Uri) -> Result<Response, Failure> {
    all(&api, "healthz", LIVE, &uri)
}

/// Whether lists are whole and writes are taken.
pub(crate) async fn readyz(State(api): State<Arc<Api>>, uri: Uri) -> Result<Response, Failure> {
    all(&api, "readyz", READY, &uri)
}

/// All checks but those that the request leaves out. Why one fails is not for everybody's ears.
fn all(api: &Api, name: &str, checks: &[Check], uri: &Uri) -> Result<Response, Failure> {
    let pairs = Pairs::of(uri)?;
    let mut excluded: BTreeSet<&str> = pairs.all("exclude").collect();
    let (mut text, mut sound) = (String::new(), true);
    for check in checks {
        let check_name = check.name();
        // Writing to a String does not fail.
        let _written = if excluded.remove(check_name) {
            writeln!(text, "[+]{check_name} excluded: ok")
        } else if let Some(why) = check.failed(api) {
            sound = false;
            tracing::debug!(path = name, check = check_name, why, "a check failed");
            writeln!(text, "[-]{check_name} failed: reason withheld")
        } else {
            writeln!(text, "[+]{check_name} ok")
        };
    }
    if !excluded.is_empty() {
        let names: Vec<String> = excluded.iter().map(|n| format!("{n:?}")).collect();
        let names = names.join(",");
        let _written = writeln!(text, "warn: some health checks cannot be excluded: no matches for {names}");
    }
    Ok(match (sound, pairs.maybe_flag("verbose")) {
        (false, _) => plain(StatusCode::INTERNAL_SERVER_ERROR, format!("{text}{name} check failed\n")),
        (true, None) => plain(StatusCode::OK, "ok".into()),
        (true, Some(_)) => plain(StatusCode::OK, format!("{text}{name} check passed\n")),
    })
}

/// The checks that have paths of their own.
pub(crate) fn paths() -> impl Iterator<Item = String> {
    let of = |base: &'static str, checks: &'static [Check]| checks.iter().map(move |c| format!("/{base}/{}", c.name()));
    of("livez", LIVE).chain(of("healthz", LIVE)).chain(of("readyz", READY))
}

/// The check that a path names.
pub(crate) fn named(path: &str) -> Option<Check> {
    let (base, name) = path.strip_prefix('/')?.split_once('/')?;
    let checks = match base {
        "livez" | "healthz" => LIVE,
        "readyz" => READY,
        _ => return None,
    };
    checks.iter().copied().find(|c| c.name() == name)
}

/// One check, for somebody who may read its path.
pub(crate) fn one(api: &Api, check: Check) -> Response {
    match check.failed(api) {
        None => plain(StatusCode::OK, "ok".into()),
        Some(why) => plain(StatusCode::INTERNAL_SERVER_ERROR, format!("internal server error: {why}\n")),
    }
}

fn plain(status: StatusCode, text: String) -> Response {
    let mut response = Response::new(Body::from(text));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
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

#[cfg(test)]
mod tests {
    use super::{
        super::tests::{Fake, call},
        *,
    };

    #[tokio::test]
    async fn checks_are_told_as_kubernetes_tells_them() {
        let fake = Fake::new();
        let get = async |uri: &str| {
            let (status, text) = call(&fake, "GET", uri, &[], "").await;
            (status.as_u16(), text)
        };
        let passed = "[+]ping ok\n[+]conductor ok\n[+]store ok\n[+]recovery ok\n[+]shutdown ok\nreadyz check passed\n";
        assert_eq!(get("/readyz?verbose").await, (200, passed.into()));
        let live = "[+]ping ok\n[+]conductor ok\n";
        assert_eq!(get("/livez?verbose").await, (200, format!("{live}livez check passed\n")));
        assert_eq!(get("/healthz?verbose=1").await, (200, format!("{live}healthz check passed\n")));
        for uri in ["/livez", "/healthz", "/readyz", "/readyz/store", "/livez/ping", "/healthz/conductor"] {
            assert_eq!(get(uri).await, (200, "ok".into()), "{uri}");
        }
        for uri in ["/readyz/none", "/livez/store", "/readyz/ping/more"] {
            assert_eq!(get(uri).await.0, 404, "{uri}");
        }
        assert_eq!(call(&fake, "DELETE", "/readyz/store", &[], "").await.0, 405);

        fake.health.lock().unwrap().recovering = true;
        let failed = "[+]ping ok\n[+]conductor ok\n[+]store ok\n[-]recovery failed: reason withheld\n[+]shutdown ok\n\
            readyz check failed\n";
        assert_eq!(get("/readyz").await, (500, failed.into()));
        assert_eq!(get("/livez").await, (200, "ok".into()));
        assert_eq!(get("/readyz?exclude=recovery").await, (200, "ok".into()));
        let (code, text) = get("/readyz?verbose&exclude=recovery&exclude=b&exclude=a").await;
        assert!(code == 200 && text.contains("[+]recovery excluded: ok\n"), "{text}");
        let warned = "warn: some health checks cannot be excluded: no matches for \"a\",\"b\"\nreadyz check passed\n";
        assert!(text.ends_with(warned), "{text}");
        let (code, why) = get("/readyz/recovery").await;
        assert!(code == 500 && why.starts_with("internal server error: the database was lost"), "{why}");

        let stuck = |batch, waiting| super::super::Health { batch, waiting, loaded: false, recovering: false };
        for (health, why) in [
            (stuck(Some(STUCK), None), "one batch has been under way for 30 s"),
            (stuck(None, Some(STUCK)), "an event has been waiting for 30 s"),
        ] {
            *fake.health.lock().unwrap() = health;
            let (code, text) = get("/livez").await;
            assert_eq!((code, text.lines().nth(1)), (500, Some("[-]conductor failed: reason withheld")));
            assert_eq!(get("/livez/conductor").await, (500, format!("internal server error: {why}\n")));
            assert!(get("/readyz").await.1.contains("[-]store failed: reason withheld"));
        }
        *fake.health.lock().unwrap() = stuck(Some(Duration::from_secs(29)), None);
        assert_eq!(get("/livez").await.0, 200);
    }
}
