//! `pods/NAME/portforward`: connections to ports of a pod.
//!
//! Called by `rest`. Takes the connection over in one of three forms: SPDY/3.1 within WebSocket
//! messages (kubectl from 1.31 on), SPDY/3.1 itself (kubectl before), and Kubernetes' channels, one
//! connection to one port a WebSocket. Deliberately not here: how a node
//! reaches its pod's port (the agent).

use std::sync::Arc;

use axum::{
    extract::ws::{Message, WebSocket, close_code},
    http::{HeaderValue, request::Parts},
    response::Response,
};
use bytes::Bytes;
use evenkeel_model::{Key, Object};
use evenkeel_wire::stream::{
    CallerEnd, FailureKind, PortRequest, StreamError, StreamInput, StreamOutput, StreamRequest, chunks,
};
use futures_util::{SinkExt as _, StreamExt as _, stream};
use tokio::{sync::OwnedSemaphorePermit, time::timeout};

use super::{
    Api,
    channels::{Protocol, on},
    query::Pairs,
    spdy::{self, upgrade},
    status::Failure,
    websocket::{self, CLOSING, FromClient, SILENCE, ToClient, goodbye, pings, tell},
};

/// What there may be no more of.
pub(super) const OPEN: &str = "streams are open";
/// SPDY/3.1 within WebSocket messages, in `Sec-WebSocket-Protocol`.
const TUNNEL: &str = "SPDY/3.1+portforward.k8s.io";
/// What is spoken on SPDY's streams, in `X-Stream-Protocol-Version`.
const STREAMS: &str = "portforward.k8s.io";

const DATA: u8 = 0;
const ERROR: u8 = 1;
const CLOSE: u8 = 255;

/// Answers by taking the connection over.
pub(crate) async fn open(api: &Arc<Api>, key: &Key, parts: &mut Parts, pairs: &Pairs) -> Result<Response, Failure> {
    let pod = api.backend.live().view().get(key).cloned().ok_or_else(|| Failure::not_found(key))?;
    if pod.node.is_none() {
        return Err(Failure::bad_request(format!("pod {} does not have a host assigned", key.name)));
    }
    let (name, namespace) = (key.name.clone(), key.namespace.clone());
    let say = move |how: &str| tracing::info!(pod = %name, %namespace, how, "ports are forwarded");
    if upgrade::is_wanted(&parts.headers) {
        let response = itself(api, parts, pod, api.turn(OPEN)?)?;
        say("SPDY");
        return Ok(response);
    }
    let mut upgrade = websocket::upgrade(parts).await?;
    if upgrade.requested_protocols().any(|offered| offered == TUNNEL) {
        let turn = api.turn(OPEN)?;
        upgrade.set_selected_protocol(HeaderValue::from_static(TUNNEL));
        say("SPDY in WebSocket");
        let api = api.clone();
        return Ok(upgrade.on_upgrade(move |socket| tunnel(api, pod, socket, turn)));
    }
    let spoken = websocket::choose(&mut upgrade, &[TUNNEL])?;
    let request = PortRequest { pod: pod.uid, port: port(pairs)? };
    let turn = api.turn(OPEN)?;
    say("channels");
    let api = api.clone();
    Ok(upgrade.on_upgrade(move |socket| async move {
        let halves = websocket::coded(socket, spoken.coding);
        channels(api, pod, request, spoken.protocol, halves, turn).await;
    }))
}

fn port(pairs: &Pairs) -> Result<u16, Failure> {
    let mut ports = pairs.all("ports");
    match (ports.next().map(str::parse::<u16>), ports.next()) {
        (Some(Ok(port)), None) if port > 0 => Ok(port),
        (None, _) => Err(Failure::bad_request("which port? `ports` names one, as in ?ports=8080")),
        (Some(_), None) => Err(Failure::bad_request("`ports` is a number from 1 to 65535")),
        (Some(_), Some(_)) => Err(Failure::bad_request("one port a WebSocket: `ports` names more than one")),
    }
}

/// SPDY in place of HTTP.
fn itself(
    api: &Arc<Api>,
    parts: &mut Parts,
    pod: Arc<Object>,
    turn: OwnedSemaphorePermit,
) -> Result<Response, Failure> {
    let offered = upgrade::offered(&parts.headers);
    if !offered.is_empty() && !offered.contains(&STREAMS.as_bytes()) {
        return Err(Failure::bad_request(format!("the client offers no protocol that is known here: {STREAMS}")));
    }
    let api = api.clone();
    upgrade::take_over(parts, STREAMS, |incoming, outgoing| async move {
        let _turn = turn;
        spdy::run(api, pod, incoming, outgoing).await;
    })
}

/// SPDY within messages, whose edges mean nothing.
async fn tunnel(api: Arc<Api>, pod: Arc<Object>, socket: WebSocket, _turn: OwnedSemaphorePermit) {
    let (mut sink, source) = socket.split();
    let incoming = stream::unfold(source, |mut source| async {
        loop {
            match carried(source.next().await?) {
                Carried::Bytes(bytes) => return Some((bytes, source)),
                Carried::Nothing => {}
                Carried::End => return None,
            }
        }
    });
    let outgoing = (&mut sink).with(|bytes: Bytes| std::future::ready(Ok::<_, axum::Error>(Message::Binary(bytes))));
    spdy::run(api, pod, Box::pin(incoming), Box::pin(outgoing)).await;
    close(&mut sink).await;
}

