//! `evenkeel restore`: a backup becomes the state of a data directory, without a server.
//!
//! Everything is laid out beside and checked before anything is replaced; the replacing itself is
//! the store's. A file of `backups/`, which holds the database alone, is taken as well. Deliberately
//! not here: what the restored server then does, which is to recover (`docs/operations.md`).

use std::{
    fs::{self, File},
    io::{ErrorKind, Read as _},
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Context as _, Result, ensure};
use evenkeel_model::Time;
use evenkeel_server::pki::Pki;
use evenkeel_store::{
    Copied, DirLock, EncryptionKey, StoreError,
    archive::{self, DATABASE, Header, KEY, seal},
    counts, inspect, mark_copy, restore,
};

use super::{
    Cx,
    error::hinted,
    objects::{now, since},
    passphrase,
};

/// How a database of SQLite begins.
const SQLITE: &[u8] = b"SQLite format 3\0";
/// Bytes that tell what a file is.
const BEGIN: usize = 32;

/// Put a backup back into the data directory, or into an empty one
///
/// Works on files: the server of this data directory must not run. Everything is checked before
/// anything is replaced; what was there is kept in a folder of its own. Also takes a daily copy of
/// backups/, which is the database alone. The server that starts then is recovering: it takes in
/// what runs on the nodes, stops none of it, and agents that met it refuse the former server.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  evenkeel restore shop.backup\n  evenkeel restore shop.backup --data-dir /srv/evenkeel     on a new machine, too\n  evenkeel restore /var/lib/evenkeel/backups/daily-20261128T020000Z.db"
)]
pub(crate) struct Args {
    /// A file of `evenkeel backup`, or a copy of the database
    file: PathBuf,
    /// Take the passphrase from the first line of this file
    #[arg(long, value_name = "FILE")]
    passphrase_file: Option<PathBuf>,
    /// Where the key of Secrets at rest is, if not in the data directory: for a copy of the database
    #[arg(long, value_name = "FILE")]
    encryption_key_file: Option<PathBuf>,
}

/// A state that was checked, laid out in the folder that `restore` made.
struct Staged {
    /// What takes the place of what.
    parts: Vec<&'static str>,
    header: Option<Header>,
    copied: Copied,
}

/// Runs the verb.
pub(crate) fn run(args: &Args, cx: &mut Cx) -> Result<ExitCode> {
    let dir = cx.place.data_dir();
    let lock = DirLock::acquire(&dir).map_err(|e| match e {
        StoreError::Locked { .. } => {
            hinted(e.to_string(), "a restore needs the data directory for itself: stop its server first")
        }
        e => e.into(),
    })?;
    let dir = lock.dir().to_owned();
    let stage = restore::stage(&lock)?;
    let staged = match lay_out(args, &stage, &dir) {
        Ok(staged) => staged,
        Err(e) => {
            restore::discard(&lock)?;
            return Err(e).with_context(|| format!("{} was not restored; nothing was changed", args.file.display()));
        }
    };
    let aside = format!("before-restore-{}", Time::from_secs(now().secs()).rfc3339().replace(['-', ':'], ""));
    let former = restore::commit(&lock, &staged.parts, &aside)?;
    drop(lock);
    tell(&staged, &dir, &former, cx)?;
    Ok(ExitCode::SUCCESS)
}

/// Lays the backup out and checks all of it.
fn lay_out(args: &Args, stage: &Path, dir: &Path) -> Result<Staged> {
    let mut begin = Vec::new();
    let file = File::open(&args.file).with_context(|| format!("cannot open {}", args.file.display()))?;
    file.take(BEGIN as u64).read_to_end(&mut begin).with_context(|| format!("cannot read {}", args.file.display()))?;
    let database = stage.join(DATABASE);
    // Above what this very directory had: its agents have seen that.
    let floor = counts(&dir.join(DATABASE));
    let staged =
        if begin.starts_with(SQLITE) { database_alone(args, stage, dir)? } else { whole(args, &begin, stage, dir)? };
    mark_copy(&database, floor)?;
    Ok(staged)
}

/// A copy of the database: CA and key are those of the directory.
fn database_alone(args: &Args, stage: &Path, dir: &Path) -> Result<Staged> {
    let key = args.encryption_key_file.clone().unwrap_or_else(|| dir.join(KEY));
    for (needed, what) in [(dir.join("ca/ca.crt"), "the CA"), (key.clone(), "the key of its Secrets")] {
        if !needed.exists() {
            return Err(hinted(
                format!("it holds the database alone, and {what} is not there: {} is missing", needed.display()),
                "a file of `evenkeel backup` holds all three",
            ));
        }
    }
    let to = stage.join(DATABASE);
    fs::copy(&args.file, &to).with_context(|| format!("cannot copy {}", args.file.display()))?;
    private(&to)?;
    let key = EncryptionKey::load_or_create(dir, Some(&key))?;
    let copied = inspect(&to, &key)?;
    Ok(Staged { parts: vec![DATABASE], header: None, copied })
}

