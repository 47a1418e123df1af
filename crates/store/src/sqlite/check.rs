//! What a copy of a database says of itself, and whether it is any good, before it counts.

use std::path::Path;

use evenkeel_model::{Key, Kind};
use rusqlite::{Connection, OpenFlags, OptionalExtension as _, params};

use super::{KEY_CHECK, backup::Copied, schema, sql, write::place};
use crate::{EncryptionKey, KeyError, StoreError};

fn folder(path: &Path) -> &Path {
    path.parent().unwrap_or(Path::new("."))
}

fn open(path: &Path, flags: OpenFlags) -> Result<Connection, StoreError> {
    let conn = Connection::open_with_flags(path, flags).map_err(sql(folder(path), "open the copy"))?;
    conn.pragma_update(None, "trusted_schema", false).map_err(sql(folder(path), "open the copy"))?;
    Ok(conn)
}

/// Looks at a database that no server uses: its form, its schema, its inner order, and that the key
/// opens the Secrets in it. Changes nothing.
pub fn inspect(path: &Path, key: &EncryptionKey) -> Result<Copied, StoreError> {
    let failed = || sql(folder(path), "look at the copy");
    let conn = open(path, OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    let schema = schema::check(&conn, path)?;
    let order: String = conn.query_row("PRAGMA integrity_check(1)", [], |row| row.get(0)).map_err(failed())?;
    if order != "ok" {
        return Err(StoreError::corrupt(format!("the copy: {order}")));
    }
    let dangling = conn.query_row("PRAGMA foreign_key_check", [], |_| Ok(())).optional().map_err(failed())?;
    if dangling.is_some() {
        return Err(StoreError::corrupt("the copy: a row refers to one that is not there"));
    }
    let (version, epoch, check): (i64, i64, Vec<u8>) = conn
        .query_row("SELECT version, epoch, key_check FROM store", [], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
        .map_err(failed())?;
    if key.open(&place("store", "1", "key_check"), &check)? != KEY_CHECK {
        return Err(KeyError::Wrong.into());
    }
    let mut secrets = conn.prepare("SELECT namespace, name, body FROM objects WHERE kind = ?1").map_err(failed())?;
    let mut rows = secrets.query(params![Kind::Secret.info().kind]).map_err(failed())?;
    while let Some(row) = rows.next().map_err(failed())? {
        let read = || -> rusqlite::Result<(String, String, Vec<u8>)> { Ok((row.get(0)?, row.get(1)?, row.get(2)?)) };
        let (namespace, name, body) = read().map_err(failed())?;
        let row = Key::new(Kind::Secret, namespace, name).to_string();
        key.open(&place("objects", &row, "body"), &body)?;
    }
    let bytes = std::fs::metadata(path).map_err(StoreError::io("look at", path))?.len();
    Ok(Copied { version: version.cast_unsigned(), epoch: epoch.cast_unsigned(), schema, bytes })
}

/// Version and epoch of a database that no server uses; `None` where there is none that says so.
pub fn counts(path: &Path) -> Option<(u64, u64)> {
    if !path.exists() {
        return None;
    }
    let conn = open(path, OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX).ok()?;
    conn.query_row("SELECT version, epoch FROM store", [], |row| {
        Ok((row.get::<_, i64>(0)?.cast_unsigned(), row.get::<_, i64>(1)?.cast_unsigned()))
    })
    .ok()
}

/// Makes a database a copy: who opens it as a store begins above the clock, and above these counts,
/// and recovers.
pub fn mark_copy(path: &Path, above: Option<(u64, u64)>) -> Result<(), StoreError> {
    let conn = open(path, OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    let (version, epoch) = above.unwrap_or_default();
    // Before its version is raised: up to this one it knows everything.
    conn.query_row("SELECT version FROM store", [], |row| row.get(0))
        .and_then(|version: i64| super::remember_copy(&conn, version))
        .map_err(sql(folder(path), "mark the copy"))?;
    conn.execute(
        "UPDATE store SET is_copy = 1, version = max(version, ?1), epoch = max(epoch, ?2)",
        params![version.cast_signed(), epoch.cast_signed()],
    )
    .map_err(sql(folder(path), "mark the copy"))?;
    conn.pragma_update(None, "journal_mode", "DELETE").map_err(sql(folder(path), "mark the copy"))?;
    conn.close().map_err(|(_, e)| sql(folder(path), "mark the copy")(e))?;
    std::fs::File::open(path).and_then(|f| f.sync_all()).map_err(StoreError::io("write", path))
}

#[cfg(test)]
mod tests {
    use std::sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    };

    use evenkeel_model::{Meta, Object, Time, Uid, Version};

    use super::*;
    use crate::{Batch, Op, OpenOptions, Origin, RECOVERING, SqliteStore, Store as _, copy_database};

    fn open_store(dir: &Path, now: i64, key: u8) -> Result<SqliteStore, StoreError> {
        SqliteStore::open(dir, OpenOptions::new(Time(now), EncryptionKey::from_bytes([key; 32])))
    }

    fn put(store: &mut SqliteStore, from: Version, kind: Kind, name: &str) -> Version {
        let key = Key::new(kind, "shop", name);
        let object = Object::new(key, Uid(7), Meta::default(), Arc::from(&br#"{"data":{"a":"aHVudGVyMg=="}}"#[..]));
        let to = from.next();
        store.commit(&Batch { from, to, ops: vec![Op::Put(Arc::new(Object { version: to, ..object }))] }).unwrap();
        to
    }

    #[test]
    fn a_copy_made_under_write_load_is_sound_and_begins_above_everything() {
        let dir = tempfile::tempdir().unwrap();
        let key = EncryptionKey::from_bytes([1; 32]);
        let mut store = open_store(dir.path(), 1_000, 1).unwrap();
        let loaded = store.load().unwrap();
        let first = put(&mut store, loaded.version, Kind::Secret, "s");
        let done = Arc::new(AtomicBool::new(false));
        let (stop, mut at) = (done.clone(), first);
        let writer = std::thread::spawn(move || {
            let mut n = 0;
            while !stop.load(Ordering::Acquire) {
                at = put(&mut store, at, Kind::ConfigMap, &format!("c{}", n % 50));
                n += 1;
            }
            (store, at)
        });
        let to = dir.path().join("copy.db");
        let mut last = first.0;
        for _ in 0..20 {
            let copied = copy_database(dir.path(), &to, 0.0).unwrap();
            assert_eq!(inspect(&to, &key).unwrap(), copied);
            assert!(copied.version >= last && copied.epoch == loaded.epoch);
            last = copied.version;
        }
        done.store(true, Ordering::Release);
        let (store, at) = writer.join().unwrap();
        assert!(at.0 > first.0, "it wrote meanwhile");
        drop(store);

        // Opened by a machine whose clock is behind, above a store that had gone further.
        let other = tempfile::tempdir().unwrap();
        std::fs::copy(&to, crate::database_path(other.path())).unwrap();
        let far = (last + 1_000_000_000_000_000, loaded.epoch + 5);
        mark_copy(&crate::database_path(other.path()), Some(far)).unwrap();
        let begun = open_store(other.path(), 1_000, 1).unwrap().load().unwrap();
        assert!(begun.version.0 > far.0 && begun.epoch > far.1);
        assert_eq!(begun.origin, Origin::Restored);
        let base = begun.meta.get(RECOVERING).expect("it waits for the agents");
        assert_eq!(*base, last.to_string().into_bytes(), "what it knows ends with the copy");
        let again = open_store(other.path(), 1_000, 1).unwrap().load().unwrap();
        assert_eq!((again.version, again.epoch, again.origin), (begun.version, begun.epoch, Origin::Kept), "only once");
        assert_eq!(counts(&crate::database_path(other.path())), Some((begun.version.0, begun.epoch)));
    }

    #[test]
    fn what_is_not_sound_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let mut store = open_store(dir.path(), 1_000, 1).unwrap();
        let mut at = store.load().unwrap().version;
        at = put(&mut store, at, Kind::Secret, "s");
        for n in 0..200 {
            at = put(&mut store, at, Kind::ConfigMap, &format!("c{n}"));
        }
        let to = dir.path().join("copy.db");
        copy_database(dir.path(), &to, 0.0).unwrap();
        let inspected = |key: u8| inspect(&to, &EncryptionKey::from_bytes([key; 32]));
        inspected(1).unwrap();
        assert!(matches!(inspected(2), Err(StoreError::Key(KeyError::Wrong))));
        // A full disk: nothing is left behind.
        let full = copy_database(dir.path(), &dir.path().join("more.db"), 1.0).unwrap_err();
        assert!(full.is_full() && !dir.path().join("more.part").exists(), "{full}");

        let change = |sql: &str| Connection::open(&to).unwrap().execute_batch(sql).unwrap();
        change("UPDATE objects SET body = x'00' WHERE kind = 'Secret'");
        assert!(matches!(inspected(1), Err(StoreError::Key(KeyError::Wrong))), "a Secret that the key does not open");
        change("DELETE FROM objects WHERE kind = 'Secret'; PRAGMA user_version = 99");
        assert!(matches!(inspected(1), Err(StoreError::Newer { found: 99, .. })));
        change("PRAGMA user_version = 1");
        inspected(1).unwrap();
        let mut bytes = std::fs::read(&to).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle..middle + 4096].fill(0xa5);
        std::fs::write(&to, &bytes).unwrap();
        assert!(inspected(1).is_err());
        std::fs::write(&to, "SQLite format 3").unwrap();
        assert!(inspected(1).is_err());
    }
}
