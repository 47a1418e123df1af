//! A backup file under a passphrase: a line that says what it is, a line of JSON that anybody may
//! read, and the tar in pieces of 64 KiB, each sealed.
//!
//! The key comes from the passphrase by Argon2id (RFC 9106); the pieces are XChaCha20-Poly1305 in
//! the STREAM construction, which numbers them and marks the last: none can be left out, moved or
//! cut off. The two lines are authenticated with every piece. Whoever makes the file seals it, so
//! that no passphrase crosses a network.

use std::io::{self, Read, Write};

use argon2::{Algorithm, Argon2, Block, Params, Version};
use chacha20poly1305::{
    XChaCha20Poly1305,
    aead::{
        KeyInit as _, Payload,
        stream::{DecryptorBE32, EncryptorBE32},
    },
};
use evenkeel_model::{Digest, Time};
use serde::{Deserialize, Serialize};

use super::{ArchiveError, Header};

/// The first line. Its number is the version of this form.
const MAGIC: &[u8] = b"evenkeel backup, sealed, 1\n";
/// What the first line of any version begins with.
const ANY: &[u8] = b"evenkeel backup, sealed, ";
/// Bytes of the second line at most.
const LINE_LIMIT: usize = 4096;
/// Bytes of a piece before it is sealed.
const PIECE: usize = 64 << 10;
/// Bytes that sealing adds to a piece.
const TAG: usize = 16;
/// Bytes of the random part of the pieces' nonces.
const NONCE: usize = 19;
/// Memory that a file may ask for, in KiB: 1 GiB, so that a foreign file cannot exhaust a machine.
const MOST_MEMORY: u32 = 1 << 20;
/// Likewise for passes.
const MOST_PASSES: u32 = 64;

/// How much work a guess at the passphrase costs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Work {
    /// Memory in KiB.
    pub memory_kib: u32,
    /// Passes over it.
    pub passes: u32,
}

impl Work {
    /// The second choice that RFC 9106, section 4, recommends: 64 MiB, three passes.
    pub const DEFAULT: Self = Self { memory_kib: 64 << 10, passes: 3 };
    /// For tests: nothing is protected.
    #[cfg(test)]
    pub(crate) const TEST: Self = Self { memory_kib: 64, passes: 1 };
}

/// The second line.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Line {
    /// Id of the cluster, for people.
    cluster: String,
    /// When it was made.
    created: Time,
    /// What made it.
    program: String,
    /// Epoch of the store.
    epoch: u64,
    /// Schema of the database.
    schema: u32,
    /// Always `argon2id`.
    kdf: String,
    #[serde(flatten)]
    work: Work,
    /// 16 bytes, hexadecimal.
    salt: String,
    /// [`NONCE`] bytes, hexadecimal.
    nonce: String,
}

/// Whether a file begins as a sealed one, of any version.
pub fn is_sealed(begin: &[u8]) -> bool {
    begin.starts_with(ANY)
}

fn cipher(passphrase: &[u8], salt: &[u8], work: Work) -> Result<XChaCha20Poly1305, ArchiveError> {
    if passphrase.is_empty() {
        return Err(ArchiveError::Empty);
    }
    let foreign = |e: argon2::Error| ArchiveError::Foreign(format!("its key cannot be derived: {e}"));
    if work.memory_kib > MOST_MEMORY || work.passes > MOST_PASSES {
        return Err(ArchiveError::Foreign("it asks for more memory than any backup of ours".into()));
    }
    let params = Params::new(work.memory_kib, work.passes, 1, Some(32)).map_err(foreign)?;
    let mut memory = vec![Block::default(); params.block_count()];
    let mut key = [0; 32];
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
        .hash_password_into_with_memory(passphrase, salt, &mut key, &mut memory[..])
        .map_err(foreign)?;
    Ok(XChaCha20Poly1305::new(&key.into()))
}

/// What the two lines bind every piece to.
fn bound_to(line: &[u8]) -> [u8; 32] {
    Digest::of_parts([MAGIC, line]).0
}

fn random<const N: usize>() -> Result<[u8; N], ArchiveError> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|e| ArchiveError::Random(e.to_string()))?;
    Ok(bytes)
}

fn unhex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let mut out = [0; N];
    hex::decode_to_slice(text, &mut out).ok().map(|()| out)
}

/// Seals what is written to it. Call [`Sealer::finish`]: without its last piece nobody opens it.
pub struct Sealer<W> {
    to: W,
    stream: EncryptorBE32<XChaCha20Poly1305>,
    bound: [u8; 32],
    piece: Vec<u8>,
}

impl<W: Write> Sealer<W> {
    /// Writes the two lines.
    pub fn new(mut to: W, header: &Header, passphrase: &[u8], work: Work) -> Result<Self, ArchiveError> {
        let (salt, nonce) = (random::<16>()?, random::<NONCE>()?);
        let cipher = cipher(passphrase, &salt, work)?;
        let line = Line {
            cluster: header.cluster.clone(),
            created: header.created,
            program: header.program.clone(),
            epoch: header.epoch,
            schema: header.schema,
            kdf: "argon2id".into(),
            work,
            salt: hex::encode(salt),
            nonce: hex::encode(nonce),
        };
        let failed = || ArchiveError::io("write the backup");
        let mut text = serde_json::to_vec(&line).map_err(|e| failed()(e.into()))?;
        text.push(b'\n');
        to.write_all(MAGIC).and_then(|()| to.write_all(&text)).map_err(failed())?;
        let stream = EncryptorBE32::from_aead(cipher, &nonce.into());
        Ok(Self { to, stream, bound: bound_to(&text), piece: Vec::with_capacity(PIECE) })
    }

