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
    Copied, DirLock, EncryptionKey, KeyError, StoreError,
    archive::{self, DATABASE, Header, KEY, seal},
    counts, inspect, mark_copy, restore,
};

use super::{
    Cx, config,
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
    after_help = "Examples:\n  evenkeel restore shop.backup\n  evenkeel restore shop.backup --data-dir /srv/evenkeel     on a new machine, too\n  evenkeel restore shop.backup --encryption-key-file /mnt/key     as the server has it\n  evenkeel restore /var/lib/evenkeel/backups/daily-20261128T020000Z.db"
)]
pub(crate) struct Args {
    /// A file of `evenkeel backup`, or a copy of the database
    file: PathBuf,
    /// Take the passphrase from the first line of this file
    #[arg(long, value_name = "FILE")]
    passphrase_file: Option<PathBuf>,
    /// Where the server keeps the key of Secrets at rest, if not in the data directory: that of the
    /// backup is put there, unless it is there already [default: what config.yaml in the data
    /// directory says]
    #[arg(long, value_name = "FILE")]
    encryption_key_file: Option<PathBuf>,
}

/// A state that was checked, laid out in the folder that `restore` made.
struct Staged {
    /// What takes the place of what.
    parts: Vec<&'static str>,
    header: Option<Header>,
    copied: Copied,
    /// The key of its Secrets, and where outside of the data directory it belongs.
    key: Option<(EncryptionKey, PathBuf)>,
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
    let key = key_file(args, &dir)?;
    let stage = restore::stage(&lock)?;
    let checked = lay_out(args, key.as_deref(), &stage, &dir).and_then(|staged| {
        // Before anything counts that cannot be read without it.
        if let Some((key, place)) = &staged.key {
            key.put(place)?;
        }
        Ok(staged)
    });
    let staged = match checked {
        Ok(staged) => staged,
        Err(e) => {
            restore::discard(&lock)?;
            return Err(e).with_context(|| format!("{} was not restored; nothing was changed", args.file.display()));
        }
    };
    let former = restore::commit(&lock, &staged.parts, &aside(&dir))?;
    drop(lock);
    tell(&staged, &dir, &former, cx)?;
    Ok(ExitCode::SUCCESS)
}

/// Where the server keeps its key, if that is not in the data directory.
fn key_file(args: &Args, dir: &Path) -> Result<Option<PathBuf>> {
    let file = match &args.encryption_key_file {
        Some(file) => Some(file.clone()),
        None => config::value(&dir.join(config::CONFIG), "encryption-key-file")?.map(PathBuf::from),
    };
    let file = file.map(std::path::absolute).transpose().context("the encryption key's file")?;
    Ok(file.filter(|file| *file != dir.join(KEY)))
}

/// A folder's name, not in use, for what the restore replaces.
fn aside(dir: &Path) -> String {
    let name = format!("before-restore-{}", Time::from_secs(now().secs()).rfc3339().replace(['-', ':'], ""));
    let others = (2..).map(|n| format!("{name}-{n}"));
    std::iter::once(name.clone()).chain(others).find(|name| !dir.join(name).exists()).unwrap_or(name)
}

/// Lays the backup out and checks all of it.
fn lay_out(args: &Args, key: Option<&Path>, stage: &Path, dir: &Path) -> Result<Staged> {
    let mut begin = Vec::new();
    let file = File::open(&args.file).with_context(|| format!("cannot open {}", args.file.display()))?;
    file.take(BEGIN as u64).read_to_end(&mut begin).with_context(|| format!("cannot read {}", args.file.display()))?;
    let database = stage.join(DATABASE);
    // Above what this very directory had: its agents have seen that.
    let floor = counts(&dir.join(DATABASE));
    let staged = if begin.starts_with(SQLITE) {
        database_alone(args, key, stage, dir)?
    } else {
        whole(args, &begin, key, stage, dir)?
    };
    mark_copy(&database, floor)?;
    Ok(staged)
}

/// A copy of the database: CA and key are those of the directory.
fn database_alone(args: &Args, key: Option<&Path>, stage: &Path, dir: &Path) -> Result<Staged> {
    let key = key.map_or_else(|| dir.join(KEY), Path::to_path_buf);
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
    let copied = inspect(&to, &key).context("its database")?;
    Ok(Staged { parts: vec![DATABASE], header: None, copied, key: None })
}

/// A file of `evenkeel backup`.
fn whole(args: &Args, begin: &[u8], place: Option<&Path>, stage: &Path, dir: &Path) -> Result<Staged> {
    let file = File::open(&args.file).with_context(|| format!("cannot open {}", args.file.display()))?;
    let header = if seal::is_sealed(begin) {
        let passphrase = passphrase::known(args.passphrase_file.as_deref())?;
        archive::unpack(seal::Opener::new(file, passphrase.as_bytes())?, stage)?
    } else {
        archive::unpack(file, stage)?
    };
    let key = EncryptionKey::load_or_create(stage, None)?;
    let copied = inspect(&stage.join(DATABASE), &key).context("its database")?;
    ensure!(
        (copied.version, copied.epoch, copied.schema) == (header.version, header.epoch, header.schema),
        "its database is another one than its header says"
    );
    ensure!(stage.join("ca/ca.crt").exists(), "it holds no CA");
    let pki = Pki::open(stage).context("its CA")?;
    ensure!(pki.cluster_id() == header.cluster, "its CA is of another cluster than its header says");
    let mut parts = vec![DATABASE];
    match place {
        Some(place) => match key.lies_in(place) {
            Ok(_) => {}
            Err(e @ KeyError::Taken(_)) => {
                return Err(hinted(e.to_string(), "move that file away, or name another place for the backup's key"));
            }
            Err(e) => return Err(e.into()),
        },
        None if same_key(stage, dir)? => {}
        None => parts.insert(0, KEY),
    }
    if keeps_ca(&header, dir)? {
        fs::remove_dir_all(stage.join("ca")).context("cannot lay out the backup")?;
    } else {
        parts.insert(0, "ca");
    }
    Ok(Staged { parts, header: Some(header), copied, key: place.map(|place| (key, place.to_path_buf())) })
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
    if let Some((_, place)) = &staged.key {
        cx.out.line(format!("the key of its Secrets lies in {}", place.display()))?;
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
