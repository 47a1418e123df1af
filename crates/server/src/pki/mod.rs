//! Keys and certificates: the cluster's own CA, the server's certificate, the administrator's.
//!
//! The host opens it before anything else: the CA's folder holds who the cluster is. All keys come
//! from the operating system's generator, here and nowhere else. Nodes join by tokens and get
//! certificates of their own (`join`). Deliberately not here: what a certificate's holder may do
//! (`api::auth`, `dispatch`).

mod accounts;
mod ca;
mod files;
mod join;
mod kubeconfig;
mod members;
mod requests;
mod rotate;
mod tokens;

use std::{path::PathBuf, sync::Arc, time::Duration};

use evenkeel_model::time::part;
use rustls::{RootCertStore, ServerConfig, server::WebPkiClientVerifier};
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use thiserror::Error;

pub use accounts::{
    Accounts, BadToken, Bound, Claims, ISSUER, PublicKey, TOKEN_LIFE, TOKEN_LIFE_LEAST, TOKEN_LIFE_MOST, Whose, extra,
};
pub use ca::Pki;
pub(crate) use files::UNFINISHED;
pub use join::{CertificateError, Counted, JoinAsk, JoinError, Joined, NODE_LIFE, NODE_PREFIX, NODES, is_node_name};
pub use kubeconfig::KUBECONFIG;
pub use members::{Issued, Member};
pub use requests::{CLIENT_LIFE, ClientRequest, RequestError};
pub use rotate::{Authority, retire, rotate};
pub use tokens::{CreateError, NewToken, Token, TokenError};

/// Keys or certificates could not be made, read or written.
#[derive(Debug, Error)]
pub enum PkiError {
    /// A file could not be read or written.
    #[error("cannot {action} {path}")]
    File {
        /// What was attempted.
        action: &'static str,
        /// On which file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// A file does not hold what it should.
    #[error("{path} is damaged: {reason}; restore it from a backup")]
    Damaged {
        /// Which file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// The CA is gone, but not what it vouches for: another one would be another cluster, which
    /// starts everything a second time beside what runs.
    #[error(
        "{} is missing although {} is there: put the folder back from a copy; to begin a new cluster, \
         take the whole data directory away and remove the containers with the label evenkeel.dev/cluster",
        missing.display(), beside.display()
    )]
    Lost {
        /// What is missing.
        missing: PathBuf,
        /// What shows that the cluster is not new.
        beside: PathBuf,
    },
    /// A restore was cut off and cannot be finished.
    #[error("a restore was cut off, and cannot be finished")]
    Restore(#[source] evenkeel_store::StoreError),
    /// A certificate could not be made.
    #[error("cannot make the certificate of {what}")]
    Certificate {
        /// Whose.
        what: &'static str,
        /// Why.
        #[source]
        source: rcgen::Error,
    },
    /// The CA cannot be rotated.
    #[error("the CA cannot be rotated: {0}")]
    Rotation(String),
    /// TLS refused the keys.
    #[error("cannot set up TLS: {0}")]
    Tls(String),
    /// The operating system gave no random bytes.
    #[error("the operating system gives no random bytes: {0}")]
    Random(getrandom::Error),
}

/// Random bytes of the operating system: seeds, ids, tokens.
pub fn random<const N: usize>() -> Result<[u8; N], PkiError> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(PkiError::Random)?;
    Ok(bytes)
}

/// A time by chance, this long at most, so that many do not come together. Without chance it is the longest.
pub(crate) fn up_to(most: Duration) -> Duration {
    part(most, random::<4>().map_or(u32::MAX, u32::from_le_bytes))
}

/// Protocols of the listener, the preferred one first.
const ALPN: [&[u8]; 2] = [b"h2", b"http/1.1"];

/// The listener's TLS: a client certificate is asked for, not demanded; one that is shown must be
/// of this CA.
fn server_config(
    trusted: &[CertificateDer<'static>],
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
) -> Result<Arc<ServerConfig>, PkiError> {
    let tls = |e: &dyn std::fmt::Display| PkiError::Tls(e.to_string());
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut roots = RootCertStore::empty();
    for ca in trusted {
        roots.add(ca.clone()).map_err(|e| tls(&e))?;
    }
    let verifier = WebPkiClientVerifier::builder_with_provider(roots.into(), provider.clone())
        .allow_unauthenticated()
        .build()
        .map_err(|e| tls(&e))?;
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|e| tls(&e))?
        .with_client_cert_verifier(verifier)
        .with_single_cert(chain, key)
        .map_err(|e| tls(&e))?;
    config.alpn_protocols = ALPN.iter().map(|p| p.to_vec()).collect();
    Ok(Arc::new(config))
}
