//! Frames of SPDY/3.1: what of it a client of Kubernetes speaks, from bytes and to bytes.
//!
//! Pure. Bytes come in pieces of any size; data is handed on as it comes, so that no frame is held
//! as a whole but those of control, which are bounded. Flow control is not there: the clients
//! (`moby/spdystream`) neither send nor heed it. Deliberately not here: what streams are for
//! (`session`). (`https://www.chromium.org/spdy/spdy-protocol/spdy-protocol-draft3-1/`)

use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};
use thiserror::Error;

use super::headers::{self, Headers, HeadersError};

/// Bytes of a control frame: some headers of some bytes.
const CONTROL: usize = 16 << 10;
/// Bytes before each frame's content.
const HEAD: usize = 8;
/// Bytes that a data frame may hold; there is no larger number.
const MOST_DATA: usize = (1 << 24) - 1;

/// Nothing more comes on a stream from who says this.
const FIN: u8 = 1;

const SYN_STREAM: u16 = 1;
const SYN_REPLY: u16 = 2;
const RST_STREAM: u16 = 3;
const PING: u16 = 6;
const GOAWAY: u16 = 7;
const HEADERS: u16 = 8;

/// Why a stream is ended at once, as `RST_STREAM` says it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reset {
    /// It makes no sense.
    Protocol = 1,
    /// There is no place for it.
    Refused = 3,
    /// Who reads it has gone.
    Cancel = 5,
}

/// What a client says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Frame {
    /// A new stream; `end` where nothing comes on it.
    Open {
        /// Its number.
        stream: u32,
        /// What it is for.
        headers: Headers,
        /// Nothing comes on it.
        end: bool,
    },
    /// A part of a stream's data; `end` with the last one.
    Data {
        /// Its number.
        stream: u32,
        /// May be empty.
        bytes: Bytes,
        /// Nothing more comes on it.
        end: bool,
    },
    /// A stream is given up.
    Reset(u32),
    /// To be sent back, where it is not one of ours.
    Ping(u32),
    /// No new streams come.
    Away,
}

/// Bytes that are no SPDY, or too much of it.
#[derive(Debug, PartialEq, Eq, Error)]
pub(crate) enum FrameError {
    /// Another protocol or version.
    #[error("frames of version {0} were sent; SPDY/3.1 is spoken here")]
    Version(u16),
    /// A control frame that is too large.
    #[error("a control frame of {0} bytes; {CONTROL} are allowed")]
    Large(usize),
    /// A control frame that is too short for its kind.
    #[error("a frame of kind {0} is too short")]
    Short(u16),
    /// Headers that cannot be read.
    #[error("a stream's headers cannot be read")]
    Headers(#[from] HeadersError),
}

/// Reads a client's bytes.
pub(crate) struct Reader {
    held: BytesMut,
    headers: headers::Reader,
    data: Option<Begun>,
}

/// A data frame of which bytes are still to come.
#[derive(Clone, Copy)]
struct Begun {
    stream: u32,
    left: usize,
    end: bool,
}

impl Reader {
    pub(crate) fn new() -> Self {
        Self { held: BytesMut::new(), headers: headers::Reader::new(), data: None }
    }

    /// Takes bytes as they come. All frames shall be taken before the next ones.
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        self.held.extend_from_slice(bytes);
    }

    /// The next frame; `None` where bytes are missing.
    pub(crate) fn next(&mut self) -> Result<Option<Frame>, FrameError> {
        loop {
            if let Some(begun) = self.data.take() {
                return Ok(self.data(begun));
            }
            let Some(head) = self.held.first_chunk::<HEAD>() else { return Ok(None) };
            let [a, b, c, d, flags, len @ ..] = *head;
            let length = u32::from_be_bytes([0, len[0], len[1], len[2]]) as usize;
            if a & 0x80 == 0 {
                self.held.advance(HEAD);
                let stream = u32::from_be_bytes([a, b, c, d]);
                self.data = Some(Begun { stream, left: length, end: flags & FIN != 0 });
                continue;
            }
            let version = u16::from_be_bytes([a & 0x7f, b]);
            if version != 3 {
                return Err(FrameError::Version(version));
            }
            if length > CONTROL {
                return Err(FrameError::Large(length));
            }
            if self.held.len() < HEAD + length {
                return Ok(None);
            }
            self.held.advance(HEAD);
            let content = self.held.split_to(length).freeze();
            if let Some(frame) = self.control(u16::from_be_bytes([c, d]), flags, content)? {
                return Ok(Some(frame));
            }
        }
    }

