//! `pods/NAME/exec` and `attach`: a command in a container, or its own process, over WebSocket or, as
//! clients before Kubernetes 1.30 speak, SPDY (`spdy`).
//!
//! Called by `rest`. Checks the request, takes the connection over, and moves messages between the
//! client and the node until one of them goes. What is wrong with the request is an HTTP answer;
//! what the node has against it is the stream's last message, because a client of Kubernetes that
//! was refused an upgrade tries SPDY and tells of that.

use std::{sync::Arc, time::Duration};

use axum::{
    extract::ws::{Message, WebSocketUpgrade, close_code},
    http::request::Parts,
    response::Response,
};
use bytes::Bytes;
use evenkeel_model::{Key, Object};
use evenkeel_wire::stream::{
    AttachRequest, CallerEnd, ExecRequest, ExecStreams, FailureKind, StreamError, StreamInput, StreamOutput,
    StreamRequest,
};
use futures_util::StreamExt as _;
use tokio::{
    sync::{Notify, OwnedSemaphorePermit, mpsc},
    time::{Instant, sleep_until, timeout},
};

use super::{
    Api,
    channels::{self, ERROR, Protocol, RESIZE, STDERR, STDIN, STDOUT, Spoken},
    logs,
    query::Pairs,
    spdy::{command as old, upgrade},
    status::Failure,
    websocket::{self, CLOSING, FromClient, SILENCE, ToClient, goodbye, pings, tell},
};

/// Commands under way at once: a connection that was taken over is no longer counted by the
/// listener.
pub(crate) const COMMANDS: usize = 256;
/// A command with neither input nor output for so long is ended: as the kubelet's
/// `streamingConnectionIdleTimeout`.
const IDLE: Duration = Duration::from_hours(4);

/// Answers by taking the connection over.
pub(crate) async fn open(
    api: &Arc<Api>,
    (key, attach): (&Key, bool),
    parts: &mut Parts,
    pairs: &Pairs,
) -> Result<Response, Failure> {
    let pod = api.backend.live().view().get(key).cloned().ok_or_else(|| Failure::not_found(key))?;
    let container = logs::container(&pod, pairs.get("container"))?;
    if pod.node.is_none() {
        let message = format!("pod {} does not have a host assigned", key.name);
        return Err(Failure::bad_request(message));
    }
    let streams = streams(pairs)?;
    let wanted = channels_of(streams);
    let request = if attach {
        StreamRequest::Attach(AttachRequest { pod: pod.uid, container: container.clone(), streams })
    } else {
        StreamRequest::Exec(ExecRequest {
            pod: pod.uid,
            container: container.clone(),
            command: command(pairs)?,
            streams,
        })
    };
    let way = way(parts).await?;
    let turn = api.turn("commands run")?;
    let what = if attach { "somebody attaches" } else { "a command is run" };
    tracing::info!(pod = %key.name, namespace = %key.namespace, container, "{what}");
    let api = api.clone();
    match way {
        Way::WebSocket(upgrade, spoken) => Ok(upgrade.on_upgrade(move |socket| async move {
            let (sink, source) = websocket::coded(socket, spoken.coding);
            run(api, sink, source, spoken.protocol, pod, request, turn).await;
        })),
        Way::Spdy => upgrade::take_over(parts, old::PROTOCOL, move |incoming, outgoing| {
            // With it an end of standard input is a message, which SPDY's streams have always had.
            let serve = |sink, source| run(api, sink, source, Protocol::V5, pod, request, turn);
            old::serve(incoming, outgoing, wanted, serve)
        }),
    }
}

fn command(pairs: &Pairs) -> Result<Vec<String>, Failure> {
    let command: Vec<String> = pairs.all("command").map(str::to_owned).collect();
    if command.is_empty() {
        return Err(Failure::bad_request("you must specify at least one command for the container"));
    }
    Ok(command)
}

