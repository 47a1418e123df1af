//! One request's way: finds who answers, sends it there, and gives the answer back.
//!
//! Where a connection is refused, or nobody answers, the next endpoint is tried: nothing was sent. A
//! request that was sent is sent again in one case alone: it changes nothing by its method, has no
//! body, and went over a connection that was idle before and closed without an answer.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use evenkeel_model::ingress::BackendProtocol;
use hyper::{
    Method, Request, Response, StatusCode, Uri, Version,
    body::{Body as _, Incoming},
    header::{self, HeaderValue},
    http::{request::Parts, uri::PathAndQuery},
    upgrade::OnUpgrade,
};
use tokio::time::{Instant, sleep_until};

use crate::{
    account::Account,
    body::{Download, Progress, Upload, UploadError},
    headers::{self, Came},
    members::{Members, Nobody},
    pool::{ConnectError, Lane, Speech, Unsent, Used},
    routes::{Target, host_of},
    shared::Shared,
    upgrade,
};

/// Endpoints that are tried for one request.
const MOST_TRIES: usize = 5;

/// Where an ACME directory looks for its answers (RFC 8555, 8.3).
const CHALLENGES: &str = "/.well-known/acme-challenge/";

/// A request that Evenkeel answers itself.
#[derive(Debug)]
struct Refusal {
    status: StatusCode,
    text: String,
}

fn refuse(status: StatusCode, text: impl Into<String>) -> Refusal {
    Refusal { status, text: text.into() }
}

impl From<UploadError> for Refusal {
    fn from(error: UploadError) -> Self {
        let status = match error {
            UploadError::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            UploadError::Slow => StatusCode::REQUEST_TIMEOUT,
            UploadError::Broken => StatusCode::BAD_REQUEST,
        };
        refuse(status, error.to_string())
    }
}

/// Answers one request.
pub(crate) async fn answer(shared: &Arc<Shared>, came: &Came, request: Request<Incoming>) -> Response<Download> {
    let (parts, body) = request.into_parts();
    let authority = authority(&parts);
    let host = authority.as_ref().ok().and_then(|a| a.to_str().ok()).map(host_of).unwrap_or_default();
    let mut account = Account::new(came.client, &parts, &host, shared.settings.access_log);
    let answered = match authority {
        Ok(authority) => forward(shared, came, parts, body, &authority, &host, &mut account).await,
        Err(refusal) => Err(refusal),
    };
    let mut response = answered.unwrap_or_else(|refusal| {
        let mut response = Response::new(Download::own(format!("{}\n", refusal.text)));
        *response.status_mut() = refusal.status;
        let text = HeaderValue::from_static("text/plain; charset=utf-8");
        response.headers_mut().insert(header::CONTENT_TYPE, text);
        response
    });
    account.status = response.status();
    response.body_mut().account = Some(account);
    response
}

/// What the client called the host.
fn authority(parts: &Parts) -> Result<HeaderValue, Refusal> {
    if parts.method == Method::CONNECT {
        return Err(refuse(StatusCode::METHOD_NOT_ALLOWED, "CONNECT is not served"));
    }
    let bad = |text: &str| refuse(StatusCode::BAD_REQUEST, text);
    if let Some(authority) = parts.uri.authority() {
        if parts.uri.scheme().is_none() {
            return Err(bad("the address of the request has no path"));
        }
        // Without a user's name, which has no place in a Host.
        let text = authority.as_str().rsplit('@').next().unwrap_or_default();
        return HeaderValue::from_str(text).map_err(|_| bad("the host is not valid"));
    }
    let mut hosts = parts.headers.get_all(header::HOST).into_iter();
    match (hosts.next(), hosts.next()) {
        (Some(host), None) if headers::is_host(host) => Ok(host.clone()),
        (Some(_), None) => Err(bad("the host is not valid")),
        (None, _) if parts.version < Version::HTTP_11 => Ok(HeaderValue::from_static("")),
        (None, _) => Err(bad("the request has no Host")),
        (Some(_), Some(_)) => Err(bad("the request has several Hosts")),
    }
}

