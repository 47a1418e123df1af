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
    /// Held by who changes something, over the disk's syncs. Never asked for by who only reads:
    /// each call of every agent does.
    writing: Mutex<()>,
    /// What is on disk. Held for a look or one change, never while the disk is waited for.
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
        Ok(Self { dir, writing: Mutex::default(), all: Mutex::new(all), removed: Mutex::default() })
    }

    /// Their names, sorted.
    pub(super) fn names(&self) -> Vec<String> {
        self.lock().keys().cloned().collect()
    }

    /// Notes a node without a certificate, unless it is there.
    pub(super) fn add_local(&self, name: &str) -> Result<(), PkiError> {
        let _writing = self.write();
        if self.get(name).is_some() {
            return Ok(());
        }
        files::folder(&self.dir)?;
        files::write(&self.dir.join(name), b"", files::PRIVATE)?;
        self.lock().insert(name.to_owned(), Standing::Local);
        Ok(())
    }

    /// Forgets a node; false if there was none.
    pub(super) fn remove(&self, name: &str) -> Result<bool, PkiError> {
        let _writing = self.write();
        if self.get(name).is_some() {
            files::remove(&self.dir.join(name))?;
        }
        let mut all = self.lock();
        let there = all.remove(name).is_some();
        if let Some(token) = self.tokens().remove(name) {
            token.cancel();
        }
        Ok(there)
    }

    /// One of them, with what is cancelled when it is removed.
    pub(super) fn watched(&self, name: &str) -> Option<(Standing, CancellationToken)> {
        // Both under one lock: a node that is removed in between would never hear of it.
        let all = self.lock();
        let standing = all.get(name)?.clone();
        Some((standing, self.tokens().entry(name.to_owned()).or_default().clone()))
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
        let _writing = self.write();
        let (next, result) = change(self.get(name).as_ref())?;
        if let Some(member) = next {
            files::folder(&self.dir)?;
            let path = self.dir.join(name);
            let text = serde_json::to_vec(&member).map_err(|e| PkiError::File {
                action: "write",
                path: path.clone(),
                source: e.into(),
            })?;
            files::write(&path, &text, files::PRIVATE)?;
            self.lock().insert(name.to_owned(), Standing::Joined(member));
        }
        Ok(result)
    }

    /// One of them.
    pub(super) fn get(&self, name: &str) -> Option<Standing> {
        self.lock().get(name).cloned()
    }

    fn write(&self) -> MutexGuard<'_, ()> {
        self.writing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Standing>> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member() -> Member {
        Member { machine_id: "m1".into(), address: "10.0.0.1".into(), joined: Time(1), certificates: Vec::new() }
    }

    #[test]
    fn who_reads_does_not_wait_for_who_writes() {
        let dir = tempfile::tempdir().unwrap();
        let members = Members::open(dir.path().join("nodes")).unwrap();
        let joined = |members: &Members| {
            members.update("n1", |known| {
                // In the middle of a change, whose disk may be slow.
                assert!(members.writing.try_lock().is_err());
                assert_eq!(members.get("n1").as_ref(), known);
                assert_eq!(members.watched("n1").is_some(), known.is_some());
                Ok::<_, PkiError>((Some(member()), ()))
            })
        };
        joined(&members).unwrap();
        joined(&members).unwrap();
        let (standing, removed) = members.watched("n1").unwrap();
        assert_eq!(standing, Standing::Joined(member()));
        assert!(members.remove("n1").unwrap() && removed.is_cancelled() && members.watched("n1").is_none());
        assert!(!members.remove("n1").unwrap());
    }

    #[test]
    fn what_the_disk_refuses_does_not_count() {
        let dir = tempfile::tempdir().unwrap();
        let members = Members::open(dir.path().join("nodes")).unwrap();
        std::fs::write(dir.path().join("nodes"), "no folder").unwrap();
        members.add_local("n1").unwrap_err();
        members.update("n1", |_| Ok::<_, PkiError>((Some(member()), ()))).unwrap_err();
        assert_eq!(members.get("n1"), None);
    }
}
