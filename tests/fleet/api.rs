//! A client of the API as kubectl is one: by the administrator's kubeconfig, a connection for each
//! request.

use std::{net::SocketAddr, path::Path, sync::Arc};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::{Method, Request};
use hyper_util::rt::TokioIo;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject as _};
use serde_json::Value;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// Reaches one server.
#[derive(Clone)]
pub struct Api {
    address: SocketAddr,
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
        let tcp = TcpStream::connect(self.address).await?;
        tcp.set_nodelay(true)?;
        let tls = self.tls.connect(ServerName::from(self.address.ip()), tcp).await?;
        let (mut send, connection) = hyper::client::conn::http1::handshake(TokioIo::new(tls)).await?;
        let connection = tokio::spawn(connection);
        let kind = if method == Method::PATCH { "application/merge-patch+json" } else { "application/json" };
        let body = if body.is_null() { Bytes::new() } else { serde_json::to_vec(body)?.into() };
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("host", "evenkeel")
            .header("accept", "application/json")
            .header("content-type", kind)
            .body(Full::new(body))?;
        let answer = send.send_request(request).await?;
        let status = answer.status();
        let body = answer.into_body().collect().await?.to_bytes();
        connection.abort();
        if !status.is_success() {
            return Err(format!("{path}: {status}: {}", String::from_utf8_lossy(&body)).into());
        }
        Ok(body)
    }

    pub async fn get(&self, path: &str) -> Result<Value, Failed> {
        Ok(serde_json::from_slice(&self.send(Method::GET, path, &Value::Null).await?)?)
    }
}
