//! The same commands on the model and on SQLite give the same answers, and a killed process keeps
//! what it was promised.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

use std::{
    io::{BufRead as _, BufReader},
    path::Path,
    process::{Command, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

use evenkeel_model::{
    Content, Digest, Doc, Key, Kind, Meta, Object, Place, Revision, Snapshot, Time, Uid, Version, canonical,
};
use evenkeel_store::{
    About, Batch, EncryptionKey, HistoryQuery, Ledger, MemoryDisk, MemoryStore, Op, OpenOptions, Origin, Seal,
    SqliteStore, Store, StoreError,
};
use proptest::prelude::*;
use serde_json::json;

const NOW: Time = Time(1_700_000_000_000);
const SECRET: &str = "correct-horse-battery-staple";

fn options() -> OpenOptions {
    OpenOptions { reserve: 0.0, ..OpenOptions::new(NOW, EncryptionKey::from_bytes([7; 32])) }
}

fn open(dir: &Path) -> SqliteStore {
    SqliteStore::open(dir, options()).unwrap()
}

/// One of a few bodies: small ones lie in their row, big ones are shared.
fn body(n: u8) -> Arc<[u8]> {
    let text = if n.is_multiple_of(2) { SECRET.to_owned() } else { SECRET.repeat(40) };
    canonical::value_bytes(&json!({"spec": {"n": n, "text": text}})).into()
}

fn object(kind: Kind, name: u8, n: u8, version: u64) -> Object {
    let key = Key::new(kind, format!("ns{}", name % 2), format!("o{name}"));
    let meta = Meta { created: Time(NOW.0 + i64::from(n)), generation: i64::from(n), ..Meta::default() };
    let mut object = Object::new(key, Uid(u128::from(name) << 64), meta, body(n));
    object.version = Version(version);
    object.managed = if n.is_multiple_of(3) { body(n / 3) } else { evenkeel_model::object::empty() };
    object.meta.annotate("note", SECRET);
    match kind {
        Kind::Pod => object.node = Some(format!("n{n}").into()),
        Kind::Release => {
            let revision = Revision::git(Some("main"), &"a".repeat(40));
            return object.with_spec(&json!({"source": format!("s{}", n % 2), "revision": revision}));
        }
        Kind::Drift => {
            let about = json!({"apiVersion": "v1", "kind": "Pod", "namespace": "a", "name": "p", "uid": Uid(1)});
            let spec = json!({"source": "s1", "object": about, "path": "spec", "origin": {"user": "me"}});
            let at = Time(NOW.0 + i64::from(n) * 1000);
            return object.with_spec(&spec).with_status(&json!({"count": 1, "firstSeen": at, "lastSeen": at}));
        }
        Kind::Event => {
            let about = json!({"apiVersion": "v1", "kind": "Pod", "namespace": "a", "name": format!("p{}", n % 2)});
            object.body = canonical::value_bytes(&json!({"involvedObject": about, "reason": "Why"})).into();
        }
        _ => {}
    }
    object.with_status(&json!({"n": n}))
}

fn content(n: u8) -> Content {
    let data = [("k".to_owned(), Arc::from(format!("{SECRET}{n}").into_bytes()))].into();
    Content { secret: n.is_multiple_of(2), data }
}

fn doc(n: u8) -> Arc<Doc> {
    let kind = if n.is_multiple_of(3) { Kind::Secret } else { Kind::ConfigMap };
    let key = Key::new(kind, "ns", format!("d{n:03}"));
    let data = json!({"v": if kind == Kind::Secret { SECRET } else { "open" }});
    let value = json!({"kind": kind.info().kind, "metadata": {"name": key.name}, "data": data});
    Arc::new(Doc::new(key, value, Place { file: "a.yaml".into(), line: u32::from(n), column: 1 }, Vec::new()))
}

fn snapshot(from: u8) -> Snapshot {
    Snapshot { docs: (from..from + 4).map(doc).collect(), ..Snapshot::default() }
}

fn seal(snapshot: &Snapshot, docs: u32) -> Op {
    Op::SealSnapshot(Box::new(Seal {
        digest: snapshot.digest(),
        source: "shop".into(),
        revision: Revision::git(None, &"b".repeat(40)),
        docs,
        warnings: Vec::new(),
        skipped: vec!["a.yaml:1: CronJob x".into()],
    }))
}

fn stage(snapshot: &Snapshot, first: usize, to: usize) -> Op {
    Op::StageDocs {
        snapshot: snapshot.digest(),
        first: u32::try_from(first).unwrap(),
        docs: snapshot.docs[first..to].to_vec(),
    }
}

#[derive(Debug, Clone)]
enum Step {
    Commit(Vec<(u8, u8, u8)>),
    Stale,
    Reopen,
}

fn op(what: u8, name: u8, n: u8, version: u64) -> Op {
    const KINDS: [Kind; 6] = [Kind::Pod, Kind::Deployment, Kind::Secret, Kind::Release, Kind::Drift, Kind::Event];
    let kind = KINDS[usize::from(what) % KINDS.len()];
    let some = snapshot(n % 6);
    match what {
        0..=29 => Op::Put(Arc::new(object(kind, name, n, version))),
        30..=41 => Op::Delete(Key::new(kind, format!("ns{}", name % 2), format!("o{name}")), Version(version)),
        42 => Op::PutContent(content(n).digest(&[7; 32]), Arc::new(content(n))),
        43 => Op::DropContent(content(n).digest(&[7; 32])),
        44 => stage(&some, 0, 2),
        45 => stage(&some, 2, 4),
        46 => stage(&some, 0, 4),
        47 => seal(&some, 4),
        48 => Op::DropSnapshot(some.digest()),
        49 => Op::SetMeta(format!("m{name}"), vec![n; usize::from(n % 3)]),
        50 => Op::RaiseEpoch(NOW.0.unsigned_abs() * 1000 + u64::from(n) * 1000),
        _ => seal(&Snapshot::default(), 0),
    }
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let commit = prop::collection::vec((0_u8..=51, 0_u8..4, 0_u8..8), 1..8).prop_map(Step::Commit);
    prop::collection::vec(prop_oneof![12 => commit, 1 => Just(Step::Stale), 1 => Just(Step::Reopen)], 1..24)
}

fn same(a: &mut dyn Store, b: &mut dyn Store) {
    assert_eq!(a.load().unwrap(), b.load().unwrap());
    let abouts = [
        About::All,
        About::Source("s1".into()),
        About::Source("".into()),
        About::Object(Key::new(Kind::Pod, "a", "p")),
        About::Object(Key::new(Kind::Pod, "a", "p1")),
    ];
    for ledger in [Ledger::Releases, Ledger::Drifts, Ledger::Events] {
        for about in &abouts {
            for limit in [2, 100] {
                let mut query = HistoryQuery::newest(ledger, about.clone(), limit);
                assert_eq!(a.history(&query).unwrap(), b.history(&query).unwrap());
                query.since = Some(Time(NOW.0 + 2));
                query.before = Some(Time(NOW.0 + 3000));
                assert_eq!(a.history(&query).unwrap(), b.history(&query).unwrap());
            }
        }
    }
    for n in 0..6 {
        let digest = snapshot(n).digest();
        let (left, right) = (a.snapshot(digest).unwrap(), b.snapshot(digest).unwrap());
        assert_eq!(left, right);
        assert!(left.is_none_or(|s| s.digest() == digest));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, max_shrink_iters: 200, ..ProptestConfig::default() })]

    #[test]
    fn the_model_and_sqlite_answer_alike(steps in steps()) {
        let dir = tempfile::tempdir().unwrap();
        let disk = MemoryDisk::new();
        let mut model = MemoryStore::open(&disk, NOW);
        let mut sqlite = Some(open(dir.path()));
        let mut version = disk.version();
        for step in steps {
            match step {
                Step::Commit(ops) => {
                    let to = Version(version.0 + ops.len() as u64);
                    let ops = ops.into_iter().map(|(what, name, n)| op(what, name, n, to.0)).collect();
                    let batch = Batch { from: version, to, ops };
                    let (a, b) = (model.commit(&batch), sqlite.as_mut().unwrap().commit(&batch));
                    prop_assert_eq!(format!("{a:?}"), format!("{b:?}"));
                    if a.is_ok() {
                        version = to;
                    }
                }
                Step::Stale => {
                    let batch = Batch { from: Version(1), to: Version(2), ops: Vec::new() };
                    for store in [&mut model as &mut dyn Store, sqlite.as_mut().unwrap()] {
                        let refused = store.commit(&batch);
                        let conflict = matches!(refused, Err(StoreError::Conflict { .. }));
                        prop_assert!(conflict);
                    }
                }
                Step::Reopen => {
                    same(&mut model, sqlite.as_mut().unwrap());
                    model = MemoryStore::open(&disk, NOW);
                    drop(sqlite.take());
                    sqlite = Some(open(dir.path()));
                }
            }
        }
        let mut sqlite = sqlite.unwrap();
        same(&mut model, &mut sqlite);
        let copy = dir.path().join("copy/evenkeel.db");
        std::fs::create_dir(copy.parent().unwrap()).unwrap();
        sqlite.backup(&copy).unwrap();
        drop(sqlite);
        let mut copied = open(copy.parent().unwrap());
        let (copied, kept) = (copied.load().unwrap(), model.load().unwrap());
        prop_assert!(copied.epoch > kept.epoch);
        prop_assert_eq!(copied.objects, kept.objects);
    }
}

