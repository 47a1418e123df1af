//! Endpoints that refuse, are silent or close in the very moment: what is tried again, and what not.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use evenkeel_ingress::Limits;
use http_body_util::Full;
use hyper::{Request, StatusCode};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
};

use crate::kit::{Backend, Node, get, loopback, nobody, send};

#[tokio::test]
async fn another_endpoint_is_tried_when_a_connection_is_refused() {
    let web = Backend::named("web").await;
    let node = Node::start(Limits::default());
    let at = node.leads(&[nobody().await, web.at, nobody().await]).await;
    for n in 0..30 {
        let request = Request::post("/").header("host", "web.example").body(Full::from(vec![b'x'; 100_000])).unwrap();
        let answer = send(at, request).await;
        assert_eq!(answer.status, StatusCode::OK, "{n}: {}", answer.text);
        assert!(answer.text.contains("100000 bytes"), "{}", answer.text);
    }
    assert_eq!(web.requests.load(Ordering::Relaxed), 30);
}

#[tokio::test]
async fn who_has_nobody_left_is_told_so() {
    let node = Node::start(Limits::default());
    let at = node.leads(&[nobody().await, nobody().await]).await;
    let answer = get(at, "web.example", "/").await;
    assert_eq!(answer.status, StatusCode::BAD_GATEWAY);
    assert!(answer.text.contains("none of 2 endpoints"), "{}", answer.text);
}

/// One that closes each connection when a second request is on it, having read it.
async fn closes_on_the_second() -> (std::net::SocketAddr, Arc<AtomicUsize>) {
    let listener = TcpListener::bind(loopback(0)).await.unwrap();
    let at = listener.local_addr().unwrap();
    let heads = Arc::new(AtomicUsize::new(0));
    let count = heads.clone();
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let count = count.clone();
            tokio::spawn(async move {
                let mut buffer = [0; 4096];
                for n in 0.. {
                    if stream.read(&mut buffer).await.unwrap_or(0) == 0 {
                        return;
                    }
                    count.fetch_add(1, Ordering::SeqCst);
                    if n == 1 {
                        return;
                    }
                    stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await.unwrap();
                }
            });
        }
    });
    (at, heads)
}

#[tokio::test]
async fn an_idle_connection_that_closes_in_the_very_moment_costs_only_a_second_sending_of_what_is_safe() {
    let (backend, heads) = closes_on_the_second().await;
    let node = Node::start(Limits::default());
    let at = node.leads(&[backend]).await;
    for _ in 0..10 {
        let answer = get(at, "web.example", "/").await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
    }
    // Each but the first found a connection that closed on it.
    assert!(heads.load(Ordering::SeqCst) > 10);
    // What changes something is never sent twice.
    let before = heads.load(Ordering::SeqCst);
    let post = || Request::post("/").header("host", "web.example").body(Full::<Bytes>::from("x")).unwrap();
    let mut sent = 0;
    let mut refused = false;
    for _ in 0..4 {
        sent += 1;
        let answer = send(at, post()).await;
        refused |= answer.status == StatusCode::BAD_GATEWAY;
    }
    assert!(refused, "one of them met a connection that was closed on it");
    assert_eq!(heads.load(Ordering::SeqCst) - before, sent);
}

#[tokio::test]
async fn a_backend_that_does_not_answer_is_not_waited_for_without_end() {
    let silent = TcpListener::bind(loopback(0)).await.unwrap();
    let limits = Limits { answer: Duration::from_millis(300), ..Limits::default() };
    let node = Node::start(limits);
    let at = node.leads(&[silent.local_addr().unwrap()]).await;
    let answer = get(at, "web.example", "/").await;
    assert_eq!(answer.status, StatusCode::GATEWAY_TIMEOUT, "{}", answer.text);
}

#[tokio::test]
async fn a_backend_that_speaks_no_http_is_told() {
    let odd = TcpListener::bind(loopback(0)).await.unwrap();
    let at_odd = odd.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = odd.accept().await.unwrap();
            let mut buffer = [0; 1024];
            drop(stream.read(&mut buffer).await);
            drop(stream.write_all(b"SSH-2.0-OpenSSH\r\n\r\n").await);
        }
    });
    let node = Node::start(Limits::default());
    let at = node.leads(&[at_odd]).await;
    let answer = get(at, "web.example", "/").await;
    assert_eq!(answer.status, StatusCode::BAD_GATEWAY);
    assert!(answer.text.contains("does not speak HTTP"), "{}", answer.text);
}

/// HTTP/2 says goodbye while a stream is still open: the connection is there and takes nothing more.
#[tokio::test]
async fn a_connection_that_said_goodbye_is_left_for_another_endpoint() {
    let go = Arc::new(tokio::sync::Notify::new());
    let wait = go.clone();
    let slow = Backend::with(move |request: Request<hyper::body::Incoming>| {
        let wait = wait.clone();
        async move {
            if request.uri().path() == "/slow" {
                wait.notified().await;
            }
            hyper::Response::new(Full::<Bytes>::from("slow"))
        }
    })
    .await;
    let other = Backend::named("other").await;
    let node = Node::start(Limits::default());
    node.services(vec![crate::kit::service("web", &[slow.at])]);
    let mut way = crate::kit::ingress("web", &[("web.example", "/", "web")]);
    way.rules[0].paths[0].backend.protocol = evenkeel_model::ingress::BackendProtocol::H2c;
    node.ingresses(vec![way], Vec::new());
    let at = node.http().await;
    let waits = tokio::spawn(async move { get(at, "web.example", "/slow").await });
    let begun = std::time::Instant::now();
    while slow.requests.load(Ordering::Relaxed) == 0 {
        assert!(begun.elapsed() < crate::kit::PATIENCE);
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    // Both are in the Service: what was said goodbye to is known by the connection alone.
    node.services(vec![crate::kit::service("web", &[slow.at, other.at])]);
    slow.ends();
    for _ in 0..20 {
        let answer = get(at, "web.example", "/").await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
    }
    go.notify_one();
    let slowly = waits.await.unwrap();
    assert_eq!((slowly.status, &*slowly.text), (StatusCode::OK, "slow"), "what was under way ends well");
}
