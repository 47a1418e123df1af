//! WebSockets as clients open them.

use std::sync::Arc;

use axum::http::Request;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use evenkeel_wire::stream::{StreamInput, StreamOutput};
use serde_json::{Value, json};
use tokio_tungstenite::{
    WebSocketStream, client_async,
    tungstenite::{self, Message as Sent, client::IntoClientRequest as _},
};

use super::*;
use crate::api::{
    forward::tests::served,
    tests::{Fake, pod},
};

pub(in crate::api) type Socket = WebSocketStream<tokio::io::DuplexStream>;

/// A client's connection, with a server at its other end, that offers `protocol` unless it is empty.
pub(in crate::api) async fn connect(
    fake: &Arc<Fake>,
    path: &str,
    protocol: &str,
) -> Result<Socket, tungstenite::Error> {
    let mut request: Request<()> = format!("ws://server{path}").into_client_request().unwrap();
    if !protocol.is_empty() {
        request.headers_mut().insert(header::SEC_WEBSOCKET_PROTOCOL, protocol.parse().unwrap());
    }
    let (socket, answer) = client_async(request, served(fake)).await?;
    let chosen = answer.headers().get(header::SEC_WEBSOCKET_PROTOCOL).map(|v| v.to_str().unwrap());
    assert!(chosen.map_or(protocol.is_empty(), |one| protocol.split(", ").any(|p| p == one)), "{chosen:?}");
    Ok(socket)
}

pub(in crate::api) async fn refused(fake: &Arc<Fake>, path: &str, protocol: &str) -> (u16, String) {
    match connect(fake, path, protocol).await {
        Err(tungstenite::Error::Http(response)) => {
            let body = response.body().clone().unwrap_or_default();
            (response.status().as_u16(), String::from_utf8(body).unwrap())
        }
        other => panic!("{path}: {other:?}"),
    }
}

/// The next message; `None` where the server has closed well.
async fn next(socket: &mut Socket) -> Option<Sent> {
    loop {
        match socket.next().await?.unwrap() {
            Sent::Ping(_) => {}
            Sent::Close(frame) => {
                assert_eq!(frame.map(|f| u16::from(f.code)), Some(1000));
                return None;
            }
            message => return Some(message),
        }
    }
}

async fn event(socket: &mut Socket) -> (String, String) {
    let Some(Sent::Text(text)) = next(socket).await else { panic!("an event is text") };
    let event: Value = serde_json::from_str(&text).unwrap();
    (event["type"].as_str().unwrap().into(), event["object"]["metadata"]["name"].as_str().unwrap_or_default().into())
}

fn fake() -> Arc<Fake> {
    let fake = Fake::new();
    fake.put(pod("web", "Running"));
    fake.put(pod("db", "Running"));
    fake
}

#[tokio::test]
async fn each_event_of_a_watch_is_a_message() {
    let fake = fake();
    let path = "/api/v1/namespaces/shop/pods?watch=true&timeoutSeconds=60";
    for protocol in ["", "base64.binary.k8s.io", "whatever"] {
        let mut socket = connect(&fake, path, protocol).await.unwrap();
        for name in ["db", "web"] {
            assert_eq!(event(&mut socket).await, ("ADDED".into(), name.into()));
        }
        fake.put(pod("web", "Failed"));
        assert_eq!(event(&mut socket).await, ("MODIFIED".into(), "web".into()));
        // What a client says is not heard, until it goes.
        socket.send(Sent::Text("hello".into())).await.unwrap();
        fake.put(pod("web", "Running"));
        assert_eq!(event(&mut socket).await, ("MODIFIED".into(), "web".into()));
        socket.close(None).await.unwrap();
        while let Some(Ok(_)) = socket.next().await {}
    }
    let mut over = connect(&fake, &path.replace("60", "1"), "").await.unwrap();
    event(&mut over).await;
    event(&mut over).await;
    assert_eq!(next(&mut over).await, None);
    // By the path that it had once.
    let mut of_old = connect(&fake, "/api/v1/watch/namespaces/shop/pods/web?timeoutSeconds=60", "").await.unwrap();
    assert_eq!(event(&mut of_old).await, ("ADDED".into(), "web".into()));
    let (code, body) = refused(&fake, "/api/v1/namespaces/shop/gears?watch=true", "").await;
    assert!(code == 404 && body.contains("NotFound"), "{code} {body}");
}