#[test]
fn no_value_of_a_secret_lies_open_and_shared_bytes_lie_once() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = open(dir.path());
    let from = store.load().unwrap().version;
    let secret = |name| Op::Put(Arc::new(object(Kind::Secret, name, 1, 1)));
    let some = snapshot(0);
    let mut only_secrets = some.clone();
    only_secrets.docs.retain(|d| d.key.kind == Kind::Secret);
    let ops = vec![
        secret(1),
        secret(2),
        Op::PutContent(content(0).digest(&[7; 32]), Arc::new(content(0))),
        stage(&only_secrets, 0, only_secrets.docs.len()),
    ];
    store.commit(&Batch { from, to: Version(from.0 + 4), ops }).unwrap();
    let pods: Vec<_> = (0..200).map(|n| Op::Put(Arc::new(marked_pod(n)))).collect();
    store.commit(&Batch { from: Version(from.0 + 4), to: Version(from.0 + 204), ops: pods }).unwrap();
    store.checkpointer().unwrap().run().unwrap();
    let mut all = Vec::new();
    for entry in std::fs::read_dir(dir.path()).unwrap() {
        all.extend(std::fs::read(entry.unwrap().path()).unwrap());
    }
    let count = |needle: &[u8]| all.windows(needle.len()).filter(|w| *w == needle).count();
    assert_eq!(count(SECRET.as_bytes()), 0);
    assert_eq!(count(&only_secrets.docs[0].digest.0), 0);
    // Once in the log and once in the database.
    assert!((1..=2).contains(&count(b"a marked template")), "{}", count(b"a marked template"));
}

