//! WebSockets: how they begin, and watches and logs on them, which is how programs in browsers ask for
//! streams, since they can neither read an answer as it comes nor set a header.
//!
//! Called by `rest` for streams, by `exec` and `forward` for the beginning of theirs.
//! (`k8s.io/apiserver/pkg/endpoints/handlers/watch.go`; `k8s.io/streaming`, wsstream.)

use std::{net::IpAddr, time::Duration};

use axum::{
    body::{Body, Bytes},
    extract::{
        FromRequestParts as _,
        ws::{CloseFrame, Message, Utf8Bytes, WebSocket, WebSocketUpgrade, close_code},
    },
    http::{HeaderMap, HeaderValue, Uri, header, request::Parts},
    response::Response,
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::BytesMut;
use evenkeel_wire::stream::PROGRESS;
use futures_util::{Sink, SinkExt as _, Stream, StreamExt as _, future::ready};
use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at, timeout};

use super::{
    Api, Client, Streaming,
    channels::{self, Coding, KNOWN, Spoken},
    forward::OPEN,
    proxy,
    query::Pairs,
    status::Failure,
};

/// Bytes of a client's message. Clients send 32 KiB at once; some pass a whole buffer on.
pub(super) const MESSAGE: usize = 1 << 20;
/// Bytes of a watcher's message, which nobody reads.
const UNREAD: usize = 4 << 10;
/// How often a client is asked whether it is there.
const PING: Duration = Duration::from_secs(30);
/// A client that is read from and says nothing for so long, not even to pings, is gone.
pub(super) const SILENCE: Duration = Duration::from_secs(90);
/// A client gets this long to take the end, and to close.
pub(super) const CLOSING: Duration = Duration::from_secs(5);
/// What a log's pieces are in: as they are, or in base64 for who reads text alone.
const PIECES: [(&str, Coding); 2] = [("binary.k8s.io", Coding::Raw), ("base64.binary.k8s.io", Coding::Base64)];
/// A protocol that is none, but the client's token.
const BEARER: &str = "base64url.bearer.authorization.k8s.io.";

/// The half of a connection that goes to a client.
pub(super) trait ToClient: Sink<Message> + Unpin + Send {}
impl<T: Sink<Message> + Unpin + Send> ToClient for T {}
/// The half that comes from it.
pub(super) trait FromClient: Stream<Item = Result<Message, axum::Error>> + Unpin + Send {}
impl<T: Stream<Item = Result<Message, axum::Error>> + Unpin + Send> FromClient for T {}

/// Whether a request asks for a WebSocket.
pub(super) fn is_wanted(headers: &HeaderMap) -> bool {
    let says = |name: header::HeaderName, word: &str| {
        let words = headers.get_all(name).iter().filter_map(|v| v.to_str().ok()).flat_map(|v| v.split(','));
        words.into_iter().any(|w| w.trim().eq_ignore_ascii_case(word))
    };
    says(header::UPGRADE, "websocket") && says(header::CONNECTION, "upgrade")
}

/// Refuses a page of another site that speaks for somebody by the certificate in their browser: it sends that
/// unasked, and no rule of browsers keeps a page from reading a WebSocket. Whoever has a token may, and a page of
/// the user's own machine, as behind `kubectl proxy`.
pub(super) fn check_origin(parts: &Parts) -> Result<(), Failure> {
    let by_certificate = matches!(parts.extensions.get::<Client>(), Some(Client(Some(_))));
    let Some(origin) = parts.headers.get(header::ORIGIN).filter(|_| by_certificate && is_wanted(&parts.headers)) else {
        return Ok(());
    };
    let site = |uri: &Uri| {
        let port = uri.port_u16().or((uri.scheme_str() == Some("https")).then_some(443));
        uri.host().map(|host| (host.to_ascii_lowercase(), port))
    };
    let asked = parts.headers.get(header::HOST).and_then(|v| v.to_str().ok());
    let asked = asked.and_then(|host| format!("https://{host}").parse::<Uri>().ok()).as_ref().and_then(site);
    let from = origin.to_str().ok().and_then(|text| text.parse::<Uri>().ok()).as_ref().and_then(site);
    let own_machine = from.as_ref().is_some_and(|(host, _)| {
        let host = host.trim_start_matches('[').trim_end_matches(']');
        host == "localhost" || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
    });
    if own_machine || asked.is_some() && from == asked {
        return Ok(());
    }
    let message = format!(
        "a page of {origin:?} cannot open a WebSocket by the certificate of the browser's user: it needs a token"
    );
    Err(Failure::new(403, "Forbidden", message))
}