async fn forward(
    shared: &Arc<Shared>,
    came: &Came,
    mut parts: Parts,
    body: Incoming,
    authority: &HeaderValue,
    host: &str,
    account: &mut Account,
) -> Result<Response<Download>, Refusal> {
    let view = shared.state.view();
    if let Some(answer) = parts.uri.path().strip_prefix(CHALLENGES).and_then(|token| view.answers.get(token)) {
        return Ok(Response::new(Download::own(answer.clone())));
    }
    let Some(target) = view.routes.find(host, parts.uri.path()).cloned() else {
        return Err(refuse(StatusCode::NOT_FOUND, "no Ingress has a rule for this host and path"));
    };
    drop(view);
    account.target = Some(target.clone());
    if target.https_redirect && !came.tls {
        return redirect(shared, host, &parts.uri);
    }
    if headers::is_coded(&parts.headers) {
        return Err(refuse(StatusCode::NOT_IMPLEMENTED, "of transfer codings only chunked is supported"));
    }
    let grpc = headers::is_grpc(&parts.headers);
    let limits = &shared.settings.limits;
    let length = parts.headers.get(header::CONTENT_LENGTH).and_then(|l| l.to_str().ok()?.parse::<u64>().ok());
    if !grpc && length.is_some_and(|l| l > limits.body) {
        return Err(UploadError::TooLarge.into());
    }
    let members = members(shared, &target)?;
    let speech = if grpc || target.backend.protocol == BackendProtocol::H2c { Speech::Http2 } else { Speech::Http1 };
    // A request with a body is answered first, and a server may leave it at that (RFC 9110, 7.8).
    let wanted = headers::upgrade(&parts).filter(|_| speech == Speech::Http1 && body.is_end_stream());
    let client = wanted.is_some().then(|| parts.extensions.remove::<OnUpgrade>()).flatten();
    headers::request(&mut parts, authority, came, wanted);
    address(&mut parts, authority, speech);
    // A stream of gRPC may be without end, and silent for as long.
    let (most, patience) = if grpc { (u64::MAX, None) } else { (limits.body, Some(limits.body_pause)) };
    let upload = if client.is_some() { Upload::empty() } else { Upload::new(body, most, patience) };
    let mut request = Request::new(upload);
    *request.method_mut() = parts.method;
    *request.uri_mut() = parts.uri;
    *request.headers_mut() = parts.headers;
    let heads = speech == Speech::Http1 && client.is_none() && request.body().is_none();
    let speech = if heads { Speech::Heads } else { speech };
    let plan = Plan { speech, fresh: client.is_some(), answer: (!grpc).then_some(limits.answer) };
    let (response, used) = send(shared, &target, &members, request, &plan, account).await?;
    let mut response = give_back(shared, response, client)?;
    response.body_mut().over = used;
    Ok(response)
}

/// The answer as the client gets it.
fn give_back(
    shared: &Shared,
    response: Response<Incoming>,
    client: Option<OnUpgrade>,
) -> Result<Response<Download>, Refusal> {
    let (mut head, body) = response.into_parts();
    if head.status == StatusCode::SWITCHING_PROTOCOLS {
        let Some(client) = client else {
            return Err(refuse(StatusCode::BAD_GATEWAY, "the backend goes over to a protocol that nobody asked for"));
        };
        // The fields that say so belong to both connections.
        let mut response = Response::from_parts(head, body);
        let backend = hyper::upgrade::on(&mut response);
        upgrade::join(shared, client, backend);
        return Ok(response.map(Download::of));
    }
    headers::strip(&mut head.headers);
    head.version = Version::HTTP_11;
    Ok(Response::from_parts(head, Download::of(body)))
}

