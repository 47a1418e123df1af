//! A client of the API as kubectl is one: by the administrator's kubeconfig, a connection for each
//! request unless somebody keeps one.

use std::{net::SocketAddr, path::Path, sync::Arc};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::{Method, Request, Response, StatusCode, body::Incoming, client::conn::http1::SendRequest};
use hyper_util::rt::TokioIo;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject as _};
use serde_json::Value;
use tokio::{net::TcpStream, task::JoinHandle};
use tokio_rustls::TlsConnector;

/// Reaches one server.
#[derive(Clone)]
pub struct Api {
    pub address: SocketAddr,
    tls: TlsConnector,
}

/// Why there is no answer.
pub type Failed = Box<dyn std::error::Error + Send + Sync>;

impl Api {
    pub fn new(kubeconfig: &Path, address: SocketAddr) -> Self {
        let text = std::fs::read_to_string(kubeconfig).unwrap();
        let config: Value = serde_yaml::from_str(&text).unwrap();
        let part = |value: &Value| STANDARD.decode(value.as_str().unwrap()).unwrap();
        let (cluster, user) = (&config["clusters"][0]["cluster"], &config["users"][0]["user"]);
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(&part(&cluster["certificate-authority-data"])).unwrap()).unwrap();
        let certificate = CertificateDer::from_pem_slice(&part(&user["client-certificate-data"])).unwrap();
        let key = PrivateKeyDer::from_pem_slice(&part(&user["client-key-data"])).unwrap();
        let tls = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_client_auth_cert(vec![certificate], key)
            .unwrap();
        Self { address, tls: TlsConnector::from(Arc::new(tls)) }
    }

    /// Asks once; anything but an answer of 2xx is an error.
    pub async fn send(&self, method: Method, path: &str, body: &Value) -> Result<Bytes, Failed> {
        let (status, answer) = self.connect().await?.ask(method, path, body).await?;
        if !status.is_success() {
            return Err(format!("{path}: {status}: {}", String::from_utf8_lossy(&answer)).into());
        }
        Ok(answer)
    }

    pub async fn get(&self, path: &str) -> Result<Value, Failed> {
        Ok(serde_json::from_slice(&self.send(Method::GET, path, &Value::Null).await?)?)
    }

    /// A connection for one request after the other.
    pub async fn connect(&self) -> Result<Connection, Failed> {
        self.over(TcpStream::connect(self.address).await?).await
    }

    /// The same over a socket of the caller's.
    pub async fn over(&self, tcp: TcpStream) -> Result<Connection, Failed> {
        tcp.set_nodelay(true)?;
        let tls = self.tls.connect(ServerName::from(self.address.ip()), tcp).await?;
        let (send, connection) = hyper::client::conn::http1::handshake(TokioIo::new(tls)).await?;
        Ok(Connection { send, connection: tokio::spawn(connection) })
    }
}

/// A connection to the server.
pub struct Connection {
    send: SendRequest<Full<Bytes>>,
    connection: JoinHandle<hyper::Result<()>>,
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.connection.abort();
    }
}

impl Connection {
    /// Asks, and takes the answer as it comes.
    pub async fn open(&mut self, method: Method, path: &str, body: &Value) -> Result<Response<Incoming>, Failed> {
        let kind = if method == Method::PATCH { "application/merge-patch+json" } else { "application/json" };
        let body = if body.is_null() { Bytes::new() } else { serde_json::to_vec(body)?.into() };
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("host", "evenkeel")
            .header("accept", "application/json")
            .header("content-type", kind)
            .body(Full::new(body))?;
        self.send.ready().await?;
        Ok(self.send.send_request(request).await?)
    }

    /// Asks, and takes the whole answer.
    pub async fn ask(&mut self, method: Method, path: &str, body: &Value) -> Result<(StatusCode, Bytes), Failed> {
        let answer = self.open(method, path, body).await?;
        let status = answer.status();
        Ok((status, answer.into_body().collect().await?.to_bytes()))
    }
}
