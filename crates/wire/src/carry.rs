//! The messages of a stream ([`crate::stream`]) as the protocol's types, and back.
//!
//! Used by both ends of the second connection. A message that this version does not know is passed
//! over, like everywhere in the protocol.

use crate::{
    proto::{self, stream_down, stream_up},
    stream::{FailureKind, StreamError, StreamInput, StreamOutput},
};

/// From the node.
pub fn output(message: StreamOutput) -> proto::StreamUp {
    use stream_up::Message;
    let message = match message {
        StreamOutput::Opened => Message::Opened(true),
        StreamOutput::Stdout(bytes) => Message::Stdout(bytes),
        StreamOutput::Stderr(bytes) => Message::Stderr(bytes),
        StreamOutput::StdoutEnd => Message::StdoutEnd(true),
        StreamOutput::Ended { exit_code } => Message::Ended(exit_code),
        StreamOutput::Failed(error) => {
            Message::Failed(proto::StreamFailure { kind: kind(error.kind), message: error.message })
        }
    };
    proto::StreamUp { message: Some(message) }
}

/// Reads what came from a node; `None` for what is not known.
pub fn read_output(message: proto::StreamUp) -> Option<StreamOutput> {
    use stream_up::Message;
    Some(match message.message? {
        Message::Opened(_) => StreamOutput::Opened,
        Message::Stdout(bytes) => StreamOutput::Stdout(bytes),
        Message::Stderr(bytes) => StreamOutput::Stderr(bytes),
        Message::StdoutEnd(_) => StreamOutput::StdoutEnd,
        Message::Ended(exit_code) => StreamOutput::Ended { exit_code },
        Message::Failed(f) => StreamOutput::Failed(StreamError::new(read_kind(&f.kind), f.message)),
    })
}

/// To the node.
pub fn input(message: StreamInput) -> proto::StreamDown {
    use stream_down::Message;
    let message = match message {
        StreamInput::Stdin(bytes) => Message::Stdin(bytes),
        StreamInput::StdinEnd => Message::StdinEnd(true),
        StreamInput::Resize { width, height } => {
            Message::Resize(proto::Resize { width: width.into(), height: height.into() })
        }
        StreamInput::Close => Message::Close(true),
    };
    proto::StreamDown { message: Some(message) }
}

/// Reads what came from the server; `None` for what is not known.
pub fn read_input(message: proto::StreamDown) -> Option<StreamInput> {
    use stream_down::Message;
    let size = |n: u32| u16::try_from(n).unwrap_or(u16::MAX);
    Some(match message.message? {
        Message::Stdin(bytes) => StreamInput::Stdin(bytes),
        Message::StdinEnd(_) => StreamInput::StdinEnd,
        Message::Resize(r) => StreamInput::Resize { width: size(r.width), height: size(r.height) },
        Message::Close(_) => StreamInput::Close,
    })
}

fn kind(kind: FailureKind) -> String {
    match serde_json::to_value(kind) {
        Ok(serde_json::Value::String(text)) => text,
        // An enum without data is a string in JSON.
        _ => String::new(),
    }
}

fn read_kind(text: &str) -> FailureKind {
    // A kind of a newer agent: its message says what it is.
    serde_json::from_value(text.into()).unwrap_or(FailureKind::Engine)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_arrive_as_they_were_sent() {
        let failed = StreamError::new(FailureKind::NotRunning, "container \"a\" does not run");
        for message in [
            StreamOutput::Opened,
            StreamOutput::Stdout("x".into()),
            StreamOutput::Stderr("y".into()),
            StreamOutput::StdoutEnd,
            StreamOutput::Ended { exit_code: 137 },
            StreamOutput::Failed(failed),
        ] {
            assert_eq!(read_output(output(message.clone())), Some(message));
        }
        for message in [
            StreamInput::Stdin("x".into()),
            StreamInput::StdinEnd,
            StreamInput::Resize { width: 80, height: 25 },
            StreamInput::Close,
        ] {
            assert_eq!(read_input(input(message.clone())), Some(message));
        }
        assert_eq!(read_output(proto::StreamUp::default()), None);
        assert_eq!(read_kind("ofALaterVersion"), FailureKind::Engine);
    }
}
