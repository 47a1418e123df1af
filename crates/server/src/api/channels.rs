//! Kubernetes' channels in WebSocket messages, from `v5.channel.k8s.io` back to those of the first browsers.
//!
//! Each message is a byte that names a channel, then its bytes; or, for who reads text alone, the channel's
//! digit and the bytes in base64. Pure: `exec` and `forward` move the messages. (KEP-4006;
//! `k8s.io/apimachinery/pkg/util/remotecommand`; `k8s.io/streaming`, wsstream.)

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::{BufMut, Bytes, BytesMut};
use evenkeel_wire::stream::{FailureKind, StreamError, StreamInput, StreamOutput, chunks};
use serde::Deserialize;
use serde_json::{Value, json};

use super::status::Failure;

pub(super) const STDIN: u8 = 0;
pub(super) const STDOUT: u8 = 1;
pub(super) const STDERR: u8 = 2;
pub(super) const ERROR: u8 = 3;
pub(super) const RESIZE: u8 = 4;
pub(super) const CLOSE: u8 = 255;

/// A version of the protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Protocol {
    /// From before Kubernetes 1.4, and of who names none: how a command ended is text, and no word where it
    /// ended well.
    V1,
    /// Kubernetes 1.4 and later, and most clients that are not kubectl. Standard input cannot end.
    V4,
    /// Kubernetes 1.30 and later: with channel 255, by which a client ends standard input.
    V5,
}

/// How a message holds bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Coding {
    /// In base64, as text.
    Base64,
    /// As they are.
    Raw,
}

/// What is spoken on a WebSocket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Spoken {
    pub(crate) protocol: Protocol,
    pub(crate) coding: Coding,
    /// Its name in `Sec-WebSocket-Protocol`; none where the client names none.
    pub(crate) name: Option<&'static str>,
}

/// What names say.
pub(crate) const KNOWN: [(&str, Protocol, Coding); 5] = [
    ("v5.channel.k8s.io", Protocol::V5, Coding::Raw),
    ("v4.channel.k8s.io", Protocol::V4, Coding::Raw),
    ("v4.base64.channel.k8s.io", Protocol::V4, Coding::Base64),
    ("channel.k8s.io", Protocol::V1, Coding::Raw),
    ("base64.channel.k8s.io", Protocol::V1, Coding::Base64),
];

impl Spoken {
    /// The best of those that a client offers.
    pub(crate) fn choose<'a>(offered: impl Iterator<Item = &'a [u8]>) -> Option<Self> {
        let mut offered = offered.peekable();
        if offered.peek().is_none() {
            return Some(Self { protocol: Protocol::V1, coding: Coding::Raw, name: None });
        }
        let known = |offered: &[u8]| KNOWN.into_iter().find(|(name, ..)| name.as_bytes() == offered);
        let spoken = |(name, protocol, coding)| Self { protocol, coding, name: Some(name) };
        offered.filter_map(known).map(spoken).max()
    }
}

/// A channel's message as text.
pub(super) fn encoded(message: &[u8]) -> String {
    let Some((channel, bytes)) = message.split_first() else { return String::new() };
    format!("{channel}{}", STANDARD.encode(bytes))
}

/// A channel's message from text.
pub(super) fn decoded(text: &[u8]) -> Result<Bytes, StreamError> {
    let bad = |why: &str| {
        StreamError::new(FailureKind::Invalid, format!("the message is not a channel's digit and base64: {why}"))
    };
    let (digit, coded) = text.split_first().ok_or_else(|| bad("it is empty"))?;
    let channel = digit.checked_sub(b'0').filter(|n| *n <= 9).ok_or_else(|| bad("it begins with no digit"))?;
    let bytes = STANDARD.decode(coded).map_err(|e| bad(&e.to_string()))?;
    Ok(on(channel, &bytes))
}

/// The channel of a stream that has a name instead, as SPDY's have.
pub(super) fn of_stream(kind: &str) -> Option<u8> {
    Some(match kind {
        "stdin" => STDIN,
        "stdout" => STDOUT,
        "stderr" => STDERR,
        "error" => ERROR,
        "resize" => RESIZE,
        _ => return None,
    })
}

