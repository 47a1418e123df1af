//! Requests in the shapes that clients and attackers give them, byte by byte: what is refused, and what the
//! backend gets of those that are not. And backends that answer in odd shapes.

use std::{net::SocketAddr, sync::Arc, sync::atomic::Ordering};

use evenkeel_ingress::Limits;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};

use crate::kit::{Backend, Node, PATIENCE, loopback};

/// What a connection gives for these bytes until it is closed.
async fn talk(at: SocketAddr, bytes: &[u8]) -> String {
    tokio::time::timeout(PATIENCE, async {
        let mut stream = TcpStream::connect(at).await.unwrap();
        stream.write_all(bytes).await.unwrap();
        let mut said = Vec::new();
        stream.read_to_end(&mut said).await.unwrap();
        String::from_utf8(said).unwrap()
    })
    .await
    .unwrap_or_else(|_| panic!("no end after {}", String::from_utf8_lossy(bytes)))
}

/// A request of a first line, with a Host, that closes its connection.
fn closing(line: &str, rest: &str) -> Vec<u8> {
    format!("{line}\r\nHost: web.example\r\nConnection: close\r\n{rest}").into_bytes()
}

#[tokio::test]
async fn bodies_whose_end_could_be_read_in_two_ways_are_refused() {
    let web = Backend::named("web").await;
    let node = Node::start(Limits::default());
    let at = node.leads(&[web.at]).await;
    for (rest, status) in [
        ("Content-Length: 4\r\nContent-Length: 5\r\n\r\nabcde", "400"),
        ("Content-Length: 4, 4\r\n\r\nabcd", "400"),
        ("Content-Length: +4\r\n\r\nabcd", "400"),
        ("Content-Length : 4\r\n\r\nabcd", "400"),
        ("Transfer-Encoding: identity\r\nContent-Length: 2\r\n\r\nab", "400"),
        ("Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n", "400"),
        ("Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", "400"),
        ("Transfer-Encoding: \u{b}chunked\r\n\r\n0\r\n\r\n", "400"),
        ("X-A: 1\r\n folded\r\n\r\n", "400"),
        ("X-A: a\rb\r\n\r\n", "400"),
        ("X-A: a\0b\r\n\r\n", "400"),
        // The backend would take the packed body for the body.
        ("Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", "501"),
        ("Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "501"),
    ] {
        let said = talk(at, &closing("POST / HTTP/1.1", rest)).await;
        assert!(said.starts_with(&format!("HTTP/1.1 {status} ")), "{rest:?}: {said}");
    }
    let chunks = closing("POST / HTTP/1.0", "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n");
    assert!(talk(at, &chunks).await.starts_with("HTTP/1.1 400 "));
    assert_eq!(web.requests.load(Ordering::Relaxed), 0);
    for rest in ["zz\r\nhello\r\n0\r\n\r\n", "fffffffffffffffff\r\nhello\r\n0\r\n\r\n"] {
        let rest = format!("Transfer-Encoding: chunked\r\n\r\n{rest}");
        let said = talk(at, &closing("POST / HTTP/1.1", &rest)).await;
        assert!(said.starts_with("HTTP/1.1 400 "), "{rest:?}: {said}");
    }
}

/// Chunks count, and nothing of what follows is taken for a request.
#[tokio::test]
async fn chunks_go_before_a_length_and_end_the_connection() {
    let web = Backend::named("web").await;
    let node = Node::start(Limits::default());
    let at = node.leads(&[web.at]).await;
    for fields in ["Content-Length: 4\r\nTransfer-Encoding: chunked", "Transfer-Encoding: chunked\r\nContent-Length: 4"]
    {
        let bytes = format!(
            "POST / HTTP/1.1\r\nHost: web.example\r\n{fields}\r\n\r\n\
             5;a=b\r\nhello\r\n0\r\nX-Trailer: 1\r\n\r\nGET /second HTTP/1.1\r\nHost: web.example\r\n\r\n"
        );
        let said = talk(at, bytes.as_bytes()).await;
        assert!(said.starts_with("HTTP/1.1 200 ") && said.contains("\n5 bytes\n"), "{said}");
        assert!(!said.contains("content-length: 4") && !said.contains("/second"), "{said}");
    }
    assert_eq!(web.requests.load(Ordering::Relaxed), 2);
}

#[tokio::test]
async fn addresses_and_hosts_that_are_none_are_refused() {
    let web = Backend::named("web").await;
    let node = Node::start(Limits::default());
    let at = node.leads(&[web.at]).await;
    let of = |line: &str, host: &str| format!("{line}\r\nHost: {host}\r\nConnection: close\r\n\r\n").into_bytes();
    for (line, host, status) in [
        ("GET / HTTP/1.1", "web.example/x", "400"),
        ("GET / HTTP/1.1", "a@web.example", "400"),
        ("GET / HTTP/1.1", "web.example web.example", "400"),
        ("GET x HTTP/1.1", "web.example", "400"),
        ("GET / HTTP/2.0", "web.example", "400"),
        ("GET / HTTP/1.1", "other.example", "404"),
    ] {
        let said = talk(at, &of(line, host)).await;
        assert!(said.starts_with(&format!("HTTP/1.1 {status} ")), "{line}, {host}: {said}");
    }
    assert_eq!(web.requests.load(Ordering::Relaxed), 0);
    // A whole address goes before Host, which the backend gets made from it.
    for (line, got) in [
        ("GET http://web.example/a?b HTTP/1.1", "GET /a?b\n"),
        ("GET http://me:secret@WEB.example:80 HTTP/1.1", "GET /\n"),
    ] {
        let said = talk(at, &of(line, "other.example")).await;
        assert!(said.contains(got) && !said.contains("other.example") && !said.contains("secret"), "{line}: {said}");
    }
}

#[tokio::test]
async fn what_a_client_says_of_itself_in_other_letters_is_not_passed_on() {
    let web = Backend::named("web").await;
    let node = Node::start(Limits::default());
    let at = node.leads(&[web.at]).await;
    let doubles =
        "X_Forwarded_For: 6.6.6.6\r\nX-Forwarded_Proto: 6.6.6.6\r\nX_Real-IP: 6.6.6.6\r\nMy_Own: kept\r\n\r\n";
    let said = talk(at, &closing("GET / HTTP/1.1", doubles)).await;
    assert!(!said.contains("6.6.6.6") && said.contains("my_own: kept"), "{said}");
}

#[tokio::test]
async fn a_client_that_waits_to_send_its_body_is_told_to() {
    let web = Backend::named("web").await;
    let node = Node::start(Limits { body: 100, ..Limits::default() });
    let at = node.leads(&[web.at]).await;
    let mut stream = TcpStream::connect(at).await.unwrap();
    let head = "Expect: 100-continue\r\nContent-Length: 4\r\n\r\n";
    stream.write_all(&closing("POST / HTTP/1.1", head)).await.unwrap();
    let mut first = [0; 25];
    stream.read_exact(&mut first).await.unwrap();
    assert_eq!(&first, b"HTTP/1.1 100 Continue\r\n\r\n");
    stream.write_all(b"abcd").await.unwrap();
    let mut rest = String::new();
    stream.read_to_string(&mut rest).await.unwrap();
    assert!(rest.starts_with("HTTP/1.1 200 ") && rest.contains("\n4 bytes\n"), "{rest}");
    assert!(!rest.contains("expect"), "{rest}");
    // Who is refused anyway is not told to send.
    let said = talk(at, &closing("POST / HTTP/1.1", "Expect: 100-continue\r\nContent-Length: 101\r\n\r\n")).await;
    assert!(said.starts_with("HTTP/1.1 413 "), "{said}");
}

/// It asks to go over to another protocol and has a body: the body counts.
#[tokio::test]
async fn a_body_is_not_lost_where_another_protocol_is_asked_for() {
    let web = Backend::named("web").await;
    let node = Node::start(Limits::default());
    let at = node.leads(&[web.at]).await;
    let head = "POST / HTTP/1.1\r\nHost: web.example\r\nConnection: close, Upgrade\r\nUpgrade: other\r\n";
    let said = talk(at, format!("{head}Content-Length: 4\r\n\r\nabcd").as_bytes()).await;
    assert!(said.starts_with("HTTP/1.1 200 ") && said.contains("\n4 bytes\n"), "{said}");
    assert!(!said.contains("upgrade"), "{said}");
    // One that the backend does not follow is an answer like any other.
    let said = talk(at, &closing("GET / HTTP/1.1", "Connection: Upgrade\r\nUpgrade: other\r\n\r\n")).await;
    assert!(said.starts_with("HTTP/1.1 200 ") && said.contains("upgrade: other"), "{said}");
}

/// Answers each request with the same bytes and closes.
async fn says(bytes: &'static [u8]) -> SocketAddr {
    let listener = TcpListener::bind(loopback(0)).await.unwrap();
    let at = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                head.push(stream.read_u8().await.unwrap());
            }
            stream.write_all(bytes).await.unwrap();
        }
    });
    at
}

