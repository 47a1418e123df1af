//! Ways in from outside as plain data: what every agent is told of Ingresses and their certificates,
//! so that it can serve them on its node and go on while the server is away.
//!
//! A session brings one full [`IngressUpdate`] and then differences. Who stands behind a Service
//! comes with the network (`net`). Deliberately not here: which Ingress is Evenkeel's (`core`), and
//! how a request finds its way (`evenkeel-ingress`).

use alloc::{string::String, sync::Arc, vec::Vec};
use core::fmt;

use serde::{Deserialize, Serialize};

use crate::{net::ServiceId, time::Time};

/// What an agent is told of ways in: all of it when its session begins, then what changed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct IngressUpdate {
    /// The session that it belongs to, as its hello numbered it.
    pub session: u64,
    /// Rises with each update; what is served is told by it. 0 where a server does not ask how far an
    /// agent is.
    #[serde(default)]
    pub number: u64,
    /// Whether it is everything: what it does not name is gone.
    pub full: bool,
    /// Ingresses that are new or changed.
    pub ingresses: Vec<Arc<IngressNet>>,
    /// Ingresses that are gone, or no longer Evenkeel's.
    pub gone_ingresses: Vec<IngressId>,
    /// Certificates that are new or changed.
    pub certificates: Vec<Arc<CertificateNet>>,
    /// Certificates that are gone, or no longer named.
    pub gone_certificates: Vec<SecretId>,
}

/// Names an Ingress.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct IngressId {
    /// Namespace.
    pub namespace: Arc<str>,
    /// Name.
    pub name: Arc<str>,
}

impl fmt::Display for IngressId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

/// Names a Secret that holds a certificate.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct SecretId {
    /// Namespace.
    pub namespace: Arc<str>,
    /// Name.
    pub name: Arc<str>,
}

impl fmt::Display for SecretId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

/// One Ingress.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IngressNet {
    /// Its name.
    pub id: IngressId,
    /// When it was made: of two that want the same, the older has it.
    pub created: Time,
    /// Requests that come without TLS are sent to where there is: `evenkeel.dev/https-redirect`.
    pub https_redirect: bool,
    /// `defaultBackend`: for what no rule fits.
    pub default_backend: Option<IngressBackend>,
    /// Its rules, in their order.
    pub rules: Vec<IngressRule>,
    /// Its certificates, in their order.
    pub tls: Vec<IngressTls>,
    /// What an ACME directory shall find at its hosts: key authorizations of HTTP-01, `TOKEN.THUMBPRINT`.
    #[serde(default)]
    pub answers: Vec<String>,
}

/// What is served at one host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IngressRule {
    /// A name, or `*.` and a name; `None` for all hosts.
    pub host: Option<String>,
    /// Its paths, in their order.
    pub paths: Vec<IngressPath>,
}

/// Who answers at a path.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IngressPath {
    /// The path; begins with `/`.
    pub path: String,
    /// What it means.
    pub kind: PathKind,
    /// Who answers.
    pub backend: IngressBackend,
}

/// `pathType`. `ImplementationSpecific` is `Prefix` here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum PathKind {
    /// This path alone.
    Exact,
    /// This path and all below it, element by element.
    Prefix,
}

/// A port of a Service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IngressBackend {
    /// The Service.
    pub service: ServiceId,
    /// Its port.
    pub port: BackendPort,
    /// What is spoken there.
    pub protocol: BackendProtocol,
}

/// How a port of a Service is named.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum BackendPort {
    /// By its number at the Service.
    Number(u16),
    /// By its name.
    Name(String),
}

impl fmt::Display for BackendPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => number.fmt(f),
            Self::Name(name) => name.fmt(f),
        }
    }
}

/// What a backend speaks, by the port's `appProtocol`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub enum BackendProtocol {
    /// HTTP/1.1, and HTTP/2 for gRPC.
    #[default]
    Http,
    /// HTTP/2 without TLS: `kubernetes.io/h2c`.
    H2c,
    /// TLS, which is not supported yet: requests are answered with 502.
    Tls,
}

/// A certificate and the hosts that it is for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IngressTls {
    /// Names, or `*.` and a name; none for all hosts that have no certificate of their own.
    pub hosts: Vec<String>,
    /// The Secret with the certificate, of the Ingress's namespace.
    pub secret: Option<Arc<str>>,
}

/// A certificate as a Secret of type `kubernetes.io/tls` has it.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CertificateNet {
    /// The Secret.
    pub id: SecretId,
    /// `tls.crt`: the chain as PEM, its own certificate first.
    pub chain: String,
    /// `tls.key` as PEM.
    pub key: String,
}

/// Without what is secret of it.
impl fmt::Debug for CertificateNet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CertificateNet").field("id", &self.id).finish_non_exhaustive()
    }
}
