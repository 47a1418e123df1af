//! Who this node is: its name, key and certificate, and the CAs that it trusts. One file, replaced
//! as a whole, so that key and certificate always belong together.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _};
use serde::{Deserialize, Serialize};
use x509_parser::{certificate::X509Certificate, prelude::FromDer as _};

use super::RemoteError;
use crate::driver::{JournalError, files};

/// The file in the agent's folder.
const FILE: &str = "identity.json";
/// The key of a join under way: asked again with the same key, a join costs its token nothing.
const JOINING: &str = "joining.json";

/// A node's identity.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Identity {
    /// The node's name.
    pub node: String,
    /// The cluster's id.
    pub cluster: String,
    /// PKCS#8, PEM.
    pub key_pem: String,
    /// The certificate, PEM.
    pub certificate_pem: String,
    /// The CAs to be trusted, PEM, the one that signs first.
    pub trust_pem: String,
    /// Labels that the token gave.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
}

impl std::fmt::Debug for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Identity").field("node", &self.node).field("cluster", &self.cluster).finish_non_exhaustive()
    }
}

/// When a certificate begins and ends to be valid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Validity {
    /// First moment.
    pub from: SystemTime,
    /// Last moment.
    pub until: SystemTime,
}

impl Validity {
    /// When the next certificate is asked for: at two thirds of the life.
    pub fn renew_at(&self) -> SystemTime {
        let life = self.until.duration_since(self.from).unwrap_or_default();
        self.from + life * 2 / 3
    }
}

impl Identity {
    /// The certificate.
    pub(super) fn certificate(&self) -> Result<CertificateDer<'static>, RemoteError> {
        CertificateDer::from_pem_slice(self.certificate_pem.as_bytes()).map_err(|e| RemoteError::Keys(e.to_string()))
    }

    /// The key.
    pub(super) fn key(&self) -> Result<PrivateKeyDer<'static>, RemoteError> {
        PrivateKeyDer::from_pem_slice(self.key_pem.as_bytes()).map_err(|e| RemoteError::Keys(e.to_string()))
    }

    /// The CAs, the one that signs first.
    pub(super) fn trusted(&self) -> Result<Vec<CertificateDer<'static>>, RemoteError> {
        CertificateDer::pem_slice_iter(self.trust_pem.as_bytes())
            .collect::<Result<_, _>>()
            .map_err(|e| RemoteError::Keys(e.to_string()))
    }

    /// When the certificate is valid.
    pub fn validity(&self) -> Result<Validity, RemoteError> {
        let der = self.certificate()?;
        let (_, certificate) = X509Certificate::from_der(&der).map_err(|e| RemoteError::Keys(e.to_string()))?;
        let at = |seconds: i64| UNIX_EPOCH + Duration::from_secs(u64::try_from(seconds).unwrap_or(0));
        let validity = certificate.validity();
        Ok(Validity { from: at(validity.not_before.timestamp()), until: at(validity.not_after.timestamp()) })
    }

    /// Whether the CA that signs now signed the certificate.
    pub(super) fn is_of_first(&self) -> bool {
        let signed = || -> Option<bool> {
            let (ca, own) = (self.trusted().ok()?.into_iter().next()?, self.certificate().ok()?);
            let (_, ca) = X509Certificate::from_der(&ca).ok()?;
            let (_, own) = X509Certificate::from_der(&own).ok()?;
            Some(own.verify_signature(Some(ca.public_key())).is_ok())
        };
        signed().unwrap_or(false)
    }
}

/// Where it is kept.
#[derive(Debug, Clone)]
pub struct IdentityStore {
    dir: PathBuf,
}

#[derive(Serialize, Deserialize)]
struct Joining {
    key_pem: String,
}

impl IdentityStore {
    /// In the agent's folder, which is made 0700 where missing.
    pub fn open(dir: &Path) -> Result<Self, JournalError> {
        files::folder(dir)?;
        Ok(Self { dir: dir.to_path_buf() })
    }

    /// What is kept; `None` before the first join.
    pub fn load(&self) -> Result<Option<Identity>, JournalError> {
        files::load(&self.dir.join(FILE))
    }

    /// Keeps an identity in place of the last; on disk when it returns.
    pub fn keep(&self, identity: &Identity) -> Result<(), JournalError> {
        files::keep(&self.dir.join(FILE), identity)
    }

    /// The key of a join under way, made at its first try.
    pub(super) fn joining(&self) -> Result<String, JournalError> {
        let path = self.dir.join(JOINING);
        if let Some(Joining { key_pem }) = files::load(&path)? {
            return Ok(key_pem);
        }
        let key = rcgen::KeyPair::generate().map_err(|e| JournalError::Random(e.to_string()))?;
        let joining = Joining { key_pem: key.serialize_pem() };
        files::keep(&path, &joining)?;
        Ok(joining.key_pem)
    }

    /// The join is over: its key is the identity's now.
    pub(super) fn joined(&self) -> Result<(), JournalError> {
        files::remove(&self.dir.join(JOINING))
    }
}
