//! The nodes of the cluster and the certificates each may use: one file each in `ca/nodes/`.
//!
//! An empty file is a node without a certificate: the one that lives in the server's own process. A
//! certificate that is not named here is not valid, whoever signed it: so removing a node's file
//! revokes all it has, at once. Deliberately not here: signing (`ca`), and who may join (`join`).

use std::{
    collections::BTreeMap,
    path::PathBuf,
    sync::{Mutex, MutexGuard, PoisonError},
};

use evenkeel_model::{Digest, Time};
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;

use super::{PkiError, files};

/// Certificates that a node may have at one time: the one it uses, and one that it was given and
/// may not have received.
const CERTIFICATES: usize = 3;

/// A node with certificates.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Member {
    /// `/etc/machine-id` of the machine that joined.
    pub machine_id: String,
    /// Where it joined from.
    pub address: String,
    /// When it joined.
    pub joined: Time,
    /// Its certificates, oldest first.
    pub certificates: Vec<Issued>,
}

/// One certificate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Issued {
    /// SHA-256 of the certificate, DER.
    pub fingerprint: Digest,
    /// SHA-256 of its public key: a machine whose answer was lost asks again with the same key.
    pub key: Digest,
    /// Its end.
    pub not_after: Time,
    /// SHA-256 of the public key of the CA that signed it.
    pub issuer: Digest,
}

impl Member {
    /// The certificate that lives longest, if one is alive.
    pub fn alive(&self, now: Time) -> Option<&Issued> {
        self.certificates.iter().filter(|c| c.not_after > now).max_by_key(|c| c.not_after)
    }

    /// Adds a certificate and forgets those that are over, and the oldest beyond the bound.
    pub(super) fn add(&mut self, issued: Issued, now: Time) {
        self.certificates.retain(|c| c.not_after > now);
        self.certificates.push(issued);
        let many = self.certificates.len().saturating_sub(CERTIFICATES);
        self.certificates.drain(..many);
    }
}

/// How a node belongs to the cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Standing {
    /// It lives in the server's process and needs no certificate.
    Local,
    /// It joined.
    Joined(Member),
}

/// All nodes.
#[derive(Debug)]
pub(super) struct Members {
    dir: PathBuf,
    all: Mutex<BTreeMap<String, Standing>>,
    /// Cancelled when a node is removed; made when first asked for.
    removed: Mutex<BTreeMap<String, CancellationToken>>,
}

impl Members {
    /// Reads those there are.
    pub(super) fn open(dir: PathBuf) -> Result<Self, PkiError> {
        let mut all = BTreeMap::new();
        for name in files::names(&dir)? {
            let path = dir.join(&name);
            let text = files::text(&path)?;
            let member = match text.trim() {
                "" => Standing::Local,
                text => Standing::Joined(
                    serde_json::from_str(text)
                        .map_err(|e| PkiError::Damaged { path: path.clone(), reason: e.to_string() })?,
                ),
            };
            all.insert(name, member);
        }
        Ok(Self { dir, all: Mutex::new(all), removed: Mutex::default() })
    }

    /// Their names, sorted.
    pub(super) fn names(&self) -> Vec<String> {
        self.lock().keys().cloned().collect()
    }

    /// Notes a node without a certificate, unless it is there.
    pub(super) fn add_local(&self, name: &str) -> Result<(), PkiError> {
        let mut all = self.lock();
        if all.contains_key(name) {
            return Ok(());
        }
        files::folder(&self.dir)?;
        files::write(&self.dir.join(name), b"", files::PRIVATE)?;
        all.insert(name.to_owned(), Standing::Local);
        Ok(())
    }

    /// Forgets a node; false if there was none.
    pub(super) fn remove(&self, name: &str) -> Result<bool, PkiError> {
        let mut all = self.lock();
        if all.contains_key(name) {
            files::remove(&self.dir.join(name))?;
        }
        let there = all.remove(name).is_some();
        if let Some(token) = self.tokens().remove(name) {
            token.cancel();
        }
        Ok(there)
    }

    /// Cancelled when this node is removed.
    pub(super) fn removed(&self, name: &str) -> CancellationToken {
        self.tokens().entry(name.to_owned()).or_default().clone()
    }

    fn tokens(&self) -> MutexGuard<'_, BTreeMap<String, CancellationToken>> {
        self.removed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Looks at one, and changes it where `change` gives a new one; on disk before this returns.
    pub(super) fn update<T, E: From<PkiError>>(
        &self,
        name: &str,
        change: impl FnOnce(Option<&Standing>) -> Result<(Option<Member>, T), E>,
    ) -> Result<T, E> {
        let mut all = self.lock();
        let (next, result) = change(all.get(name))?;
        if let Some(member) = next {
            files::folder(&self.dir)?;
            let text = serde_json::to_vec(&member).unwrap_or_default();
            files::write(&self.dir.join(name), &text, files::PRIVATE)?;
            all.insert(name.to_owned(), Standing::Joined(member));
        }
        Ok(result)
    }

    /// One of them.
    pub(super) fn get(&self, name: &str) -> Option<Standing> {
        self.lock().get(name).cloned()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Standing>> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
