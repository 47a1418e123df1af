//! The client of the API: what every verb that speaks to a server uses, and nothing else.
//!
//! HTTP/1.1 over TLS with the kubeconfig's certificate. One connection is kept between requests;
//! streams and WebSockets have one of their own. Deliberately not here: what is printed.

mod config;
mod download;
mod error;
mod socket;
mod stream;

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{
    Method, Request, Response,
    body::Incoming,
    client::conn::http1::{self, SendRequest},
    header,
};
use hyper_util::rt::TokioIo;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject};
use serde_json::Value;
use tokio::{net::TcpStream, sync::Mutex, time::timeout};
use tokio_rustls::TlsConnector;

use config::Config;
pub(crate) use config::Where;
pub(crate) use download::Download;
pub(crate) use error::ClientError;
pub(crate) use socket::Socket;
pub(crate) use stream::Lines;

/// A connection and its handshake take at most this long.
const CONNECT: Duration = Duration::from_secs(10);
/// An answer that is no stream takes at most this long: a diff of a large source, most of all.
const ANSWER: Duration = Duration::from_mins(2);
/// `Accept` of a table.
pub(crate) const TABLE: &str = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json";
/// `Accept` of objects.
const JSON: &str = "application/json";

type Connection = SendRequest<Full<Bytes>>;

/// A client of one server.
pub(crate) struct Client {
    config: Config,
    tls: TlsConnector,
    name: ServerName<'static>,
    kept: Mutex<Option<Connection>>,
}

/// What is sent.
struct Call<'a> {
    method: Method,
    path: &'a str,
    accept: &'a str,
    content_type: Option<&'a str>,
    body: Bytes,
    headers: &'a [(header::HeaderName, &'a str)],
}

