//! The key under which Secrets lie encrypted, and the sealing of values with it.
//!
//! The file `encryption.key` in the data directory, or one that is named, holds 32 bytes, mode
//! 0600, made at the first start. XChaCha20-Poly1305 with a random nonce a value; the place (table
//! and row) is authenticated, so a value cannot be moved to another row. What this protects is a
//! copy of the database alone: a backup, a disk image of another file system, a file sent to a
//! colleague.

use std::{
    fs::File,
    io::{ErrorKind, Read as _},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use chacha20poly1305::{
    Key as CipherKey, XChaCha20Poly1305, XNonce,
    aead::{Aead as _, KeyInit as _, Payload},
};
use hmac::{Hmac, Mac as _};
use sha2::Sha256;
use thiserror::Error;

/// Name of the key's file in the data directory.
const FILE: &str = "encryption.key";
/// Bytes of a nonce: long enough to be drawn at random for every value without a count.
const NONCE: usize = 24;

/// The key cannot be had, or is not the right one.
#[derive(Debug, Error)]
pub enum KeyError {
    /// The file failed.
    #[error("cannot {doing} {}", path.display())]
    File {
        /// As `read`.
        doing: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// There is a database, and its key is gone.
    #[error("{} is missing: without it the Secrets in the database cannot be read; put the file back", .0.display())]
    Missing(PathBuf),
    /// The file does not hold 32 bytes.
    #[error("{} does not hold 32 bytes", .0.display())]
    Length(PathBuf),
    /// Others can read it.
    #[error("{} can be read by others (mode {mode:o}): make it 0600", path.display())]
    Mode {
        /// The file.
        path: PathBuf,
        /// Its mode's last nine bits.
        mode: u32,
    },
    /// The operating system gave no randomness.
    #[error("no randomness from the operating system: {0}")]
    Random(String),
    /// The place of a key is taken by another one.
    #[error("{} holds another key", .0.display())]
    Taken(PathBuf),
    /// Another key than the one that the database was written with.
    #[error("the key is not the one that this database was written with")]
    Wrong,
}

/// The key of one data directory. `Debug` shows nothing of it.
#[derive(Clone)]
pub struct EncryptionKey([u8; 32]);

impl std::fmt::Debug for EncryptionKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("EncryptionKey(..)")
    }
}

impl EncryptionKey {
    /// A key of given bytes.
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Reads the key of a data directory: of the file given, else of its `encryption.key`. Where
    /// neither the file nor a database is there, a key is drawn and written first.
    pub fn load_or_create(dir: &Path, file: Option<&Path>) -> Result<Self, KeyError> {
        let path = file.map_or_else(|| dir.join(FILE), Path::to_path_buf);
        match File::open(&path) {
            Ok(file) => Self::read(file, &path),
            Err(e) if e.kind() == ErrorKind::NotFound => {
                if crate::database_path(dir).exists() {
                    return Err(KeyError::Missing(path));
                }
                Self::create(&path)
            }
            Err(source) => Err(KeyError::File { doing: "open", path, source }),
        }
    }

    fn read(file: File, path: &Path) -> Result<Self, KeyError> {
        let failed = |doing| move |source| KeyError::File { doing, path: path.into(), source };
        let mode = file.metadata().map_err(failed("look at"))?.permissions().mode() & 0o777;
        if mode & 0o077 != 0 {
            return Err(KeyError::Mode { path: path.into(), mode });
        }
        let mut bytes = Vec::with_capacity(33);
        file.take(33).read_to_end(&mut bytes).map_err(failed("read"))?;
        bytes.try_into().map(Self).map_err(|_| KeyError::Length(path.into()))
    }

    fn create(path: &Path) -> Result<Self, KeyError> {
        let mut bytes = [0; 32];
        getrandom::fill(&mut bytes).map_err(|e| KeyError::Random(e.to_string()))?;
        let key = Self(bytes);
        key.write(path)?;
        Ok(key)
    }

    /// Whether this key lies in a file; false where there is none. [`KeyError::Taken`] where another
    /// one does.
    pub fn lies_in(&self, path: &Path) -> Result<bool, KeyError> {
        match File::open(path) {
            Ok(file) => {
                let there = Self::read(file, path)?.0 == self.0;
                if there { Ok(true) } else { Err(KeyError::Taken(path.into())) }
            }
            Err(e) if e.kind() == ErrorKind::NotFound => Ok(false),
            Err(source) => Err(KeyError::File { doing: "open", path: path.into(), source }),
        }
    }

    /// Puts this key into a file, mode 0600, on disk when this returns. What is there stays: the same
    /// key is fine, another one is [`KeyError::Taken`].
    pub fn put(&self, path: &Path) -> Result<(), KeyError> {
        if self.lies_in(path)? { Ok(()) } else { self.write(path) }
    }

    /// A crash leaves no half key behind.
    fn write(&self, path: &Path) -> Result<(), KeyError> {
        let failed = |source| KeyError::File { doing: "write", path: path.into(), source };
        evenkeel_files::replace(path, &self.0, evenkeel_files::PRIVATE).map_err(failed)
    }