fn redirect(shared: &Shared, host: &str, uri: &Uri) -> Result<Response<Download>, Refusal> {
    let port = shared.https_port().filter(|p| *p != 443).map(|p| format!(":{p}")).unwrap_or_default();
    let path = uri.path_and_query().map_or("/", PathAndQuery::as_str);
    let to = HeaderValue::from_str(&format!("https://{host}{port}{path}"))
        .map_err(|_| refuse(StatusCode::BAD_REQUEST, "the host is not valid"))?;
    let mut response = Response::new(Download::own(String::new()));
    *response.status_mut() = StatusCode::PERMANENT_REDIRECT;
    response.headers_mut().insert(header::LOCATION, to);
    Ok(response)
}

fn members(shared: &Shared, target: &Target) -> Result<Arc<Members>, Refusal> {
    let backend = &target.backend;
    if backend.protocol == BackendProtocol::Tls {
        let text = format!("TLS to Service {} is not supported yet", backend.service.name);
        return Err(refuse(StatusCode::BAD_GATEWAY, text));
    }
    shared
        .state
        .members(&backend.service)
        .ok_or_else(|| refuse(StatusCode::SERVICE_UNAVAILABLE, format!("there is no Service {}", backend.service.name)))
}

/// The address of a request as its backend wants it.
fn address(parts: &mut Parts, authority: &HeaderValue, speech: Speech) {
    let path = parts.uri.path_and_query().cloned().unwrap_or_else(|| PathAndQuery::from_static("/"));
    let mut uri = hyper::http::uri::Parts::default();
    uri.path_and_query = Some(path);
    if speech == Speech::Http2 {
        uri.scheme = Some(hyper::http::uri::Scheme::HTTP);
        uri.authority = authority.to_str().ok().and_then(|a| a.parse().ok());
        parts.headers.remove(header::HOST);
        if uri.authority.is_none() {
            uri.scheme = None;
        }
    }
    // Made of parts of a valid one.
    parts.uri = Uri::from_parts(uri).unwrap_or_default();
}

/// How a request is sent.
struct Plan {
    speech: Speech,
    /// Over a connection of its own.
    fresh: bool,
    /// Longest time until the answer begins, without the time of the body.
    answer: Option<Duration>,
}

async fn send(
    shared: &Arc<Shared>,
    target: &Target,
    members: &Members,
    mut request: Request<Upload>,
    plan: &Plan,
    account: &mut Account,
) -> Result<(Response<Incoming>, Option<Used>), Refusal> {
    let backend = &target.backend;
    let (all, first) = members.at(&backend.port).map_err(|nobody| {
        let name = &backend.service.name;
        refuse(
            StatusCode::SERVICE_UNAVAILABLE,
            match nobody {
                Nobody::Port => format!("Service {name} has no port {}", backend.port),
                Nobody::Ready => format!("nobody is ready behind Service {name}"),
            },
        )
    })?;
    let twice = request.body().is_none() && is_safe(request.method());
    let progress = request.body().progress();
    let mut tried = Vec::with_capacity(1);
    let mut fresh = plan.fresh;
    let mut last = None;
    while tried.len() < MOST_TRIES {
        let Some(to) = shared.ill.next(all, first, &tried) else { break };
        account.endpoint = Some(to);
        let waiting = if fresh { None } else { shared.pool.waiting(to, plan.speech, twice) };
        let used = waiting.is_some();
        let lane = match waiting {
            Some(lane) => Ok(lane),
            None => shared.pool.connect(to, plan.speech, &shared.settings.limits).await,
        };
        let mut lane = match lane {
            Ok(lane) => lane,
            Err(error) => {
                unreachable_endpoint(shared, to, &error);
                last = Some(error);
                tried.push(to);
                continue;
            }
        };
        // Where a connection that waited fails, the next try has one of its own: others may have gone
        // with it, and no request goes round them for ever.
        fresh |= used;
        let copy = (twice && used).then(|| head_of(&request));
        let Some(sent) = answer_of(&mut lane, request, &progress, plan.answer).await else {
            return Err(refuse(StatusCode::GATEWAY_TIMEOUT, "the backend does not answer"));
        };
        match sent {
            Ok(response) => {
                shared.ill.well(to);
                let again = response.status() != StatusCode::SWITCHING_PROTOCOLS;
                let used = again.then(|| Used::new(shared.pool.clone(), to, lane));
                return Ok((response, used));
            }
            Err(Unsent { request: Some(back), .. }) => {
                if !used {
                    tried.push(to);
                }
                request = back;
            }
            Err(Unsent { error, request: None }) => {
                let silent = silent(shared, to, &error);
                let Some(copy) = copy.filter(|_| closed_without_answer(&error)) else {
                    return Err(failed(&error, &progress));
                };
                tried.extend(silent);
                request = copy;
            }
        }
    }
    let why = last.map_or_else(|| "nothing was taken".to_owned(), |e| e.to_string());
    let text = format!("none of {} endpoints of Service {} can be reached", tried.len(), backend.service.name);
    tracing::debug!(ingress = %target.ingress, why, text);
    Err(refuse(StatusCode::BAD_GATEWAY, text))
}

