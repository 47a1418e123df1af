//! HTTP/1.1, HTTP/2, TLS with SNI, WebSocket and gRPC, each over real connections.

use std::sync::Arc;

use bytes::Bytes;
use evenkeel_ingress::Limits;
use evenkeel_model::ingress::{BackendProtocol, CertificateNet};
use futures_util::{SinkExt as _, StreamExt as _};
use http_body_util::{BodyExt as _, Full, StreamBody};
use hyper::{
    Request, Response, StatusCode,
    body::{Frame, Incoming},
    client::conn::{http1, http2},
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::{CertificateDer, ServerName, pem::PemObject as _};
use tokio::net::TcpStream;
use tokio_rustls::{TlsConnector, client::TlsStream};
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{Message, protocol::Role},
};

use crate::kit::{Backend, Node, certificate, ingress, read, service, tls};

/// Trusts one certificate alone.
async fn handshake(
    at: std::net::SocketAddr,
    name: &str,
    trusted: &CertificateNet,
    alpn: &[&[u8]],
) -> std::io::Result<TlsStream<TcpStream>> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(trusted.chain.as_bytes()).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = alpn.iter().map(|p| p.to_vec()).collect();
    let stream = TcpStream::connect(at).await?;
    let name = ServerName::try_from(name.to_owned()).unwrap();
    TlsConnector::from(Arc::new(config)).connect(name, stream).await
}