/// The protocols that a client offers.
fn offered(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    let all = headers.get_all(header::SEC_WEBSOCKET_PROTOCOL).iter().filter_map(|v| v.to_str().ok());
    all.flat_map(|v| v.split(',')).map(str::trim)
}

/// The token that a browser's program sends among the protocols, because it can set no header: in base64 without
/// padding, beside a protocol that is one.
pub(super) fn bearer(headers: &HeaderMap) -> Result<Option<String>, &'static str> {
    if !is_wanted(headers) {
        return Ok(None);
    }
    let (tokens, protocols): (Vec<&str>, Vec<&str>) = offered(headers).partition(|name| name.starts_with(BEARER));
    let coded = match tokens.as_slice() {
        [] => return Ok(None),
        [_] if protocols.is_empty() => return Err("a token among the protocols of a WebSocket needs one beside it"),
        [token] => token.trim_start_matches(BEARER),
        _ => return Err("there is more than one token among the protocols of a WebSocket"),
    };
    let bytes = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(coded);
    let token = bytes.ok().and_then(|bytes| String::from_utf8(bytes).ok());
    token.map(Some).ok_or("the token among the protocols of a WebSocket is not in base64url")
}

/// Takes such a token away: neither an answer nor a pod that the request is led into may hear of it.
pub(super) fn forget_bearer(headers: &mut HeaderMap) {
    if offered(headers).any(|name| name.starts_with(BEARER)) {
        let others: Vec<&str> = offered(headers).filter(|name| !name.starts_with(BEARER)).collect();
        let others = HeaderValue::from_str(&others.join(", "));
        headers.remove(header::SEC_WEBSOCKET_PROTOCOL);
        headers.extend(others.ok().map(|others| (header::SEC_WEBSOCKET_PROTOCOL, others)));
    }
}

/// Takes the beginning of a WebSocket for channels.
pub(super) async fn upgrade(parts: &mut Parts) -> Result<WebSocketUpgrade, Failure> {
    let upgrade = WebSocketUpgrade::from_request_parts(parts, &())
        .await
        .map_err(|e| Failure::bad_request(format!("this path is for WebSocket or SPDY/3.1 connections: {e}")))?;
    Ok(upgrade.max_message_size(MESSAGE).max_frame_size(MESSAGE).write_buffer_size(0))
}

/// Chooses how channels are spoken; `others` are known here as well.
pub(super) fn choose(upgrade: &mut WebSocketUpgrade, others: &[&str]) -> Result<Spoken, Failure> {
    let spoken = Spoken::choose(upgrade.requested_protocols().map(HeaderValue::as_bytes)).ok_or_else(|| {
        let known: Vec<&str> = others.iter().copied().chain(KNOWN.map(|(name, ..)| name)).collect();
        unknown(&known)
    })?;
    if let Some(name) = spoken.name {
        upgrade.set_selected_protocol(HeaderValue::from_static(name));
    }
    Ok(spoken)
}

fn unknown(known: &[&str]) -> Failure {
    Failure::bad_request(format!("the client offers no protocol that is known here: {}", known.join(", ")))
}

/// The two halves of a connection, in messages of bytes whatever the client's are.
pub(super) fn coded(socket: WebSocket, coding: Coding) -> (impl ToClient, impl FromClient) {
    let (sink, source) = socket.split();
    let outward = sink.with(move |message: Message| {
        ready(Ok::<_, axum::Error>(match (coding, message) {
            (Coding::Base64, Message::Binary(bytes)) => Message::Text(channels::encoded(&bytes).into()),
            (_, message) => message,
        }))
    });
    let inward = source.map(move |message| match (coding, message?) {
        (Coding::Base64, Message::Text(text)) => {
            channels::decoded(text.as_bytes()).map(Message::Binary).map_err(|e| axum::Error::new(e.message))
        }
        (_, message) => Ok(message),
    });
    (outward, inward)
}

/// A stream that is asked for on a WebSocket.
pub(super) struct Asked {
    upgrade: WebSocketUpgrade,
    shape: Shape,
}

/// How a stream's bytes become messages.
enum Shape {
    /// One line each, as text.
    Lines,
    /// As they come.
    Pieces(Coding),
}