fn marked_pod(n: u32) -> Object {
    let body = json!({"spec": {"containers": [{"name": "a marked template", "args": ["x".repeat(400)]}]}});
    let key = Key::new(Kind::Pod, "ns", format!("pod-{n}"));
    Object::new(key, Uid(u128::from(n)), Meta::default(), canonical::value_bytes(&body).into())
}

#[test]
fn a_store_that_is_locked_full_or_of_another_key_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = open(dir.path());
    assert!(matches!(SqliteStore::open(dir.path(), options()), Err(StoreError::Locked { .. })));
    let loaded = store.load().unwrap();
    assert_eq!((loaded.origin, store.load().unwrap().origin), (Origin::New, Origin::Kept));
    assert!(loaded.version.0 > u64::try_from(NOW.0).unwrap() * 1000);
    drop(store);
    let wrong = OpenOptions { key: EncryptionKey::from_bytes([8; 32]), ..options() };
    assert!(matches!(SqliteStore::open(dir.path(), wrong), Err(StoreError::Key(_))));
    let mut full = SqliteStore::open(dir.path(), OpenOptions { reserve: 1.1, ..options() }).unwrap();
    let batch = Batch { from: loaded.version, to: loaded.version, ops: Vec::new() };
    assert!(full.commit(&batch).unwrap_err().is_full());
    assert_eq!(full.load().unwrap().version, loaded.version);
}

#[test]
fn a_database_that_fills_its_quota_goes_on_afterwards() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = open(dir.path());
    let from = store.load().unwrap().version;
    store.limit_pages(60).unwrap();
    let big = |n: u32| {
        let content = Content { secret: false, data: [(n.to_string(), Arc::from(vec![1; 100_000]))].into() };
        Op::PutContent(content.digest(&[7; 32]), Arc::new(content))
    };
    let batch = |ops| Batch { from, to: from.next(), ops };
    assert!(store.commit(&batch((0..20).map(big).collect())).unwrap_err().is_full());
    assert_eq!(store.load().unwrap().contents.len(), 0);
    store.commit(&batch(vec![Op::Put(Arc::new(object(Kind::Pod, 1, 1, 1)))])).unwrap();
}