#[tokio::test]
async fn a_watch_of_events_is_told_in_their_own_groups_words() {
    let fake = Fake::new();
    fake.put(json!({"apiVersion": "v1", "kind": "Event", "metadata": {"name": "e", "namespace": "shop"},
        "involvedObject": {"kind": "Pod", "name": "web", "namespace": "shop"}, "reason": "R", "message": "m"}));
    let path = "/apis/events.k8s.io/v1/namespaces/shop/events?watch=1&timeoutSeconds=60";
    let mut socket = connect(&fake, path, "").await.unwrap();
    let Some(Sent::Text(text)) = next(&mut socket).await else { panic!("no event") };
    let event: Value = serde_json::from_str(&text).unwrap();
    assert_eq!((&event["object"]["note"], &event["object"]["regarding"]["name"]), (&json!("m"), &json!("web")));
}

#[tokio::test]
async fn a_log_comes_in_bytes_or_in_base64() {
    let fake = fake();
    let path = "/api/v1/namespaces/shop/pods/web/log?tailLines=3";
    let log = "web tail=Some(3)\n";
    for protocol in ["", "binary.k8s.io"] {
        let mut socket = connect(&fake, path, protocol).await.unwrap();
        assert_eq!(next(&mut socket).await, Some(Sent::Binary(Bytes::new())));
        assert_eq!(next(&mut socket).await, Some(Sent::Binary(log.into())));
        assert_eq!(next(&mut socket).await, None);
    }
    let mut socket = connect(&fake, path, "base64.binary.k8s.io").await.unwrap();
    assert_eq!(next(&mut socket).await, Some(Sent::Text("".into())));
    assert_eq!(next(&mut socket).await, Some(Sent::Text(STANDARD.encode(log).into())));
    assert_eq!(next(&mut socket).await, None);
    let (code, body) = refused(&fake, path, "v9.channel.k8s.io").await;
    assert!(code == 400 && body.contains("base64.binary.k8s.io"), "{code} {body}");
    let (code, _) = refused(&fake, &path.replace("tailLines=3", "tailLines=x"), "").await;
    assert_eq!(code, 400);
}

#[tokio::test]
async fn a_command_is_served_to_who_reads_text_alone() {
    let fake = fake();
    let path = "/api/v1/namespaces/shop/pods/web/exec?command=sh&stdin=1&stdout=1";
    let mut socket = connect(&fake, path, "base64.channel.k8s.io").await.unwrap();
    assert_eq!(next(&mut socket).await, Some(Sent::Text("1".into())));
    let (_, mut node) = fake.commands.lock().unwrap().pop().unwrap();
    socket.send(Sent::Text(format!("0{}", STANDARD.encode("abc")).into())).await.unwrap();
    assert_eq!(node.recv.recv().await, Some(StreamInput::Stdin("abc".into())));
    node.send(StreamOutput::Stdout("out".into())).await.unwrap();
    node.send(StreamOutput::Ended { exit_code: 7 }).await.unwrap();
    assert_eq!(next(&mut socket).await, Some(Sent::Text(format!("1{}", STANDARD.encode("out")).into())));
    let Some(Sent::Text(last)) = next(&mut socket).await else { panic!("no last word") };
    let said = STANDARD.decode(&last.as_str()[1..]).unwrap();
    assert_eq!(&last.as_str()[..1], "3");
    assert_eq!(String::from_utf8(said).unwrap(), "command terminated with non-zero exit code: exit status 7");
    assert_eq!(next(&mut socket).await, None);

    // Who says nonsense is hung up on.
    let mut socket = connect(&fake, path, "v4.base64.channel.k8s.io").await.unwrap();
    assert_eq!(next(&mut socket).await, Some(Sent::Text("1".into())));
    let (_, mut node) = fake.commands.lock().unwrap().pop().unwrap();
    socket.send(Sent::Text("0?".into())).await.unwrap();
    assert_eq!(node.recv.recv().await, None);
}

