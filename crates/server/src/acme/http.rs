//! How the directory is spoken to: HTTP over TLS, bounded in time and bytes.

use std::{path::Path, pin::Pin, time::Duration};

use bytes::Bytes;
use http_body_util::Limited;
use hyper::Request;
use hyper_rustls::HttpsConnector;
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use instant_acme::{BodyWrapper, BytesResponse, Error, HttpClient};
use tokio::time::timeout;

use crate::https;

/// One request, to its answer's head.
const ANSWER: Duration = Duration::from_secs(30);
/// An answer's body: chains of certificates are some kilobytes.
const BODY: usize = 1 << 20;

/// A client of one directory.
pub(super) struct Http(Client<HttpsConnector<HttpConnector>, BodyWrapper<Bytes>>);

impl Http {
    /// One that trusts an authority, or, without, those that the system does.
    pub(super) fn new(ca: Option<&Path>) -> Result<Self, String> {
        let connector = https::connector(ca)?;
        Ok(Self(Client::builder(TokioExecutor::new()).build(connector)))
    }
}

impl HttpClient for Http {
    fn request(
        &self,
        request: Request<BodyWrapper<Bytes>>,
    ) -> Pin<Box<dyn Future<Output = Result<BytesResponse, Error>> + Send>> {
        let asked = self.0.request(request);
        Box::pin(async move {
            let late = |_| Error::Other(format!("no answer within {} s", ANSWER.as_secs()).into());
            let answer = timeout(ANSWER, asked).await.map_err(late)?.map_err(|e| Error::Other(Box::new(e)))?;
            Ok(BytesResponse::from(answer.map(|body| Limited::new(body, BODY))))
        })
    }
}
