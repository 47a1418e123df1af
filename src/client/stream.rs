//! The lines of a streamed answer: a watch's events, a container's output.

use bytes::{Buf, Bytes, BytesMut};
use http_body_util::BodyExt;
use hyper::body::Incoming;

use super::{ClientError, Connection};

/// Lines as they come. Holds its connection for as long as it lives.
pub(crate) struct Lines {
    body: Incoming,
    buffer: BytesMut,
    ended: bool,
    _connection: Connection,
}

impl Lines {
    pub(super) fn new(body: Incoming, connection: Connection) -> Self {
        Self { body, buffer: BytesMut::new(), ended: false, _connection: connection }
    }

    /// The next line without its end; `None` when the stream has ended. The last line may lack its
    /// end.
    pub(crate) async fn next(&mut self) -> Result<Option<Bytes>, ClientError> {
        loop {
            if let Some(at) = self.buffer.iter().position(|b| *b == b'\n') {
                let line = self.buffer.split_to(at).freeze();
                self.buffer.advance(1);
                return Ok(Some(line));
            }
            if self.ended {
                let rest = self.buffer.split().freeze();
                return Ok((!rest.is_empty()).then_some(rest));
            }
            match self.body.frame().await {
                None => self.ended = true,
                Some(Ok(frame)) => {
                    if let Ok(data) = frame.into_data() {
                        self.buffer.extend_from_slice(&data);
                    }
                }
                Some(Err(e)) => return Err(ClientError::Stream(e.to_string())),
            }
        }
    }
}
