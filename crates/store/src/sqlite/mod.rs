//! The store of a server: one SQLite database in the data directory, one connection, on its
//! caller's thread.
//!
//! Write-ahead log, `synchronous=FULL`: a commit that returned survives a power loss. Deliberately
//! not here: the thread (the conductor's), retention (core's), and queries by field: the world is
//! in memory, and only histories are asked of the database.

use std::{fs, os::unix::fs::OpenOptionsExt as _, path::Path, sync::Arc};

use evenkeel_model::{Digest, Object, Snapshot, Time, Version};
use rusqlite::{Connection, ErrorCode, OptionalExtension as _, TransactionBehavior, params};

use crate::{
    Batch, DirLock, EncryptionKey, HistoryQuery, KeyError, Loaded, Origin, RECOVERING, Store, StoreError,
    check_versions, database_path, first_version,
};

/// The statement that writes a record, after its table's name.
macro_rules! record_upsert {
    () => {
        "(namespace, name, uid, version, meta, body, status, managed, source, about, time, state) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12) \
         ON CONFLICT (namespace, name) DO UPDATE SET uid = ?3, version = ?4, meta = ?5, body = ?6, status = ?7, \
         managed = ?8, source = ?9, about = ?10, time = ?11, state = ?12"
    };
}

mod backup;
mod blobs;
mod check;
mod codec;
mod read;
mod schema;
mod write;

pub use backup::{Checkpoint, Checkpointer, Copied, copy_database};
pub use check::{counts, inspect, mark_copy};

/// Part of the disk that must stay free: the rest of a server needs room to say that there is none.
pub const DEFAULT_RESERVE: f64 = 0.05;
/// Pages in the log after which a commit checkpoints itself, 64 MiB: the safety net for a
/// [`Checkpointer`] that nobody runs.
const AUTOCHECKPOINT_PAGES: u32 = 16_384;
/// Statements kept prepared: more than there are.
const STATEMENTS: usize = 64;
/// What the key's check encrypts.
const KEY_CHECK: &[u8] = b"evenkeel";

/// How to open a store.
#[derive(Debug, Clone)]
pub struct OpenOptions {
    /// The clock: a new or restored store begins above it.
    pub now: Time,
    /// The key of [`EncryptionKey::load_or_create`].
    pub key: EncryptionKey,
    /// The directory's lock, where the caller holds it already; else the store takes it.
    pub lock: Option<Arc<DirLock>>,
    /// Part of the disk that must stay free, 0 to 1; [`DEFAULT_RESERVE`].
    pub reserve: f64,
}

impl OpenOptions {
    /// The usual options.
    pub fn new(now: Time, key: EncryptionKey) -> Self {
        Self { now, key, lock: None, reserve: DEFAULT_RESERVE }
    }
}

/// A store in SQLite.
#[derive(Debug)]
pub struct SqliteStore {
    conn: Connection,
    key: EncryptionKey,
    blobs: blobs::Blobs,
    reserve: f64,
    origin: Origin,
    // Dropped last: until the database is closed, the directory is ours.
    lock: Arc<DirLock>,
}

/// Says what SQLite's error means.
fn sql(dir: &Path, doing: &'static str) -> impl FnOnce(rusqlite::Error) -> StoreError {
    move |source| match source.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => StoreError::Full { dir: dir.into(), reason: source.to_string() },
        // Some full file systems and quotas answer with an I/O error.
        Some(ErrorCode::SystemIoFailure) if backup::free_part(dir).is_ok_and(|free| free < 0.001) => {
            StoreError::Full { dir: dir.into(), reason: source.to_string() }
        }
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => StoreError::Opened { dir: dir.into() },
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
            StoreError::corrupt_by(format!("SQLite cannot {doing}"), source)
        }
        Some(_) => StoreError::Sqlite { doing, source },
        // A column of another type than its reader's.
        None => StoreError::corrupt_by(format!("cannot {doing}"), source),
    }
}

impl SqliteStore {
    /// Opens the database of a data directory and takes the directory's lock; makes both where
    /// they are not there. Files are 0600, the directory 0700.
    pub fn open(dir: &Path, options: OpenOptions) -> Result<Self, StoreError> {
        let lock = match options.lock {
            Some(lock) => lock,
            None => Arc::new(DirLock::acquire(dir)?),
        };
        let path = database_path(dir);
        // Made here for its mode, which SQLite gives to the log's files as well.
        fs::OpenOptions::new()
            .append(true)
            .create(true)
            .mode(0o600)
            .open(&path)
            .map_err(StoreError::io("open", &path))?;
        fs::File::open(dir).and_then(|d| d.sync_all()).map_err(StoreError::io("write", dir))?;
        let mut conn = Connection::open(&path).map_err(sql(dir, "open the database"))?;
        set_up(&conn).map_err(sql(dir, "set up the database"))?;
        schema::migrate(&mut conn, dir, schema::MIGRATIONS)?;
        let origin = begin(&mut conn, dir, &options.key, options.now)?;
        Ok(Self { conn, key: options.key, blobs: blobs::Blobs::default(), reserve: options.reserve, origin, lock })
    }

    /// What checkpoints this database, for another thread.
    pub fn checkpointer(&self) -> Result<Checkpointer, StoreError> {
        Checkpointer::open(self.dir())
    }

    /// The data directory, resolved.
    pub fn dir(&self) -> &Path {
        self.lock.dir()
    }

    /// Bounds the database to so many pages of 4 KiB: a commit beyond is refused as on a full disk.
    pub fn limit_pages(&mut self, pages: u32) -> Result<(), StoreError> {
        self.conn.pragma_update(None, "max_page_count", pages).map_err(sql(self.dir(), "bound the database"))
    }

