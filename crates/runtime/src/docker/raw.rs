//! Requests whose answer is bytes as they come: a container's log, the streams of a command.
//!
//! Called by `streams` and `exec`, over a connection of its own for each request. The library's
//! readers are not used for these: where there is a terminal they guess from the first byte whether
//! a piece is framed, and collect a line without bound. Here the caller says which it is, and
//! nothing longer than a read is kept.

use bollard::errors::Error;
use bytes::{Buf, Bytes, BytesMut};
use futures_util::{Stream as Streamed, StreamExt as _, stream};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::{Method, Request, Response, StatusCode, body::Incoming, header};
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncRead, AsyncReadExt as _},
    net::UnixStream,
};

use super::{Docker, READ_TIMEOUT, classify};
use crate::{LogChunk, LogStream, Result, RuntimeError, Stream};

/// The engine's API from which everything used here is there.
const API: &str = "/v1.41";
/// Bytes of one read.
const READ: usize = 32 << 10;
/// Bytes of an error's body; the engine's are a line of JSON.
const ERROR_BYTES: usize = 64 << 10;

/// How the engine sends output.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// Of a terminal: bytes as they are.
    Plain,
    /// Of two pipes: each piece with a header that says which and how long.
    Framed,
}

fn away(error: &dyn std::error::Error) -> RuntimeError {
    RuntimeError::EngineUnavailable { message: error.to_string() }
}

impl Docker {
    /// Asks for something and waits for the head of the answer; what is no success is an error.
    async fn ask(&self, method: Method, path: &str, body: Option<String>) -> Result<Response<Incoming>> {
        let asked = async {
            let socket = UnixStream::connect(self.socket()).await.map_err(|e| away(&e))?;
            let (mut send, connection) =
                hyper::client::conn::http1::handshake(TokioIo::new(socket)).await.map_err(|e| away(&e))?;
            tokio::spawn(async move {
                if let Err(error) = connection.with_upgrades().await {
                    tracing::debug!(%error, "a stream of the container engine broke");
                }
            });
            let mut request =
                Request::builder().method(method).uri(format!("{API}{path}")).header(header::HOST, "engine");
            if body.is_some() {
                request = request
                    .header(header::CONTENT_TYPE, "application/json")
                    .header(header::CONNECTION, "Upgrade")
                    .header(header::UPGRADE, "tcp");
            }
            let request = request
                .body(Full::new(Bytes::from(body.unwrap_or_default())))
                .map_err(|e| RuntimeError::Other { message: e.to_string() })?;
            send.send_request(request).await.map_err(|e| away(&e))
        };
        let response = tokio::time::timeout(READ_TIMEOUT, asked)
            .await
            .map_err(|_| RuntimeError::Timeout { operation: path.into(), seconds: READ_TIMEOUT.as_secs() })??;
        let status = response.status();
        if status.is_success() || status == StatusCode::SWITCHING_PROTOCOLS {
            return Ok(response);
        }
        Err(refusal(response).await)
    }

    /// Output that is the body of an answer.
    pub(super) async fn body(&self, path: &str, form: Form) -> Result<LogStream> {
        let body = self.ask(Method::GET, path, None).await?.into_body();
        let pieces = body.into_data_stream().map(|piece| piece.map_err(|e| away(&e)));
        Ok(decode(pieces, form).boxed())
    }

    /// A connection that is the answer: both of its ways are bytes.
    pub(super) async fn hijack(&self, path: &str, body: String) -> Result<TokioIo<hyper::upgrade::Upgraded>> {
        let response = self.ask(Method::POST, path, Some(body)).await?;
        if response.status() != StatusCode::SWITCHING_PROTOCOLS {
            let message = format!("the engine answered {} in place of a stream", response.status());
            return Err(RuntimeError::Other { message });
        }
        let upgraded = hyper::upgrade::on(response).await.map_err(|e| away(&e))?;
        Ok(TokioIo::new(upgraded))
    }
}

/// What the engine says against a request.
async fn refusal(response: Response<Incoming>) -> RuntimeError {
    #[derive(serde::Deserialize)]
    struct Said {
        message: String,
    }
    let status_code = response.status().as_u16();
    let body = tokio::time::timeout(READ_TIMEOUT, Limited::new(response.into_body(), ERROR_BYTES).collect()).await;
    let body = body.ok().and_then(std::result::Result::ok).map(http_body_util::Collected::to_bytes).unwrap_or_default();
    let message = match serde_json::from_slice::<Said>(&body) {
        Ok(said) => said.message,
        Err(_) => String::from_utf8_lossy(&body).trim().to_owned(),
    };
    classify::general(Error::DockerResponseServerError { status_code, message })
}

