//! Who asks, and whether they may.
//!
//! The listener reads a verified client certificate into a [`Client`]; `rest` demands one. For now
//! there is one role: members of [`ADMINS`] may do everything. Tokens come with their issue.

use std::{net::SocketAddr, sync::Arc};

use axum::http::Extensions;
use x509_parser::{certificate::X509Certificate, prelude::FromDer};

use super::status::Failure;

/// The group that may do everything, as in Kubernetes.
pub const ADMINS: &str = "system:masters";

/// A verified certificate's subject.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// Its CN.
    pub user: String,
    /// Its Os.
    pub groups: Vec<String>,
}

impl Identity {
    /// From a certificate that TLS has verified; `None` if it has no CN.
    pub fn of_certificate(der: &[u8]) -> Option<Self> {
        let (_, certificate) = X509Certificate::from_der(der).ok()?;
        let subject = certificate.subject();
        let user = subject.iter_common_name().next()?.as_str().ok()?.to_owned();
        let groups = subject.iter_organization().filter_map(|o| o.as_str().ok()).map(Into::into).collect();
        Some(Self { user, groups })
    }
}

/// Whoever is at the other end of a connection.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Client(pub Option<Identity>);

/// The machine at the other end of a connection.
#[derive(Debug, Clone)]
pub struct Peer {
    /// Its address.
    pub address: SocketAddr,
    /// The certificate that TLS has verified, DER.
    pub certificate: Option<Arc<[u8]>>,
}

/// The user of a request that may do everything.
pub(crate) fn admin(extensions: &Extensions, verb: &str, path: &str) -> Result<String, Failure> {
    let Some(Client(Some(identity))) = extensions.get::<Client>() else {
        return Err(Failure::unauthorized());
    };
    if identity.groups.iter().any(|g| g == ADMINS) {
        return Ok(identity.user.clone());
    }
    let user = &identity.user;
    Err(Failure::new(403, "Forbidden", format!("forbidden: User \"{user}\" cannot {verb} path \"{path}\"")))
}