/// What a message carries.
enum Carried {
    Bytes(Bytes),
    Nothing,
    End,
}

fn carried(message: Result<Message, axum::Error>) -> Carried {
    match message {
        Ok(Message::Binary(bytes)) => Carried::Bytes(bytes),
        Ok(Message::Text(text)) => Carried::Bytes(text.into()),
        Ok(Message::Ping(_) | Message::Pong(_)) => Carried::Nothing,
        Ok(Message::Close(_)) | Err(_) => Carried::End,
    }
}

async fn close(sink: &mut impl ToClient) {
    // A client that is gone needs no goodbye.
    let _in_time = timeout(CLOSING, sink.send(goodbye(close_code::NORMAL))).await;
}

/// One connection to one port, in channels: 0 data, 1 an error's text, and from version 5 on 255 for
/// a channel's end. Each of the server's channels begins with the port.
async fn channels(
    api: Arc<Api>,
    pod: Arc<Object>,
    request: PortRequest,
    protocol: Protocol,
    (mut sink, source): (impl ToClient, impl FromClient),
    _turn: OwnedSemaphorePermit,
) {
    let port = request.port.to_le_bytes();
    let begun = [on(DATA, &port), on(ERROR, &port)];
    let opened = tokio::select! {
        opened = api.backend.open(pod, StreamRequest::Port(request)) => opened,
        () = api.stop.cancelled() => Err(StreamError::stopping()),
    };
    let failed = match opened {
        Err(error) => {
            // A client reads a port before the error's text, too.
            for message in begun {
                if tell(&mut sink, Message::Binary(message)).await.is_none() {
                    return;
                }
            }
            Some(error)
        }
        Ok(end) => tokio::select! {
            failed = carry(&mut sink, source, protocol, begun, end) => failed,
            () = api.stop.cancelled() => Some(StreamError::stopping()),
        },
    };
    if let Some(error) = failed
        && tell(&mut sink, Message::Binary(on(ERROR, error.message.as_bytes()))).await.is_none()
    {
        return;
    }
    close(&mut sink).await;
}

/// Moves bytes both ways until both have ended or one side goes.
async fn carry(
    sink: &mut impl ToClient,
    source: impl FromClient,
    protocol: Protocol,
    begun: [Bytes; 2],
    end: CallerEnd,
) -> Option<StreamError> {
    let CallerEnd { send, mut recv } = end;
    let outward = async {
        for message in begun {
            tell(sink, Message::Binary(message)).await?;
        }
        let mut ping = pings();
        loop {
            let message = tokio::select! {
                output = recv.recv() => match output {
                    Some(StreamOutput::Stdout(bytes)) => Message::Binary(on(DATA, &bytes)),
                    Some(StreamOutput::StdoutEnd) if protocol == Protocol::V5 => Message::Binary(on(CLOSE, &[DATA])),
                    // A client of version 4 learns of it by the end of all.
                    Some(StreamOutput::Ended { .. } | StreamOutput::StdoutEnd) => return None,
                    Some(StreamOutput::Failed(error)) => return Some(error),
                    Some(StreamOutput::Opened | StreamOutput::Stderr(_)) => continue,
                    None => {
                        let text = "the connection to the pod's node was cut off";
                        return Some(StreamError::new(FailureKind::NodeAway, text));
                    }
                },
                _ = ping.tick() => Message::Ping(Bytes::new()),
            };
            tell(sink, message).await?;
        }
    };
    tokio::select! {
        failed = outward => failed,
        failed = inward(source, protocol, &send) => failed,
    }
}

/// From the client to the node; returns when the client goes.
async fn inward(
    mut source: impl FromClient,
    protocol: Protocol,
    send: &tokio::sync::mpsc::Sender<StreamInput>,
) -> Option<StreamError> {
    loop {
        let mut bytes = match carried(timeout(SILENCE, source.next()).await.ok()??) {
            Carried::Bytes(bytes) if !bytes.is_empty() => bytes,
            Carried::Bytes(_) | Carried::Nothing => continue,
            Carried::End => return None,
        };
        let channel = bytes.split_to(1)[0];
        match (channel, bytes.as_ref()) {
            (DATA, _) => {
                for chunk in chunks(bytes) {
                    // Where the node's end is gone, its last word is on its way to the client.
                    let _over = send.send(StreamInput::Stdin(chunk)).await;
                }
            }
            (CLOSE, [DATA]) if protocol == Protocol::V5 => {
                let _over = send.send(StreamInput::StdinEnd).await;
            }
            (CLOSE, _) if protocol == Protocol::V5 => {}
            (other, _) => {
                let text = format!("channel {other} takes no messages from a client");
                return Some(StreamError::new(FailureKind::Invalid, text));
            }
        }
    }
}

#[cfg(test)]
pub(super) mod tests;