    /// Encrypts a value that lies at a place.
    pub(crate) fn seal(&self, place: &[u8], value: &[u8]) -> Result<Vec<u8>, KeyError> {
        let mut nonce = [0; NONCE];
        getrandom::fill(&mut nonce).map_err(|e| KeyError::Random(e.to_string()))?;
        // Encryption fails for values of 256 GiB alone, which SQLite does not take either.
        let sealed = self
            .cipher()
            .encrypt(XNonce::from_slice(&nonce), Payload { msg: value, aad: place })
            .map_err(|_| KeyError::Wrong)?;
        let mut out = Vec::with_capacity(NONCE + sealed.len());
        out.extend_from_slice(&nonce);
        out.extend_from_slice(&sealed);
        Ok(out)
    }

    /// Decrypts what [`EncryptionKey::seal`] made for the same place.
    pub(crate) fn open(&self, place: &[u8], sealed: &[u8]) -> Result<Vec<u8>, KeyError> {
        let (nonce, value) = sealed.split_at_checked(NONCE).ok_or(KeyError::Wrong)?;
        self.cipher()
            .decrypt(XNonce::from_slice(nonce), Payload { msg: value, aad: place })
            .map_err(|_| KeyError::Wrong)
    }

    /// A keyed digest, for what would else let a reader of the database try guesses at a value.
    pub(crate) fn blind(&self, what: &str, value: &[u8]) -> [u8; 32] {
        // HMAC takes keys of any length.
        let Ok(mut mac) = <Hmac<Sha256> as hmac::Mac>::new_from_slice(&self.0) else { return [0; 32] };
        mac.update(what.as_bytes());
        mac.update(value);
        mac.finalize().into_bytes().into()
    }

    fn cipher(&self) -> XChaCha20Poly1305 {
        XChaCha20Poly1305::new(CipherKey::from_slice(&self.0))
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_key_is_made_once_and_guards_its_file() {
        let dir = tempfile::tempdir().unwrap();
        let key = EncryptionKey::load_or_create(dir.path(), None).unwrap();
        assert_eq!(EncryptionKey::load_or_create(dir.path(), None).unwrap().0, key.0);
        let path = dir.path().join(FILE);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(!format!("{key:?}").contains(&format!("{}", key.0[0])) || format!("{key:?}").ends_with("(..)"));
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        assert!(matches!(EncryptionKey::load_or_create(dir.path(), None), Err(KeyError::Mode { mode: 0o644, .. })));
        fs::remove_file(&path).unwrap();
        fs::write(crate::database_path(dir.path()), b"x").unwrap();
        assert!(matches!(EncryptionKey::load_or_create(dir.path(), None), Err(KeyError::Missing(_))));
        // A key elsewhere is a file of any name; a database without it is no reason to draw another.
        let elsewhere = dir.path().join("keys");
        fs::create_dir(&elsewhere).unwrap();
        let file = elsewhere.join("secrets");
        assert!(matches!(EncryptionKey::load_or_create(dir.path(), Some(&file)), Err(KeyError::Missing(_))));
        fs::remove_file(crate::database_path(dir.path())).unwrap();
        let other = EncryptionKey::load_or_create(dir.path(), Some(&file)).unwrap();
        assert_eq!(EncryptionKey::load_or_create(dir.path(), Some(&file)).unwrap().0, other.0);
        assert_eq!(fs::read_dir(&elsewhere).unwrap().count(), 1);
        fs::write(&path, b"short").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        assert!(matches!(EncryptionKey::load_or_create(dir.path(), None), Err(KeyError::Length(_))));
    }

    #[test]
    fn a_key_is_put_where_none_is_and_takes_no_others_place() {
        let dir = tempfile::tempdir().unwrap();
        let (path, key) = (dir.path().join("secrets"), EncryptionKey::from_bytes([7; 32]));
        assert!(!key.lies_in(&path).unwrap());
        key.put(&path).unwrap();
        key.put(&path).unwrap();
        assert!(key.lies_in(&path).unwrap());
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let other = EncryptionKey::from_bytes([8; 32]);
        assert!(matches!(other.put(&path), Err(KeyError::Taken(_))));
        assert!(key.lies_in(&path).unwrap());
    }

    #[test]
    fn a_sealed_value_opens_at_its_place_only() {
        let key = EncryptionKey::from_bytes([7; 32]);
        let sealed = key.seal(b"objects/a", b"hunter2").unwrap();
        assert_eq!(key.open(b"objects/a", &sealed).unwrap(), b"hunter2");
        assert!(key.open(b"objects/b", &sealed).is_err());
        assert!(EncryptionKey::from_bytes([8; 32]).open(b"objects/a", &sealed).is_err());
        assert!(key.open(b"objects/a", &sealed[..10]).is_err());
        assert_ne!(sealed, key.seal(b"objects/a", b"hunter2").unwrap());
    }
}