fn streams(pairs: &Pairs) -> Result<ExecStreams, Failure> {
    let [stdin, stdout, stderr, tty] = ["stdin", "stdout", "stderr", "tty"].map(|name| pairs.flag(name));
    match (stdin || stdout || stderr, tty) {
        (false, _) => Err(Failure::bad_request("you must specify at least one of stdin, stdout, stderr")),
        (_, true) if stderr => Err(Failure::bad_request("tty and stderr cannot both be true")),
        (_, true) => Ok(ExecStreams::Terminal { stdin }),
        (_, false) => Ok(ExecStreams::Pipes { stdin, stdout, stderr }),
    }
}

/// What a client speaks.
enum Way {
    WebSocket(WebSocketUpgrade, Spoken),
    Spdy,
}

/// Reads what a client wants to speak.
async fn way(parts: &mut Parts) -> Result<Way, Failure> {
    if upgrade::is_wanted(&parts.headers) {
        if upgrade::offered(&parts.headers).contains(&old::PROTOCOL.as_bytes()) {
            return Ok(Way::Spdy);
        }
        return Err(Failure::bad_request(format!(
            "the client offers no protocol that is known here: over SPDY/3.1 that is {}",
            old::PROTOCOL
        )));
    }
    let mut upgrade = websocket::upgrade(parts).await?;
    let spoken = websocket::choose(&mut upgrade, &[])?;
    Ok(Way::WebSocket(upgrade, spoken))
}

/// The channels that a client of SPDY opens streams for.
fn channels_of(streams: ExecStreams) -> Vec<u8> {
    let (stdin, others) = match streams {
        ExecStreams::Terminal { stdin } => (stdin, [Some(STDOUT), Some(RESIZE)]),
        ExecStreams::Pipes { stdin, stdout, stderr } => (stdin, [stdout.then_some(STDOUT), stderr.then_some(STDERR)]),
    };
    [Some(ERROR), stdin.then_some(STDIN)].into_iter().chain(others).flatten().collect()
}

/// One command, from the first message to the last.
async fn run(
    api: Arc<Api>,
    mut sink: impl ToClient,
    mut source: impl FromClient,
    protocol: Protocol,
    pod: Arc<Object>,
    request: StreamRequest,
    _turn: OwnedSemaphorePermit,
) {
    metrics::gauge!("evenkeel_commands").increment(1);
    let opened = tokio::select! {
        opened = api.backend.open(pod, request) => opened,
        () = api.stop.cancelled() => Err(StreamError::stopping()),
    };
    let last = match opened {
        Err(error) => Some(channels::failed(protocol, &error)),
        Ok(end) => carry(&api, &mut sink, &mut source, protocol, end).await,
    };
    if let Some(last) = last {
        finish(&mut sink, &mut source, last).await;
    }
    metrics::gauge!("evenkeel_commands").decrement(1);
}

/// Moves messages both ways until one side goes; returns the last message for a client that is
/// still there. Dropping the node's end ends the command.
async fn carry(
    api: &Api,
    sink: &mut impl ToClient,
    source: &mut impl FromClient,
    protocol: Protocol,
    end: CallerEnd,
) -> Option<Bytes> {
    let CallerEnd { send, mut recv } = end;
    let heard = Notify::new();
    tokio::select! {
        last = outward(sink, protocol, &mut recv, &heard) => last,
        last = inward(source, protocol, &send, &heard) => last,
        () = api.stop.cancelled() => Some(channels::failed(protocol, &StreamError::stopping())),
    }
}

/// From the node to the client.
async fn outward(
    sink: &mut impl ToClient,
    protocol: Protocol,
    recv: &mut mpsc::Receiver<StreamOutput>,
    heard: &Notify,
) -> Option<Bytes> {
    // The client learns that its command was begun.
    tell(sink, Message::Binary(channels::begun())).await?;
    let mut ping = pings();
    let mut idle = Instant::now() + IDLE;
    loop {
        let message = tokio::select! {
            output = recv.recv() => {
                idle = Instant::now() + IDLE;
                match output.map(|output| channels::write(protocol, output)) {
                    Some((last, true)) => return Some(last),
                    Some((bytes, false)) => Message::Binary(bytes),
                    None => {
                        let text = "the stream from the node was cut off; the command may run on for a moment";
                        return Some(channels::failed(protocol, &StreamError::new(FailureKind::NodeAway, text)));
                    }
                }
            }
            () = heard.notified() => {
                idle = Instant::now() + IDLE;
                continue;
            }
            _ = ping.tick() => Message::Ping(Bytes::new()),
            () = sleep_until(idle) => {
                let text = format!("neither input nor output for {} h: the command has been ended", IDLE.as_secs() / 3600);
                return Some(channels::failed(protocol, &StreamError::new(FailureKind::Invalid, text)));
            }
        };
        tell(sink, message).await?;
    }
}