impl Client {
    /// Finds the server and prepares the keys; nothing is sent yet.
    pub(crate) fn new(place: &Where) -> Result<Self, ClientError> {
        let config = Config::find(place)?;
        let bad = |reason: String| ClientError::BadConfig { path: config.path.clone(), reason };
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(&config.ca) {
            let certificate = certificate.map_err(|e| bad(format!("the CA's certificate cannot be read: {e}")))?;
            roots.add(certificate).map_err(|e| bad(format!("the CA's certificate cannot be used: {e}")))?;
        }
        let builder = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|e| bad(e.to_string()))?
            .with_root_certificates(roots);
        let tls = match &config.identity {
            None => builder.with_no_client_auth(),
            Some((certificate, key)) => {
                let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(certificate).collect();
                let chain = chain.map_err(|e| bad(format!("the client's certificate cannot be read: {e}")))?;
                let key = PrivateKeyDer::from_pem_slice(key)
                    .map_err(|e| bad(format!("the client's key cannot be read: {e}")))?;
                builder.with_client_auth_cert(chain, key).map_err(|e| bad(e.to_string()))?
            }
        };
        let name =
            ServerName::try_from(config.host.clone()).map_err(|_| bad(format!("`{}` is no host", config.host)))?;
        Ok(Self { tls: TlsConnector::from(Arc::new(tls)), name, kept: Mutex::new(None), config })
    }

    /// The namespace that the kubeconfig's context names.
    pub(crate) fn namespace(&self) -> &str {
        self.config.namespace.as_deref().unwrap_or("default")
    }

    /// GET of objects.
    pub(crate) async fn get(&self, path: &str) -> Result<Value, ClientError> {
        self.get_as(path, JSON).await
    }

    /// GET of objects; `None` if there is no such object.
    pub(crate) async fn find(&self, path: &str) -> Result<Option<Value>, ClientError> {
        match self.get(path).await {
            Err(ClientError::Status { code: 404, .. }) => Ok(None),
            other => other.map(Some),
        }
    }

    /// GET in another form, as [`TABLE`].
    pub(crate) async fn get_as(&self, path: &str, accept: &str) -> Result<Value, ClientError> {
        self.json(Call { method: Method::GET, path, accept, content_type: None, body: Bytes::new(), headers: &[] })
            .await
    }

    /// A write with a JSON body.
    pub(crate) async fn send(&self, method: Method, path: &str, body: &Value) -> Result<Value, ClientError> {
        self.send_as(method, path, JSON, body).await
    }

    /// A write with a body of another type.
    pub(crate) async fn send_as(
        &self,
        method: Method,
        path: &str,
        content_type: &str,
        body: &Value,
    ) -> Result<Value, ClientError> {
        let body = if body.is_null() { Bytes::new() } else { body.to_string().into() };
        self.json(Call { method, path, accept: JSON, content_type: Some(content_type), body, headers: &[] }).await
    }

    /// GET of a stream, a line at a time.
    pub(crate) async fn lines(&self, path: &str, accept: &str) -> Result<Lines, ClientError> {
        let (body, connection) = self.stream(path, accept).await?;
        Ok(Lines::new(body, connection))
    }

    /// GET of a file.
    pub(crate) async fn download(&self, path: &str) -> Result<Download, ClientError> {
        let (body, connection) = self.stream(path, "*/*").await?;
        Ok(Download::new(body, connection))
    }

    async fn stream(&self, path: &str, accept: &str) -> Result<(Incoming, Connection), ClientError> {
        let mut connection = self.connect().await?;
        let call = Call { method: Method::GET, path, accept, content_type: None, body: Bytes::new(), headers: &[] };
        let response = self.exchange(&mut connection, &call).await?;
        if !response.status().is_success() {
            let code = response.status().as_u16();
            let bytes = self.collect(response).await?;
            return Err(ClientError::of_status(code, &bytes));
        }
        Ok((response.into_body(), connection))
    }

    async fn json(&self, call: Call<'_>) -> Result<Value, ClientError> {
        let (code, bytes) = match timeout(ANSWER, self.answer(&call)).await {
            Ok(answer) => answer?,
            Err(_) => return Err(self.http("the answer took too long")),
        };
        if !(200..300).contains(&code) {
            return Err(ClientError::of_status(code, &bytes));
        }
        serde_json::from_slice(&bytes).map_err(|e| self.http(format!("the answer is no JSON: {e}")))
    }

    async fn answer(&self, call: &Call<'_>) -> Result<(u16, Bytes), ClientError> {
        let mut kept = self.kept.lock().await;
        let mut reused = None;
        if let Some(mut connection) = kept.take().filter(|c| !c.is_closed())
            && connection.ready().await.is_ok()
        {
            reused = Some(connection);
        }
        let mut connection = match reused {
            Some(connection) => connection,
            None => self.connect().await?,
        };
        let response = self.exchange(&mut connection, call).await?;
        let code = response.status().as_u16();
        let bytes = self.collect(response).await?;
        *kept = Some(connection);
        Ok((code, bytes))
    }

    async fn collect(&self, response: Response<Incoming>) -> Result<Bytes, ClientError> {
        Ok(response.into_body().collect().await.map_err(|e| self.http(e))?.to_bytes())
    }

    async fn exchange(&self, connection: &mut Connection, call: &Call<'_>) -> Result<Response<Incoming>, ClientError> {
        let mut request = Request::builder()
            .method(call.method.clone())
            .uri(call.path)
            .header(header::HOST, self.config.authority())
            .header(header::USER_AGENT, concat!("evenkeel/", env!("CARGO_PKG_VERSION")))
            .header(header::ACCEPT, call.accept);
        if let Some(content_type) = call.content_type {
            request = request.header(header::CONTENT_TYPE, content_type);
        }
        for (name, value) in call.headers {
            request = request.header(name, *value);
        }
        let token = self.config.token().map_err(|e| self.http(format!("the token cannot be read: {e}")))?;
        if let Some(token) = token {
            request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
        }
        let request = request.body(Full::new(call.body.clone())).map_err(|e| self.http(e))?;
        connection.send_request(request).await.map_err(|e| self.http(e))
    }

    async fn connect(&self) -> Result<Connection, ClientError> {
        let connect = async {
            let tcp = TcpStream::connect((self.config.host.as_str(), self.config.port)).await?;
            tcp.set_nodelay(true)?;
            self.tls.connect(self.name.clone(), tcp).await
        };
        let failed = |source| ClientError::Connect { server: self.config.server(), source };
        let tls = timeout(CONNECT, connect)
            .await
            .map_err(|_| failed(std::io::ErrorKind::TimedOut.into()))?
            .map_err(failed)?;
        let (sender, connection) = http1::handshake(TokioIo::new(tls)).await.map_err(|e| self.http(e))?;
        tokio::spawn(async move {
            // A connection's end shows in the request that uses it.
            let _ended = connection.with_upgrades().await;
        });
        Ok(sender)
    }

    fn http(&self, reason: impl std::fmt::Display) -> ClientError {
        ClientError::Http { server: self.config.server(), reason: reason.to_string() }
    }
}
