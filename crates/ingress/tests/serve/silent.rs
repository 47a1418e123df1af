//! Backends that fall silent, as when their node loses its power, on connections that were kept or are in use;
//! and those that are merely idle or slow, which must not be taken for one. Needs root, iproute2 and nftables:
//! a backend falls silent by a rule in a network of the test's own.

use std::{
    io::Write as _,
    net::SocketAddr,
    pin::Pin,
    process::{Command, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use evenkeel_ingress::Limits;
use futures_util::Stream;
use http_body_util::{BodyExt as _, Full, StreamBody};
use hyper::{
    Request, Response, StatusCode,
    body::{Frame, Incoming},
    client::conn::http2,
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::{
        Notify,
        mpsc::{Sender, channel},
    },
};

use crate::kit::{Backend, Node, PATIENCE, dial, get, loopback, read, send, service};

/// Nobody takes what is sent for this long.
const TAKEN: Duration = Duration::from_millis(700);
/// What is bounded by it ends before this; the kernel alone would take a minute.
const SOON: Duration = Duration::from_secs(15);

fn limits() -> Limits {
    Limits { connect: Duration::from_millis(500), taken: TAKEN, ..Limits::default() }
}

/// Runs a test in a network of its own, whose loopback is all that it has.
fn apart(test: impl AsyncFnOnce() + Send + 'static) {
    let run = move || {
        nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNET).expect("a network of its own needs root");
        assert!(Command::new("ip").args(["link", "set", "lo", "up"]).status().unwrap().success());
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(test());
    };
    // The thread stays in that network, so it is no other test's.
    if let Err(panic) = std::thread::spawn(run).join() {
        std::panic::resume_unwind(panic);
    }
}

/// Nothing reaches a backend any more, nor comes from it.
fn hush(backend: SocketAddr) {
    let port = backend.port();
    let rules = format!(
        "add table ip power
        add chain ip power off {{ type filter hook input priority 0; }}
        add rule ip power off tcp dport {port} drop
        add rule ip power off tcp sport {port} drop
        "
    );
    let mut nft = Command::new("nft").args(["-f", "-"]).stdin(Stdio::piped()).spawn().expect("nftables");
    nft.stdin.take().unwrap().write_all(rules.as_bytes()).unwrap();
    assert!(nft.wait().unwrap().success());
}

type Part = Result<Frame<Bytes>, std::io::Error>;
type Parts = StreamBody<Pin<Box<dyn Stream<Item = Part> + Send>>>;

/// A body in parts that are sent as the test goes on.
fn parts() -> (Sender<Part>, Parts) {
    let (send, receive) = channel::<Part>(1);
    let stream = futures_util::stream::unfold(receive, |mut r| async move { r.recv().await.map(|f| (f, r)) });
    (send, StreamBody::new(Box::pin(stream)))
}

async fn part(to: &Sender<Part>, text: &'static str) {
    to.send(Ok(Frame::data(Bytes::from_static(text.as_bytes())))).await.unwrap();
}

/// Sends back each part as it comes.
async fn echo() -> Backend {
    Backend::with(|request: Request<Incoming>| async move {
        let (send, body) = parts();
        let mut coming = request.into_body();
        tokio::spawn(async move {
            while let Some(Ok(frame)) = coming.frame().await {
                if send.send(Ok(frame)).await.is_err() {
                    return;
                }
            }
        });
        Response::builder().header("content-type", "application/grpc").body(body).unwrap()
    })
    .await
}

async fn http2_to(at: SocketAddr) -> http2::SendRequest<Parts> {
    let stream = TcpStream::connect(at).await.unwrap();
    let (sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    sender
}

fn call(body: Parts) -> Request<Parts> {
    let request = Request::post("http://web.example/shop.Orders/Watch").header("content-type", "application/grpc");
    request.header("te", "trailers").body(body).unwrap()
}

#[test]
fn requests_without_a_body_are_answered_by_another() {
    apart(async || {
        let (lost, there) = (Backend::named("lost").await, Backend::named("there").await);
        let node = Node::start(limits());
        let at = node.leads(&[lost.at]).await;
        assert!(get(at, "web.example", "/").await.text.starts_with("lost "));
        node.services(vec![service("web", &[lost.at, there.at])]);
        hush(lost.at);
        let begun = Instant::now();
        for _ in 0..10 {
            let answer = get(at, "web.example", "/").await;
            assert!(answer.text.starts_with("there "), "{}: {}", answer.status, answer.text);
        }
        assert!(begun.elapsed() < SOON, "{:?}", begun.elapsed());
    });
}

#[test]
fn an_upload_under_way_ends_soon() {
    apart(async || {
        let came = Arc::new(Notify::new());
        let told = came.clone();
        let lost = Backend::with(move |request: Request<Incoming>| {
            let told = told.clone();
            async move {
                let mut body = request.into_body();
                while let Some(Ok(_)) = body.frame().await {
                    told.notify_one();
                }
                Response::new(Full::<Bytes>::default())
            }
        })
        .await;
        let there = Backend::named("there").await;
        let node = Node::start(limits());
        let at = node.leads(&[lost.at]).await;
        let (send_part, body) = parts();
        let request = Request::post("/").header("host", "web.example").body(body).unwrap();
        let mut sender = dial(at).await;
        let answer = tokio::spawn(async move { read(sender.send_request(request).await.unwrap()).await });
        part(&send_part, "first").await;
        came.notified().await;
        node.services(vec![service("web", &[lost.at, there.at])]);
        hush(lost.at);
        let begun = Instant::now();
        part(&send_part, "second").await;
        let answer = answer.await.unwrap();
        assert_eq!(answer.status, StatusCode::GATEWAY_TIMEOUT, "{}", answer.text);
        assert!(answer.text.contains("nobody takes"), "{}", answer.text);
        assert!(begun.elapsed() < SOON, "{:?}", begun.elapsed());
        // The next ones go round it at once.
        for _ in 0..5 {
            let post = Request::post("/").header("host", "web.example").body(Full::from("x")).unwrap();
            assert!(send(at, post).await.text.starts_with("there "));
        }
    });
}

#[test]
fn a_stream_of_grpc_ends_soon_and_the_next_go_to_another() {
    apart(async || {
        let (lost, there) = (echo().await, echo().await);
        let node = Node::start(limits());
        let at = node.leads(&[lost.at]).await;
        let mut sender = http2_to(at).await;
        let (send_part, body) = parts();
        let response = sender.send_request(call(body)).await.unwrap();
        let mut answer = response.into_body();
        part(&send_part, "first").await;
        assert_eq!(answer.frame().await.unwrap().unwrap().into_data().unwrap(), "first");
        node.services(vec![service("web", &[lost.at, there.at])]);
        hush(lost.at);
        let begun = Instant::now();
        part(&send_part, "second").await;
        let ended = tokio::time::timeout(PATIENCE, answer.frame()).await.expect("the stream ends");
        assert!(ended.is_none_or(|f| f.is_err()), "nobody sent anything back");
        assert!(begun.elapsed() < SOON, "{:?}", begun.elapsed());
        for n in 0..6 {
            let (send_part, body) = parts();
            let response = sender.send_request(call(body)).await.unwrap();
            assert_eq!(response.status(), StatusCode::OK, "{n}");
            part(&send_part, "again").await;
            let back = response.into_body().frame().await.unwrap().unwrap();
            assert_eq!(back.into_data().unwrap(), "again");
        }
    });
}

/// Idle for as long as would be too long for an answer to what was sent.
async fn idle() {
    tokio::time::sleep(TAKEN * 3).await;
}

#[tokio::test]
async fn streams_that_are_idle_are_not_cut() {
    let echo = echo().await;
    let node = Node::start(limits());
    let at = node.leads(&[echo.at]).await;
    let mut sender = http2_to(at).await;
    let (send_part, body) = parts();
    let mut answer = sender.send_request(call(body)).await.unwrap().into_body();
    for _ in 0..3 {
        part(&send_part, "beat").await;
        assert_eq!(answer.frame().await.unwrap().unwrap().into_data().unwrap(), "beat");
        idle().await;
    }
    assert_eq!(echo.connections.load(std::sync::atomic::Ordering::Relaxed), 1);
}

/// Speaks HTTP as a test says it.
async fn by_hand<F: Future<Output = ()> + Send>(talk: impl FnOnce(TcpStream) -> F + Send + 'static) -> SocketAddr {
    let listener = TcpListener::bind(loopback(0)).await.unwrap();
    let at = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        talk(stream).await;
    });
    at
}

