//! The agent's memory on disk: plain files, each replaced as a whole, for `logic::journal`.
//!
//! `agent.json` holds what is known beside the pods; `journal/<uid>` one pod each, sealed with the
//! key in `agent.key` because its order holds Secrets' values. Everything is 0600 below a 0700
//! folder. Calls block. Deliberately not here: what is worth keeping.

use std::{
    fs, io,
    os::unix::fs::DirBuilderExt as _,
    path::{Path, PathBuf},
};

use chacha20poly1305::{
    Key, KeyInit as _, XChaCha20Poly1305, XNonce,
    aead::{Aead as _, Payload},
};
use evenkeel_files::{Holder, Lock, LockError, PRIVATE, sync_folder_of};
use evenkeel_model::Uid;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::logic::journal::{AgentRecord, FORMAT, Journal, JournalPod};

/// First bytes of a pod's file, before the nonce.
const MAGIC: &[u8; 8] = b"EKPOD\x01\r\n";
/// Bytes of the nonce.
const NONCE: usize = 24;
/// Largest file that is read: an order with its contents is a few MiB at most.
const MAX_FILE: u64 = 64 << 20;

/// The disk refused, or holds something that this version cannot read.
#[derive(Debug, Error)]
pub enum JournalError {
    /// The file system refused.
    #[error("cannot {what} {}", path.display())]
    Io {
        /// What was tried.
        what: &'static str,
        /// On what.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Another process uses the folder.
    #[error("another agent uses {} already: {holder}", dir.display())]
    InUse {
        /// The agent's folder.
        dir: PathBuf,
        /// Who has it.
        holder: Holder,
    },
    /// The key file is no key.
    #[error("{} is not a key of 32 bytes", path.display())]
    Key {
        /// The file.
        path: PathBuf,
    },
    /// The operating system gave no random bytes.
    #[error("no random bytes from the operating system: {0}")]
    Random(String),
    /// Written by a newer version.
    #[error("{} has format {found}; this version reads up to {FORMAT}: use the newer evenkeel again", path.display())]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its format.
        found: u32,
    },
    /// Data that cannot be written down, or a file that was changed or cut.
    #[error("{} cannot be {what}: {reason}", path.display())]
    Content {
        /// `read` or `written`.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// Why; no values.
        reason: String,
    },
}

#[derive(Serialize, Deserialize)]
struct Versioned<T> {
    format: u32,
    data: T,
}

/// The files of one agent.
pub struct JournalStore {
    dir: PathBuf,
    /// Held as long as this lives: two agents of one folder would undo each other.
    _lock: Lock,
    cipher: XChaCha20Poly1305,
}

impl std::fmt::Debug for JournalStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("JournalStore").field("dir", &self.dir).finish_non_exhaustive()
    }
}

impl JournalStore {
    /// Opens `<agent_dir>`, which is made, with its key, which is made at the first start.
    pub fn open(agent_dir: &Path) -> Result<Self, JournalError> {
        let pods = agent_dir.join("journal");
        let mut builder = fs::DirBuilder::new();
        builder.recursive(true).mode(0o700).create(&pods).map_err(|source| io_error("create", &pods, source))?;
        let lock = lock(&agent_dir.join("agent.lock"))?;
        let key = key(&agent_dir.join("agent.key"))?;
        Ok(Self { dir: agent_dir.to_path_buf(), _lock: lock, cipher: XChaCha20Poly1305::new(&Key::from(key)) })
    }

    /// Reads everything. A pod's file that was damaged is set aside with a warning: its containers
    /// are found by their labels and reported, never removed.
    pub fn load(&self) -> Result<Journal, JournalError> {
        let path = self.dir.join("agent.json");
        let agent = match read(&path)? {
            Some(bytes) => parse(&path, &bytes)?,
            None => AgentRecord::default(),
        };
        let dir = self.dir.join("journal");
        let mut pods = Vec::new();
        for entry in fs::read_dir(&dir).map_err(|e| io_error("read", &dir, e))? {
            let path = entry.map_err(|e| io_error("read", &dir, e))?.path();
            let Some(uid) = path.file_name().and_then(|n| n.to_str()).and_then(|n| n.parse::<Uid>().ok()) else {
                continue;
            };
            let Some(bytes) = read(&path)? else { continue };
            match self.unseal(&path, uid, &bytes) {
                Ok(pod) => pods.push(pod),
                Err(error @ JournalError::Content { .. }) => {
                    let aside = path.with_extension("damaged");
                    tracing::warn!(%error, "a pod's journal is set aside as {}", aside.display());
                    fs::rename(&path, &aside).map_err(|e| io_error("rename", &path, e))?;
                }
                Err(error) => return Err(error),
            }
        }
        pods.sort_by_key(|pod| pod.order.uid);
        Ok(Journal { agent, pods })
    }

