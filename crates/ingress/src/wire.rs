//! A connection to a backend whose other end is watched while something is sent to it.
//!
//! A machine that lost its power closes nothing, and who sent to it would wait for as long as the kernel tries.
//! So, some time after something was sent, and while it is not answered, the kernel is asked whether the other
//! end takes it (`taken`); where it did not for the whole patience, the connection fails like one that was cut.
//! A connection on which nothing is sent is not looked at: it may be idle for as long as its ends like. A
//! backend that takes its time is not cut off either: its machine says that it has what was sent, or no room.
//!
//! A backend that closes while it is sent to may have answered before, as with 413 in the middle of an upload.
//! So that is no failure of what is sent, which goes nowhere from then on: what is read says how it ended.

use std::{
    io,
    net::SocketAddr,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    time::{Instant, Sleep, sleep_until},
};

use crate::taken::taken;

/// A connection in use is looked at this often.
const LOOK: Duration = Duration::from_millis(500);

/// A connection to a backend.
#[derive(Debug)]
pub(crate) struct Wire {
    stream: TcpStream,
    /// The other end hears nothing more.
    deaf: bool,
    watch: Option<Watch>,
}

#[derive(Debug)]
struct Watch {
    from: SocketAddr,
    to: SocketAddr,
    patience: Duration,
    next: Pin<Box<Sleep>>,
    /// A look is to come.
    on: bool,
    /// Something came since the last look.
    heard: bool,
    /// Since when nothing came, as far as it was looked at.
    since: Instant,
}

impl Wire {
    /// With a watch where there is a `patience`, which says how long nothing may be taken.
    pub(crate) fn new(stream: TcpStream, patience: Option<Duration>) -> io::Result<Self> {
        let watch = |patience| -> io::Result<Watch> {
            let now = Instant::now();
            let (from, to) = (stream.local_addr()?, stream.peer_addr()?);
            let next = Box::pin(sleep_until(now));
            Ok(Watch { from, to, patience, next, on: false, heard: false, since: now })
        };
        let watch = patience.map(watch).transpose()?;
        Ok(Self { stream, deaf: false, watch })
    }

    fn wrote(
        &mut self,
        cx: &mut Context<'_>,
        length: usize,
        written: Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        match written {
            Poll::Ready(Err(e)) if matches!(e.kind(), io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset) => {
                self.deaf = true;
                return Poll::Ready(Ok(length));
            }
            Poll::Ready(Err(_)) => return written,
            _ => {}
        }
        if let Some(watch) = &mut self.watch {
            watch.sends(cx)?;
        }
        written
    }
}

impl Watch {
    /// Something is sent.
    fn sends(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        if !self.on {
            (self.on, self.heard, self.since) = (true, false, Instant::now());
            self.next.as_mut().reset(self.since + LOOK);
        }
        self.look(cx)
    }

    /// Looks where it is time to, and asks to be called then.
    fn look(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        while self.on && self.next.as_mut().poll(cx).is_ready() {
            let now = Instant::now();
            if std::mem::take(&mut self.heard) {
                self.since = now;
            } else {
                // Where the kernel does not say, its own time ends the connection.
                let told = taken(self.from, self.to).ok().filter(|t| t.waits);
                if told.is_some_and(|t| t.unanswered && t.silent.min(now - self.since) >= self.patience) {
                    return Err(io::ErrorKind::TimedOut.into());
                }
                self.on = told.is_some();
            }
            self.next.as_mut().reset(now + LOOK);
        }
        Ok(())
    }
}

impl AsyncRead for Wire {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let read = Pin::new(&mut self.stream).poll_read(cx, buffer);
        match &mut self.watch {
            Some(watch) if read.is_pending() => watch.look(cx)?,
            Some(watch) => watch.heard = true,
            None => {}
        }
        read
    }
}

impl AsyncWrite for Wire {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if self.deaf {
            return Poll::Ready(Ok(bytes.len()));
        }
        let written = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.wrote(cx, bytes.len(), written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let length = parts.iter().map(|p| p.len()).sum();
        if self.deaf {
            return Poll::Ready(Ok(length));
        }
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, parts);
        self.wrote(cx, length, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
