//! The model of a store, for the simulation: the same semantics in plain maps, with crashes to
//! order.
//!
//! A [`MemoryDisk`] is what survives; a [`MemoryStore`] is a process's handle on it. A crash kills
//! the handle: every later call fails until the simulation opens another one on the same disk.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use evenkeel_model::{Content, Digest, Doc, Key, Object, Snapshot, Time, Version};

use crate::{About, Batch, HistoryQuery, Loaded, Op, Origin, Seal, SealedAs, SnapshotHead, Store, StoreError, ledger};

/// Where the next commit crashes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Crash {
    /// Nothing of it is durable.
    BeforeCommit,
    /// All of it is durable, and the caller never hears so.
    AfterCommit,
}

#[derive(Debug, Clone, Default)]
struct StagedSnapshot {
    docs: BTreeMap<u32, Arc<Doc>>,
    seal: Option<Seal>,
}

#[derive(Debug, Clone, Default)]
struct State {
    version: Version,
    epoch: u64,
    /// Set by the first open, taken by its load.
    origin: Origin,
    /// It came from a backup: the next open begins a new epoch.
    restored: bool,
    objects: BTreeMap<Key, Arc<Object>>,
    contents: BTreeMap<Digest, Arc<Content>>,
    snapshots: BTreeMap<Digest, StagedSnapshot>,
    meta: BTreeMap<String, Vec<u8>>,
    backups: BTreeSet<PathBuf>,
    fail: Option<Crash>,
    full: bool,
    /// Raised by each open and each crash: an older handle is a dead process's.
    incarnation: u64,
}

/// The durable state. Clones share it; [`MemoryDisk::fork`] makes an independent copy.
#[derive(Debug, Clone, Default)]
pub struct MemoryDisk(Arc<Mutex<State>>);

impl MemoryDisk {
    /// An empty disk.
    pub fn new() -> Self {
        Self::default()
    }

    /// An independent copy of what is on it now.
    pub fn fork(&self) -> Self {
        Self(Arc::new(Mutex::new(self.state().clone())))
    }

    /// Makes the next commit crash.
    pub fn fail_next(&self, crash: Crash) {
        self.state().fail = Some(crash);
    }

    /// Lets every commit be refused for space, or no longer.
    pub fn set_full(&self, full: bool) {
        self.state().full = full;
    }

    /// Kills the process that has it open, between two commits.
    pub fn crash(&self) {
        self.state().incarnation += 1;
    }

    /// The stored version.
    pub fn version(&self) -> Version {
        self.state().version
    }

    /// Everything gone, as if the data directory had been deleted.
    pub fn wipe(&self) {
        let incarnation = self.state().incarnation + 1;
        *self.state() = State { incarnation, ..State::default() };
    }

    /// What is on it is replaced by a backup, as `restore` does: with an epoch above every other.
    pub fn restore(&self, backup: &Self) {
        let (old, new) = (self.state().clone(), backup.state().clone());
        let (incarnation, epoch) = (old.incarnation + 1, old.epoch.max(new.epoch));
        let mut new = new;
        new.meta.entry(crate::RECOVERING.into()).or_insert_with(|| new.version.to_string().into_bytes());
        *self.state() = State { incarnation, epoch, restored: true, fail: None, full: false, ..new };
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // The simulation catches panics of the code under test; what is stored is whole all the same.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A handle on a [`MemoryDisk`].
#[derive(Debug)]
pub struct MemoryStore {
    disk: MemoryDisk,
    incarnation: u64,
}

impl MemoryStore {
    /// Opens a disk; an empty or a restored one begins at a version and an epoch above `now` in microseconds.
    pub fn open(disk: &MemoryDisk, now: Time) -> Self {
        let mut state = disk.state();
        state.incarnation += 1;
        state.origin = match (state.epoch, std::mem::take(&mut state.restored)) {
            (0, _) => Origin::New,
            (_, true) => Origin::Restored,
            (_, false) => Origin::Kept,
        };
        if state.origin != Origin::Kept {
            let first = crate::first_version(now);
            state.version = state.version.max(first);
            state.epoch = first.0.max(state.epoch + 1);
        }
        let incarnation = state.incarnation;
        drop(state);
        Self { disk: disk.clone(), incarnation }
    }

    fn state(&self) -> Result<MutexGuard<'_, State>, StoreError> {
        let state = self.disk.state();
        if state.incarnation == self.incarnation { Ok(state) } else { Err(StoreError::Crashed) }
    }
}

impl Store for MemoryStore {
    fn load(&mut self) -> Result<Loaded, StoreError> {
        let mut state = self.state()?;
        let origin = std::mem::take(&mut state.origin);
        Ok(Loaded {
            version: state.version,
            epoch: state.epoch,
            origin,
            objects: state.objects.values().map(|o| Object::clone(o)).collect(),
            contents: state.contents.iter().map(|(d, c)| (*d, Content::clone(c))).collect(),
            snapshots: state
                .snapshots
                .iter()
                .map(|(digest, s)| SnapshotHead {
                    digest: *digest,
                    seal: s.seal.as_ref().map(|s| SealedAs {
                        source: s.source.clone(),
                        revision: s.revision.clone(),
                        docs: s.docs,
                    }),
                })
                .collect(),
            meta: state.meta.clone(),
        })
    }