#[test]
fn damage_is_told_and_not_loaded() {
    let dir = tempfile::tempdir().unwrap();
    drop(open(dir.path()));
    std::fs::write(dir.path().join("evenkeel.db"), b"this is no database at all, but long enough to be looked at")
        .unwrap();
    let error = SqliteStore::open(dir.path(), options()).unwrap_err();
    assert!(matches!(error, StoreError::Corrupt { .. }), "{error:?}");
}

const CHILD: &str = "EVENKEEL_STORE_TEST_CHILD";
/// Objects that each transaction of the killed child writes together.
const TOGETHER: u8 = 20;

/// Not a test of its own: what the killed process does.
#[test]
fn child_that_commits() {
    let Ok(dir) = std::env::var(CHILD) else { return };
    let mut store = open(Path::new(&dir));
    let mut version = store.load().unwrap().version;
    for n in 0_u64.. {
        let to = version.next();
        let put = |name| {
            let mut object = object(Kind::Pod, name, 1, to.0);
            object.meta.generation = i64::try_from(n).unwrap();
            Op::Put(Arc::new(object))
        };
        store.commit(&Batch { from: version, to, ops: (0..TOGETHER).map(put).collect() }).unwrap();
        version = to;
        println!("acknowledged {version}");
    }
}

#[test]
fn what_was_acknowledged_survives_kill_9_and_comes_whole() {
    let dir = tempfile::tempdir().unwrap();
    for round in 0..4_usize {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "child_that_commits", "--nocapture", "--test-threads=1"])
            .env(CHILD, dir.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut last = 0;
        let deadline = Instant::now() + Duration::from_secs(30);
        let wanted = 5 + round * 37;
        let mut seen = 0;
        for line in lines.by_ref() {
            let line = line.unwrap();
            // The test harness writes its own words before the first.
            if let Some((_, version)) = line.split_once("acknowledged ") {
                last = version.parse().unwrap();
                seen += 1;
            }
            assert!(Instant::now() < deadline, "the child is too slow");
            if seen >= wanted {
                break;
            }
        }
        child.kill().unwrap();
        for line in lines {
            if let Some((_, version)) = line.unwrap().split_once("acknowledged ") {
                // A line that the kill cut short promises nothing.
                last = version.parse().ok().filter(|v: &u64| *v == last + 1).unwrap_or(last);
            }
        }
        child.wait().unwrap();
        let loaded = open(dir.path()).load().unwrap();
        assert!(loaded.version.0 >= last, "{} < {last}", loaded.version);
        assert_eq!(loaded.objects.len(), usize::from(TOGETHER));
        for object in &loaded.objects {
            assert_eq!(object.version, loaded.version);
            assert_eq!(object.meta.generation, loaded.objects[0].meta.generation);
        }
    }
}

/// A power loss may tear anything that was written after the last acknowledged commit: whatever is
/// left of the log's tail, every acknowledged commit is there, and none in part.
#[test]
fn a_torn_log_loses_nothing_that_was_acknowledged() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = open(dir.path());
    let mut version = store.load().unwrap().version;
    let log = dir.path().join("evenkeel.db-wal");
    let mut acknowledged = vec![(0_u64, version)];
    for n in 0..6_i64 {
        let to = version.next();
        let put = |name| {
            let mut object = object(Kind::Pod, name, 1, to.0);
            object.meta.generation = n;
            Op::Put(Arc::new(object))
        };
        store.commit(&Batch { from: version, to, ops: (0..TOGETHER).map(put).collect() }).unwrap();
        version = to;
        acknowledged.push((std::fs::metadata(&log).unwrap().len(), version));
    }
    let (database, log) = (std::fs::read(dir.path().join("evenkeel.db")).unwrap(), std::fs::read(&log).unwrap());
    let after = acknowledged[1].0;
    for step in 0..40 {
        let cut = after + (log.len() as u64 - after) * step / 40;
        let promised = acknowledged.iter().rev().find(|(length, _)| *length <= cut).unwrap().1;
        for noise in [None, Some(0_u8), Some(0xa5)] {
            let copy = tempfile::tempdir().unwrap();
            let cut = usize::try_from(cut).unwrap();
            let mut torn = log[..cut].to_vec();
            torn.resize(if noise.is_some() { log.len() } else { cut }, noise.unwrap_or_default());
            std::fs::write(copy.path().join("evenkeel.db"), &database).unwrap();
            std::fs::write(copy.path().join("evenkeel.db-wal"), torn).unwrap();
            let loaded = open(copy.path()).load().unwrap();
            assert!(loaded.version >= promised, "{} < {promised} at {cut}", loaded.version);
            assert_eq!(loaded.objects.len(), usize::from(TOGETHER));
            assert!(loaded.objects.iter().all(|o| o.version == loaded.version));
        }
    }
}

