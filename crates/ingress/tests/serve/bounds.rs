//! Clients that send too much, too slowly, or nothing.

use std::time::Duration;

use bytes::Bytes;
use evenkeel_ingress::Limits;
use http_body_util::{Full, StreamBody};
use hyper::{Request, StatusCode, body::Frame};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use crate::kit::{Backend, Node, PATIENCE, dial, get, read, send};

/// All that a connection gives until it is closed.
async fn until_closed(mut stream: TcpStream) -> String {
    let mut said = Vec::new();
    // A reset is an end, too.
    drop(tokio::time::timeout(PATIENCE, stream.read_to_end(&mut said)).await.expect("the connection is closed"));
    String::from_utf8(said).unwrap()
}

#[tokio::test]
async fn a_head_has_a_bound() {
    let web = Backend::named("web").await;
    let node = Node::start(Limits { headers: 16 << 10, ..Limits::default() });
    let at = node.leads(&[web.at]).await;
    let with = |bytes: usize| {
        Request::get("/")
            .header("host", "web.example")
            .header("x-large", "x".repeat(bytes))
            .body(Full::default())
            .unwrap()
    };
    assert_eq!(send(at, with(8 << 10)).await.status, StatusCode::OK);
    assert_eq!(send(at, with(32 << 10)).await.status, StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE);
    // One that never ends is cut off.
    let mut stream = TcpStream::connect(at).await.unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nHost: web.example\r\nX: ").await.unwrap();
    let (mut back, mut forth) = stream.into_split();
    let writer = tokio::spawn(async move {
        let mut sent = 0usize;
        while forth.write_all(&[b'x'; 4096]).await.is_ok() {
            sent += 4096;
        }
        sent
    });
    let mut said = Vec::new();
    drop(back.read_to_end(&mut said).await);
    assert!(said.starts_with(b"HTTP/1.1 431"), "{}", String::from_utf8_lossy(&said));
    let sent = tokio::time::timeout(PATIENCE, writer).await.unwrap().unwrap();
    assert!(sent < 64 << 20, "{sent} bytes were taken");
}

#[tokio::test]
async fn a_body_has_a_bound_whether_it_says_its_length_or_not() {
    let web = Backend::named("web").await;
    let node = Node::start(Limits { body: 100_000, ..Limits::default() });
    let at = node.leads(&[web.at]).await;
    let post =
        |bytes: usize| Request::post("/").header("host", "web.example").body(Full::from(vec![0u8; bytes])).unwrap();
    assert_eq!(send(at, post(100_000)).await.status, StatusCode::OK);
    let answer = send(at, post(100_001)).await;
    assert_eq!(answer.status, StatusCode::PAYLOAD_TOO_LARGE, "{}", answer.text);
    let chunks =
        futures_util::stream::iter((0..50).map(|_| Ok::<_, std::io::Error>(Frame::data(Bytes::from(vec![0; 10_000])))));
    let request = Request::post("/").header("host", "web.example").body(StreamBody::new(chunks)).unwrap();
    let mut sender = dial(at).await;
    let answer = read(sender.send_request(request).await.unwrap()).await;
    assert_eq!(answer.status, StatusCode::PAYLOAD_TOO_LARGE, "{}", answer.text);
}

#[tokio::test]
async fn clients_that_are_slow_or_silent_are_left() {
    let web = Backend::named("web").await;
    let short = Duration::from_millis(400);
    let node = Node::start(Limits { head: short, idle: short, body_pause: short, ..Limits::default() });
    let at = node.leads(&[web.at]).await;
    // Nothing at all; a head that does not end; an idle one; HTTP/2 that asks nothing.
    let silent = TcpStream::connect(at).await.unwrap();
    let mut half = TcpStream::connect(at).await.unwrap();
    half.write_all(b"GET / HTTP/1.1\r\nHost: web.exa").await.unwrap();
    let mut idle = TcpStream::connect(at).await.unwrap();
    idle.write_all(b"GET / HTTP/1.1\r\nHost: web.example\r\n\r\n").await.unwrap();
    let mut two = TcpStream::connect(at).await.unwrap();
    two.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").await.unwrap();
    // A body that stops.
    let mut stops = TcpStream::connect(at).await.unwrap();
    stops.write_all(b"POST / HTTP/1.1\r\nHost: web.example\r\nContent-Length: 100\r\n\r\nabc").await.unwrap();
    assert_eq!(until_closed(silent).await, "");
    let half = until_closed(half).await;
    assert!(half.is_empty() || half.starts_with("HTTP/1.1 408"), "{half}");
    assert!(until_closed(idle).await.starts_with("HTTP/1.1 200"));
    let mut rest = Vec::new();
    drop(tokio::time::timeout(PATIENCE, two.read_to_end(&mut rest)).await.expect("HTTP/2 that asks nothing is closed"));
    let stops = until_closed(stops).await;
    assert!(stops.starts_with("HTTP/1.1 408"), "{stops}");
    // Who is quick is served meanwhile and after.
    assert_eq!(get(at, "web.example", "/").await.status, StatusCode::OK);
}