    fn data(&mut self, begun: Begun) -> Option<Frame> {
        let Begun { stream, left, end } = begun;
        let bytes = self.held.split_to(left.min(self.held.len())).freeze();
        let left = left - bytes.len();
        if left > 0 {
            self.data = Some(Begun { stream, left, end });
            if bytes.is_empty() {
                return None;
            }
        }
        Some(Frame::Data { stream, bytes, end: end && left == 0 })
    }

    /// Reads a control frame; `None` for one that says nothing here.
    fn control(&mut self, kind: u16, flags: u8, mut content: Bytes) -> Result<Option<Frame>, FrameError> {
        let least = match kind {
            SYN_STREAM => 10,
            SYN_REPLY | HEADERS | PING => 4,
            RST_STREAM | GOAWAY => 8,
            // Settings, flow control, and what came later.
            _ => return Ok(None),
        };
        if content.len() < least {
            return Err(FrameError::Short(kind));
        }
        let number = content.get_u32();
        let stream = number & 0x7fff_ffff;
        Ok(match kind {
            SYN_STREAM => {
                content.advance(6);
                let headers = self.headers.read(&content)?;
                Some(Frame::Open { stream, headers, end: flags & FIN != 0 })
            }
            // Their headers are of no interest, and still part of what was packed as one.
            SYN_REPLY | HEADERS => {
                self.headers.read(&content)?;
                (kind == HEADERS && flags & FIN != 0).then(|| Frame::Data { stream, bytes: Bytes::new(), end: true })
            }
            RST_STREAM => Some(Frame::Reset(stream)),
            PING => Some(Frame::Ping(number)),
            _ => Some(Frame::Away),
        })
    }
}

/// Writes what the server says.
#[derive(Default)]
pub(crate) struct Writer {
    headers: headers::Writer,
}

impl Writer {
    /// Takes a stream up.
    pub(crate) fn reply(&mut self, stream: u32) -> Bytes {
        let mut content = BytesMut::new();
        content.put_u32(stream);
        content.put_slice(&self.headers.none());
        control(SYN_REPLY, 0, &content)
    }

    /// Data of a stream, which may be its last.
    pub(crate) fn data(stream: u32, bytes: &[u8], end: bool) -> Bytes {
        debug_assert!(bytes.len() <= MOST_DATA);
        let mut out = BytesMut::with_capacity(HEAD + bytes.len());
        out.put_u32(stream & 0x7fff_ffff);
        put_length(&mut out, if end { FIN } else { 0 }, bytes.len());
        out.put_slice(bytes);
        out.freeze()
    }

    /// Ends a stream at once, both ways.
    pub(crate) fn reset(stream: u32, why: Reset) -> Bytes {
        let mut content = BytesMut::new();
        content.put_u32(stream);
        content.put_u32(why as u32);
        control(RST_STREAM, 0, &content)
    }

    /// Asks, or answers.
    pub(crate) fn ping(number: u32) -> Bytes {
        control(PING, 0, &number.to_be_bytes())
    }

    /// No stream is taken up any more.
    pub(crate) fn away(last: u32) -> Bytes {
        let mut content = BytesMut::new();
        content.put_u32(last);
        content.put_u32(0);
        control(GOAWAY, 0, &content)
    }
}

fn control(kind: u16, flags: u8, content: &[u8]) -> Bytes {
    let mut out = BytesMut::with_capacity(HEAD + content.len());
    out.put_u16(0x8003);
    out.put_u16(kind);
    put_length(&mut out, flags, content.len());
    out.put_slice(content);
    out.freeze()
}

fn put_length(out: &mut BytesMut, flags: u8, length: usize) {
    out.put_u8(flags);
    out.put_uint(length as u64, 3);
}

#[cfg(test)]
mod tests;