    /// Keeps this in place of what was kept for the pod; on disk when it returns.
    pub fn persist(&self, pod: &JournalPod) -> Result<(), JournalError> {
        let path = self.pod_path(pod.order.uid);
        let text = encode(&path, pod)?;
        let mut nonce = [0; NONCE];
        getrandom::fill(&mut nonce).map_err(|e| JournalError::Random(e.to_string()))?;
        let uid = pod.order.uid.0.to_be_bytes();
        let sealed = self
            .cipher
            .encrypt(&XNonce::from(nonce), Payload { msg: &text, aad: &uid })
            .map_err(|_| content("written", &path, "it cannot be encrypted"))?;
        replace(&path, &[MAGIC.as_slice(), &nonce, &sealed].concat())
    }

    /// Drops what was kept for the pod; nothing is fine.
    pub fn forget(&self, pod: Uid) -> Result<(), JournalError> {
        remove_file(&self.pod_path(pod))
    }

    /// Keeps what is known beside the pods; on disk when it returns.
    pub fn persist_agent(&self, record: &AgentRecord) -> Result<(), JournalError> {
        let path = self.dir.join("agent.json");
        replace(&path, &encode(&path, record)?)
    }

    fn pod_path(&self, pod: Uid) -> PathBuf {
        self.dir.join("journal").join(pod.to_string())
    }

    fn unseal(&self, path: &Path, uid: Uid, bytes: &[u8]) -> Result<JournalPod, JournalError> {
        let damaged = || content("read", path, "it was changed or cut, or agent.key is another one");
        let rest = bytes.strip_prefix(MAGIC.as_slice()).ok_or_else(damaged)?;
        let (nonce, sealed) = rest.split_first_chunk::<NONCE>().ok_or_else(damaged)?;
        let aad = uid.0.to_be_bytes();
        let text =
            self.cipher.decrypt(&XNonce::from(*nonce), Payload { msg: sealed, aad: &aad }).map_err(|_| damaged())?;
        parse(path, &text)
    }
}

pub(super) fn encode<T: Serialize>(path: &Path, data: &T) -> Result<Vec<u8>, JournalError> {
    // An error of serde_json names a type, not a value.
    serde_json::to_vec(&Versioned { format: FORMAT, data }).map_err(|e| content("written", path, &e.to_string()))
}

pub(super) fn parse<T: for<'de> Deserialize<'de>>(path: &Path, text: &[u8]) -> Result<T, JournalError> {
    #[derive(Deserialize)]
    struct Format {
        format: u32,
    }
    let place = |e: serde_json::Error| content("read", path, &format!("line {} column {}", e.line(), e.column()));
    let Format { format } = serde_json::from_slice(text).map_err(place)?;
    if format > FORMAT {
        return Err(JournalError::Newer { path: path.into(), found: format });
    }
    let found: Versioned<T> = serde_json::from_slice(text).map_err(place)?;
    Ok(found.data)
}

/// Replaces a file that is for people, as a whole.
pub(super) fn write_plain<T: Serialize>(path: &Path, data: &T) -> Result<(), JournalError> {
    let mut text = serde_json::to_vec(data).map_err(|e| content("written", path, &e.to_string()))?;
    text.push(b'\n');
    replace(path, &text)
}

fn lock(path: &Path) -> Result<Lock, JournalError> {
    Lock::take(path).map_err(|error| match error {
        LockError::Held(holder) => JournalError::InUse { dir: path.parent().unwrap_or(path).into(), holder },
        LockError::Io(error) => io_error("lock", path, error),
    })
}

fn key(path: &Path) -> Result<[u8; 32], JournalError> {
    if let Some(bytes) = read(path)? {
        return bytes.try_into().map_err(|_| JournalError::Key { path: path.into() });
    }
    let mut key = [0; 32];
    getrandom::fill(&mut key).map_err(|e| JournalError::Random(e.to_string()))?;
    replace(path, &key)?;
    Ok(key)
}

pub(super) fn read(path: &Path) -> Result<Option<Vec<u8>>, JournalError> {
    use io::Read as _;
    let file = match fs::File::open(path) {
        Ok(file) => file,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(io_error("open", path, e)),
    };
    let mut bytes = Vec::new();
    file.take(MAX_FILE).read_to_end(&mut bytes).map_err(|e| io_error("read", path, e))?;
    Ok(Some(bytes))
}