/// Reads a client's message; what it asks for may be several messages for the node.
pub(crate) fn read(protocol: Protocol, mut message: Bytes) -> Result<Vec<StreamInput>, StreamError> {
    let bad = |text: String| StreamError::new(FailureKind::Invalid, text);
    if message.is_empty() {
        return Err(bad("a message without a channel".into()));
    }
    match message.split_to(1)[0] {
        STDIN => Ok(chunks(message).map(StreamInput::Stdin).collect()),
        RESIZE => {
            let size: Size = serde_json::from_slice(&message)
                .map_err(|e| bad(format!("the terminal's size is not {{\"Width\": n, \"Height\": n}}: {e}")))?;
            Ok(vec![StreamInput::Resize { width: size.width, height: size.height }])
        }
        CLOSE if protocol == Protocol::V5 => match message.as_ref() {
            [STDIN] => Ok(vec![StreamInput::StdinEnd]),
            // The others are the server's to write; that a client reads no more, its end says.
            _ => Ok(vec![]),
        },
        other => Err(bad(format!("channel {other} takes no messages from a client"))),
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Size {
    width: u16,
    height: u16,
}

/// The first message: the client learns by it that the command was begun.
pub(crate) fn begun() -> Bytes {
    Bytes::from_static(&[STDOUT])
}

/// Writes what a node says as a message; the second value says that it was the last.
pub(crate) fn write(protocol: Protocol, output: StreamOutput) -> (Bytes, bool) {
    match output {
        // A port's stream alone ends for itself; a command's end with it.
        StreamOutput::Opened | StreamOutput::StdoutEnd => (begun(), false),
        StreamOutput::Stdout(bytes) => (on(STDOUT, &bytes), false),
        StreamOutput::Stderr(bytes) => (on(STDERR, &bytes), false),
        StreamOutput::Ended { exit_code } => (status(protocol, &ended(exit_code)), true),
        StreamOutput::Failed(error) => (failed(protocol, &error), true),
    }
}

/// The last message of a stream that could not be served.
pub(crate) fn failed(protocol: Protocol, error: &StreamError) -> Bytes {
    status(protocol, &Failure::of_stream(error).status())
}

fn ended(exit_code: i32) -> Value {
    if exit_code == 0 {
        return json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success"});
    }
    json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
        "message": format!("command terminated with non-zero exit code: exit status {exit_code}"),
        "reason": "NonZeroExitCode",
        "details": {"causes": [{"reason": "ExitCode", "message": exit_code.to_string()}]},
    })
}

fn status(protocol: Protocol, value: &Value) -> Bytes {
    match protocol {
        Protocol::V1 => on(ERROR, value["message"].as_str().unwrap_or_default().as_bytes()),
        Protocol::V4 | Protocol::V5 => on(ERROR, value.to_string().as_bytes()),
    }
}

/// A channel's message.
pub(super) fn on(channel: u8, bytes: &[u8]) -> Bytes {
    let mut out = BytesMut::with_capacity(1 + bytes.len());
    out.put_u8(channel);
    out.put_slice(bytes);
    out.freeze()
}

#[cfg(test)]
mod tests {
    use evenkeel_wire::stream::CHUNK;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_best_protocol_is_chosen() {
        let choose = |offered: &[&'static str]| {
            Spoken::choose(offered.iter().map(|o| o.as_bytes())).map(|s| (s.protocol, s.coding, s.name))
        };
        assert_eq!(
            choose(&["v4.channel.k8s.io", "v5.channel.k8s.io"]),
            Some((Protocol::V5, Coding::Raw, Some("v5.channel.k8s.io")))
        );
        assert_eq!(choose(&["channel.k8s.io", "v4.channel.k8s.io"]).unwrap().2, Some("v4.channel.k8s.io"));
        assert_eq!(choose(&["v4.base64.channel.k8s.io", "v4.channel.k8s.io"]).unwrap().1, Coding::Raw);
        assert_eq!(
            choose(&["base64url.bearer.authorization.k8s.io.eA", "base64.channel.k8s.io"]),
            Some((Protocol::V1, Coding::Base64, Some("base64.channel.k8s.io")))
        );
        assert_eq!(choose(&[]), Some((Protocol::V1, Coding::Raw, None)));
        assert_eq!(choose(&["v9.channel.k8s.io"]), None);
    }

