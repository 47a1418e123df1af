//! `pods/NAME/proxy` and `services/NAME/proxy`: requests of HTTP that are led on to a port of a pod.
//!
//! Kubernetes' form, by which clients reach programs in the cluster through the API server: the name is
//! `[http:|https:]NAME[:PORT]`, what follows `proxy` is the path there, and the query goes along. Called by
//! `rest`. The way into the pod is that of `portforward`, so no port of the server's machine is opened.
//! With `https:` TLS is spoken there, and any certificate will do. Deliberately not here: `nodes/proxy`, and links within pages, which are led on as they are.

mod target;

use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use axum::{
    body::Body,
    http::{
        HeaderMap, HeaderName, HeaderValue, Method, Request, Response as HttpResponse, StatusCode, Uri, header,
        request::Parts,
    },
    response::Response,
};
use bytes::Bytes;
use evenkeel_model::Object;
use evenkeel_wire::{
    pod_tls,
    stream::{CallerEnd, PortRequest, StreamInput, StreamOutput, StreamRequest, chunks},
};
use http_body_util::BodyExt as _;
use hyper::{
    body::Incoming,
    client::conn::http1,
    upgrade::{OnUpgrade, Upgraded},
};
use hyper_util::rt::TokioIo;
use tokio::{
    io::{
        AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, DuplexStream, ReadBuf, copy_bidirectional, duplex,
    },
    sync::OwnedSemaphorePermit,
    time::timeout,
};
use tokio_rustls::client::TlsStream;
use tokio_util::sync::{CancellationToken, DropGuard};

pub(super) use self::target::Asked;
use self::target::Scheme;
use super::{Api, forward, status::Failure};

/// Bytes on their way into or out of a pod.
const BUFFER: usize = 64 << 10;
/// A program that has said nothing for so long says nothing.
const RESPONSE: Duration = Duration::from_mins(5);
/// Go's own limit, which Kubernetes takes.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// Headers that speak of one connection alone (RFC 9110, 7.6.1), and of who asks here.
const OWN: [HeaderName; 12] = [
    header::AUTHORIZATION,
    header::CONNECTION,
    header::HOST,
    header::PROXY_AUTHENTICATE,
    header::PROXY_AUTHORIZATION,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    HeaderName::from_static("http2-settings"),
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
];

/// Answers with what a pod does.
pub(super) async fn handle(api: &Arc<Api>, parts: Parts, body: Body, asked: Asked<'_>) -> Result<Response, Failure> {
    if asked.rest.is_empty() && [Method::GET, Method::HEAD].contains(&parts.method) {
        // Links that a page names are below it.
        return Ok(moved(&parts.uri));
    }
    let view = api.backend.live().view();
    // One after the other, as far as milliseconds are by chance.
    let pick = usize::try_from((api.now)().0).unwrap_or_default();
    let (pod, port) = asked.find(&view, pick)?;
    let turn = api.turn(forward::OPEN)?;
    tracing::info!(pod = %pod.key.name, namespace = %pod.key.namespace, port, "a request is led into a pod");
    let stream = connect(api, &pod, port).await?;
    let address = address(&pod);
    let stream: Box<dyn Io> = match asked.scheme() {
        Scheme::Http => Box::new(stream),
        Scheme::Https => Box::new(within_tls(stream, &address).await?),
    };
    let (mut sender, connection) = http1::handshake::<_, Body>(TokioIo::new(stream)).await.map_err(|e| broken(&e))?;
    tokio::spawn(connection.with_upgrades());
    let host = format!("{address}:{port}");
    let (request, client) = led_on(parts, body, &asked, &host)?;
    let response = timeout(RESPONSE, sender.send_request(request)).await.map_err(|_| {
        Failure::new(504, "Timeout", format!("the pod has not answered within {} s", RESPONSE.as_secs()))
    })?;
    let response = response.map_err(|e| broken(&e))?;
    Ok(led_back(response, client, &asked, &host, turn))
}

/// To the same with a `/` behind it.
fn moved(uri: &Uri) -> Response {
    let query = uri.query().map(|q| format!("?{q}")).unwrap_or_default();
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::MOVED_PERMANENTLY;
    if let Ok(to) = HeaderValue::from_str(&format!("{}/{query}", uri.path())) {
        response.headers_mut().insert(header::LOCATION, to);
    }
    response
}

/// What a pod calls itself.
fn address(pod: &Object) -> String {
    let status: serde_json::Value = pod.status().ok().flatten().unwrap_or_default();
    status["podIP"].as_str().unwrap_or("localhost").to_owned()
}

/// A connection of either kind.
trait Io: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}

/// TLS with the program there.
async fn within_tls(stream: Way, address: &str) -> Result<TlsStream<Way>, Failure> {
    let shaken = timeout(HANDSHAKE, pod_tls::connect(address, stream)).await;
    let shaken = shaken.map_err(|_| unavailable("TLS handshake timeout"))?;
    shaken.map_err(|error| unavailable(&format!("TLS with the pod fails: {error}")))
}

fn broken(error: &hyper::Error) -> Failure {
    unavailable(&error.to_string())
}

/// 503 in Kubernetes' words.
fn unavailable(why: &str) -> Failure {
    Failure::new(503, "ServiceUnavailable", format!("error trying to reach service: {why}"))
}

/// A connection to a port of a pod.
async fn connect(api: &Arc<Api>, pod: &Arc<Object>, port: u16) -> Result<Way, Failure> {
    let request = StreamRequest::Port(PortRequest { pod: pod.uid, port });
    let end = api.backend.open(pod.clone(), request).await.map_err(|error| unavailable(&error.message))?;
    let (near, far) = duplex(BUFFER);
    // It ends with the server, too.
    let over = api.stop.child_token();
    tokio::spawn(carry(far, end, over.clone()));
    Ok(Way { stream: near, _over: over.drop_guard() })
}