/// From the client to the node; returns when the client goes, with a last message where it has
/// said something that makes no sense.
async fn inward(
    source: &mut impl FromClient,
    protocol: Protocol,
    send: &mpsc::Sender<StreamInput>,
    heard: &Notify,
) -> Option<Bytes> {
    loop {
        let message = match timeout(SILENCE, source.next()).await.ok()?? {
            Ok(Message::Binary(bytes)) => bytes,
            Ok(Message::Text(text)) => text.into(),
            Ok(Message::Ping(_) | Message::Pong(_)) => continue,
            Ok(Message::Close(_)) => return None,
            Err(error) => {
                tracing::debug!(%error, "a client of a command broke off");
                return None;
            }
        };
        heard.notify_one();
        let inputs = match channels::read(protocol, message) {
            Ok(inputs) => inputs,
            Err(error) => return Some(channels::failed(protocol, &error)),
        };
        for input in inputs {
            // Where the node's end is gone, its last word is on its way to the client.
            let _over = send.send(input).await;
        }
    }
}

/// Says the last word, and reads on until the client has closed: what it was sending would
/// otherwise reset the connection under that word.
async fn finish(sink: &mut impl ToClient, source: &mut impl FromClient, last: Bytes) {
    let close = goodbye(close_code::NORMAL);
    if tell(sink, Message::Binary(last)).await.is_none() || tell(sink, close).await.is_none() {
        return;
    }
    let drained = async { while let Some(Ok(_)) = source.next().await {} };
    let _in_time = timeout(CLOSING, drained).await;
}

#[cfg(test)]
mod tests {
    use axum::{body::Body, http::Request};
    use futures_util::SinkExt as _;
    use serde_json::Value;
    use tokio_tungstenite::tungstenite::Message as Sent;
    use tower::ServiceExt as _;

    use super::*;
    use crate::api::{
        tests::{Fake, admin, api, pod},
        websocket::tests::{Socket, connect, refused},
    };

    const PATH: &str = "/api/v1/namespaces/shop/pods/web/exec";

    async fn next(socket: &mut Socket) -> Vec<u8> {
        loop {
            match socket.next().await.unwrap().unwrap() {
                Sent::Binary(bytes) => return bytes.to_vec(),
                Sent::Ping(_) => {}
                other => panic!("{other:?}"),
            }
        }
    }

    fn fake() -> Arc<Fake> {
        let fake = Fake::new();
        fake.put(pod("web", "Running"));
        fake
    }

    #[tokio::test]
    async fn a_command_has_its_streams_and_its_exit_code() {
        let fake = fake();
        let path = format!("{PATH}?command=sh&command=-c&command=x%20y&stdin=true&stdout=true&stderr=true");
        let mut socket = connect(&fake, &path, "v5.channel.k8s.io").await.unwrap();
        assert_eq!(next(&mut socket).await, [1]);
        let (request, mut node) = fake.commands.lock().unwrap().pop().unwrap();
        assert_eq!(
            (request.container.as_str(), request.command),
            ("web", ["sh", "-c", "x y"].map(str::to_owned).to_vec())
        );
        assert_eq!(request.streams, ExecStreams::Pipes { stdin: true, stdout: true, stderr: true });
        for sent in [&b"\0abc"[..], b"\xff\0"] {
            socket.send(Sent::Binary(sent.to_vec().into())).await.unwrap();
        }
        assert_eq!(node.recv.recv().await, Some(StreamInput::Stdin("abc".into())));
        assert_eq!(node.recv.recv().await, Some(StreamInput::StdinEnd));
        node.send(StreamOutput::Stderr("e".into())).await.unwrap();
        node.send(StreamOutput::Ended { exit_code: 7 }).await.unwrap();
        assert_eq!(next(&mut socket).await, b"\x02e");
        let last = next(&mut socket).await;
        let status: Value = serde_json::from_slice(&last[1..]).unwrap();
        assert_eq!((last[0], &status["details"]["causes"][0]["message"]), (3, &"7".into()));
        assert!(matches!(socket.next().await, Some(Ok(Sent::Close(Some(f)))) if u16::from(f.code) == 1000));
    }

