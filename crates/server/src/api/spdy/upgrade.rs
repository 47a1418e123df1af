//! SPDY/3.1 in place of HTTP, as clients of Kubernetes ask for it that know no WebSocket.

use std::{io, pin::Pin};

use axum::{
    body::Body,
    http::{HeaderMap, HeaderValue, StatusCode, header, request::Parts},
    response::Response,
};
use bytes::{Bytes, BytesMut};
use futures_util::{Sink, Stream, sink, stream};
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::api::status::Failure;

/// Bytes read at once.
const READ: usize = 32 << 10;
/// What is spoken on SPDY's streams.
const VERSION: &str = "x-stream-protocol-version";

/// A client's bytes, in pieces; they end where it has closed, or broke off.
pub(in crate::api) type Incoming = Pin<Box<dyn Stream<Item = Bytes> + Send>>;
/// Takes bytes for a client.
pub(in crate::api) type Outgoing = Pin<Box<dyn Sink<Bytes, Error = io::Error> + Send>>;

/// Whether a client asks for it.
pub(in crate::api) fn is_wanted(headers: &HeaderMap) -> bool {
    headers.get_all(header::UPGRADE).iter().any(|v| v.as_bytes().eq_ignore_ascii_case(b"spdy/3.1"))
}

/// The protocols that a client offers for the streams.
pub(in crate::api) fn offered(headers: &HeaderMap) -> Vec<&[u8]> {
    headers.get_all(VERSION).iter().map(HeaderValue::as_bytes).collect()
}

/// Answers with 101, and has the connection served from then on.
pub(in crate::api) fn take_over<F>(
    parts: &mut Parts,
    protocol: &'static str,
    serve: impl FnOnce(Incoming, Outgoing) -> F + Send + 'static,
) -> Result<Response, Failure>
where
    F: Future<Output = ()> + Send,
{
    let upgrade = parts
        .extensions
        .remove::<OnUpgrade>()
        .ok_or_else(|| Failure::bad_request("this connection cannot be taken over: SPDY needs HTTP/1.1"))?;
    tokio::spawn(async move {
        match upgrade.await {
            Ok(upgraded) => {
                let (read, write) = tokio::io::split(TokioIo::new(upgraded));
                let incoming = stream::unfold(read, |mut read| async {
                    let mut bytes = BytesMut::with_capacity(READ);
                    match read.read_buf(&mut bytes).await {
                        Ok(1..) => Some((bytes.freeze(), read)),
                        Ok(0) | Err(_) => None,
                    }
                });
                let outgoing = sink::unfold(write, |mut write, bytes: Bytes| async move {
                    write.write_all(&bytes).await?;
                    write.flush().await?;
                    Ok::<_, io::Error>(write)
                });
                serve(Box::pin(incoming), Box::pin(outgoing)).await;
            }
            Err(error) => tracing::debug!(%error, "a client that asked for SPDY went away at once"),
        }
    });
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    for (name, value) in [("connection", "Upgrade"), ("upgrade", "SPDY/3.1"), (VERSION, protocol)] {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    Ok(response)
}
