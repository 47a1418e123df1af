//! Finds what a request is about, and who answers it.
//!
//! Every request but those of `/livez`, `/healthz`, `/readyz` and the hooks comes here. Deliberately not here:
//! how anything is answered.

use std::sync::Arc;

use axum::{
    body::Body,
    extract::State,
    http::{HeaderMap, HeaderValue, Method, Request, header, request::Parts},
    response::{IntoResponse, Response},
};
use evenkeel_core::rbac::User;
use evenkeel_model::{Key, Kind};
use evenkeel_schema::Customs;
use serde_json::{Value, json};

use super::{
    Api, Peer, absent, accept, access,
    access_log::{Made, Seen, Who},
    auth, custom, diff, discovery, events, exec, extras, forward, gate, health, issuer, leases, logs, netcheck,
    openapi,
    path::{self, Target},
    proxy,
    query::{self, Pairs, Params},
    read, rebalance, reviews, scale, server,
    status::{Failure, bytes_response, json_response},
    tokens, usage, watch, websocket, write,
};

/// The Kubernetes version whose API this is.
const MINOR: &str = "36";

/// Answers a request.
pub(crate) async fn handle(State(api): State<Arc<Api>>, mut request: Request<Body>) -> Response {
    if let Some(uri) = path::of_old_watch(request.uri()).filter(|_| request.method() == Method::GET) {
        *request.uri_mut() = uri;
    }
    let mut who = Who::default();
    let Some(log) = &api.log else {
        return answer(&api, request, &mut who).await.unwrap_or_else(IntoResponse::into_response);
    };
    let from = request.extensions().get::<Peer>().map(|p| p.address);
    let seen = Seen::new(request.method(), request.uri(), request.headers(), from);
    let mut response = answer(&api, request, &mut who).await.unwrap_or_else(IntoResponse::into_response);
    let made = response.extensions_mut().remove::<Made>();
    log.note(&seen, &who, (api.now)(), response.status(), made.as_ref()).await;
    response
}

async fn answer(api: &Arc<Api>, request: Request<Body>, who: &mut Who) -> Result<Response, Failure> {
    let (mut parts, body) = request.into_parts();
    let user = auth::user(api, &parts, who).await?;
    gate::pass(api, &user, &parts.method, &parts.uri)?;
    websocket::check_origin(&parts)?;
    websocket::forget_bearer(&mut parts.headers);
    if let Some(asked) = websocket::Asked::of(&mut parts).await? {
        return asked.answer(api, plain(api, parts, body, user).await?);
    }
    plain(api, parts, body, user).await
}

/// Answers a request of somebody who may make it, about Events by either of their groups.
async fn plain(api: &Arc<Api>, parts: Parts, body: Body, user: User) -> Result<Response, Failure> {
    let mut body = Some(body);
    if let Some(core) = events::request(&parts, &mut body).await? {
        let response = route(api, core, body.unwrap_or_default(), user).await?;
        return events::answer(response).await;
    }
    route(api, parts, body.unwrap_or_default(), user).await
}

async fn route(api: &Arc<Api>, mut parts: Parts, body: Body, user: User) -> Result<Response, Failure> {
    let uri = parts.uri.clone();
    if let Some(asked) = proxy::Asked::of(uri.path()) {
        return proxy::handle(api, parts, body, asked).await;
    }
    let path = parts.uri.path();
    query::check_timeout(&Pairs::of(&parts.uri)?)?;
    acceptable(&parts)?;
    if let Some(response) = fixed(api, &parts).await? {
        return Ok(response);
    }
    if let Some(response) = usage::handle(api, &parts).await? {
        return Ok(response);
    }
    if path == rebalance::PATH {
        return rebalance::handle(api, &parts, body, user.name).await;
    }
    if path == netcheck::PATH {
        return netcheck::handle(api, &parts).await;
    }
    if path.starts_with(tokens::PATH) {
        return tokens::handle(api, &parts, body).await;
    }
    if let Some(review) = reviews::named(path) {
        return reviews::handle(api, &parts, body, &user, review).await;
    }
    let customs = api.backend.live().view().customs.clone();
    if let Some(none) = absent::answer(api, &parts)? {
        return Ok(none);
    }
    let target = path::parse(path, &customs).ok_or_else(Failure::no_path)?;
    leases::prepare(api, &parts, &target).await?;
    if let Target::Below(key, below) = &target
        && key.kind == Kind::Pod
    {
        match below.as_str() {
            "exec" | "attach" | "portforward" if ![Method::GET, Method::POST].contains(&parts.method) => {
                return Err(no_such_below(&customs, key, below));
            }
            "exec" | "attach" => {
                let pairs = Pairs::of(&parts.uri)?;
                return exec::open(api, (key, below == "attach"), &mut parts, &pairs).await;
            }
            "portforward" => {
                let pairs = Pairs::of(&parts.uri)?;
                return forward::open(api, key, &mut parts, &pairs).await;
            }
            _ => {}
        }
    }
    let warnings = target.kind().map(|kind| custom::warnings(&customs, kind, &parts.method)).unwrap_or_default();
    let response = match (&parts.method, target) {
        (&Method::GET, Target::Resources(group, version)) => discovery::resources(&group, &version, &customs)
            .map(|v| json_response(200, &v))
            .ok_or_else(Failure::no_path),
        (&Method::GET | &Method::HEAD, target) => get(api, &parts, target, &customs).await,
        (_, target) => write::handle(api, &parts, body, target, user).await,
    };
    Ok(warnings.on(response?))
}