/// Replaces a file as a whole.
pub(super) fn replace(path: &Path, bytes: &[u8]) -> Result<(), JournalError> {
    evenkeel_files::replace(path, bytes, PRIVATE).map_err(|e| io_error("write", path, e))
}

/// Removes a file for good; nothing is fine.
pub(super) fn remove_file(path: &Path) -> Result<(), JournalError> {
    match fs::remove_file(path) {
        Ok(()) => sync_folder_of(path).map_err(|e| io_error("sync the folder of", path, e)),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(e) => Err(io_error("remove", path, e)),
    }
}

pub(super) fn io_error(what: &'static str, path: &Path, source: io::Error) -> JournalError {
    JournalError::Io { what, path: path.into(), source }
}

fn content(what: &'static str, path: &Path, reason: &str) -> JournalError {
    JournalError::Content { what, path: path.into(), reason: reason.into() }
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, os::unix::fs::MetadataExt as _, sync::Arc};

    use evenkeel_model::{Content, Digest, Time, Version};
    use evenkeel_wire::{PodContent, PodOrder};

    use super::*;

    fn pod(uid: u128, secret: &str) -> JournalPod {
        let content = Content { secret: true, data: BTreeMap::from([("k".to_owned(), Arc::from(secret.as_bytes()))]) };
        let order = PodOrder {
            uid: Uid(uid),
            namespace: "n".into(),
            name: "p".into(),
            version: Version(3),
            pod: serde_json::json!({"kind": "Pod"}),
            deletion: None,
            contents: vec![PodContent {
                secret: true,
                name: "s".into(),
                secret_type: "Opaque".into(),
                digest: Digest::of(b"x"),
                content: Arc::new(content),
            }],
            image_ids: BTreeMap::new(),
            self_heal: true,
        };
        // As of format 1: fields that came later have defaults.
        serde_json::from_value(serde_json::json!({
            "order": order, "started": Time::from_secs(5), "sandbox_attempt": 1, "sandbox": null, "containers": {},
        }))
        .unwrap()
    }

    #[test]
    fn what_is_kept_comes_back_and_secrets_are_not_in_clear() {
        let dir = tempfile::tempdir().unwrap();
        let store = JournalStore::open(dir.path()).unwrap();
        assert_eq!(store.load().unwrap(), Journal::default());
        let record = AgentRecord { epoch: 9, ..AgentRecord::default() };
        store.persist_agent(&record).unwrap();
        store.persist(&pod(1, "hunter2hunter2")).unwrap();
        store.persist(&pod(2, "hunter2hunter2")).unwrap();
        store.forget(Uid(2)).unwrap();
        store.forget(Uid(2)).unwrap();

        assert!(matches!(JournalStore::open(dir.path()), Err(JournalError::InUse { .. })));
        drop(store);
        let again = JournalStore::open(dir.path()).unwrap().load().unwrap();
        assert_eq!(again, Journal { agent: record, pods: vec![pod(1, "hunter2hunter2")] });
        let file = dir.path().join("journal").join(Uid(1).to_string());
        let bytes = fs::read(&file).unwrap();
        assert!(!bytes.windows(7).any(|w| w == b"hunter2"));
        // The value as JSON numbers, too.
        assert!(!bytes.windows(6).any(|w| w == b"104,11"));
        for path in [file, dir.path().join("agent.key"), dir.path().join("agent.json")] {
            assert_eq!(fs::metadata(path).unwrap().mode() & 0o777, 0o600);
        }
    }

    #[test]
    fn a_damaged_pod_is_set_aside_and_a_newer_format_refused() {
        let dir = tempfile::tempdir().unwrap();
        let store = JournalStore::open(dir.path()).unwrap();
        store.persist(&pod(1, "a")).unwrap();
        store.persist(&pod(2, "b")).unwrap();
        let path = store.pod_path(Uid(1));
        let mut bytes = fs::read(&path).unwrap();
        *bytes.last_mut().unwrap() ^= 1;
        fs::write(&path, bytes).unwrap();
        // One pod's file under another's name is no pod of that name.
        fs::copy(store.pod_path(Uid(2)), store.pod_path(Uid(3))).unwrap();
        let loaded = store.load().unwrap();
        assert_eq!(loaded.pods, [pod(2, "b")]);
        assert!(path.with_extension("damaged").exists());

        fs::write(dir.path().join("agent.json"), r#"{"format":99,"data":{}}"#).unwrap();
        assert!(matches!(store.load(), Err(JournalError::Newer { found: 99, .. })));
        drop(store);
        fs::write(dir.path().join("agent.key"), "short").unwrap();
        assert!(matches!(JournalStore::open(dir.path()), Err(JournalError::Key { .. })));
    }
}
