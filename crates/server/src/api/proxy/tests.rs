//! Requests that are led into a pod, where a program of the test answers.

use std::convert::Infallible;

use evenkeel_wire::stream::NodeEnd;
use http_body_util::Full;
use rustls::{ServerConfig, crypto::ring};
use rustls_pki_types::PrivateKeyDer;
use serde_json::{Value, json};
use tokio_rustls::TlsAcceptor;
use tower::ServiceExt as _;

use super::*;
use crate::api::{
    forward::tests::served,
    tests::{Fake, REFUSED, admin, api, pod},
};

const HOME: &str = "/api/v1/namespaces/shop";

fn fake() -> Arc<Fake> {
    let fake = Fake::new();
    let mut web = pod("web", "Running");
    web["spec"]["containers"][0]["ports"] =
        json!([{"containerPort": 8080, "name": "http"}, {"containerPort": 9102, "name": "metrics"}]);
    fake.put(web);
    let object = |kind: &str, name: &str| json!({"apiVersion": "v1", "kind": kind, "metadata": {"name": name, "namespace": "shop"}});
    let mut service = object("Service", "front");
    service["spec"] = json!({"ports": [{"port": 80, "name": "http"}, {"port": 9102, "name": "metrics"}]});
    fake.put(service);
    let mut endpoints = object("Endpoints", "front");
    endpoints["subsets"] = json!([{
        "addresses": [{"ip": "10.0.0.1", "targetRef": {"kind": "Pod", "name": "web", "namespace": "shop"}}],
        "ports": [{"name": "http", "port": 8080}, {"name": "metrics", "port": 9102}]}]);
    fake.put(endpoints);
    for (name, ip) in [("alone", None), ("outside", Some("192.0.2.1"))] {
        let mut service = object("Service", name);
        service["spec"] = json!({"ports": [{"port": 80}]});
        fake.put(service);
        if let Some(ip) = ip {
            let mut endpoints = object("Endpoints", name);
            endpoints["subsets"] = json!([{"addresses": [{"ip": ip}], "ports": [{"port": 80}]}]);
            fake.put(endpoints);
        }
    }
    fake
}

async fn ask(fake: &Arc<Fake>, method: &str, path: &str, headers: &[(&str, &str)], body: &'static str) -> Response {
    let mut request = Request::builder().method(method).uri(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let mut request = request.body(Body::from(body)).unwrap();
    request.extensions_mut().insert(admin());
    api(fake).oneshot(request).await.unwrap()
}

async fn text(response: Response) -> String {
    String::from_utf8(response.into_body().collect().await.unwrap().to_bytes().to_vec()).unwrap()
}

/// The node's end of the request that comes next.
async fn node(fake: &Arc<Fake>) -> (u16, NodeEnd) {
    loop {
        if let Some((request, node)) = fake.ports.lock().unwrap().pop() {
            return (request.port, node);
        }
        tokio::task::yield_now().await;
    }
}

/// What the node's end carries, as a connection.
fn connected(node: NodeEnd) -> DuplexStream {
    let (near, far) = duplex(BUFFER);
    let NodeEnd { send, mut recv } = node;
    let (mut read, mut write) = tokio::io::split(far);
    tokio::spawn(async move {
        while let Some(StreamInput::Stdin(bytes)) = recv.recv().await {
            write.write_all(&bytes).await.unwrap();
        }
    });
    tokio::spawn(async move {
        let mut buffer = vec![0; BUFFER];
        while let Ok(n @ 1..) = read.read(&mut buffer).await {
            send.send(StreamOutput::Stdout(Bytes::copy_from_slice(&buffer[..n]))).await.unwrap();
        }
        let _over = send.send(StreamOutput::Ended { exit_code: 0 }).await;
    });
    near
}

/// A program in the pod: it says what it was asked, unless its path says something else.
async fn program(connection: impl Io + 'static) {
    let service = hyper::service::service_fn(|request: Request<Incoming>| async move {
        let (parts, body) = request.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        let headers: Vec<String> = parts.headers.iter().map(|(n, v)| format!("{n}: {}", v.to_str().unwrap())).collect();
        let said = json!({"method": parts.method.as_str(), "uri": parts.uri.to_string(), "headers": headers,
            "body": String::from_utf8(body.to_vec()).unwrap()});
        let mut response = HttpResponse::new(Full::new(Bytes::from(said.to_string())));
        response.headers_mut().insert("x-own", HeaderValue::from_static("of the pod"));
        if let Some(to) = parts.uri.query().and_then(|q| q.strip_prefix("to=")) {
            *response.status_mut() = StatusCode::FOUND;
            response.headers_mut().insert(header::LOCATION, to.parse().unwrap());
        }
        Ok::<_, Infallible>(response)
    });
    let _ended = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(connection), service).await;
}

/// What comes of a request, with the port that it was led to.
async fn led(
    fake: &Arc<Fake>,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &'static str,
) -> (u16, Response) {
    let there = async {
        let (port, node) = node(fake).await;
        tokio::spawn(program(connected(node)));
        port
    };
    tokio::join!(there, ask(fake, method, path, headers, body))
}

