//! Copies of the database, checkpoints of its log, and room on its disk.

use std::{
    fs::{self, File, OpenOptions},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use rusqlite::{Connection, backup::Backup};

use super::sql;
use crate::{StoreError, database_path};

/// Writes a consistent copy: under another name first, 0600, whole and on disk before it gets its
/// own. It says of itself that it is a copy, so that a store begun from it counts on from above the
/// clock and agents see a new epoch.
pub(super) fn copy(from: &Connection, dir: &Path, to: &Path) -> Result<(), StoreError> {
    let part = to.with_extension("part");
    match fs::remove_file(&part) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => return Err(StoreError::io("remove", &part)(e)),
        _ => {}
    }
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(&part).map_err(StoreError::io("create", &part))?;
    let failed = || sql(dir, "copy the database");
    let mut target = Connection::open(&part).map_err(failed())?;
    // All pages in one step: the writer is this very thread, so nothing waits for it.
    Backup::new(from, &mut target).and_then(|b| b.step(-1)).map_err(failed())?;
    // A plain file again, not one that needs its log beside it.
    target.pragma_update(None, "journal_mode", "DELETE").map_err(failed())?;
    target.execute("UPDATE store SET is_copy = 1", []).map_err(failed())?;
    target.close().map_err(|(_, e)| failed()(e))?;
    File::open(&part).and_then(|f| f.sync_all()).map_err(StoreError::io("write", &part))?;
    fs::rename(&part, to).map_err(StoreError::io("create", to))?;
    let folder = to.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(folder).and_then(|d| d.sync_all()).map_err(StoreError::io("write", folder))
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

/// Part of the directory's file system that is free for us, 0 to 1.
pub(super) fn free_part(dir: &Path) -> Result<f64, StoreError> {
    let stat = rustix::fs::statvfs(dir).map_err(|e| StoreError::io("look at", dir)(e.into()))?;
    if stat.f_blocks == 0 {
        // File systems without a size, as some network ones: the write itself will tell.
        return Ok(1.0);
    }
    #[allow(clippy::cast_precision_loss)] // a ratio: 52 bits are plenty
    Ok(stat.f_bavail as f64 / stat.f_blocks as f64)
}