/// Our end of a connection. Dropped, it is gone, whatever the pod has left to say.
struct Way {
    stream: DuplexStream,
    _over: DropGuard,
}

impl AsyncRead for Way {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, into)
    }
}

impl AsyncWrite for Way {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

/// Moves bytes between a connection and the node until the node's end has ended, or ours is gone.
async fn carry(ours: DuplexStream, end: CallerEnd, over: CancellationToken) {
    let CallerEnd { send, mut recv } = end;
    let (mut read, mut write) = tokio::io::split(ours);
    let there = async {
        let mut buffer = vec![0; BUFFER];
        loop {
            match read.read(&mut buffer).await {
                Ok(0) | Err(_) => break,
                Ok(n) => {
                    for chunk in chunks(Bytes::copy_from_slice(&buffer[..n])) {
                        if send.send(StreamInput::Stdin(chunk)).await.is_err() {
                            return;
                        }
                    }
                }
            }
        }
        // The other way goes on: it is over when the node says so.
        let _over = send.send(StreamInput::StdinEnd).await;
        send.closed().await;
    };
    let back = async {
        while let Some(output) = recv.recv().await {
            match output {
                StreamOutput::Stdout(bytes) if write.write_all(&bytes).await.is_ok() => {}
                StreamOutput::StdoutEnd if write.shutdown().await.is_ok() => {}
                StreamOutput::Opened | StreamOutput::Stderr(_) => {}
                _ => return,
            }
        }
    };
    tokio::select! {
        () = there => {}
        () = back => {}
        () = over.cancelled() => {}
    }
}

/// The request as the pod gets it, and the client's side of an upgrade if it asks for one.
fn led_on(
    mut parts: Parts,
    body: Body,
    asked: &Asked<'_>,
    host: &str,
) -> Result<(Request<Body>, Option<OnUpgrade>), Failure> {
    let query = parts.uri.query().map(|q| format!("?{q}")).unwrap_or_default();
    let path = asked.inside();
    // HTTP/2 has it in the address.
    let from = parts.uri.authority().and_then(|a| HeaderValue::from_str(a.as_str()).ok());
    let from = parts.headers.get(header::HOST).cloned().or(from);
    let wanted = parts.headers.get(header::UPGRADE).cloned();
    let client = wanted.as_ref().and_then(|_| parts.extensions.remove::<OnUpgrade>());
    let mut request = Request::new(body);
    *request.method_mut() = parts.method;
    *request.uri_mut() =
        format!("{path}{query}").parse().map_err(|e| Failure::bad_request(format!("the path is none: {e}")))?;
    let text = |value: &str| HeaderValue::from_str(value).unwrap_or_else(|_| HeaderValue::from_static(""));
    let headers = request.headers_mut();
    *headers = own_taken_away(parts.headers);
    headers.insert(header::HOST, text(host));
    headers.insert("x-forwarded-uri", text(parts.uri.path()));
    headers.insert("x-forwarded-proto", HeaderValue::from_static("https"));
    headers.extend(from.map(|from| (HeaderName::from_static("x-forwarded-host"), from)));
    if let (Some(wanted), Some(_)) = (wanted, &client) {
        headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
        headers.insert(header::UPGRADE, wanted);
    }
    Ok((request, client))
}

/// Headers that go through: all but those of this connection, and those that it names.
fn own_taken_away(mut headers: HeaderMap) -> HeaderMap {
    let named: Vec<HeaderName> = headers
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|v| v.to_str().ok())
        .flat_map(|v| v.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .collect();
    let impersonates = |name: &HeaderName| name.as_str().starts_with("impersonate-");
    let others: Vec<HeaderName> = headers.keys().filter(|n| impersonates(n)).cloned().collect();
    for name in named.iter().chain(&others).chain(&OWN) {
        headers.remove(name);
    }
    headers
}

/// The answer as the client gets it.
fn led_back(
    mut response: HttpResponse<Incoming>,
    client: Option<OnUpgrade>,
    asked: &Asked<'_>,
    host: &str,
    turn: OwnedSemaphorePermit,
) -> Response {
    let upgraded = (response.status() == StatusCode::SWITCHING_PROTOCOLS).then(|| hyper::upgrade::on(&mut response));
    let (mut parts, body) = response.into_parts();
    let protocol = parts.headers.get(header::UPGRADE).cloned();
    parts.headers = own_taken_away(parts.headers);
    let elsewhere = parts.headers.get(header::LOCATION).and_then(|v| v.to_str().ok());
    if let Some(here) = elsewhere.and_then(|to| asked.here(to, host)).and_then(|to| HeaderValue::from_str(&to).ok()) {
        parts.headers.insert(header::LOCATION, here);
    }
    if let (Some(pod), Some(client)) = (upgraded, client) {
        parts.headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
        parts.headers.extend(protocol.map(|p| (header::UPGRADE, p)));
        tokio::spawn(async move {
            let _turn = turn;
            if let (Ok(pod), Ok(client)) = (pod.await, client.await) {
                both_ways(pod, client).await;
            }
        });
        return Response::from_parts(parts, Body::empty());
    }
    // Its place is taken as long as somebody reads.
    let body = body.map_frame(move |frame| {
        let _turn = &turn;
        frame
    });
    Response::from_parts(parts, Body::new(body))
}

async fn both_ways(pod: Upgraded, client: Upgraded) {
    let (mut pod, mut client) = (TokioIo::new(pod), TokioIo::new(client));
    // Whichever breaks it off, there is nobody left to tell.
    let _ended = copy_bidirectional(&mut pod, &mut client).await;
}

#[cfg(test)]
mod tests;