    fn reader(&self) -> read::Reader<'_> {
        read::Reader { conn: &self.conn, dir: self.lock.dir(), key: &self.key }
    }

    fn transact(&mut self, batch: &Batch) -> Result<(), StoreError> {
        let dir = self.lock.dir();
        let failed = || sql(dir, "commit a transaction");
        self.blobs.count(&self.conn, dir)?;
        let tx = self.conn.transaction_with_behavior(TransactionBehavior::Immediate).map_err(failed())?;
        let found: i64 = tx
            .prepare_cached("SELECT version FROM store")
            .and_then(|mut s| s.query_row([], |row| row.get(0)))
            .map_err(failed())?;
        check_versions(batch, Version(found.cast_unsigned()))?;
        let mut writer = write::Writer { conn: &tx, dir, key: &self.key, blobs: &mut self.blobs };
        for op in &batch.ops {
            writer.apply(op)?;
        }
        self.blobs.sweep(&tx, dir)?;
        tx.prepare_cached("UPDATE store SET version = ?1")
            .and_then(|mut s| s.execute([batch.to.0.cast_signed()]))
            .map_err(failed())?;
        tx.commit().map_err(failed())
    }
}

fn set_up(conn: &Connection) -> rusqlite::Result<()> {
    conn.set_prepared_statement_cache_capacity(STATEMENTS);
    conn.pragma_update(None, "journal_mode", "WAL")?;
    conn.pragma_update(None, "synchronous", "FULL")?;
    conn.pragma_update(None, "foreign_keys", true)?;
    conn.pragma_update(None, "wal_autocheckpoint", AUTOCHECKPOINT_PAGES)?;
    conn.pragma_update(None, "journal_size_limit", i64::from(AUTOCHECKPOINT_PAGES) * 4096)?;
    // Views and functions of a tampered schema are not run.
    conn.pragma_update(None, "trusted_schema", false)
}

/// The first row of a new store, the key's check of one that exists, and the new count of a copy.
/// Says which of them it did.
fn begin(conn: &mut Connection, dir: &Path, key: &EncryptionKey, now: Time) -> Result<Origin, StoreError> {
    let failed = || sql(dir, "begin the store");
    let place = write::place("store", "1", "key_check");
    let first = first_version(now).0;
    let tx = conn.transaction_with_behavior(TransactionBehavior::Immediate).map_err(failed())?;
    let row: Option<(i64, i64, bool, Vec<u8>)> = tx
        .query_row("SELECT version, epoch, is_copy, key_check FROM store", [], |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?))
        })
        .optional()
        .map_err(failed())?;
    let origin = match row {
        None => {
            let check = key.seal(&place, KEY_CHECK)?;
            tx.execute(
                "INSERT INTO store (one, version, epoch, key_check) VALUES (1, ?1, ?1, ?2)",
                params![first.cast_signed(), check],
            )
            .map_err(failed())?;
            Origin::New
        }
        Some((version, epoch, is_copy, check)) => {
            if key.open(&place, &check)? != KEY_CHECK {
                return Err(KeyError::Wrong.into());
            }
            if is_copy {
                let above = |old: i64| first.max(old.cast_unsigned().saturating_add(1)).cast_signed();
                tx.execute(
                    "UPDATE store SET version = ?1, epoch = ?2, is_copy = 0",
                    params![above(version), above(epoch)],
                )
                .map_err(failed())?;
                remember_copy(&tx, version).map_err(failed())?;
                Origin::Restored
            } else {
                Origin::Kept
            }
        }
    };
    tx.commit().map_err(failed())?;
    Ok(origin)
}

/// What happened after the copy was made only the agents know. A copy that was made in the middle of
/// a recovery, or marked before, says already since when.
fn remember_copy(conn: &Connection, version: i64) -> rusqlite::Result<()> {
    conn.execute(
        "INSERT INTO meta (name, value) VALUES (?1, ?2) ON CONFLICT (name) DO NOTHING",
        params![RECOVERING, version.to_string().as_bytes()],
    )
    .map(drop)
}

impl Store for SqliteStore {
    fn load(&mut self) -> Result<Loaded, StoreError> {
        let reader = self.reader();
        let (version, epoch): (i64, i64) = self
            .conn
            .query_row("SELECT version, epoch FROM store", [], |row| Ok((row.get(0)?, row.get(1)?)))
            .map_err(sql(self.dir(), "read the store's version"))?;
        let loaded = Loaded {
            version: Version(version.cast_unsigned()),
            epoch: epoch.cast_unsigned(),
            origin: self.origin,
            objects: reader.objects()?,
            contents: reader.contents()?,
            snapshots: reader.heads()?,
            meta: reader.meta()?,
        };
        self.origin = Origin::Kept;
        Ok(loaded)
    }

    fn commit(&mut self, batch: &Batch) -> Result<(), StoreError> {
        let free = backup::free_part(self.dir())?;
        if free < self.reserve {
            let reason = format!("{:.1} % is free, {:.1} % must stay so", free * 100.0, self.reserve * 100.0);
            return Err(StoreError::Full { dir: self.dir().into(), reason });
        }
        let result = self.transact(batch);
        if result.is_err() {
            self.blobs.forget();
        }
        result
    }

    fn history(&mut self, query: &HistoryQuery) -> Result<Vec<Object>, StoreError> {
        self.reader().history(query)
    }

    fn snapshot(&mut self, digest: Digest) -> Result<Option<Snapshot>, StoreError> {
        self.reader().snapshot(digest)
    }

    fn backup(&mut self, to: &Path) -> Result<(), StoreError> {
        backup::copy(&self.conn, self.dir(), to).map(drop)
    }
}
