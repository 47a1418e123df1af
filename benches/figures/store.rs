//! Durable changes: the store's batches against raw SQLite batches of the same rows.

use std::{path::Path, sync::Arc, time::Instant};

use evenkeel_model::{Key, Kind, Object, Rng, Time, Version};
use evenkeel_store::{Batch, EncryptionKey, Op, OpenOptions, SqliteStore, Store as _};
use rusqlite::{Connection, params};

use crate::{
    lab,
    measure::{Better, alternate, compared},
};

/// Pods of the bench, and how many change in one transaction.
const PODS: usize = 10_000;
const BATCH: usize = 256;

pub fn open(dir: &Path) -> SqliteStore {
    let key = EncryptionKey::from_bytes([7; 32]);
    SqliteStore::open(dir, OpenOptions { reserve: 0.0, ..OpenOptions::new(Time::from_secs(1_700_000_000), key) })
        .unwrap()
}

fn pods() -> Vec<Object> {
    let mut rng = Rng::new(1);
    let template = lab::pod_value("app-0", "x");
    let body = Object::from_value(template).unwrap();
    (0..PODS)
        .map(|n| {
            let mut pod = body.clone();
            pod.key = Key::new(Kind::Pod, "default", format!("app-{}-6f5d8c9b7-{n:05}", n / 50));
            pod.uid = rng.uid();
            pod.node = Some(format!("node-{}", n % 500).into());
            pod
        })
        .collect()
}

/// The rows as the store wrote them, so that the raw side has nothing to work out.
struct Row {
    name: String,
    uid: Vec<u8>,
    meta: Vec<u8>,
    body: i64,
    managed: Vec<u8>,
    node: String,
}

fn rows(conn: &Connection) -> Vec<Row> {
    let query = "SELECT name, uid, meta, body, managed, node FROM objects WHERE kind = 'Pod' ORDER BY name";
    let mut statement = conn.prepare(query).unwrap();
    let read = statement.query_map([], |r| {
        Ok(Row {
            name: r.get(0)?,
            uid: r.get(1)?,
            meta: r.get(2)?,
            body: r.get(3)?,
            managed: r.get(4)?,
            node: r.get(5)?,
        })
    });
    read.unwrap().map(Result::unwrap).collect()
}

fn raw_round(conn: &mut Connection, rows: &[Row], statuses: &[Arc<[u8]>], version: &mut i64) -> f64 {
    let start = Instant::now();
    for (part, statuses) in rows.chunks(BATCH).zip(statuses.chunks(BATCH)) {
        let tx = conn.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate).unwrap();
        {
            let mut update = tx
                .prepare_cached(
                    "UPDATE objects SET uid = ?1, version = ?2, meta = ?3, body = ?4, status = ?5, managed = ?6, \
                     node = ?7 WHERE kind = 'Pod' AND namespace = 'default' AND name = ?8",
                )
                .unwrap();
            for (row, status) in part.iter().zip(statuses) {
                *version += 1;
                let n = update
                    .execute(params![
                        row.uid,
                        *version,
                        row.meta,
                        row.body,
                        &status[..],
                        row.managed,
                        row.node,
                        row.name
                    ])
                    .unwrap();
                assert_eq!(n, 1);
            }
        }
        tx.prepare_cached("UPDATE store SET version = ?1").unwrap().execute([*version]).unwrap();
        tx.commit().unwrap();
    }
    rows.len() as f64 / start.elapsed().as_secs_f64()
}

fn our_round(store: &mut SqliteStore, objects: &mut [Object], statuses: &[Arc<[u8]>], version: &mut Version) -> f64 {
    let batches: Vec<Batch> = objects
        .chunks_mut(BATCH)
        .zip(statuses.chunks(BATCH))
        .map(|(part, statuses)| {
            let from = *version;
            let put = |(object, status): (&mut Object, &Arc<[u8]>)| {
                *version = version.next();
                object.version = *version;
                object.status = status.clone();
                Op::Put(Arc::new(object.clone()))
            };
            let ops = part.iter_mut().zip(statuses).map(put).collect();
            Batch { from, to: *version, ops }
        })
        .collect();
    let start = Instant::now();
    for batch in &batches {
        store.commit(batch).unwrap();
    }
    objects.len() as f64 / start.elapsed().as_secs_f64()
}

pub fn transitions() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = open(&dir.path().join("ours"));
    let mut version = store.load().unwrap().version;
    let mut objects = pods();
    let status = |round: usize, n: usize| lab::running_status("10.0.0.1", "app", round * PODS + n);
    let statuses: Vec<Arc<[u8]>> = (0..PODS).map(|n| status(0, n)).collect();
    our_round(&mut store, &mut objects, &statuses, &mut version);
    let copy = dir.path().join("raw.db");
    store.backup(&copy).unwrap();
    let mut raw = Connection::open(&copy).unwrap();
    for (name, value) in [("journal_mode", "WAL"), ("synchronous", "FULL"), ("wal_autocheckpoint", "16384")] {
        raw.pragma_update(None, name, value).unwrap();
    }
    raw.pragma_update(None, "foreign_keys", true).unwrap();
    let rows = rows(&raw);
    assert_eq!(rows.len(), PODS);
    let mut raw_version = i64::try_from(version.0).unwrap();
    let (mut a, mut b) = (0, 0);
    let (ours, theirs) = alternate(
        || {
            a += 1;
            let statuses: Vec<Arc<[u8]>> = (0..PODS).map(|n| status(a, n)).collect();
            our_round(&mut store, &mut objects, &statuses, &mut version)
        },
        || {
            b += 1;
            let statuses: Vec<Arc<[u8]>> = (0..PODS).map(|n| status(b, n)).collect();
            raw_round(&mut raw, &rows, &statuses, &mut raw_version)
        },
    );
    let what = ("SqliteStore::commit, 256 pods a transaction", "raw SQLite, the same rows a transaction");
    compared(what, "changes/s", Better::Higher, (0.7, 0.0), (&ours, &theirs));
}