/// Refuses who takes no answer that there is; what is a connection, and no answer, is not negotiated.
fn acceptable(parts: &Parts) -> Result<(), Failure> {
    let path = parts.uri.path();
    let kubernetes =
        ["/api", "/apis", "/version"].contains(&path) || path.starts_with("/api/") || path.starts_with("/apis/");
    match path.rsplit('/').next() {
        Some("exec" | "attach" | "portforward") => Ok(()),
        Some("log") => accept::check(&parts.headers, &["text/plain"]),
        _ if kubernetes => accept::check(&parts.headers, &[]),
        _ => Ok(()),
    }
}

/// Paths of [`fixed`] that are known as they stand.
const FIXED: [&str; 13] = [
    "/",
    "/version",
    "/api",
    "/apis",
    "/openapi/v2",
    "/openapi/v3",
    "/metrics",
    "/evenkeel/audit",
    "/evenkeel/nodes",
    "/evenkeel/server",
    "/evenkeel/backup",
    issuer::CONFIGURATION,
    issuer::KEYS,
];

/// Paths that name no objects; `None` for all others.
async fn fixed(api: &Arc<Api>, parts: &Parts) -> Result<Option<Response>, Failure> {
    let path = parts.uri.path();
    let path = path.strip_suffix('/').filter(|p| !p.is_empty()).unwrap_or(path);
    let customs = api.backend.live().view().customs.clone();
    if parts.method != Method::GET {
        let group = path.strip_prefix("/apis/").is_some_and(|group| discovery::api_group(group, &customs).is_some());
        let known = FIXED.contains(&path) || health::named(path).is_some() || path.starts_with("/openapi/v3/") || group;
        return if known { Err(Failure::not_allowed("this path takes GET only")) } else { Ok(None) };
    }
    let response = match path {
        "/" => json_response(200, &json!({"paths": index()})),
        "/version" => json_response(200, &version()),
        "/api" => discovered(&parts.headers, true, &customs),
        "/apis" => discovered(&parts.headers, false, &customs),
        "/openapi/v2" => api.openapi.answer(&parts.headers, &api.backend.live().view())?,
        "/openapi/v3" => json_response(200, &openapi::index(&api.backend.live().view())),
        "/metrics" => extras::metrics(api)?,
        "/evenkeel/audit" => extras::audit(api).await?,
        "/evenkeel/nodes" => leases::usage(api).await?,
        "/evenkeel/server" => server::conditions(api),
        "/evenkeel/backup" => server::backup(api).await?,
        issuer::CONFIGURATION => issuer::configuration(api)?,
        issuer::KEYS => issuer::keys(api)?,
        other => {
            if let Some(check) = health::named(other) {
                health::one(api, check)
            } else if let Some(document) = other.strip_prefix("/openapi/v3/") {
                openapi_document(api, parts, document)?
            } else if let Some(group) = other.strip_prefix("/apis/").filter(|g| !g.contains('/')) {
                json_response(200, &discovery::api_group(group, &customs).ok_or_else(Failure::no_path)?)
            } else {
                return Ok(None);
            }
        }
    };
    Ok(Some(response))
}

/// The paths that `/` names.
fn index() -> Vec<String> {
    let known =
        ["/api", "/apis", "/healthz", "/livez", "/metrics", "/openapi/v2", "/openapi/v3", "/readyz", "/version"];
    let known = known.into_iter().chain([issuer::CONFIGURATION, issuer::KEYS]);
    let mut all: Vec<String> = known.map(Into::into).chain(health::paths()).collect();
    all.sort();
    all
}

/// `version.Info`, as clients of Kubernetes read it.
fn version() -> Value {
    let own = env!("CARGO_PKG_VERSION");
    // In the words of Go, by which clients tell machines apart.
    let arch = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    };
    json!({
        "major": "1", "minor": MINOR, "gitVersion": format!("v1.{MINOR}.0+evenkeel-{own}"),
        "gitCommit": "", "gitTreeState": "clean", "buildDate": "1970-01-01T00:00:00Z",
        "goVersion": "none", "compiler": "rustc", "platform": format!("{}/{arch}", std::env::consts::OS),
    })
}