#[tokio::test]
async fn a_request_goes_to_the_port_that_is_named() {
    let fake = fake();
    for (id, port) in [
        ("pods/web", 8080),
        ("pods/web:metrics", 9102),
        ("pods/web:7000", 7000),
        ("pods/http:web:8080", 8080),
        ("services/front:http", 8080),
        ("services/front:80", 8080),
        ("services/http:front:metrics", 9102),
    ] {
        let (asked, response) = led(&fake, "GET", &format!("{HOME}/{id}/proxy/a%2Fb/?x=1&timeout=no"), &[], "").await;
        assert_eq!((asked, response.status().as_u16()), (port, 200), "{id}");
        let said: Value = serde_json::from_str(&text(response).await).unwrap();
        assert_eq!(said["uri"], "/a%2Fb/?x=1&timeout=no", "as it came");
    }
    for (id, code, part) in [
        ("pods/none", 404, "pods \"none\" not found"),
        ("pods/web:nobody", 400, "has no port \"nobody\""),
        ("pods/web:0", 400, "has no port"),
        ("pods/https::8080", 400, "invalid pod request"),
        ("pods/gopher:web:70", 400, "invalid pod request"),
        ("services/a:b:c:d", 400, "invalid service request"),
        ("services/none", 404, "services \"none\" not found"),
        ("services/front", 503, "no service port \"\" found"),
        ("services/front:81", 503, "no service port \"81\" found"),
        ("services/alone", 503, "no endpoints available for service \"alone\""),
        ("services/outside", 503, "the endpoint 192.0.2.1 of service \"outside\" is no pod"),
        (&format!("pods/web:{REFUSED}"), 503, "error trying to reach service: nothing listens on port 9"),
    ] {
        let response = ask(&fake, "GET", &format!("{HOME}/{id}/proxy/"), &[], "").await;
        assert_eq!(response.status().as_u16(), code, "{id}");
        let said = text(response).await;
        let status: Value = serde_json::from_str(&said).unwrap();
        assert!(status["message"].as_str().unwrap().contains(part), "{id}: {said}");
    }
}

#[tokio::test]
async fn what_is_this_connections_alone_stays_here() {
    let fake = fake();
    let headers = [
        ("connection", "x-hop, close"),
        ("x-hop", "1"),
        ("x-through", "2"),
        ("host", "the.server"),
        ("content-type", "text/plain"),
    ];
    let path = format!("{HOME}/pods/web/proxy/form");
    let (_, response) = led(&fake, "PUT", &path, &headers, "a body").await;
    assert_eq!(response.headers()["x-own"], "of the pod");
    let said: Value = serde_json::from_str(&text(response).await).unwrap();
    assert_eq!((&said["method"], &said["body"]), (&json!("PUT"), &json!("a body")));
    let got: Vec<&str> = said["headers"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
    for there in ["x-through: 2", "host: 10.0.0.1:8080", "x-forwarded-host: the.server", "x-forwarded-proto: https"] {
        assert!(got.contains(&there), "{got:?}");
    }
    assert!(got.contains(&&*format!("x-forwarded-uri: {path}")), "{got:?}");
    assert!(!got.iter().any(|h| h.starts_with("x-hop")), "{got:?}");
    let mut all = HeaderMap::new();
    for name in ["authorization", "impersonate-user", "impersonate-extra-x", "keep-alive", "te", "accept"] {
        all.insert(HeaderName::from_static(name), HeaderValue::from_static("x"));
    }
    assert_eq!(own_taken_away(all).keys().map(HeaderName::as_str).collect::<Vec<_>>(), ["accept"]);
}

#[tokio::test]
async fn where_a_program_leads_on_is_found_from_outside() {
    let fake = fake();
    let home = format!("{HOME}/pods/web/proxy");
    for (to, here) in [
        ("/login?next=/", format!("{home}/login?next=/")),
        ("http://10.0.0.1:8080/login", format!("{home}/login")),
        ("next", "next".into()),
        ("https://elsewhere.example/", "https://elsewhere.example/".into()),
        ("//elsewhere.example/", "//elsewhere.example/".into()),
    ] {
        let (_, response) = led(&fake, "GET", &format!("{home}/?to={to}"), &[], "").await;
        assert_eq!((response.status().as_u16(), response.headers()[header::LOCATION].to_str().unwrap()), (302, &*here));
    }
    let response = ask(&fake, "GET", &format!("{home}?x=1"), &[], "").await;
    assert_eq!(
        (response.status().as_u16(), response.headers()[header::LOCATION].to_str().unwrap()),
        (301, &*format!("{home}/?x=1"))
    );
    assert_eq!(led(&fake, "POST", &home, &[], "x").await.1.status(), 200, "a body is not sent twice");
}

#[tokio::test]
async fn tls_is_spoken_where_it_is_asked_for() {
    let fake = fake();
    let own = rcgen::generate_simple_self_signed(["nobody.example".to_owned()]).unwrap();
    let key = PrivateKeyDer::try_from(own.signing_key.serialize_der()).unwrap();
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![own.cert.der().clone()], key)
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    for (id, to) in [("pods/https:web:8080", 8080), ("pods/HTTPS:web:", 8080), ("services/https:front:metrics", 9102)] {
        let there = async {
            let (port, node) = node(&fake).await;
            let acceptor = acceptor.clone();
            tokio::spawn(async move { program(acceptor.accept(connected(node)).await.unwrap()).await });
            port
        };
        let path = format!("{HOME}/{id}/proxy/?to=https://10.0.0.1:{to}/login");
        let (port, response) = tokio::join!(there, ask(&fake, "GET", &path, &[], ""));
        assert_eq!((port, response.status().as_u16()), (to, 302), "{id}");
        assert_eq!(response.headers()[header::LOCATION].to_str().unwrap(), format!("{HOME}/{id}/proxy/login"));
    }
    // One that speaks none.
    let (_, response) = led(&fake, "GET", &format!("{HOME}/pods/https:web:8080/proxy/"), &[], "").await;
    assert_eq!(response.status(), 503);
    let said = text(response).await;
    assert!(said.contains("error trying to reach service: TLS with the pod fails"), "{said}");
}

