//! Requests for ports as clients send them.

use axum::{body::Body, http::Request};
use evenkeel_wire::stream::NodeEnd;
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio_tungstenite::tungstenite::Message as Sent;
use tower::ServiceExt as _;

use super::*;
use crate::api::{
    tests::{Fake, REFUSED, admin, api, pod},
    websocket::tests::{Socket, connect, refused},
};

const PATH: &str = "/api/v1/namespaces/shop/pods/web/portforward";

fn fake() -> Arc<Fake> {
    let fake = Fake::new();
    fake.put(pod("web", "Running"));
    fake
}

/// A connection with a server at its other end.
pub(in crate::api) fn served(fake: &Arc<Fake>) -> tokio::io::DuplexStream {
    let (near, far) = tokio::io::duplex(64 << 10);
    let router = api(fake);
    let service = hyper::service::service_fn(move |request: Request<Incoming>| {
        let mut request = request.map(Body::new);
        request.extensions_mut().insert(admin());
        router.clone().oneshot(request)
    });
    tokio::spawn(async move {
        let builder = hyper_util::server::conn::auto::Builder::new(TokioExecutor::new());
        if let Err(error) = builder.serve_connection_with_upgrades(TokioIo::new(far), service).await {
            // A client may go before it has its answer.
            let early = error.downcast_ref::<hyper::Error>().is_some_and(hyper::Error::is_incomplete_message);
            assert!(early, "{error}");
        }
    });
    near
}

/// The next binary message; `None` where the server has closed.
async fn next(socket: &mut Socket) -> Option<Vec<u8>> {
    loop {
        match socket.next().await?.unwrap() {
            Sent::Binary(bytes) => return Some(bytes.to_vec()),
            Sent::Ping(_) => {}
            Sent::Close(_) => return None,
            other => panic!("{other:?}"),
        }
    }
}

async fn begun(fake: &Arc<Fake>, protocol: &str) -> (Socket, NodeEnd) {
    let mut socket = connect(fake, &format!("{PATH}?ports=8080"), protocol).await.unwrap();
    assert_eq!(next(&mut socket).await.unwrap(), [0, 0x90, 0x1f]);
    assert_eq!(next(&mut socket).await.unwrap(), [1, 0x90, 0x1f]);
    let (request, node) = fake.ports.lock().unwrap().pop().unwrap();
    assert_eq!(request.port, 8080);
    (socket, node)
}

#[tokio::test]
async fn a_connection_in_channels_ends_each_way_by_itself() {
    let fake = fake();
    let (mut socket, mut node) = begun(&fake, "v5.channel.k8s.io").await;
    for sent in [&b"\0question"[..], b"\xff\0"] {
        socket.send(Sent::Binary(sent.to_vec().into())).await.unwrap();
    }
    assert_eq!(node.recv.recv().await, Some(StreamInput::Stdin("question".into())));
    assert_eq!(node.recv.recv().await, Some(StreamInput::StdinEnd));
    for output in [StreamOutput::Stdout("answer".into()), StreamOutput::StdoutEnd, StreamOutput::Ended { exit_code: 0 }]
    {
        node.send(output).await.unwrap();
    }
    assert_eq!(next(&mut socket).await.unwrap(), b"\0answer");
    assert_eq!(next(&mut socket).await.unwrap(), b"\xff\0");
    assert_eq!(next(&mut socket).await, None);
}

#[tokio::test]
async fn version_4_ends_with_the_pods_end() {
    let fake = fake();
    let (mut socket, node) = begun(&fake, "v4.channel.k8s.io").await;
    node.send(StreamOutput::Stdout("answer".into())).await.unwrap();
    node.send(StreamOutput::StdoutEnd).await.unwrap();
    assert_eq!(next(&mut socket).await.unwrap(), b"\0answer");
    assert_eq!(next(&mut socket).await, None);
}

#[tokio::test]
async fn failures_are_told_and_a_client_that_goes_is_seen() {
    let fake = fake();
    let mut socket = connect(&fake, &format!("{PATH}?ports={REFUSED}"), "v5.channel.k8s.io").await.unwrap();
    assert_eq!(next(&mut socket).await.unwrap(), [0, 9, 0]);
    assert_eq!(next(&mut socket).await.unwrap(), [1, 9, 0]);
    assert_eq!(next(&mut socket).await.unwrap(), b"\x01nothing listens on port 9");
    assert_eq!(next(&mut socket).await, None);

    let (mut socket, mut node) = begun(&fake, "v5.channel.k8s.io").await;
    socket.send(Sent::Binary(b"\x07?".to_vec().into())).await.unwrap();
    assert!(String::from_utf8(next(&mut socket).await.unwrap()).unwrap().contains("channel 7"));
    assert_eq!(node.recv.recv().await, None);

    let (socket, mut node) = begun(&fake, "v5.channel.k8s.io").await;
    drop(socket);
    assert_eq!(node.recv.recv().await, None);
}

#[tokio::test]
async fn a_kubectl_of_today_is_taken_up() {
    let fake = fake();
    let offered = format!("{TUNNEL}, v4.channel.k8s.io");
    let mut socket = connect(&fake, PATH, &offered).await.unwrap();
    // A ping in pieces comes back whole.
    let ping = [0x80, 3, 0, 6, 0, 0, 0, 4, 0, 0, 0, 1];
    socket.send(Sent::Binary(ping[..5].to_vec().into())).await.unwrap();
    socket.send(Sent::Binary(ping[5..].to_vec().into())).await.unwrap();
    loop {
        let got = next(&mut socket).await.unwrap();
        if got == ping {
            break;
        }
        // Otherwise the server's own.
        assert_eq!((&got[..8], got[11] % 2), (&ping[..8], 0));
    }
}

#[tokio::test]
async fn a_kubectl_of_before_is_taken_up() {
    let fake = fake();
    let mut stream = served(&fake);
    let request = format!(
        "POST {PATH} HTTP/1.1\r\nhost: server\r\nconnection: Upgrade\r\nupgrade: SPDY/3.1\r\n\
         x-stream-protocol-version: portforward.k8s.io\r\ncontent-length: 0\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    let head = String::from_utf8(head).unwrap().to_ascii_lowercase();
    assert!(head.starts_with("http/1.1 101") && head.contains("upgrade: spdy/3.1"), "{head}");
    assert!(head.contains("x-stream-protocol-version: portforward.k8s.io"), "{head}");
    let ping = [0x80, 3, 0, 6, 0, 0, 0, 4, 0, 0, 0, 1];
    stream.write_all(&ping).await.unwrap();
    let mut got = [0; 12];
    while got != ping {
        stream.read_exact(&mut got).await.unwrap();
    }
}

#[tokio::test]
async fn what_makes_no_sense_is_refused_before_the_connection_is_taken_over() {
    let fake = fake();
    for (query, text) in [
        ("", "which port"),
        ("?ports=0", "1 to 65535"),
        ("?ports=http", "1 to 65535"),
        ("?ports=80&ports=81", "more than one"),
    ] {
        let (code, body) = refused(&fake, &format!("{PATH}{query}"), "v5.channel.k8s.io").await;
        assert!(code == 400 && body.contains(text), "{query}: {code} {body}");
    }
    let (code, body) = refused(&fake, &format!("{PATH}?ports=80"), "v9.channel.k8s.io").await;
    assert!(code == 400 && body.contains(TUNNEL), "{code} {body}");
    let other = PATH.replace("web", "none");
    assert_eq!(refused(&fake, &format!("{other}?ports=80"), "v5.channel.k8s.io").await.0, 404);
    assert!(fake.ports.lock().unwrap().is_empty());
}
