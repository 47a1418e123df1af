//! A connection of HTTP/2 that carries calls of gRPC: the server's, and those of probes.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use hyper::{Request, Response, body::Incoming, client::conn::http2};
use tower::Service;

/// A connection for calls. It ends when nobody holds it and no call is under way.
#[derive(Debug, Clone)]
pub(crate) struct Channel {
    send: http2::SendRequest<tonic::body::Body>,
}

impl Channel {
    /// On a connection that somebody else drives.
    pub(crate) fn new(send: http2::SendRequest<tonic::body::Body>) -> Self {
        Self { send }
    }

    /// Whether calls can still be made.
    pub(crate) fn open(&self) -> bool {
        !self.send.is_closed()
    }
}

impl Service<Request<tonic::body::Body>> for Channel {
    type Response = Response<Incoming>;
    type Error = hyper::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, hyper::Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), hyper::Error>> {
        self.send.poll_ready(cx)
    }

    fn call(&mut self, request: Request<tonic::body::Body>) -> Self::Future {
        Box::pin(self.send.send_request(request))
    }
}