async fn read(from: &mut DuplexStream, until: &str) -> String {
    let mut got = String::new();
    while !got.ends_with(until) {
        got.push(char::from(from.read_u8().await.unwrap()));
    }
    got
}

async fn hear(node: &mut NodeEnd, until: &str) -> String {
    let mut got = Vec::new();
    while !got.ends_with(until.as_bytes()) {
        match node.recv.recv().await {
            Some(StreamInput::Stdin(bytes)) => got.extend_from_slice(&bytes),
            other => panic!("{other:?} after {got:?}"),
        }
    }
    String::from_utf8(got).unwrap()
}

#[tokio::test]
async fn an_upgrade_goes_through_and_each_way_ends_by_itself() {
    let fake = fake();
    let mut client = served(&fake);
    let ask =
        format!("GET {HOME}/pods/web/proxy/ws HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n");
    client.write_all(ask.as_bytes()).await.unwrap();
    let (_, mut node) = node(&fake).await;
    let asked = hear(&mut node, "\r\n\r\n").await;
    assert!(asked.starts_with("GET /ws HTTP/1.1\r\n") && asked.contains("upgrade: echo\r\n"), "{asked}");
    let answer = "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\nhello";
    node.send(StreamOutput::Stdout(answer.into())).await.unwrap();
    let head = read(&mut client, "\r\n\r\n").await;
    assert!(head.starts_with("HTTP/1.1 101 ") && head.contains("upgrade: echo"), "{head}");
    assert_eq!(read(&mut client, "hello").await, "hello");
    client.write_all(b"ping").await.unwrap();
    assert_eq!(hear(&mut node, "ping").await, "ping");
    client.shutdown().await.unwrap();
    assert_eq!(node.recv.recv().await, Some(StreamInput::StdinEnd));
    node.send(StreamOutput::Stdout("bye".into())).await.unwrap();
    node.send(StreamOutput::Ended { exit_code: 0 }).await.unwrap();
    let mut last = String::new();
    client.read_to_string(&mut last).await.unwrap();
    assert_eq!(last, "bye");
}

#[tokio::test]
async fn a_client_that_goes_takes_its_connection_along() {
    let fake = fake();
    let mut client = served(&fake);
    client.write_all(format!("GET {HOME}/pods/web/proxy/slow HTTP/1.1\r\nHost: x\r\n\r\n").as_bytes()).await.unwrap();
    let (_, mut node) = node(&fake).await;
    hear(&mut node, "\r\n\r\n").await;
    drop(client);
    let mut last = Vec::new();
    while let Some(input) = node.recv.recv().await {
        last.push(input);
    }
    assert!(last.iter().all(|input| *input == StreamInput::StdinEnd), "{last:?}");
}

#[test]
fn paths_that_lead_into_pods() {
    let rest = |path: &'static str| Asked::of(path).map(|asked| (asked.rest, asked.inside()));
    for (path, expected) in [
        ("/api/v1/namespaces/shop/pods/web/proxy", Some(("", "/"))),
        ("/api/v1/namespaces/shop/pods/web/proxy/", Some(("/", "/"))),
        ("/api/v1/namespaces/shop/pods/web/proxy//a%2F//./b/", Some(("//a%2F//./b/", "/a%2F/b/"))),
        ("/api/v1//namespaces/shop/services/web:http/pr%6Fxy//a/../../b", Some(("//a/../../b", "/b"))),
        ("/api/v1/namespaces/shop/pods/web/log", None),
        ("/api/v1/namespaces/shop/pods/proxy", None),
        ("/api/v1/nodes/n1/proxy/metrics", None),
        ("/apis/apps/v1/namespaces/shop/pods/web/proxy/", None),
        ("/api/v1/namespaces/shop/configmaps/web/proxy", None),
        ("/", None),
    ] {
        assert_eq!(rest(path), expected.map(|(rest, inside)| (rest, inside.to_owned())), "{path}");
    }
}
