//! Requests find their backend by host and path, and what backend and client are told.

use evenkeel_ingress::{Ingress, Limits, Port};
use http_body_util::Full;
use hyper::{Request, StatusCode};
use tokio::{net::TcpListener, sync::watch};

use crate::kit::{Backend, CLIENT, Node, certificate, get, ingress, loopback, send, service, settings, tls};

#[tokio::test]
async fn hosts_and_paths_lead_to_their_services() {
    let (web, api) = (Backend::named("web").await, Backend::named("api").await);
    let node = Node::start(Limits::default());
    node.services(vec![service("web", &[web.at]), service("api", &[api.at]), service("idle", &[])]);
    let rules = [
        ("shop.example", "/", "web"),
        ("shop.example", "/api", "api"),
        ("*.shop.example", "/", "api"),
        ("idle.example", "/", "idle"),
        ("lost.example", "/", "lost"),
    ];
    node.ingresses(vec![ingress("shop", &rules)], Vec::new());
    let at = node.http().await;
    for (host, path, who) in [
        ("shop.example", "/", "web "),
        ("Shop.Example:80", "/apis?x=/api", "web "),
        ("shop.example", "/api/v1", "api "),
        ("a.shop.example", "/", "api "),
    ] {
        let answer = get(at, host, path).await;
        assert_eq!(answer.status, StatusCode::OK);
        assert!(answer.text.starts_with(who), "{host}{path}: {}", answer.text);
    }
    let not_found = get(at, "other.example", "/").await;
    assert_eq!(not_found.status, StatusCode::NOT_FOUND);
    assert!(not_found.text.contains("no Ingress"), "{}", not_found.text);
    let idle = get(at, "idle.example", "/").await;
    assert_eq!(idle.status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(idle.text.contains("nobody is ready behind Service idle"), "{}", idle.text);
    let lost = get(at, "lost.example", "/").await;
    assert_eq!(lost.status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(lost.text.contains("no Service lost"), "{}", lost.text);
    node.ingress.stop().await;
}

#[tokio::test]
async fn a_backend_is_told_who_asked() {
    let web = Backend::named("web").await;
    let node = Node::start(Limits::default());
    let at = node.leads(&[web.at]).await;
    let request = Request::post("/a%20b?q=1")
        .header("host", "web.example:8080")
        .header("connection", "x-secret")
        .header("x-secret", "1")
        .header("x-forwarded-for", "198.51.100.1")
        .body(Full::from("12345"))
        .unwrap();
    let text = send(at, request).await.text;
    assert!(text.starts_with("web HTTP/1.1 POST /a%20b?q=1\n"), "{text}");
    for line in [
        "host: web.example:8080".to_owned(),
        "x-forwarded-host: web.example:8080".to_owned(),
        "x-forwarded-proto: http".to_owned(),
        format!("x-forwarded-port: {}", at.port()),
        format!("x-forwarded-for: {CLIENT}"),
        format!("x-real-ip: {CLIENT}"),
        "content-length: 5".to_owned(),
        "5 bytes".to_owned(),
    ] {
        assert!(text.lines().any(|l| l == line), "{line} is not in {text}");
    }
    assert!(!text.contains("x-secret") && !text.contains("198.51.100.1"), "{text}");
}

#[tokio::test]
async fn requests_without_tls_are_sent_to_where_there_is() {
    let web = Backend::named("web").await;
    let node = Node::start(Limits::default());
    node.services(vec![service("web", &[web.at])]);
    let mut way = ingress("web", &[("web.example", "/", "web")]);
    way.https_redirect = true;
    way.tls = vec![tls(&["web.example"], "cert")];
    node.ingresses(vec![way], vec![certificate("cert", "web.example")]);
    let (at, secure) = (node.http().await, node.https().await);
    let answer = get(at, "web.example", "/x?y=1").await;
    assert_eq!(answer.status, StatusCode::PERMANENT_REDIRECT);
    assert_eq!(answer.headers["location"], format!("https://web.example:{}/x?y=1", secure.port()));
}

#[tokio::test]
async fn a_request_without_a_host_is_refused() {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let web = Backend::named("web").await;
    let node = Node::start(Limits::default());
    let at = node.leads(&[web.at]).await;
    for head in [
        "GET / HTTP/1.1\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
        "CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n",
    ] {
        let mut stream = tokio::net::TcpStream::connect(at).await.unwrap();
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut start = [0; 12];
        stream.read_exact(&mut start).await.unwrap();
        assert!(start.starts_with(b"HTTP/1.1 40"), "{head}: {}", String::from_utf8_lossy(&start));
    }
    assert_eq!(web.requests.load(std::sync::atomic::Ordering::Relaxed), 0);
}

#[tokio::test]
async fn a_port_that_somebody_has_is_told_and_had_when_it_is_free() {
    let taken = TcpListener::bind(loopback(0)).await.unwrap();
    let dir = tempfile::tempdir().unwrap();
    let mut given = settings(&dir, Limits::default());
    given.http = taken.local_addr().unwrap();
    let ingress_of_node = Ingress::start(given.clone()).unwrap();
    let node = Node { ingress: ingress_of_node, dir };
    assert_eq!(node.ingress.status().borrow().http, Port::Unused, "nobody has a use for it");
    node.ingresses(vec![ingress("web", &[("web.example", "/", "web")])], Vec::new());
    let mut status = node.ingress.status();
    let refused = status.wait_for(|s| matches!(s.http, Port::Refused(_))).await.unwrap().clone();
    let Port::Refused(why) = refused.http else { unreachable!() };
    assert!(why.contains("another program listens") && why.contains("--ingress-http-port"), "{why}");
    // There is nothing more to wait for: the node is none of those that serve.
    let mut served = node.ingress.served();
    served_is(&mut served, 1).await;
    drop(taken);
    assert_eq!(node.http().await, given.http);
    node.ingresses(Vec::new(), Vec::new());
    let free = status.wait_for(|s| s.http == Port::Unused);
    tokio::time::timeout(crate::kit::PATIENCE, free).await.unwrap().unwrap();
    drop(TcpListener::bind(given.http).await.expect("the port is given back"));
}

/// Waits until this is told to be served; what is told again counts anew.
async fn served_is(served: &mut watch::Receiver<u64>, number: u64) {
    let told = async {
        while *served.borrow_and_update() != number {
            served.changed().await.unwrap();
        }
    };
    tokio::time::timeout(crate::kit::PATIENCE, told).await.unwrap();
}

#[tokio::test]
async fn what_is_told_to_be_served_is_answered_by_the_very_next_request() {
    let node = Node::start(Limits::default());
    let (mut served, status) = (node.ingress.served(), node.ingress.status());
    assert_eq!(*served.borrow(), 0, "nothing was said");
    let path = "/.well-known/acme-challenge/tok";
    let mut way = ingress("shop", &[("shop.example", "/", "web")]);
    for number in 7..40 {
        // The first is the first to want the port.
        way.answers = vec![format!("tok.{number}")];
        node.numbered(number, vec![way.clone()], Vec::new());
        served_is(&mut served, number).await;
        let Port::Open(at) = status.borrow().http.clone() else { panic!("{:?}", *status.borrow()) };
        assert_eq!(get(at, "shop.example", path).await.text, format!("tok.{number}"));
    }
    // Another session begins with what the last one knew.
    node.numbered(39, vec![way], Vec::new());
    tokio::time::timeout(crate::kit::PATIENCE, served.changed()).await.unwrap().unwrap();
    assert_eq!(*served.borrow_and_update(), 39);
    node.numbered(40, Vec::new(), Vec::new());
    served_is(&mut served, 40).await;
    assert_eq!(status.borrow().http, Port::Unused, "it is given back before that is told");
    node.ingress.stop().await;
}

#[tokio::test]
async fn an_agent_that_starts_without_its_server_serves_what_it_knew() {
    let web = Backend::named("web").await;
    let node = Node::start(Limits::default());
    node.leads(&[web.at]).await;
    let file = node.dir.path().join("ingress.json");
    node.ingress.stop().await;
    let begun = std::time::Instant::now();
    while !file.exists() {
        assert!(begun.elapsed() < crate::kit::PATIENCE, "nothing was written down");
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    let again = Ingress::start(settings(&node.dir, Limits::default())).unwrap();
    let node = Node { ingress: again, dir: node.dir };
    assert!(get(node.http().await, "web.example", "/").await.text.starts_with("web "));
}

#[tokio::test]
async fn what_a_directory_looks_for_is_found_at_every_host_before_all_else() {
    let web = Backend::named("web").await;
    let node = Node::start(Limits::default());
    node.services(vec![service("web", &[web.at])]);
    let mut way = ingress("shop", &[("shop.example", "/", "web")]);
    way.https_redirect = true;
    way.answers = vec!["tok-1.thumb".into()];
    node.ingresses(vec![way.clone()], Vec::new());
    let at = node.http().await;
    let path = "/.well-known/acme-challenge/tok-1";
    for host in ["shop.example", "other.example"] {
        let answer = get(at, host, path).await;
        assert_eq!((answer.status, &*answer.text), (StatusCode::OK, "tok-1.thumb"), "{host}");
    }
    let other = get(at, "shop.example", "/.well-known/acme-challenge/tok-2").await;
    assert_eq!(other.status, StatusCode::PERMANENT_REDIRECT, "one of somebody else's, or none");
    way.answers.clear();
    node.ingresses(vec![way], Vec::new());
    assert_eq!(get(at, "shop.example", path).await.status, StatusCode::PERMANENT_REDIRECT);
    node.ingress.stop().await;
}