fn unreachable_endpoint(shared: &Shared, to: SocketAddr, error: &ConnectError) {
    if !matches!(error, ConnectError::Full) {
        shared.ill.note(to);
    }
    metrics::counter!("evenkeel_ingress_retries_total").increment(1);
    tracing::debug!(endpoint = %to, %error, "an endpoint is passed over");
}

/// By its method it changes nothing, however often it is sent.
fn is_safe(method: &Method) -> bool {
    matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS | Method::TRACE)
}

fn head_of(request: &Request<Upload>) -> Request<Upload> {
    let mut copy = Request::new(Upload::empty());
    *copy.method_mut() = request.method().clone();
    *copy.uri_mut() = request.uri().clone();
    *copy.headers_mut() = request.headers().clone();
    copy
}

/// Nobody took what was sent: a new connection there would be waited for in vain, and those that wait are
/// no better.
fn silent(shared: &Shared, to: SocketAddr, error: &hyper::Error) -> Option<SocketAddr> {
    is_silent(error).then(|| {
        shared.ill.note(to);
        shared.pool.leave([&to]);
        to
    })
}

fn is_silent(error: &hyper::Error) -> bool {
    io_error(error).is_some_and(|e| e.kind() == std::io::ErrorKind::TimedOut)
}

fn io_error(error: &hyper::Error) -> Option<&std::io::Error> {
    std::error::Error::source(error).and_then(|e| e.downcast_ref())
}

fn closed_without_answer(error: &hyper::Error) -> bool {
    use std::io::ErrorKind::{BrokenPipe, ConnectionReset, HostUnreachable, NetworkUnreachable, TimedOut};
    let closed = [BrokenPipe, ConnectionReset, HostUnreachable, NetworkUnreachable, TimedOut];
    error.is_incomplete_message()
        || error.is_canceled()
        || error.is_closed()
        || io_error(error).is_some_and(|e| closed.contains(&e.kind()))
}

fn failed(error: &hyper::Error, progress: &Progress) -> Refusal {
    if let Some(fault) = progress.fault() {
        return fault.into();
    }
    tracing::debug!(%error, "a backend did not answer as it should");
    if is_silent(error) {
        return refuse(StatusCode::GATEWAY_TIMEOUT, "nobody takes what is sent to the backend");
    }
    refuse(StatusCode::BAD_GATEWAY, "the backend closed the connection, or does not speak HTTP")
}

/// Waits for the answer; `None` where it does not begin in time. While the body is on its way the time
/// does not run.
async fn answer_of(
    lane: &mut Lane,
    request: Request<Upload>,
    progress: &Progress,
    patience: Option<Duration>,
) -> Option<Result<Response<Incoming>, Unsent>> {
    let sending = lane.send(request);
    let Some(patience) = patience else { return Some(sending.await) };
    tokio::pin!(sending);
    let began = Instant::now();
    loop {
        let until = progress.last().max(began) + patience;
        tokio::select! {
            sent = &mut sending => return Some(sent),
            () = sleep_until(until) => {
                if progress.last().max(began) + patience <= Instant::now() {
                    return None;
                }
            }
        }
    }
}
