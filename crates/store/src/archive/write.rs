//! Laying a backup file out before a byte of it is sent: its length and all digests are known then.

use std::{fs::File, io::Read as _, path::Path};

use evenkeel_model::Digest;
use sha2::{Digest as _, Sha256};

use super::{ArchiveError, DATABASE, FORMAT, HEADER, Header, KIND, Part};

/// Bytes of a tar's block.
const BLOCK: u64 = 512;
/// Two empty blocks end a tar.
const END: u64 = 2 * BLOCK;
/// Bytes read at once.
const PIECE: usize = 64 << 10;

/// A backup file: `head`, the bytes of the database's copy, `tail`.
#[derive(Debug, Clone)]
pub struct Plan {
    /// What it says of itself.
    pub header: Header,
    /// Everything before the database.
    pub head: Vec<u8>,
    /// Everything after it.
    pub tail: Vec<u8>,
    database: u64,
}

impl Plan {
    /// Lays out these small files, as (place, bytes), and a copy of the database. The header's
    /// kind, format and parts are set here. Reads the whole copy once, for its digest.
    pub fn new(about: Header, files: &[(String, Vec<u8>)], database: &Path) -> Result<Self, ArchiveError> {
        let failed = || ArchiveError::io("read the copy of the database");
        let mut file = File::open(database).map_err(failed())?;
        let (mut sha, mut length, mut piece) = (Sha256::new(), 0_u64, vec![0; PIECE]);
        loop {
            let n = file.read(&mut piece).map_err(failed())?;
            if n == 0 {
                break;
            }
            sha.update(&piece[..n]);
            length += n as u64;
        }
        let mut parts: Vec<Part> = files
            .iter()
            .map(|(name, bytes)| Part { name: name.clone(), bytes: bytes.len() as u64, sha256: Digest::of(bytes) })
            .collect();
        parts.push(Part { name: DATABASE.into(), bytes: length, sha256: Digest(sha.finalize().into()) });
        let header = Header { kind: KIND.into(), format: FORMAT, parts, ..about }.check()?;
        let failed = || ArchiveError::io("lay out the backup");
        let text = serde_json::to_vec(&header).map_err(|e| failed()(e.into()))?;
        let mut head = Vec::new();
        let mut tar = tar::Builder::new(&mut head);
        let made = u64::try_from(header.created.secs()).unwrap_or(0);
        for (name, bytes) in [(HEADER, &text)].into_iter().chain(files.iter().map(|(n, b)| (n.as_str(), b))) {
            let mut entry = entry(bytes.len() as u64, made);
            tar.append_data(&mut entry, name, &bytes[..]).map_err(failed())?;
        }
        // The database's entry alone; its bytes come from elsewhere.
        let mut last = entry(length, made);
        last.set_path(DATABASE).map_err(failed())?;
        last.set_cksum();
        tar.get_mut().extend_from_slice(last.as_bytes());
        drop(tar);
        head.truncate(head.len() - usize::try_from(END).unwrap_or(0));
        let padding = (BLOCK - length % BLOCK) % BLOCK;
        let tail = vec![0; usize::try_from(padding + END).unwrap_or(0)];
        Ok(Self { header, head, tail, database: length })
    }

    /// Bytes of the whole file.
    pub fn length(&self) -> u64 {
        self.head.len() as u64 + self.database + self.tail.len() as u64
    }
}

fn entry(bytes: u64, made: u64) -> tar::Header {
    let mut entry = tar::Header::new_ustar();
    entry.set_size(bytes);
    entry.set_mode(0o600);
    entry.set_mtime(made);
    entry
}