impl Asked {
    /// Takes the beginning of the WebSocket where a request asks for a watch or a log on one.
    pub(super) async fn of(parts: &mut Parts) -> Result<Option<Self>, Failure> {
        if !is_wanted(&parts.headers) || proxy::Asked::of(parts.uri.path()).is_some() {
            return Ok(None);
        }
        let log = parts.uri.path().ends_with("/log");
        if !log && !Pairs::of(&parts.uri)?.flag("watch") {
            return Ok(None);
        }
        let upgrade = WebSocketUpgrade::from_request_parts(parts, &())
            .await
            .map_err(|e| Failure::bad_request(format!("the request begins no WebSocket: {e}")))?;
        let mut upgrade = upgrade.max_message_size(UNREAD).max_frame_size(UNREAD).write_buffer_size(0);
        let mut offered = upgrade.requested_protocols().cloned().peekable();
        let (shape, chosen) = if log {
            if offered.peek().is_none() {
                (Shape::Pieces(Coding::Raw), None)
            } else {
                let known = |v: HeaderValue| PIECES.into_iter().find(|(name, _)| v == *name);
                let (name, coding) = offered.find_map(known).ok_or_else(|| unknown(&PIECES.map(|(name, _)| name)))?;
                (Shape::Pieces(coding), Some(HeaderValue::from_static(name)))
            }
        } else {
            // As in Kubernetes a watch's messages are the same by whatever name.
            (Shape::Lines, offered.next())
        };
        drop(offered);
        if let Some(name) = chosen {
            upgrade.set_selected_protocol(name);
        }
        Ok(Some(Self { upgrade, shape }))
    }

    /// Gives what an answer streams in messages; another answer stays as it is.
    pub(super) fn answer(self, api: &Api, response: Response) -> Result<Response, Failure> {
        if response.extensions().get::<Streaming>().is_none() {
            return Ok(response);
        }
        let turn = api.turn(OPEN)?;
        let Self { upgrade, shape } = self;
        Ok(upgrade.on_upgrade(move |socket| async move {
            let _turn = turn;
            carry(socket, response.into_body(), shape).await;
        }))
    }
}

/// Gives a stream's bytes in messages until it has ended, or the client is gone.
async fn carry(socket: WebSocket, body: Body, shape: Shape) {
    let (mut sink, mut source) = socket.split();
    let end = tokio::select! {
        end = outward(&mut sink, body, &shape) => end,
        () = gone(&mut source) => None,
    };
    let Some(code) = end else { return };
    let closed = async {
        if sink.send(goodbye(code)).await.is_ok() {
            while let Some(Ok(_)) = source.next().await {}
        }
    };
    let _in_time = timeout(CLOSING, closed).await;
}

/// Waits until the client goes. What it says is not read.
async fn gone(source: &mut impl FromClient) {
    while let Ok(Some(Ok(message))) = timeout(SILENCE, source.next()).await {
        if matches!(message, Message::Close(_)) {
            return;
        }
    }
}

/// The code to close with; none where the client is gone.
async fn outward(sink: &mut impl ToClient, body: Body, shape: &Shape) -> Option<u16> {
    let mut pieces = body.into_data_stream();
    let mut kept = BytesMut::new();
    let mut ping = pings();
    if let Shape::Pieces(coding) = shape {
        // The client learns by it that there is a log.
        tell(sink, piece(*coding, &Bytes::new())).await?;
    }
    loop {
        let bytes = tokio::select! {
            piece = pieces.next() => match piece {
                None => return Some(close_code::NORMAL),
                Some(Err(_)) => return Some(close_code::ERROR),
                Some(Ok(bytes)) => bytes,
            },
            _ = ping.tick() => {
                tell(sink, Message::Ping(Bytes::new())).await?;
                continue;
            }
        };
        match shape {
            Shape::Pieces(coding) => tell(sink, piece(*coding, &bytes)).await?,
            Shape::Lines => {
                kept.extend_from_slice(&bytes);
                while let Some(end) = kept.iter().position(|b| *b == b'\n') {
                    let Ok(line) = Utf8Bytes::try_from(kept.split_to(end + 1).freeze()) else {
                        return Some(close_code::ERROR);
                    };
                    tell(sink, Message::Text(line)).await?;
                }
            }
        }
    }
}

/// When a client is to be asked whether it is there. Not at once: one that answers after a short exchange's end
/// would write into a closed connection.
pub(super) fn pings() -> Interval {
    let mut ping = interval_at(Instant::now() + PING, PING);
    ping.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ping
}

/// The last message of a WebSocket.
pub(super) fn goodbye(code: u16) -> Message {
    Message::Close(Some(CloseFrame { code, reason: "".into() }))
}

fn piece(coding: Coding, bytes: &Bytes) -> Message {
    match coding {
        Coding::Raw => Message::Binary(bytes.clone()),
        Coding::Base64 => Message::Text(STANDARD.encode(bytes).into()),
    }
}

/// Sends a message; `None` where the client is gone or takes nothing.
pub(super) async fn tell(sink: &mut impl ToClient, message: Message) -> Option<()> {
    timeout(PROGRESS, sink.send(message)).await.ok()?.ok()
}

#[cfg(test)]
pub(super) mod tests;