/// A file of `evenkeel backup`.
fn whole(args: &Args, begin: &[u8], stage: &Path, dir: &Path) -> Result<Staged> {
    let file = File::open(&args.file).with_context(|| format!("cannot open {}", args.file.display()))?;
    let header = if seal::is_sealed(begin) {
        let passphrase = passphrase::known(args.passphrase_file.as_deref())?;
        archive::unpack(seal::Opener::new(file, passphrase.as_bytes())?, stage)?
    } else {
        archive::unpack(file, stage)?
    };
    let key = EncryptionKey::load_or_create(stage, None)?;
    let copied = inspect(&stage.join(DATABASE), &key)?;
    ensure!(
        (copied.version, copied.epoch, copied.schema) == (header.version, header.epoch, header.schema),
        "its database is another one than its header says"
    );
    ensure!(stage.join("ca/ca.crt").exists(), "it holds no CA");
    let pki = Pki::open(stage).context("its CA")?;
    ensure!(pki.cluster_id() == header.cluster, "its CA is of another cluster than its header says");
    let mut parts = vec![DATABASE];
    if !same_key(stage, dir)? {
        parts.insert(0, KEY);
    }
    if keeps_ca(&header, dir)? {
        fs::remove_dir_all(stage.join("ca")).context("cannot lay out the backup")?;
    } else {
        parts.insert(0, "ca");
    }
    Ok(Staged { parts, header: Some(header), copied })
}

/// Whether the directory's own CA stays. Of the same cluster it is at least as new: it knows the
/// nodes that joined and were removed since, and a rotation. Another cluster's is an error.
fn keeps_ca(header: &Header, dir: &Path) -> Result<bool> {
    let path = dir.join("ca/cluster-id");
    let id = match fs::read_to_string(&path) {
        Ok(id) => id.trim().to_owned(),
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(false),
        Err(e) => return Err(e).with_context(|| format!("cannot read {}", path.display())),
    };
    if id != header.cluster {
        return Err(hinted(
            format!("it is of cluster {}, and {} belongs to cluster {id}", header.cluster, dir.display()),
            "--data-dir names another directory; an empty one is fine",
        ));
    }
    if !dir.join("ca/ca.crt").exists() {
        return Ok(false);
    }
    match Pki::open(dir) {
        Ok(_) => Ok(true),
        Err(e) => {
            eprintln!("warning: the CA in {} is replaced by that of the backup: {e}", dir.display());
            Ok(false)
        }
    }
}

fn same_key(stage: &Path, dir: &Path) -> Result<bool> {
    let read = |path: &Path| match fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(None),
        Err(e) => Err(e).with_context(|| format!("cannot read {}", path.display())),
    };
    Ok(read(&stage.join(KEY))? == read(&dir.join(KEY))?)
}

fn private(path: &Path) -> Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    fs::set_permissions(path, fs::Permissions::from_mode(0o600))
        .with_context(|| format!("cannot make {} private", path.display()))
}

/// Says what was done and what comes now.
fn tell(staged: &Staged, dir: &Path, former: &Path, cx: &mut Cx) -> Result<()> {
    let shown = dir.display();
    match &staged.header {
        Some(h) => cx.out.line(format!(
            "restored cluster {} as of {} ({} ago) into {shown}",
            h.cluster,
            h.created,
            since(h.created)
        ))?,
        None => cx.out.line(format!("restored the database at version {} into {shown}", staged.copied.version))?,
    }
    if !staged.parts.contains(&"ca") && staged.header.is_some() {
        cx.out.line("the CA stayed: the directory's own is of the same cluster and knows its nodes of today")?;
    }
    if fs::read_dir(former).is_ok_and(|mut d| d.next().is_some()) {
        cx.out.line(format!("what was there is in {}", former.display()))?;
    } else {
        fs::remove_dir(former).with_context(|| format!("cannot remove {}", former.display()))?;
    }
    let nodes = Pki::open(dir).map(|pki| pki.nodes()).context("the restored CA")?;
    let nodes =
        if nodes.is_empty() { "no node is known".into() } else { format!("its nodes are {}", nodes.join(", ")) };
    cx.out.line(format!(
        "next: start the server on {shown}. It is recovering until its nodes have reported ({nodes}),"
    ))?;
    cx.out
        .line("at most for --recovery-wait: it takes in what runs there and stops none of it. What nothing explains")?;
    cx.out.line(
        "then: `evenkeel orphan list`. Agents that have met it refuse the former server, should that start again.",
    )
}