#[tokio::test]
async fn each_name_has_its_certificate_and_http2_where_the_client_speaks_it() {
    let web = Backend::named("web").await;
    let node = Node::start(Limits::default());
    node.services(vec![service("web", &[web.at])]);
    let mut way = ingress("web", &[("a.example", "/", "web"), ("b.example", "/", "web")]);
    way.tls = vec![tls(&["a.example"], "a"), tls(&["*.b.example"], "b")];
    let (a, b) = (certificate("a", "a.example"), certificate("b", "x.b.example"));
    node.ingresses(vec![way.clone()], vec![a.clone(), b.clone()]);
    let at = node.https().await;

    let one = handshake(at, "a.example", &a, &[b"http/1.1"]).await.unwrap();
    let (mut sender, connection) = http1::handshake(TokioIo::new(one)).await.unwrap();
    tokio::spawn(connection);
    let request = Request::get("/").header("host", "a.example").body(Full::<Bytes>::default()).unwrap();
    let text = read(sender.send_request(request).await.unwrap()).await.text;
    assert!(text.contains("x-forwarded-proto: https"), "{text}");

    let two = handshake(at, "a.example", &a, &[b"h2", b"http/1.1"]).await.unwrap();
    assert_eq!(two.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
    let (mut sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(two)).await.unwrap();
    tokio::spawn(connection);
    let request = |n: usize| {
        Request::get(format!("https://a.example/{n}"))
            .header("cookie", "a=1")
            .header("cookie", "b=2")
            .body(Full::<Bytes>::default())
            .unwrap()
    };
    sender.ready().await.unwrap();
    let many = (0..20).map(|n| sender.clone().send_request(request(n)));
    for (n, response) in futures_util::future::join_all(many).await.into_iter().enumerate() {
        let text = read(response.unwrap()).await.text;
        assert!(text.starts_with(&format!("web HTTP/1.1 GET /{n}\n")), "{text}");
        assert!(text.contains("host: a.example") && text.contains("cookie: a=1; b=2"), "{text}");
    }

    handshake(at, "x.b.example", &b, &[]).await.expect("the wildcard's certificate");
    let refused = handshake(at, "c.example", &a, &[]).await.unwrap_err();
    assert!(refused.to_string().contains("alert"), "{refused}");

    // A new certificate holds for the next handshake.
    let renewed = certificate("a", "a.example");
    node.ingresses(vec![way], vec![renewed.clone(), b]);
    handshake(at, "a.example", &renewed, &[]).await.expect("the new certificate");
    handshake(at, "a.example", &a, &[]).await.expect_err("the old certificate");
}

#[tokio::test]
async fn http2_without_tls_is_known_by_its_first_bytes() {
    let web = Backend::named("web").await;
    let node = Node::start(Limits::default());
    let at = node.leads(&[web.at]).await;
    let stream = TcpStream::connect(at).await.unwrap();
    let (mut sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    let request = Request::get("http://web.example/x").body(Full::<Bytes>::default()).unwrap();
    let text = read(sender.send_request(request).await.unwrap()).await.text;
    assert!(text.starts_with("web HTTP/1.1 GET /x\n"), "{text}");
}

#[tokio::test]
async fn http2_goes_to_a_backend_that_speaks_it() {
    let web = Backend::named("web").await;
    let node = Node::start(Limits::default());
    node.services(vec![service("web", &[web.at])]);
    let mut way = ingress("web", &[("web.example", "/", "web")]);
    way.rules[0].paths[0].backend.protocol = BackendProtocol::H2c;
    node.ingresses(vec![way.clone()], Vec::new());
    let at = node.http().await;
    for _ in 0..5 {
        let text = crate::kit::get(at, "web.example", "/x?y").await.text;
        assert!(text.starts_with("web HTTP/2.0 GET http://web.example/x?y\n"), "{text}");
    }
    assert_eq!(web.connections.load(std::sync::atomic::Ordering::Relaxed), 1, "one carries all");
    way.rules[0].paths[0].backend.protocol = BackendProtocol::Tls;
    node.ingresses(vec![way], Vec::new());
    let answer = crate::kit::get(at, "web.example", "/").await;
    assert_eq!(answer.status, StatusCode::BAD_GATEWAY);
    assert!(answer.text.contains("not supported yet"), "{}", answer.text);
}

#[tokio::test]
async fn a_web_socket_goes_through() {
    let echo = Backend::with(|mut request: Request<Incoming>| async move {
        let wants = request.headers().get("upgrade").is_some_and(|u| u == "websocket");
        assert!(wants && request.headers()["connection"] == "upgrade", "{:?}", request.headers());
        let upgrade = hyper::upgrade::on(&mut request);
        tokio::spawn(async move {
            let io = TokioIo::new(upgrade.await.unwrap());
            let mut socket = WebSocketStream::from_raw_socket(io, Role::Server, None).await;
            while let Some(Ok(message)) = socket.next().await {
                if message.is_text() {
                    socket.send(message).await.unwrap();
                }
            }
        });
        let switched = Response::builder().status(101).header("connection", "upgrade").header("upgrade", "websocket");
        switched.body(Full::<Bytes>::default()).unwrap()
    })
    .await;
    let node = Node::start(Limits::default());
    let at = node.leads(&[echo.at]).await;
    let mut sender = crate::kit::dial(at).await;
    let request = Request::get("/socket")
        .header("host", "web.example")
        .header("connection", "Upgrade")
        .header("upgrade", "websocket")
        .header("sec-websocket-version", "13")
        .header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==")
        .body(Full::<Bytes>::default())
        .unwrap();
    let response = sender.send_request(request).await.unwrap();
    assert_eq!(response.status(), StatusCode::SWITCHING_PROTOCOLS);
    let io = TokioIo::new(hyper::upgrade::on(response).await.unwrap());
    let mut socket = WebSocketStream::from_raw_socket(io, Role::Client, None).await;
    for n in 0..100 {
        let text = format!("{n} {}", "x".repeat(n * 100));
        socket.send(Message::text(text.clone())).await.unwrap();
        assert_eq!(socket.next().await.unwrap().unwrap().into_text().unwrap(), text);
        // It lives on while the tables change.
        node.ingresses(vec![ingress("web", &[("web.example", "/", "web")])], Vec::new());
    }
    socket.close(None).await.unwrap();
    assert_eq!(echo.connections.load(std::sync::atomic::Ordering::Relaxed), 1);
}

/// What gRPC needs: HTTP/2 to the backend, messages both ways at once, and trailers.
#[tokio::test]
async fn grpc_goes_through_with_its_trailers() {
    let grpc = Backend::with(|request: Request<Incoming>| async move {
        assert_eq!(request.version(), hyper::Version::HTTP_2);
        assert_eq!(request.headers()["te"], "trailers");
        let mut body = request.into_body();
        let (send, receive) = tokio::sync::mpsc::channel::<Result<Frame<Bytes>, std::io::Error>>(1);
        tokio::spawn(async move {
            while let Some(Ok(frame)) = body.frame().await {
                if let Ok(data) = frame.into_data() {
                    send.send(Ok(Frame::data(data))).await.unwrap();
                }
            }
            let mut trailers = hyper::HeaderMap::new();
            trailers.insert("grpc-status", "0".parse().unwrap());
            send.send(Ok(Frame::trailers(trailers))).await.unwrap();
        });
        let stream = futures_util::stream::unfold(receive, |mut r| async move { r.recv().await.map(|f| (f, r)) });
        Response::builder().header("content-type", "application/grpc").body(StreamBody::new(stream)).unwrap()
    })
    .await;
    // A stream is not held to the bounds of other bodies.
    let node = Node::start(Limits { body: 10, ..Limits::default() });
    let at = node.leads(&[grpc.at]).await;
    let stream = TcpStream::connect(at).await.unwrap();
    let (mut sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    let (send, receive) = tokio::sync::mpsc::channel::<Result<Frame<Bytes>, std::io::Error>>(1);
    let messages = futures_util::stream::unfold(receive, |mut r| async move { r.recv().await.map(|f| (f, r)) });
    let body = StreamBody::new(Box::pin(messages));
    let request = Request::post("http://web.example/shop.Orders/Watch")
        .header("content-type", "application/grpc+proto")
        .header("te", "trailers")
        .body(body)
        .unwrap();
    let response = sender.send_request(request).await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    let mut answer = response.into_body();
    for n in 0..50u8 {
        send.send(Ok(Frame::data(vec![n; 100].into()))).await.unwrap();
        let frame = answer.frame().await.unwrap().unwrap();
        assert_eq!(frame.into_data().unwrap(), vec![n; 100], "each message comes before the next is sent");
    }
    drop(send);
    let last = answer.frame().await.unwrap().unwrap();
    assert_eq!(last.into_trailers().unwrap()["grpc-status"], "0");
}