#[test]
fn a_checkpoint_moves_the_log_and_an_idle_one_writes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = open(dir.path());
    let from = store.load().unwrap().version;
    let ops = vec![Op::Put(Arc::new(object(Kind::Pod, 1, 1, 1)))];
    store.commit(&Batch { from, to: from.next(), ops }).unwrap();
    let mut checkpointer = store.checkpointer().unwrap();
    let moved = std::thread::spawn(move || {
        let moved = checkpointer.run().unwrap();
        (moved, checkpointer)
    });
    let (moved, mut checkpointer) = moved.join().unwrap();
    assert!(moved.pages > 0 && moved.done == moved.pages, "{moved:?}");
    let written = || {
        ["evenkeel.db", "evenkeel.db-wal"].map(|f| std::fs::metadata(dir.path().join(f)).unwrap().modified().unwrap())
    };
    let before = written();
    checkpointer.run().unwrap();
    assert_eq!(written(), before);
}

const SAMPLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/v1.db");

fn sample_ops(version: Version) -> Vec<Op> {
    let some = snapshot(0);
    let mut ops: Vec<Op> = [Kind::Pod, Kind::Deployment, Kind::Secret, Kind::Release, Kind::Drift, Kind::Event]
        .into_iter()
        .flat_map(|kind| [object(kind, 1, 3, version.0), object(kind, 2, 4, version.0)])
        .map(|o| Op::Put(Arc::new(o)))
        .collect();
    ops.extend((0..2).map(|n| Op::PutContent(content(n).digest(&[7; 32]), Arc::new(content(n)))));
    ops.extend([stage(&some, 0, 4), seal(&some, 4), Op::SetMeta("seed".into(), vec![1, 2, 3])]);
    ops
}

/// Made once, with `EVENKEEL_WRITE_SAMPLE=1`, by the version that had this schema; never again.
fn write_the_sample() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = open(dir.path());
    let from = store.load().unwrap().version;
    let to = from.next();
    store.commit(&Batch { from, to, ops: sample_ops(to) }).unwrap();
    store.backup(Path::new(SAMPLE)).unwrap();
    // Small pages: most of the file would be empty ones.
    let sample = rusqlite::Connection::open(SAMPLE).unwrap();
    sample.execute_batch("PRAGMA page_size = 512; VACUUM;").unwrap();
}

#[test]
fn the_sample_of_schema_1_is_read() {
    if std::env::var_os("EVENKEEL_WRITE_SAMPLE").is_some() {
        write_the_sample();
    }
    let dir = tempfile::tempdir().unwrap();
    std::fs::copy(SAMPLE, dir.path().join("evenkeel.db")).unwrap();
    let mut store = open(dir.path());
    let loaded = store.load().unwrap();
    let from = MemoryDisk::new();
    let mut model = MemoryStore::open(&from, NOW);
    let first = from.version();
    model.commit(&Batch { from: first, to: first.next(), ops: sample_ops(first.next()) }).unwrap();
    let expected = model.load().unwrap();
    assert_eq!(loaded.objects, expected.objects);
    assert_eq!(loaded.contents, expected.contents);
    assert_eq!(loaded.snapshots, expected.snapshots);
    // It is a copy: who opens it recovers.
    let mut meta = expected.meta;
    meta.insert(evenkeel_store::RECOVERING.into(), first.next().to_string().into_bytes());
    assert_eq!(loaded.meta, meta);
    assert_eq!(store.snapshot(snapshot(0).digest()).unwrap(), model.snapshot(snapshot(0).digest()).unwrap());
    assert!(loaded.version > first && Digest::default() != snapshot(0).digest());
}
