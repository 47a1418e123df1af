//! `evenkeel backup`: database, CA and keys of a running server into one file.
//!
//! The server sends the file in its plain form over TLS; this side seals it, so that the passphrase
//! stays here. What the file looks like the store's crate knows.

use std::{
    fs::{self, File, OpenOptions},
    io::{BufWriter, ErrorKind, Write},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Context as _, Result};
use evenkeel_store::archive::{
    self, HEADER_LIMIT, Header,
    seal::{Sealer, Work},
};

use super::{Cx, passphrase};
use crate::client::Download;

/// Where the server gives it.
const PATH: &str = "/evenkeel/backup";

/// Save database, CA and keys of the running server into a file
///
/// The server goes on meanwhile; the copy is as of one moment. The file holds every key of the
/// cluster, so it is sealed with a passphrase: asked for on a terminal, else of --passphrase-file.
/// Without the passphrase nobody opens it. `evenkeel restore` puts it back, also on another machine.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  evenkeel backup shop.backup\n  evenkeel backup shop.backup --passphrase-file /root/passphrase\n  evenkeel backup shop.tar --plain       open: whoever has the file has the cluster and its Secrets"
)]
pub(crate) struct Args {
    /// The file; it is written beside its place and put there when it is whole
    file: PathBuf,
    /// Take the passphrase from the first line of this file
    #[arg(long, value_name = "FILE")]
    passphrase_file: Option<PathBuf>,
    /// Do not seal it: a tar, with the CA's key and the key of all Secrets open in it
    #[arg(long, conflicts_with = "passphrase_file")]
    plain: bool,
}

/// Runs the verb.
pub(crate) async fn run(args: Args, cx: &mut Cx) -> Result<ExitCode> {
    let client = cx.client()?;
    // Before anything is asked of the server: a person types slowly.
    let passphrase = if args.plain { None } else { Some(passphrase::new(args.passphrase_file.as_deref())?) };
    let download = client.download(PATH).await?;
    let part = Part::create(&args.file)?;
    let header = save(download, &part.file, passphrase.as_deref()).await?;
    let bytes = part.keep()?;
    let form = if args.plain { "open: keep it as safe as the keys in it" } else { "sealed" };
    cx.out.line(format!(
        "backup of cluster {} as of {} saved in {} ({bytes} bytes, {form})",
        header.cluster,
        header.created,
        args.file.display()
    ))?;
    Ok(ExitCode::SUCCESS)
}

/// Writes what comes, sealed or as it is.
async fn save(mut from: Download, to: &File, passphrase: Option<&str>) -> Result<Header> {
    let mut begin = Vec::new();
    let header = loop {
        if let Some(header) = archive::header(&begin).context("what the server sends")? {
            break header;
        }
        let piece = from.next().await?.context("the server sent no backup: it ends in its header")?;
        begin.extend_from_slice(&piece);
        anyhow::ensure!(begin.len() as u64 <= 2 * HEADER_LIMIT, "what the server sends is no backup");
    };
    let to = BufWriter::new(to);
    match passphrase {
        None => copy(from, &begin, to).await?.flush()?,
        Some(passphrase) => {
            let sealer = Sealer::new(to, &header, passphrase.as_bytes(), Work::DEFAULT)?;
            copy(from, &begin, sealer).await?.finish()?.flush()?;
        }
    }
    Ok(header)
}

async fn copy<W: Write>(mut from: Download, begin: &[u8], mut to: W) -> Result<W> {
    let failed = "the backup cannot be written";
    to.write_all(begin).context(failed)?;
    while let Some(piece) = from.next().await? {
        to.write_all(&piece).context(failed)?;
    }
    Ok(to)
}

/// The file while it is not whole: beside its place, gone unless it is kept.
struct Part {
    file: File,
    path: PathBuf,
    place: PathBuf,
    kept: bool,
}

impl Part {
    fn create(place: &Path) -> Result<Self> {
        let mut name = place.file_name().with_context(|| format!("{} names no file", place.display()))?.to_owned();
        name.push(".part");
        let path = place.with_file_name(name);
        match fs::remove_file(&path) {
            Err(e) if e.kind() != ErrorKind::NotFound => {
                return Err(e).with_context(|| format!("cannot remove {}", path.display()));
            }
            _ => {}
        }
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path);
        let file = file.with_context(|| format!("cannot create {}", path.display()))?;
        Ok(Self { file, path, place: place.to_owned(), kept: false })
    }

    /// Puts it into its place. Gives its bytes.
    fn keep(mut self) -> Result<u64> {
        let kept = || -> std::io::Result<u64> {
            self.file.sync_all()?;
            fs::rename(&self.path, &self.place)?;
            evenkeel_files::sync_folder_of(&self.place)?;
            Ok(self.file.metadata()?.len())
        };
        let bytes = kept().with_context(|| format!("cannot save {}", self.place.display()))?;
        self.kept = true;
        Ok(bytes)
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        if !self.kept {
            // Why there is no backup is being told; half of one helps nobody.
            let _gone = fs::remove_file(&self.path);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_file_is_there_whole_or_not_at_all() {
        let dir = tempfile::tempdir().unwrap();
        let place = dir.path().join("b");
        fs::write(&place, "the one before").unwrap();
        let part = Part::create(&place).unwrap();
        (&part.file).write_all(b"half").unwrap();
        drop(part);
        assert_eq!(fs::read_to_string(&place).unwrap(), "the one before");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
        let part = Part::create(&place).unwrap();
        (&part.file).write_all(b"whole").unwrap();
        assert_eq!(part.keep().unwrap(), 5);
        assert_eq!(fs::read_to_string(&place).unwrap(), "whole");
        assert_eq!(fs::metadata(&place).unwrap().permissions().mode() & 0o777, 0o600);
    }
}
