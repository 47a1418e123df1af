//! A file that the server sends, piece by piece.

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::{Body, Incoming};

use super::{ClientError, Connection};

/// The bytes of an answer as they come. Holds its connection for as long as it lives.
pub(crate) struct Download {
    body: Incoming,
    left: Option<u64>,
    _connection: Connection,
}

impl Download {
    pub(super) fn new(body: Incoming, connection: Connection) -> Self {
        let left = body.size_hint().exact();
        Self { body, left, _connection: connection }
    }

    /// The next piece; `None` at the end, which comes too early only as an error.
    pub(crate) async fn next(&mut self) -> Result<Option<Bytes>, ClientError> {
        loop {
            match self.body.frame().await {
                None => {
                    return match self.left {
                        None | Some(0) => Ok(None),
                        Some(left) => Err(ClientError::Stream(format!("{left} bytes are missing"))),
                    };
                }
                Some(Ok(frame)) => {
                    let Ok(bytes) = frame.into_data() else { continue };
                    self.left = self.left.map(|left| left.saturating_sub(bytes.len() as u64));
                    return Ok(Some(bytes));
                }
                Some(Err(e)) => return Err(ClientError::Stream(e.to_string())),
            }
        }
    }
}
