//! Bodies on their way: what clients send, within bounds of size and time, and what they get back.

use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU8, AtomicU64, Ordering},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use thiserror::Error;
use tokio::time::{Instant, Sleep, sleep};

use crate::{account::Account, activity::Busy, pool::Used};

/// A client's body was not taken to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub(crate) enum UploadError {
    /// Larger than it may be.
    #[error("the body is larger than allowed")]
    TooLarge,
    /// The client sends nothing more.
    #[error("the client's body did not come")]
    Slow,
    /// The client is gone, or does not speak HTTP.
    #[error("the client's body broke off")]
    Broken,
}

/// What is known of a body that somebody else reads.
#[derive(Debug)]
pub(crate) struct Progress {
    began: Instant,
    /// Milliseconds after `began` at which it was read last.
    last: AtomicU64,
    fault: AtomicU8,
}

impl Progress {
    fn new() -> Arc<Self> {
        Arc::new(Self { began: Instant::now(), last: AtomicU64::new(0), fault: AtomicU8::new(0) })
    }

    /// When it was read last; its beginning where there was nothing to read.
    pub(crate) fn last(&self) -> Instant {
        self.began + Duration::from_millis(self.last.load(Ordering::Relaxed))
    }

    fn read(&self) {
        let millis = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.last.store(millis, Ordering::Relaxed);
    }

    fn fail(&self, error: UploadError) -> UploadError {
        let code = match error {
            UploadError::TooLarge => 1,
            UploadError::Slow => 2,
            UploadError::Broken => 3,
        };
        self.fault.store(code, Ordering::Relaxed);
        error
    }

    /// What ended it early.
    pub(crate) fn fault(&self) -> Option<UploadError> {
        match self.fault.load(Ordering::Relaxed) {
            1 => Some(UploadError::TooLarge),
            2 => Some(UploadError::Slow),
            3 => Some(UploadError::Broken),
            _ => None,
        }
    }
}

/// A client's body on its way to a backend.
#[derive(Debug)]
pub(crate) struct Upload {
    /// `None` where the request has none.
    inner: Option<Incoming>,
    /// Bytes that may still come.
    left: u64,
    patience: Option<Duration>,
    wait: Option<Pin<Box<Sleep>>>,
    progress: Arc<Progress>,
}

impl Upload {
    /// Of a client, of `most` bytes, whose next part comes within `patience`.
    pub(crate) fn new(inner: Incoming, most: u64, patience: Option<Duration>) -> Self {
        let inner = Some(inner).filter(|b| !b.is_end_stream());
        Self { inner, left: most, patience, wait: None, progress: Progress::new() }
    }

    /// None.
    pub(crate) fn empty() -> Self {
        Self { inner: None, left: 0, patience: None, wait: None, progress: Progress::new() }
    }

    pub(crate) fn is_none(&self) -> bool {
        self.inner.is_none()
    }

    pub(crate) fn progress(&self) -> Arc<Progress> {
        self.progress.clone()
    }
}

impl Body for Upload {
    type Data = Bytes;
    type Error = UploadError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, UploadError>>> {
        let this = &mut *self;
        let Some(inner) = &mut this.inner else { return Poll::Ready(None) };
        this.progress.read();
        let Poll::Ready(frame) = Pin::new(inner).poll_frame(cx) else {
            if let Some(patience) = this.patience {
                let wait = this.wait.get_or_insert_with(|| Box::pin(sleep(patience)));
                ready!(wait.as_mut().poll(cx));
                return Poll::Ready(Some(Err(this.progress.fail(UploadError::Slow))));
            }
            return Poll::Pending;
        };
        this.wait = None;
        Poll::Ready(match frame {
            None => None,
            Some(Err(_)) => Some(Err(this.progress.fail(UploadError::Broken))),
            Some(Ok(frame)) => {
                let length = frame.data_ref().map_or(0, |d| d.len() as u64);
                match this.left.checked_sub(length) {
                    Some(left) => {
                        this.left = left;
                        Some(Ok(frame))
                    }
                    None => Some(Err(this.progress.fail(UploadError::TooLarge))),
                }
            }
        })
    }

    fn is_end_stream(&self) -> bool {
        self.inner.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.as_ref().map_or_else(|| SizeHint::with_exact(0), Body::size_hint)
    }
}

/// What a client gets.
#[derive(Debug)]
pub(crate) struct Download {
    source: Source,
    /// Told of the end, however it comes.
    pub(crate) account: Option<Account>,
    /// The client's connection is not idle meanwhile.
    pub(crate) busy: Option<Busy>,
    /// The backend's connection, which takes the next request when this one's answer is over.
    pub(crate) over: Option<Used>,
}

#[derive(Debug)]
enum Source {
    Backend(Incoming),
    Own(Full<Bytes>),
}

impl Download {
    pub(crate) fn of(body: Incoming) -> Self {
        Self { source: Source::Backend(body), account: None, busy: None, over: None }
    }

    pub(crate) fn own(text: String) -> Self {
        Self { source: Source::Own(Full::new(text.into())), account: None, busy: None, over: None }
    }
}

impl Body for Download {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let frame = match &mut self.source {
            Source::Backend(body) => ready!(Pin::new(body).poll_frame(cx)),
            Source::Own(body) => ready!(Pin::new(body).poll_frame(cx)).map(|f| f.map_err(|never| match never {})),
        };
        if let Some(account) = &mut self.account {
            match &frame {
                Some(Ok(frame)) => account.sent(frame.data_ref().map_or(0, |d| d.len() as u64)),
                Some(Err(_)) => account.broke(),
                None => {}
            }
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        match &self.source {
            Source::Backend(body) => body.is_end_stream(),
            Source::Own(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.source {
            Source::Backend(body) => body.size_hint(),
            Source::Own(body) => body.size_hint(),
        }
    }
}