    /// Seals the last piece, and gives back what was written to.
    pub fn finish(mut self) -> Result<W, ArchiveError> {
        let payload = Payload { msg: &self.piece, aad: &self.bound };
        let sealed = self.stream.encrypt_last(payload).map_err(|_| too_long()).map_err(ArchiveError::io("seal"))?;
        self.to.write_all(&sealed).map_err(ArchiveError::io("write the backup"))?;
        Ok(self.to)
    }
}

/// More than 2^32 pieces: 256 TiB.
fn too_long() -> io::Error {
    io::Error::other("the backup is too long to be sealed")
}

impl<W: Write> Write for Sealer<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.piece.len() == PIECE {
            // More follows, so it is not the last one.
            let payload = Payload { msg: &self.piece, aad: &self.bound };
            let sealed = self.stream.encrypt_next(payload).map_err(|_| too_long())?;
            self.to.write_all(&sealed)?;
            self.piece.clear();
        }
        let n = bytes.len().min(PIECE - self.piece.len());
        self.piece.extend_from_slice(&bytes[..n]);
        Ok(n)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}

/// Reads what a [`Sealer`] wrote. Every byte that it gives was authenticated.
pub struct Opener<R> {
    from: R,
    stream: Option<DecryptorBE32<XChaCha20Poly1305>>,
    bound: [u8; 32],
    /// The next piece, still sealed: whether it is the last shows only behind it.
    ahead: Vec<u8>,
    open: Vec<u8>,
    read: usize,
}

impl<R: Read> Opener<R> {
    /// Reads the two lines and derives the key.
    pub fn new(mut from: R, passphrase: &[u8]) -> Result<Self, ArchiveError> {
        let failed = || ArchiveError::io("read the backup");
        let mut magic = vec![0; MAGIC.len()];
        from.read_exact(&mut magic).map_err(failed())?;
        if magic != MAGIC {
            let newer = magic.strip_prefix(ANY).and_then(|n| std::str::from_utf8(n).ok()?.trim().parse().ok());
            return Err(newer.map_or_else(
                || ArchiveError::Foreign("it does not begin as a sealed backup".into()),
                |found| ArchiveError::Newer { found },
            ));
        }
        let mut text = Vec::new();
        while text.last() != Some(&b'\n') {
            let mut byte = [0];
            from.read_exact(&mut byte).map_err(failed())?;
            text.push(byte[0]);
            if text.len() > LINE_LIMIT {
                return Err(ArchiveError::Foreign("its second line is too long".into()));
            }
        }
        // A byte of it that was changed makes another line, or none: both are told alike.
        let line: Line = serde_json::from_slice(&text).map_err(|_| ArchiveError::Passphrase)?;
        let (salt, nonce) = unhex::<16>(&line.salt).zip(unhex::<NONCE>(&line.nonce)).ok_or(ArchiveError::Passphrase)?;
        if line.kdf != "argon2id" {
            return Err(ArchiveError::Foreign(format!("its key is of `{}`", line.kdf.escape_debug())));
        }
        let stream = DecryptorBE32::from_aead(cipher(passphrase, &salt, line.work)?, &nonce.into());
        let mut this =
            Self { from, stream: Some(stream), bound: bound_to(&text), ahead: Vec::new(), open: Vec::new(), read: 0 };
        this.ahead = this.sealed_piece().map_err(failed())?;
        Ok(this)
    }

    /// The next sealed piece; shorter than a whole one only at the end.
    fn sealed_piece(&mut self) -> io::Result<Vec<u8>> {
        let mut piece = Vec::with_capacity(PIECE + TAG);
        (&mut self.from).take((PIECE + TAG) as u64).read_to_end(&mut piece)?;
        Ok(piece)
    }

    fn advance(&mut self) -> io::Result<()> {
        let Some(mut stream) = self.stream.take() else { return Ok(()) };
        let ahead = self.sealed_piece()?;
        let sealed = std::mem::replace(&mut self.ahead, ahead);
        let payload = Payload { msg: &sealed[..], aad: &self.bound };
        // A passphrase that has opened a piece is the right one.
        let first = self.open.is_empty();
        let wrong = |_| io::Error::other(if first { ArchiveError::Passphrase } else { ArchiveError::Changed });
        self.open = if self.ahead.is_empty() {
            stream.decrypt_last(payload).map_err(wrong)?
        } else {
            let open = stream.decrypt_next(payload).map_err(wrong)?;
            self.stream = Some(stream);
            open
        };
        self.read = 0;
        Ok(())
    }
}

impl<R: Read> Read for Opener<R> {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        while self.read == self.open.len() && self.stream.is_some() {
            self.advance()?;
        }
        let n = to.len().min(self.open.len() - self.read);
        to[..n].copy_from_slice(&self.open[self.read..self.read + n]);
        self.read += n;
        Ok(n)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Argon2id's own vector cannot be had through this interface; what is fixed is ours: a file
    /// sealed by an earlier version opens with its passphrase, for the key never changes.
    #[test]
    fn a_key_is_a_function_of_passphrase_salt_and_work() {
        use chacha20poly1305::aead::Aead as _;
        let seal = |pass: &[u8], salt: u8| {
            cipher(pass, &[salt; 16], Work::TEST).unwrap().encrypt(&[0; 24].into(), &b"x"[..]).unwrap()
        };
        assert_eq!(seal(b"a", 1), seal(b"a", 1));
        assert_ne!(seal(b"a", 1), seal(b"b", 1));
        assert_ne!(seal(b"a", 1), seal(b"a", 2));
        assert!(cipher(b"a", &[1; 16], Work { memory_kib: 1 << 30, passes: 1 }).is_err());
        assert_eq!(unhex::<2>(&hex::encode([1, 255])), Some([1, 255]));
        assert_eq!((unhex::<2>("01"), unhex::<1>("zz")), (None, None));
    }
}