fn discovered(headers: &HeaderMap, core: bool, customs: &Customs) -> Response {
    let aggregated = accept::aggregated(headers);
    let value = match (aggregated, core) {
        (true, _) => discovery::aggregated(core, customs),
        (false, true) => discovery::api_versions(),
        (false, false) => discovery::api_groups(customs),
    };
    let etag = format!("\"{}\"", discovery::hash(&value));
    let mut response = if headers.get(header::IF_NONE_MATCH).is_some_and(|v| v.as_bytes() == etag.as_bytes()) {
        Response::builder().status(304).body(Body::empty()).unwrap_or_default()
    } else {
        json_response(200, &value)
    };
    let out = response.headers_mut();
    if aggregated {
        let media = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";
        out.insert(header::CONTENT_TYPE, HeaderValue::from_static(media));
    }
    if let Ok(value) = HeaderValue::from_str(&etag) {
        out.insert(header::ETAG, value);
    }
    out.insert(header::VARY, HeaderValue::from_static("Accept"));
    out.insert(header::CACHE_CONTROL, HeaderValue::from_static("public"));
    response
}

fn openapi_document(api: &Api, parts: &Parts, path: &str) -> Result<Response, Failure> {
    let document = openapi::get(path, &api.backend.live().view()).ok_or_else(Failure::no_path)?;
    let hash = &document.hash;
    let mut response = bytes_response(200, document.bytes.clone());
    let out = response.headers_mut();
    out.insert(header::VARY, HeaderValue::from_static("Accept"));
    if let Ok(etag) = HeaderValue::from_str(&format!("\"{hash}\"")) {
        out.insert(header::ETAG, etag);
    }
    // Only an address that names the content may be kept for good.
    if Pairs::of(&parts.uri)?.get("hash") == Some(hash) {
        out.insert(header::CACHE_CONTROL, HeaderValue::from_static("public, immutable"));
        out.insert(header::EXPIRES, HeaderValue::from_static("Thu, 31 Dec 2099 23:59:59 GMT"));
    }
    Ok(response)
}

async fn get(api: &Arc<Api>, parts: &Parts, target: Target, customs: &Customs) -> Result<Response, Failure> {
    let pairs = Pairs::of(&parts.uri)?;
    let now = (api.now)();
    match target {
        Target::Below(key, below) => match (key.kind, below.as_str()) {
            (Kind::Pod, "log") => logs::get(api, &key, &pairs).await,
            (Kind::Source, "place") => diff::place(api, &key, &pairs).await,
            (kind, "scale") if scale::has(kind, customs) => {
                let (form, params) = (accept::form(&parts.headers)?, Params::read(&pairs)?);
                let view = api.backend.live().view();
                let object = view.get(&key).ok_or_else(|| Failure::not_found(&key))?;
                let scale = scale::of(object, &scale::Places::of(kind, customs));
                Ok(json_response(200, &scale::shown(object, scale, form, params.include, now)))
            }
            (Kind::Pod, "ephemeralcontainers") | (Kind::CertificateSigningRequest, "approval") => {
                read::get(api.backend.live(), &key, accept::form(&parts.headers)?, &Params::read(&pairs)?, now)
            }
            (kind, "status") if kind.info().has_status => {
                read::get(api.backend.live(), &key, accept::form(&parts.headers)?, &Params::read(&pairs)?, now)
            }
            (_, below) => Err(no_such_below(customs, &key, below)),
        },
        Target::Item(key) => {
            let form = accept::form(&parts.headers)?;
            read::get(api.backend.live(), &key, form, &Params::read(&pairs)?, now)
        }
        Target::Collection { kind, namespace } => {
            let form = accept::form(&parts.headers)?;
            let params = Params::read(&pairs)?;
            if let Some(field) = params.fields.unsupported(kind, customs) {
                return Err(Failure::bad_request(format!("field label not supported: {field}")));
            }
            if params.watch {
                watch::start(api, kind, &namespace, params, form)
            } else {
                read::list(api, (kind, &namespace), &params, form)
            }
        }
        Target::Resources(..) => Err(Failure::no_path()),
    }
}

/// 404, or 405 for what only takes POST.
pub(crate) fn no_such_below(customs: &Customs, key: &Key, below: &str) -> Failure {
    let kind = key.kind;
    match access::below(kind, customs).iter().find(|b| b.name == below) {
        Some(b) => {
            let why = match (below, kind) {
                ("status", Kind::Node) => ": it comes from the node's agent",
                ("status", _) if b.verbs == ["get"] => ": it is written by Evenkeel alone",
                _ => "",
            };
            let verbs = b.verbs.join(", ");
            Failure::not_allowed(format!("{}/{below} takes {verbs} only{why}", kind.resource())).about(key)
        }
        None => absent::below(kind, below),
    }
}