#[tokio::test]
async fn who_names_no_protocol_is_spoken_to_in_the_first() {
    let fake = fake();
    let mut socket = connect(&fake, "/api/v1/namespaces/shop/pods/web/portforward?ports=8080", "").await.unwrap();
    assert_eq!(next(&mut socket).await, Some(Sent::Binary(Bytes::from_static(&[0, 0x90, 0x1f]))));
    assert_eq!(next(&mut socket).await, Some(Sent::Binary(Bytes::from_static(&[1, 0x90, 0x1f]))));
    let (_, mut node) = fake.ports.lock().unwrap().pop().unwrap();
    socket.send(Sent::Binary(Bytes::from_static(b"\0question"))).await.unwrap();
    assert_eq!(node.recv.recv().await, Some(StreamInput::Stdin("question".into())));
    node.send(StreamOutput::Ended { exit_code: 0 }).await.unwrap();
    assert_eq!(next(&mut socket).await, None);
}

#[tokio::test]
async fn a_page_of_another_site_has_no_use_of_a_browsers_certificate() {
    let fake = fake();
    let path = "/api/v1/namespaces/shop/pods?watch=true&timeoutSeconds=60";
    for (origin, code) in [
        ("", None),
        ("https://server", None),
        ("https://SERVER:443", None),
        ("http://localhost:8001", None),
        ("http://[::1]:8001", None),
        ("https://server:6443", Some(403)),
        ("http://server", Some(403)),
        ("https://server.evil.example", Some(403)),
        ("null", Some(403)),
    ] {
        let mut request: Request<()> = format!("ws://server{path}").into_client_request().unwrap();
        if !origin.is_empty() {
            request.headers_mut().insert(header::ORIGIN, origin.parse().unwrap());
        }
        let refused = match client_async(request, served(&fake)).await {
            Ok(_) => None,
            Err(tungstenite::Error::Http(response)) => Some(response.status().as_u16()),
            Err(other) => panic!("{other}"),
        };
        assert_eq!(refused, code, "{origin}");
    }
}

fn asking(protocols: &[&str]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(header::UPGRADE, HeaderValue::from_static("WebSocket"));
    headers.insert(header::CONNECTION, HeaderValue::from_static("keep-alive, Upgrade"));
    for protocol in protocols {
        headers.append(header::SEC_WEBSOCKET_PROTOCOL, protocol.parse().unwrap());
    }
    headers
}

#[test]
fn a_token_among_the_protocols_is_read_and_forgotten() {
    let token = format!("{BEARER}{}", URL_SAFE_NO_PAD.encode("a.b?c"));
    let beside = format!("v4.channel.k8s.io, {token}");
    assert_eq!(bearer(&asking(&[&beside])), Ok(Some("a.b?c".into())));
    assert_eq!(bearer(&asking(&[&token, "v4.channel.k8s.io"])), Ok(Some("a.b?c".into())));
    assert_eq!(bearer(&asking(&["v4.channel.k8s.io"])), Ok(None));
    assert_eq!(bearer(&HeaderMap::new()), Ok(None));
    for (bad, why) in [
        (vec![token.as_str()], "beside it"),
        (vec![token.as_str(), token.as_str(), "x"], "more than one"),
        (vec!["base64url.bearer.authorization.k8s.io.a=b", "x"], "base64url"),
    ] {
        assert!(bearer(&asking(&bad)).unwrap_err().contains(why), "{bad:?}");
    }
    let mut headers = asking(&[&beside, "x"]);
    forget_bearer(&mut headers);
    assert_eq!(offered(&headers).collect::<Vec<_>>(), ["v4.channel.k8s.io", "x"]);
}