    #[test]
    fn messages_as_text() {
        assert_eq!(encoded(b"\x01hello"), "1aGVsbG8=");
        assert_eq!(encoded(&begun()), "1");
        assert_eq!(decoded(b"0aGVsbG8=").unwrap(), Bytes::from_static(b"\0hello"));
        assert_eq!(decoded(b"4").unwrap(), Bytes::from_static(b"\x04"));
        for bad in [&b""[..], b"xaGVsbG8=", b"0aGVsbG8", b"0\xff"] {
            assert_eq!(decoded(bad).unwrap_err().kind, FailureKind::Invalid, "{bad:?}");
        }
    }

    #[test]
    fn the_first_protocol_says_by_text_how_a_command_ended() {
        let ended = |exit_code| write(Protocol::V1, StreamOutput::Ended { exit_code });
        assert_eq!(ended(0), (Bytes::from_static(b"\x03"), true));
        assert_eq!(
            ended(7),
            (Bytes::from_static(b"\x03command terminated with non-zero exit code: exit status 7"), true)
        );
    }

    #[test]
    fn messages_of_a_client() {
        let v5 = |bytes: &'static [u8]| read(Protocol::V5, Bytes::from_static(bytes));
        assert_eq!(v5(b"\0abc"), Ok(vec![StreamInput::Stdin("abc".into())]));
        assert_eq!(v5(b"\0"), Ok(vec![]));
        assert_eq!(v5(b"\xff\0"), Ok(vec![StreamInput::StdinEnd]));
        assert_eq!(v5(b"\x04{\"Width\":80,\"Height\":24}\n"), Ok(vec![StreamInput::Resize { width: 80, height: 24 }]));
        for bad in [&b""[..], b"\x01x", b"\x03x", b"\x04{}", b"\x04{\"Width\":70000,\"Height\":1}", b"\x09"] {
            assert_eq!(v5(bad).unwrap_err().kind, FailureKind::Invalid, "{bad:?}");
        }
        assert!(read(Protocol::V4, Bytes::from_static(b"\xff\0")).is_err());
    }

    #[test]
    fn messages_to_a_client() {
        assert_eq!(write(Protocol::V4, StreamOutput::Stdout("a".into())), (Bytes::from_static(b"\x01a"), false));
        assert_eq!(write(Protocol::V5, StreamOutput::Stderr("b".into())), (Bytes::from_static(b"\x02b"), false));
        let (bytes, last) = write(Protocol::V5, StreamOutput::Ended { exit_code: 7 });
        let status: Value = serde_json::from_slice(&bytes[1..]).unwrap();
        assert_eq!((bytes[0], last), (3, true));
        assert_eq!(status["reason"], "NonZeroExitCode");
        assert_eq!(status["details"]["causes"][0], json!({"reason": "ExitCode", "message": "7"}));
        let (bytes, _) = write(Protocol::V5, StreamOutput::Ended { exit_code: 0 });
        assert_eq!(serde_json::from_slice::<Value>(&bytes[1..]).unwrap()["status"], "Success");
        let error = StreamError::new(FailureKind::NotRunning, "container \"web\" is not running");
        let (bytes, last) = write(Protocol::V5, StreamOutput::Failed(error));
        let status: Value = serde_json::from_slice(&bytes[1..]).unwrap();
        assert_eq!((last, &status["code"], &status["reason"]), (true, &json!(400), &json!("BadRequest")));
    }

    proptest! {
        #[test]
        fn no_message_breaks_the_reader(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            for protocol in [Protocol::V4, Protocol::V5] {
                let _answer = read(protocol, Bytes::from(bytes.clone()));
            }
        }

        #[test]
        fn input_comes_whole_and_in_bounded_pieces(len in 0_usize..4 * CHUNK) {
            let message = Bytes::from(vec![0; len + 1]);
            let mut total = 0;
            for piece in read(Protocol::V5, message).unwrap() {
                let StreamInput::Stdin(bytes) = piece else { panic!("{piece:?}") };
                prop_assert!(bytes.len() <= CHUNK);
                total += bytes.len();
            }
            prop_assert_eq!(total, len);
        }
    }
}
