//! Copies of the database, checkpoints of its log, and room on its disk.

use std::{
    fs::{self, File, OpenOptions},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    time::Duration,
};

use rusqlite::{Connection, OpenFlags, backup::Backup};

use super::sql;
use crate::{StoreError, database_path};

/// A copy waits this long for a lock of another connection: a commit or checkpoint of the server.
const BUSY: Duration = Duration::from_secs(10);

/// What is in a copy of a database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Copied {
    /// Version of the store.
    pub version: u64,
    /// Its epoch.
    pub epoch: u64,
    /// Its schema.
    pub schema: u32,
    /// Bytes of the file.
    pub bytes: u64,
}

/// Copies the database of a data directory while a server writes to it, as it is at one moment: on a
/// connection of its own, so give it to another thread. Refused as on a full disk where less than
/// `reserve` (0 to 1) of the disk would be left.
pub fn copy_database(dir: &Path, to: &Path, reserve: f64) -> Result<Copied, StoreError> {
    let failed = || sql(dir, "copy the database");
    // Not made where it is not there: it would be a new, empty one.
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let conn = Connection::open_with_flags(database_path(dir), flags).map_err(failed())?;
    conn.busy_timeout(BUSY).map_err(failed())?;
    let pragma = |name| conn.pragma_query_value(None, name, |row| row.get::<_, i64>(0)).map_err(failed());
    let bytes = pragma("page_count")?.saturating_mul(pragma("page_size")?).max(0).cast_unsigned();
    let room = room(to.parent().unwrap_or(dir))?;
    if let Some((free, all)) = room
        && free < bytes.saturating_add(part(all, reserve))
    {
        let reason = format!("a copy takes {bytes} bytes, and {:.1} % of the disk must stay free", reserve * 100.0);
        return Err(StoreError::Full { dir: dir.into(), reason });
    }
    copy(&conn, dir, to)
}

/// Writes a consistent copy: under another name first, 0600, whole and on disk before it gets its
/// own. It says of itself that it is a copy, so that a store begun from it counts on from above the
/// clock and agents see a new epoch.
pub(super) fn copy(from: &Connection, dir: &Path, to: &Path) -> Result<Copied, StoreError> {
    let part = to.with_extension("part");
    remove(&part)?;
    let copied = write(from, dir, &part).and_then(|copied| {
        fs::rename(&part, to).map_err(StoreError::io("create", to))?;
        evenkeel_files::sync_folder_of(to).map_err(StoreError::io("write", to))?;
        Ok(copied)
    });
    if copied.is_err() {
        // Half a copy on a full disk takes the room that is left; why it failed matters more.
        let _left = remove(&part);
    }
    copied
}

fn remove(file: &Path) -> Result<(), StoreError> {
    match fs::remove_file(file) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(StoreError::io("remove", file)(e)),
        _ => Ok(()),
    }
}

fn write(from: &Connection, dir: &Path, part: &Path) -> Result<Copied, StoreError> {
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(part).map_err(StoreError::io("create", part))?;
    let failed = || sql(dir, "copy the database");
    let mut target = Connection::open(part).map_err(failed())?;
    // All pages in one step, which is one read transaction: with several, each write of another
    // connection would begin the copy anew. Writers do not wait for it, their log grows meanwhile.
    Backup::new(from, &mut target).and_then(|b| b.step(-1)).map_err(failed())?;
    // A plain file again, not one that needs its log beside it.
    target.pragma_update(None, "journal_mode", "DELETE").map_err(failed())?;
    target.execute("UPDATE store SET is_copy = 1", []).map_err(failed())?;
    let (version, epoch): (i64, i64) = target
        .query_row("SELECT version, epoch FROM store", [], |row| Ok((row.get(0)?, row.get(1)?)))
        .map_err(failed())?;
    let schema = target.pragma_query_value(None, "user_version", |row| row.get(0)).map_err(failed())?;
    target.close().map_err(|(_, e)| failed()(e))?;
    let file = File::open(part).map_err(StoreError::io("open", part))?;
    file.sync_all().map_err(StoreError::io("write", part))?;
    let bytes = file.metadata().map_err(StoreError::io("look at", part))?.len();
    Ok(Copied { version: version.cast_unsigned(), epoch: epoch.cast_unsigned(), schema, bytes })
}

/// Moves committed pages from the log into the database, on a connection of its own, so that
/// commits do not pay for it. Give it to another thread and call [`Checkpointer::run`] every few
/// seconds: where nothing was committed it writes nothing.
#[derive(Debug)]
pub struct Checkpointer {
    dir: PathBuf,
    conn: Connection,
}

/// What a checkpoint found and did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Checkpoint {
    /// Pages in the log.
    pub pages: u64,
    /// How many of them are in the database now.
    pub done: u64,
}

impl Checkpointer {
    pub(super) fn open(dir: &Path) -> Result<Self, StoreError> {
        let conn = Connection::open(database_path(dir)).map_err(sql(dir, "open the database"))?;
        conn.pragma_update(None, "synchronous", "FULL").map_err(sql(dir, "set up the database"))?;
        Ok(Self { dir: dir.to_path_buf(), conn })
    }

    /// Checkpoints what it can without waiting for anybody.
    pub fn run(&mut self) -> Result<Checkpoint, StoreError> {
        let (pages, done): (i64, i64) = self
            .conn
            .query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |row| Ok((row.get(1)?, row.get(2)?)))
            .map_err(sql(&self.dir, "checkpoint the database"))?;
        Ok(Checkpoint { pages: pages.max(0).cast_unsigned(), done: done.max(0).cast_unsigned() })
    }
}

/// Bytes of the directory's file system that are free for us, and all of them; `None` for file
/// systems without a size, as some network ones: the write itself will tell.
fn room(dir: &Path) -> Result<Option<(u64, u64)>, StoreError> {
    let stat = rustix::fs::statvfs(dir).map_err(|e| StoreError::io("look at", dir)(e.into()))?;
    let bytes = |blocks: u64| blocks.saturating_mul(stat.f_frsize);
    Ok((stat.f_blocks > 0).then(|| (bytes(stat.f_bavail), bytes(stat.f_blocks))))
}

/// Part of the directory's file system that is free for us, 0 to 1.
pub(super) fn free_part(dir: &Path) -> Result<f64, StoreError> {
    let Some((free, all)) = room(dir)? else { return Ok(1.0) };
    #[allow(clippy::cast_precision_loss)] // a ratio: 52 bits are plenty
    Ok(free as f64 / all as f64)
}

/// That part of so many bytes.
#[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss)] // a rough bound
fn part(all: u64, part: f64) -> u64 {
    (all as f64 * part.clamp(0.0, 1.0)) as u64
}