#[tokio::test]
async fn answers_in_odd_shapes() {
    let chunked =
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-T\r\n\r\n5\r\nhello\r\n0\r\nX-T: 1\r\n\r\n";
    for (bytes, request, starts, ends) in [
        (&b"HTTP/1.1 204 No Content\r\n\r\n"[..], "GET / HTTP/1.1", "HTTP/1.1 204 ", "\r\n\r\n"),
        (b"HTTP/1.1 304 Not Modified\r\nETag: x\r\n\r\n", "GET / HTTP/1.1", "HTTP/1.1 304 ", "\r\n\r\n"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 12345\r\n\r\n", "HEAD / HTTP/1.1", "HTTP/1.1 200 ", "\r\n\r\n"),
        (b"HTTP/1.0 200 OK\r\n\r\nto its end", "GET / HTTP/1.1", "HTTP/1.1 200 ", "\r\nto its end\r\n0\r\n\r\n"),
        (b"HTTP/1.0 200 OK\r\n\r\nto its end", "GET / HTTP/1.0", "HTTP/1.0 200 ", "\r\n\r\nto its end"),
        (chunked, "GET / HTTP/1.1", "HTTP/1.1 200 ", "\r\n5\r\nhello\r\n0\r\n\r\n"),
        (chunked, "GET / HTTP/1.0", "HTTP/1.0 200 ", "\r\n\r\nhello"),
        (
            b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
            "GET / HTTP/1.1",
            "HTTP/1.1 200 ",
            "\r\n\r\nok",
        ),
        (
            b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nokk",
            "GET / HTTP/1.1",
            "HTTP/1.1 502 ",
            "HTTP\n",
        ),
        // Nobody asked to go over to another protocol.
        (
            b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n",
            "GET / HTTP/1.1",
            "HTTP/1.1 502 ",
            "nobody asked for\n",
        ),
    ] {
        let node = Node::start(Limits::default());
        let at = node.leads(&[says(bytes).await]).await;
        let said = talk(at, &closing(request, "\r\n")).await;
        let shown = String::from_utf8_lossy(bytes);
        assert!(said.starts_with(starts) && said.ends_with(ends), "{request} for {shown}: {said}");
        assert!(!said.contains("trailer"), "{said}");
        if request.starts_with("HEAD") {
            assert!(said.contains("content-length: 12345"), "{said}");
        }
    }
}

/// Answers after the head and closes, whatever still comes: a client that is in the middle of its body gets the
/// answer, and no reset.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_before_the_body_was_read_is_not_lost() {
    let early = says(b"HTTP/1.1 401 No\r\nContent-Length: 6\r\nConnection: close\r\n\r\nlogin\n").await;
    let node = Node::start(Limits { body: 8 << 20, ..Limits::default() });
    let at = node.leads(&[early]).await;
    // The second is too large for Evenkeel itself, which says so before it reads any of it.
    for (length, status, ends) in [(8 << 20, "401", "login\n"), (9 << 20, "413", "allowed\n")] {
        for n in 0..20 {
            let mut stream = TcpStream::connect(at).await.unwrap();
            let head = format!("Content-Length: {length}\r\n\r\n");
            stream.write_all(&closing("POST / HTTP/1.1", &head)).await.unwrap();
            // As clients do that read nothing before they have sent everything.
            let body = Arc::new(vec![b'x'; length]);
            tokio::time::timeout(PATIENCE, stream.write_all(&body)).await.unwrap().unwrap();
            let mut said = String::new();
            tokio::time::timeout(PATIENCE, stream.read_to_string(&mut said)).await.unwrap().unwrap();
            assert!(said.starts_with(&format!("HTTP/1.1 {status} ")) && said.ends_with(ends), "{n}: {said}");
        }
    }
}
