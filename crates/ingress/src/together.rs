//! What a connection of HTTP/2 writes while it runs, sent as one.
//!
//! HTTP/2's library flushes after each part of an answer: with ten small answers that are ready together, ten
//! records of TLS and ten calls of the kernel. So what is written is gathered and the library's flushes wait, until
//! the connection has run and whoever runs it sends what is there (`turn`). No more is gathered than one record
//! takes; what is larger goes through.

use std::{
    io,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll},
};

use tokio::io::{AsyncRead, AsyncWrite, BufWriter, ReadBuf};

/// What is gathered at most: the largest record of TLS (RFC 8446, 5.1).
const RECORD: usize = 16 << 10;

/// One end of a connection; clones are the same end.
#[derive(Debug)]
pub(crate) struct Together<S> {
    // One task has them all: nobody waits for the lock.
    stream: Arc<Mutex<BufWriter<S>>>,
    gathers: bool,
}

impl<S> Clone for Together<S> {
    fn clone(&self) -> Self {
        Self { stream: self.stream.clone(), gathers: self.gathers }
    }
}

impl<S: AsyncWrite + Unpin> Together<S> {
    /// Where it `gathers`, somebody has to call [`Self::send`]; else all goes through as it is written.
    pub(crate) fn new(stream: S, gathers: bool) -> Self {
        let stream = BufWriter::with_capacity(if gathers { RECORD } else { 0 }, stream);
        Self { stream: Arc::new(Mutex::new(stream)), gathers }
    }

    fn stream(&self) -> MutexGuard<'_, BufWriter<S>> {
        self.stream.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends what was gathered; what goes through has nothing to be sent. Where the other end has no room for it, the task is woken when it has, and calls
    /// again.
    pub(crate) fn send(&self, cx: &mut Context<'_>) -> io::Result<()> {
        if !self.gathers {
            return Ok(());
        }
        match Pin::new(&mut *self.stream()).poll_flush(cx) {
            Poll::Ready(sent) => sent,
            Poll::Pending => Ok(()),
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for Together<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.stream()).poll_read(cx, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Together<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut *self.stream()).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut *self.stream()).poll_write_vectored(cx, parts)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream().is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.gathers { Poll::Ready(Ok(())) } else { Pin::new(&mut *self.stream()).poll_flush(cx) }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.stream()).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use tokio::io::AsyncWriteExt as _;

    use super::*;

    /// Keeps each write by itself, and takes none while it is full.
    #[derive(Debug, Default)]
    struct Wire {
        writes: Vec<Vec<u8>>,
        full: bool,
    }

    impl AsyncWrite for Wire {
        fn poll_write(mut self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
            if self.full {
                return Poll::Pending;
            }
            self.writes.push(bytes.to_vec());
            Poll::Ready(Ok(bytes.len()))
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    async fn answers(to: &mut Together<Wire>) {
        for part in ["one", "two", "three"] {
            to.write_all(part.as_bytes()).await.unwrap();
            to.flush().await.unwrap();
        }
    }

    fn written(of: &Together<Wire>) -> Vec<String> {
        of.stream().get_ref().writes.iter().map(|w| String::from_utf8_lossy(w).into_owned()).collect()
    }

    fn send(of: &Together<Wire>) {
        of.send(&mut Context::from_waker(Waker::noop())).unwrap();
    }

    #[tokio::test]
    async fn what_is_ready_together_is_one_write() {
        let mut together = Together::new(Wire::default(), true);
        answers(&mut together).await;
        assert!(written(&together).is_empty());
        send(&together);
        assert_eq!(written(&together), ["onetwothree"]);
        send(&together);
        assert_eq!(written(&together).len(), 1);
    }

    #[tokio::test]
    async fn without_gathering_each_goes_through() {
        let mut through = Together::new(Wire::default(), false);
        answers(&mut through).await;
        assert_eq!(written(&through), ["one", "two", "three"]);
    }

    #[tokio::test]
    async fn nothing_is_lost_while_the_other_end_is_full() {
        let mut together = Together::new(Wire { full: true, ..Wire::default() }, true);
        answers(&mut together).await;
        send(&together);
        assert!(written(&together).is_empty());
        // More than there is room for waits.
        let large = vec![b'x'; RECORD];
        let write = Pin::new(&mut together).poll_write(&mut Context::from_waker(Waker::noop()), &large);
        assert!(write.is_pending());
        together.stream().get_mut().full = false;
        together.write_all(&large).await.unwrap();
        together.shutdown().await.unwrap();
        assert_eq!(written(&together).concat().len(), "onetwothree".len() + RECORD);
    }
}