    #[tokio::test]
    async fn a_client_that_goes_ends_the_command_and_one_that_errs_is_told() {
        let fake = fake();
        let path = format!("{PATH}?command=sh&stdin=1&stdout=1&tty=1");
        let mut socket = connect(&fake, &path, "v4.channel.k8s.io").await.unwrap();
        next(&mut socket).await;
        let (request, mut node) = fake.commands.lock().unwrap().pop().unwrap();
        assert_eq!(request.streams, ExecStreams::Terminal { stdin: true });
        drop(socket);
        assert_eq!(node.recv.recv().await, None);

        let mut socket = connect(&fake, &path, "v4.channel.k8s.io").await.unwrap();
        next(&mut socket).await;
        let (_, mut node) = fake.commands.lock().unwrap().pop().unwrap();
        socket.send(Sent::Binary(b"\x04wide".to_vec().into())).await.unwrap();
        let last = next(&mut socket).await;
        assert!(last[0] == 3 && String::from_utf8_lossy(&last).contains("Width"), "{last:?}");
        assert_eq!(node.recv.recv().await, None);

        // A message above the bound ends the stream.
        let mut socket = connect(&fake, &path, "v5.channel.k8s.io").await.unwrap();
        next(&mut socket).await;
        let (_, mut node) = fake.commands.lock().unwrap().pop().unwrap();
        let _broken = socket.send(Sent::Binary(vec![0; websocket::MESSAGE + 1].into())).await;
        assert_eq!(node.recv.recv().await, None);
    }

    #[tokio::test]
    async fn what_makes_no_sense_is_refused_before_the_connection_is_taken_over() {
        let fake = fake();
        for (query, text) in [
            ("command=sh", "at least one of stdin"),
            ("stdout=true", "at least one command"),
            ("command=sh&stdout=1&stderr=1&tty=1", "tty and stderr"),
            ("command=sh&stdout=1&container=nope", "container nope is not valid"),
        ] {
            let (code, body) = refused(&fake, &format!("{PATH}?{query}"), "v5.channel.k8s.io").await;
            assert!(code == 400 && body.contains(text), "{query}: {code} {body}");
        }
        let (code, body) = refused(&fake, &format!("{PATH}?command=sh&stdout=1"), "v9.channel.k8s.io").await;
        assert!(code == 400 && body.contains("v5.channel.k8s.io"), "{code} {body}");
        let other = PATH.replace("web", "none");
        assert_eq!(refused(&fake, &format!("{other}?command=sh&stdout=1"), "v5.channel.k8s.io").await.0, 404);
        assert!(fake.commands.lock().unwrap().is_empty());

        let request = |upgrade: &str| {
            let mut request = Request::post(format!("{PATH}?command=sh&stdout=1"));
            if !upgrade.is_empty() {
                request = request.header("connection", "Upgrade").header("upgrade", upgrade);
            }
            let mut request = request.body(Body::empty()).unwrap();
            request.extensions_mut().insert(admin());
            request
        };
        for (upgrade, text) in [("SPDY/3.1", "v4.channel.k8s.io"), ("", "WebSocket")] {
            let response = api(&fake).oneshot(request(upgrade)).await.unwrap();
            let code = response.status();
            let body = axum::body::to_bytes(response.into_body(), 4096).await.unwrap();
            assert!(code == 400 && String::from_utf8_lossy(&body).contains(text), "{upgrade}: {body:?}");
        }
    }
}
