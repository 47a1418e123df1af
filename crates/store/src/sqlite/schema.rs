//! The database's schema: numbered migrations, forward only, each in one transaction.
//!
//! `PRAGMA user_version` is the number of migrations that were applied. Before an existing database
//! changes, a copy of it goes to `backups/`; the last [`KEPT_BACKUPS`] stay.

use std::{
    fs::{self, File},
    io::Read as _,
    os::unix::fs::DirBuilderExt as _,
    path::{Path, PathBuf},
};

use rusqlite::{Connection, TransactionBehavior};

use super::{backup, sql};
use crate::{StoreError, database_path};

/// What leads from each schema to the next. Never changed once released.
pub(super) const MIGRATIONS: &[&str] = &[include_str!("v1.sql")];
/// Backups from before migrations that are kept: enough to go back over two upgrades in a row.
const KEPT_BACKUPS: usize = 3;
/// `PRAGMA application_id`: "EvKl", so that another program's database is never taken for ours.
const APPLICATION_ID: i32 = 0x4576_4b6c;
/// Where SQLite's header has `user_version`, 4 bytes, big-endian.
const HEADER_USER_VERSION: usize = 60;

/// Brings the database to the newest schema. Says whether it was empty before.
pub(super) fn migrate(conn: &mut Connection, dir: &Path, migrations: &[&str]) -> Result<bool, StoreError> {
    let pragma = |conn: &Connection, name| {
        conn.pragma_query_value(None, name, |row| row.get::<_, i64>(0)).map_err(sql(dir, "read the schema's number"))
    };
    let found = pragma(conn, "user_version")?;
    let application = pragma(conn, "application_id")?;
    let supported = i64::try_from(migrations.len()).unwrap_or(i64::MAX);
    if found > 0 && application != i64::from(APPLICATION_ID) {
        return Err(StoreError::corrupt(format!("{} is not a database of Evenkeel", database_path(dir).display())));
    }
    if found > supported {
        return Err(newer(dir, found, supported));
    }
    if found > 0 && found < supported {
        backup_before(conn, dir)?;
    }
    for (number, migration) in (1_i64..).zip(migrations) {
        if number <= found {
            continue;
        }
        let tx = conn
            .transaction_with_behavior(TransactionBehavior::Immediate)
            .map_err(sql(dir, "begin a change of the schema"))?;
        tx.execute_batch(migration).map_err(sql(dir, "change the schema"))?;
        tx.pragma_update(None, "user_version", number).map_err(sql(dir, "write the schema's number"))?;
        tx.pragma_update(None, "application_id", APPLICATION_ID).map_err(sql(dir, "write the schema's number"))?;
        tx.commit().map_err(sql(dir, "change the schema"))?;
    }
    Ok(found == 0)
}

/// The schema of a database that is ours and not newer than this program.
pub(super) fn check(conn: &Connection, path: &Path) -> Result<u32, StoreError> {
    let dir = path.parent().unwrap_or(Path::new("."));
    let pragma = |name| {
        conn.pragma_query_value(None, name, |row| row.get::<_, i64>(0)).map_err(sql(dir, "read the schema's number"))
    };
    let (found, application) = (pragma("user_version")?, pragma("application_id")?);
    let supported = i64::try_from(MIGRATIONS.len()).unwrap_or(i64::MAX);
    if found < 1 || application != i64::from(APPLICATION_ID) {
        return Err(StoreError::Foreign);
    }
    if found > supported {
        let remedy = "restore a backup that was made before the upgrade".to_owned();
        return Err(StoreError::Newer {
            path: path.into(),
            found: number(found),
            supported: number(supported),
            remedy,
        });
    }
    Ok(number(found))
}

fn number(n: i64) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}

fn backup_before(conn: &Connection, dir: &Path) -> Result<(), StoreError> {
    let version: i64 = conn
        .query_row("SELECT version FROM store", [], |row| row.get(0))
        .map_err(sql(dir, "read the store's version"))?;
    let folder = backups_dir(dir);
    fs::DirBuilder::new().recursive(true).mode(0o700).create(&folder).map_err(StoreError::io("create", &folder))?;
    let to = folder.join(format!("backup-{version}.db"));
    backup::copy(conn, dir, &to)?;
    tracing::info!(backup = %to.display(), "the database was copied before its schema changes");
    for old in backups(dir).into_iter().skip(KEPT_BACKUPS) {
        fs::remove_file(&old).map_err(StoreError::io("remove", &old))?;
    }
    Ok(())
}