#[tokio::test]
async fn a_connection_that_went_over_to_another_protocol_may_be_idle() {
    let backend = by_hand(async |mut stream: TcpStream| {
        let mut buffer = [0; 4096];
        let n = stream.read(&mut buffer).await.unwrap();
        assert!(buffer[..n].ends_with(b"\r\n\r\n"));
        let switched = b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: echo\r\n\r\n";
        stream.write_all(switched).await.unwrap();
        let (mut back, mut forth) = stream.split();
        drop(tokio::io::copy(&mut back, &mut forth).await);
    })
    .await;
    let node = Node::start(limits());
    let at = node.leads(&[backend]).await;
    let mut stream = TcpStream::connect(at).await.unwrap();
    let head = b"GET / HTTP/1.1\r\nHost: web.example\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n";
    stream.write_all(head).await.unwrap();
    let mut said = Vec::new();
    while !said.ends_with(b"\r\n\r\n") {
        said.push(stream.read_u8().await.unwrap());
    }
    assert!(said.starts_with(b"HTTP/1.1 101"), "{}", String::from_utf8_lossy(&said));
    for _ in 0..3 {
        stream.write_all(b"beat").await.unwrap();
        let mut back = [0; 4];
        stream.read_exact(&mut back).await.unwrap();
        assert_eq!(&back, b"beat");
        idle().await;
    }
}

#[tokio::test]
async fn a_backend_that_reads_nothing_for_a_while_is_waited_for() {
    const BYTES: usize = 40 << 20;
    let backend = by_hand(async |mut stream: TcpStream| {
        idle().await;
        let mut buffer = vec![0; 1 << 20];
        let mut left = BYTES;
        while left > 0 {
            let n = stream.read(&mut buffer).await.unwrap();
            assert!(n > 0, "it was cut off with {left} to come");
            // The first of it has the head, which counts for nothing.
            let head = buffer[..n].windows(4).position(|w| w == b"\r\n\r\n").map_or(0, |at| at + 4);
            left -= n - head;
        }
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await.unwrap();
    })
    .await;
    let node = Node::start(limits());
    let at = node.leads(&[backend]).await;
    let body = Full::from(vec![b'x'; BYTES]);
    let answer = send(at, Request::post("/").header("host", "web.example").body(body).unwrap()).await;
    assert_eq!((answer.status, &*answer.text), (StatusCode::OK, "ok"));
}
