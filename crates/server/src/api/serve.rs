//! The listener: TCP and TLS under the router, with bounds on everything a client can hold.
//!
//! Called by the host with a bound socket and the TLS configuration of `pki`. Runs until `stop` is
//! cancelled, then lets requests under way end.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use axum::{Router, body::Body, http::Request};
use hyper::body::Incoming;
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto,
};
use rustls::ServerConfig;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{sleep, timeout},
};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

use super::{
    Api,
    auth::{Client, Identity},
    router,
};

/// Connections at once: each costs two file descriptors at most and some ten KiB.
const CONNECTIONS: usize = 1024;
/// A TLS handshake takes at most this long: it is two round trips and a few ms.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// Headers of a request arrive within this time.
const HEADERS: Duration = Duration::from_secs(10);
/// Streams at once on one HTTP/2 connection: as in Kubernetes.
const STREAMS: u32 = 250;
/// Bytes of a request's headers: as in Kubernetes, times what certificates in headers may need.
const HEADER_BYTES: usize = 64 << 10;
/// A silent HTTP/2 connection is asked this often whether it is alive.
const KEEP_ALIVE: Duration = Duration::from_secs(30);
/// After a failed accept (no file descriptors left, most of all) the listener waits this long.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// Requests under way get this long to end when the server stops.
const DRAIN: Duration = Duration::from_secs(5);

/// Serves the API until `stop` is cancelled.
pub async fn serve(api: Arc<Api>, listener: TcpListener, tls: Arc<ServerConfig>, stop: CancellationToken) {
    let acceptor = TlsAcceptor::from(tls);
    let router = router(api);
    let free = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let (permit, accepted) = tokio::select! {
            () = stop.cancelled() => break,
            next = accept(&listener, &free) => next,
        };
        match accepted {
            Ok((tcp, peer)) => {
                let (acceptor, router, stop) = (acceptor.clone(), router.clone(), stop.clone());
                metrics::gauge!("evenkeel_connections").increment(1);
                tokio::spawn(async move {
                    connection(tcp, peer, &acceptor, router, stop).await;
                    metrics::gauge!("evenkeel_connections").decrement(1);
                    drop(permit);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                metrics::counter!("evenkeel_accept_failures_total").increment(1);
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    drop(listener);
    let all = u32::try_from(CONNECTIONS).unwrap_or(u32::MAX);
    let _drained = timeout(DRAIN, free.acquire_many(all)).await;
}

type Accepted = (Option<OwnedSemaphorePermit>, std::io::Result<(TcpStream, SocketAddr)>);

async fn accept(listener: &TcpListener, free: &Arc<Semaphore>) -> Accepted {
    // The semaphore is never closed.
    let permit = free.clone().acquire_owned().await.ok();
    (permit, listener.accept().await)
}

async fn connection(tcp: TcpStream, peer: SocketAddr, acceptor: &TlsAcceptor, router: Router, stop: CancellationToken) {
    if let Err(error) = tcp.set_nodelay(true) {
        tracing::debug!(%peer, %error, "TCP_NODELAY was refused");
    }
    let tls = match timeout(HANDSHAKE, acceptor.accept(tcp)).await {
        Ok(Ok(tls)) => tls,
        Ok(Err(error)) => return tracing::debug!(%peer, %error, "TLS handshake failed"),
        Err(_) => return tracing::debug!(%peer, "TLS handshake took too long"),
    };
    let certificate = tls.get_ref().1.peer_certificates().and_then(|c| c.first());
    let client = Client(certificate.and_then(|c| Identity::of_certificate(c)));
    let service = hyper::service::service_fn(move |request: Request<Incoming>| {
        let mut request = request.map(Body::new);
        request.extensions_mut().insert(client.clone());
        router.clone().oneshot(request)
    });
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(HEADERS).max_buf_size(HEADER_BYTES);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS)
        .max_header_list_size(u32::try_from(HEADER_BYTES).unwrap_or(u32::MAX))
        .keep_alive_interval(KEEP_ALIVE);
    let serving = builder.serve_connection_with_upgrades(TokioIo::new(tls), service);
    tokio::pin!(serving);
    let ended = tokio::select! {
        ended = serving.as_mut() => ended,
        () = stop.cancelled() => {
            serving.as_mut().graceful_shutdown();
            serving.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%peer, %error, "a connection ended early");
    }
}
