//! Unpacking a backup file: nothing of it is believed before its digest is right.

use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io::{ErrorKind, Read, Write as _},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::Path,
};

use evenkeel_model::Digest;
use sha2::{Digest as _, Sha256};

use super::{ArchiveError, HEADER, HEADER_LIMIT, Header, Part, seal};

/// Bytes copied at once.
const PIECE: usize = 64 << 10;
/// Bytes of a tar's block.
const BLOCK: usize = 512;

/// The header at the beginning of a plain backup file; `None` while more of it is needed.
pub fn header(begin: &[u8]) -> Result<Option<Header>, ArchiveError> {
    let Some(block) = begin.first_chunk::<BLOCK>() else { return Ok(None) };
    let entry = tar::Header::from_byte_slice(block);
    let size = first(entry)?;
    let end = BLOCK + usize::try_from(size).unwrap_or(usize::MAX);
    begin.get(BLOCK..end).map(parse).transpose()
}

/// Bytes of the first entry, which must be the header.
fn first(entry: &tar::Header) -> Result<u64, ArchiveError> {
    let foreign = |why: &str| ArchiveError::Foreign(why.to_string());
    let sum: u32 = entry
        .as_bytes()
        .iter()
        .enumerate()
        .map(|(i, b)| u32::from(if (148..156).contains(&i) { b' ' } else { *b }))
        .sum();
    if entry.cksum().ok() != Some(sum) {
        return Err(foreign("it is no tar"));
    }
    let name = entry.path_bytes();
    if *name != *HEADER.as_bytes() {
        return Err(foreign("it does not begin with backup.json"));
    }
    match entry.size() {
        Ok(size) if size <= HEADER_LIMIT => Ok(size),
        _ => Err(foreign("its header is too long")),
    }
}

fn parse(text: &[u8]) -> Result<Header, ArchiveError> {
    let header: Header = serde_json::from_slice(text)
        .map_err(|e| ArchiveError::Foreign(format!("its header cannot be read at column {}", e.column())))?;
    header.check()
}

/// What is wrong with a file that has not even a header: half of a copy, or nothing of ours.
fn too_short(begin: &[u8]) -> ArchiveError {
    let name = HEADER.as_bytes();
    let common = name.len().min(begin.len());
    match begin {
        [] => ArchiveError::Foreign("it is empty".into()),
        _ if begin[..common] == name[..common] => ArchiveError::Short,
        _ => ArchiveError::Foreign("it is no tar".into()),
    }
}

/// Unpacks into a folder, which is made: everything that the header names, and nothing else, 0600,
/// on disk when this returns.
pub fn unpack(mut from: impl Read, into: &Path) -> Result<Header, ArchiveError> {
    let mut begin = Vec::with_capacity(BLOCK);
    from.by_ref().take(BLOCK as u64).read_to_end(&mut begin).map_err(ArchiveError::io("read the backup"))?;
    if seal::is_sealed(&begin) {
        return Err(ArchiveError::Sealed);
    }
    let Some(begin) = begin.first_chunk::<BLOCK>().copied() else { return Err(too_short(&begin)) };
    first(tar::Header::from_byte_slice(&begin))?;
    let mut tar = tar::Archive::new((&begin[..]).chain(from));
    let mut entries = tar.entries().map_err(ArchiveError::io("read the backup"))?;
    let mut next = || -> Result<_, ArchiveError> {
        match entries.next() {
            None => Ok(None),
            Some(entry) => entry.map(Some).map_err(ArchiveError::io("read the backup")),
        }
    };
    let Some(mut entry) = next()? else { return Err(ArchiveError::Short) };
    let mut text = Vec::new();
    entry.read_to_end(&mut text).map_err(ArchiveError::io("read the backup"))?;
    let header = parse(&text)?;
    folder(into)?;
    for part in &header.parts {
        let Some(mut entry) = next()? else { return Err(ArchiveError::Short) };
        if *entry.path_bytes() != *part.name.as_bytes() {
            return Err(ArchiveError::Damaged { part: part.name.clone(), why: "another one stands in its place" });
        }
        write(part, &mut entry, into)?;
    }
    if next()?.is_some() {
        return Err(ArchiveError::Foreign("it holds more than its header names".into()));
    }
    Ok(header)
}

fn write(part: &Part, from: &mut impl Read, into: &Path) -> Result<(), ArchiveError> {
    let path = into.join(&part.name);
    let parent = path.parent().unwrap_or(into);
    folder(parent)?;
    let failed = || ArchiveError::io("unpack the backup");
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path).map_err(failed())?;
    let (mut sha, mut left, mut piece) = (Sha256::new(), part.bytes, vec![0; PIECE]);
    loop {
        let n = from.read(&mut piece).map_err(ArchiveError::io("read the backup"))?;
        if n == 0 {
            break;
        }
        let Some(rest) = left.checked_sub(n as u64) else {
            return Err(ArchiveError::Damaged { part: part.name.clone(), why: "it is longer than the header says" });
        };
        left = rest;
        sha.update(&piece[..n]);
        file.write_all(&piece[..n]).map_err(failed())?;
    }
    if left > 0 {
        return Err(ArchiveError::Short);
    }
    if Digest(sha.finalize().into()) != part.sha256 {
        return Err(ArchiveError::Damaged { part: part.name.clone(), why: "its digest is another one" });
    }
    file.sync_all().map_err(failed())?;
    File::open(parent).and_then(|d| d.sync_all()).map_err(failed())
}

fn folder(path: &Path) -> Result<(), ArchiveError> {
    match DirBuilder::new().recursive(true).mode(0o700).create(path) {
        Err(e) if e.kind() == ErrorKind::AlreadyExists && fs::metadata(path).is_ok_and(|m| m.is_dir()) => Ok(()),
        other => other.map_err(ArchiveError::io("unpack the backup")),
    }
}