/// Output that is read from a connection.
pub(super) fn read<R: AsyncRead + Send + Unpin + 'static>(from: R, form: Form) -> LogStream {
    let pieces = stream::unfold(Some(from), |from| async move {
        let mut from = from?;
        let mut buffer = BytesMut::with_capacity(READ);
        match from.read_buf(&mut buffer).await {
            Ok(0) => None,
            Ok(_) => Some((Ok(buffer.freeze()), Some(from))),
            Err(error) => Some((Err(away(&error)), None)),
        }
    });
    decode(pieces, form).boxed()
}

/// Takes the engine's form off pieces of output.
fn decode(pieces: impl Streamed<Item = Result<Bytes>> + Send, form: Form) -> impl Streamed<Item = Result<LogChunk>> {
    let mut frames = Frames::default();
    pieces.flat_map(move |piece| {
        let chunks = match (piece, form) {
            (Err(error), _) => vec![Err(error)],
            (Ok(bytes), Form::Plain) => vec![Ok(LogChunk { stream: Stream::Stdout, bytes })],
            (Ok(bytes), Form::Framed) => frames.take(bytes),
        };
        stream::iter(chunks)
    })
}

/// Reads frames: a byte that says which stream, three zeros, four bytes of length, then so many
/// bytes. A frame's bytes are passed on as they come.
#[derive(Debug, Default)]
struct Frames {
    header: BytesMut,
    left: usize,
    stream: Option<Stream>,
    broken: bool,
}

/// Bytes of a frame's header.
const HEADER: usize = 8;

impl Frames {
    fn take(&mut self, mut bytes: Bytes) -> Vec<Result<LogChunk>> {
        let mut out = Vec::new();
        while !bytes.is_empty() && !self.broken {
            if self.left == 0 {
                let wanted = HEADER - self.header.len();
                self.header.extend_from_slice(&bytes.split_to(wanted.min(bytes.len())));
                if self.header.len() == HEADER
                    && let Err(error) = self.begin()
                {
                    self.broken = true;
                    out.push(Err(error));
                }
                continue;
            }
            let piece = bytes.split_to(self.left.min(bytes.len()));
            self.left -= piece.len();
            if let Some(stream) = self.stream {
                out.push(Ok(LogChunk { stream, bytes: piece }));
            }
        }
        out
    }

    fn begin(&mut self) -> Result<()> {
        let which = self.header.get_u32();
        self.left = self.header.get_u32() as usize;
        self.stream = match which >> 24 {
            // What the engine calls standard input is output that it made up itself.
            0 | 1 => Some(Stream::Stdout),
            2 => Some(Stream::Stderr),
            3 => return Err(RuntimeError::Other { message: "the engine's stream failed in the middle".into() }),
            _ => {
                return Err(RuntimeError::Other {
                    message: "the engine's stream is not framed as it should be".into(),
                });
            }
        };
        self.header.clear();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(pieces: &[&'static [u8]]) -> (Vec<u8>, Vec<u8>, bool) {
        let mut frames = Frames::default();
        let (mut out, mut err, mut broken) = (Vec::new(), Vec::new(), false);
        for chunk in pieces.iter().flat_map(|p| frames.take(Bytes::from_static(p))) {
            match chunk {
                Ok(LogChunk { stream: Stream::Stdout, bytes }) => out.extend_from_slice(&bytes),
                Ok(LogChunk { stream: Stream::Stderr, bytes }) => err.extend_from_slice(&bytes),
                Err(_) => broken = true,
            }
        }
        (out, err, broken)
    }

    #[test]
    fn frames_are_read_wherever_they_are_cut() {
        const TEXT: &[u8] =
            b"\x01\0\0\0\0\0\0\x04out\n\x02\0\0\0\0\0\0\0\x02\0\0\0\0\0\0\x04err\n\x01\0\0\0\0\0\0\x01x";
        for cut in 0..TEXT.len() {
            let (a, b) = TEXT.split_at(cut);
            assert_eq!(all(&[a, b]), (b"out\nx".to_vec(), b"err\n".to_vec(), false), "{cut}");
        }
        // The first bytes of a long frame do not wait for its last.
        assert_eq!(all(&[b"\x01\0\0\0\xff\xff\xff\xffabc"]).0, b"abc");
        assert!(all(&[b"hello, this is no frame"]).2);
    }
}