    fn commit(&mut self, batch: &Batch) -> Result<(), StoreError> {
        let mut state = self.state()?;
        if state.fail == Some(Crash::BeforeCommit) {
            state.fail = None;
            state.incarnation += 1;
            return Err(StoreError::Crashed);
        }
        crate::check_versions(batch, state.version)?;
        if state.full {
            return Err(StoreError::Full { dir: PathBuf::from("memory"), reason: "simulated".into() });
        }
        check_seals(&state, batch)?;
        for op in &batch.ops {
            state.apply(op);
        }
        state.version = batch.to;
        if state.fail.take().is_some() {
            state.incarnation += 1;
            return Err(StoreError::Crashed);
        }
        Ok(())
    }

    fn history(&mut self, query: &HistoryQuery) -> Result<Vec<Object>, StoreError> {
        let state = self.state()?;
        let mut found: Vec<(Time, &Object)> = state
            .objects
            .values()
            .filter(|o| o.key.kind == query.ledger.kind())
            .filter_map(|o| {
                let entry = ledger::entry(query.ledger, o);
                let about = match &query.about {
                    About::All => true,
                    About::Source(source) => !source.is_empty() && *entry.source == **source,
                    About::Object(key) => entry.about == key.to_string(),
                };
                let time = entry.time;
                let within = query.since.is_none_or(|t| time >= t) && query.before.is_none_or(|t| time < t);
                (about && within).then_some((time, &**o))
            })
            .collect();
        found.sort_by(|(ta, a), (tb, b)| tb.cmp(ta).then(b.version.cmp(&a.version)).then(a.key.cmp(&b.key)));
        let limit = usize::try_from(query.limit).unwrap_or(usize::MAX);
        Ok(found.into_iter().take(limit).map(|(_, o)| o.clone()).collect())
    }

    fn snapshot(&mut self, digest: Digest) -> Result<Option<Snapshot>, StoreError> {
        let state = self.state()?;
        Ok(state.snapshots.get(&digest).and_then(|s| {
            let seal = s.seal.as_ref()?;
            Some(Snapshot {
                docs: s.docs.values().cloned().collect(),
                warnings: seal.warnings.clone(),
                skipped: seal.skipped.clone(),
            })
        }))
    }

    fn backup(&mut self, to: &Path) -> Result<(), StoreError> {
        self.state()?.backups.insert(to.to_path_buf());
        Ok(())
    }
}

/// The one refusal that depends on a batch's content, checked before anything is applied.
fn check_seals(state: &State, batch: &Batch) -> Result<(), StoreError> {
    let mut there: BTreeMap<Digest, BTreeSet<u32>> = BTreeMap::new();
    for op in &batch.ops {
        let kept = |d: &Digest| state.snapshots.get(d).map(|s| s.docs.keys().copied().collect()).unwrap_or_default();
        match op {
            Op::StageDocs { snapshot, first, docs } => {
                let there = there.entry(*snapshot).or_insert_with(|| kept(snapshot));
                there.extend((*first..).zip(docs).map(|(i, _)| i));
            }
            Op::DropSnapshot(digest) => {
                there.insert(*digest, BTreeSet::new());
            }
            Op::SealSnapshot(seal) => {
                let found = there.entry(seal.digest).or_insert_with(|| kept(&seal.digest)).len();
                if found as u64 != u64::from(seal.docs) {
                    return Err(StoreError::Incomplete {
                        digest: seal.digest.to_string(),
                        found: found as u64,
                        expected: u64::from(seal.docs),
                    });
                }
            }
            _ => {}
        }
    }
    Ok(())
}

impl State {
    fn apply(&mut self, op: &Op) {
        match op {
            Op::Put(object) => {
                self.objects.insert(object.key.clone(), object.clone());
            }
            Op::Delete(key, _) => {
                self.objects.remove(key);
            }
            Op::PutContent(digest, content) => {
                self.contents.entry(*digest).or_insert_with(|| content.clone());
            }
            Op::DropContent(digest) => {
                self.contents.remove(digest);
            }
            Op::StageDocs { snapshot, first, docs } => {
                let staged = self.snapshots.entry(*snapshot).or_default();
                staged.docs.extend((*first..).zip(docs.iter().cloned()));
            }
            Op::SealSnapshot(seal) => {
                self.snapshots.entry(seal.digest).or_default().seal = Some(Seal::clone(seal));
            }
            Op::DropSnapshot(digest) => {
                self.snapshots.remove(digest);
            }
            Op::SetMeta(name, value) if value.is_empty() => {
                self.meta.remove(name);
            }
            Op::SetMeta(name, value) => {
                self.meta.insert(name.clone(), value.clone());
            }
            Op::RaiseEpoch(to) => self.epoch = self.epoch.max(*to),
        }
    }
}