fn backups_dir(dir: &Path) -> PathBuf {
    dir.join("backups")
}

/// The backups from before migrations, newest first.
fn backups(dir: &Path) -> Vec<PathBuf> {
    let mut found: Vec<(u64, PathBuf)> = fs::read_dir(backups_dir(dir))
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| {
            let name = entry.file_name();
            let version = name.to_str()?.strip_prefix("backup-")?.strip_suffix(".db")?.parse().ok()?;
            Some((version, entry.path()))
        })
        .collect();
    found.sort_by(|a, b| b.cmp(a));
    found.into_iter().map(|(_, path)| path).collect()
}

fn newer(dir: &Path, found: i64, supported: i64) -> StoreError {
    let path = database_path(dir);
    let usable = backups(dir).into_iter().find(|b| schema_of(b).is_some_and(|s| s > 0 && i64::from(s) <= supported));
    let remedy = match usable {
        Some(backup) => format!(
            "go back to the copy from before the upgrade, which loses every later change: \
             `evenkeel restore {} --data-dir {}`",
            backup.display(),
            dir.display()
        ),
        None => format!("put a backup of an older schema in its place; {} has none", backups_dir(dir).display()),
    };
    StoreError::Newer { path, found: number(found), supported: number(supported), remedy }
}

fn schema_of(database: &Path) -> Option<u32> {
    let mut header = [0; HEADER_USER_VERSION + 4];
    File::open(database).ok()?.read_exact(&mut header).ok()?;
    header.last_chunk::<4>().map(|n| u32::from_be_bytes(*n))
}

#[cfg(test)]
mod tests {
    use evenkeel_model::Time;

    use super::*;
    use crate::{EncryptionKey, OpenOptions, SqliteStore, Store as _};

    fn open(dir: &Path) -> Result<SqliteStore, StoreError> {
        SqliteStore::open(dir, OpenOptions::new(Time(1_000), EncryptionKey::from_bytes([1; 32])))
    }

    #[test]
    fn a_migration_leaves_a_backup_and_a_newer_schema_names_it() {
        let tmp = tempfile::tempdir().unwrap();
        let dir = tmp.path();
        let version = open(dir).unwrap().load().unwrap().version;
        let mut conn = Connection::open(database_path(dir)).unwrap();
        let next = "ALTER TABLE meta ADD COLUMN extra TEXT;";
        assert!(!migrate(&mut conn, dir, &[MIGRATIONS[0], next]).unwrap());
        drop(conn);
        let backup = dir.join(format!("backups/backup-{version}.db"));
        assert_eq!(schema_of(&backup), Some(1));

        let error = open(dir).unwrap_err();
        assert!(matches!(error, StoreError::Newer { found: 2, supported: 1, .. }));
        let command = format!("evenkeel restore {} --data-dir {}", backup.display(), dir.display());
        assert!(error.to_string().contains(&command), "{error}");

        // What it names takes its place, and what comes back counts on from above the clock.
        fs::copy(&backup, database_path(dir)).unwrap();
        let mut store =
            SqliteStore::open(dir, OpenOptions::new(Time(5_000), EncryptionKey::from_bytes([1; 32]))).unwrap();
        let loaded = store.load().unwrap();
        assert!(loaded.version > version && loaded.version.0 > 5_000_000);
        assert_ne!(loaded.origin, crate::Origin::New);
    }

    #[test]
    fn the_last_three_backups_stay() {
        let tmp = tempfile::tempdir().unwrap();
        let dir = tmp.path();
        drop(open(dir).unwrap());
        for old in [1, 2, 3] {
            fs::create_dir_all(backups_dir(dir)).unwrap();
            fs::write(backups_dir(dir).join(format!("backup-{old}.db")), b"").unwrap();
        }
        let mut conn = Connection::open(database_path(dir)).unwrap();
        migrate(&mut conn, dir, &[MIGRATIONS[0], "SELECT 1;"]).unwrap();
        let left = backups(dir);
        assert_eq!(left.len(), 3);
        assert!(left[2].ends_with("backup-2.db"), "{left:?}");
    }

    #[test]
    fn a_foreign_database_is_not_touched() {
        let tmp = tempfile::tempdir().unwrap();
        let conn = Connection::open(database_path(tmp.path())).unwrap();
        conn.execute_batch("CREATE TABLE t (x); PRAGMA user_version = 1;").unwrap();
        drop(conn);
        assert!(open(tmp.path()).unwrap_err().to_string().contains("not a database of Evenkeel"));
    }
}
