//! What was committed, for readers: the last view, and the last changes for watchers.
//!
//! The host publishes after each commit; lists read the view, watches pull from the ring of
//! changes, which is kept by kinds. A watcher has no queue of its own: it holds a place in the ring, so a slow
//! one costs nothing, and one that the ring has left behind is told to list again. A batch wakes the watchers
//! of the kinds that it changed, once each. Deliberately not here: selection by namespace or label, and
//! anything of HTTP.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use evenkeel_core::{change::Changed, world::View};
use evenkeel_model::{Key, Kind, Object, Version};
use thiserror::Error;
use tokio::sync::watch;

/// Bytes of objects that the ring keeps alive, counted as [`Object::weight`]: the design's bound.
pub const RING_BYTES: usize = 64 << 20;
/// Changes that the ring keeps: bounds a search by version, and small objects' overhead.
pub const RING_CHANGES: usize = 65_536;
/// Changes that a watcher takes at once: bounds how long the ring is locked for one of them.
pub const TAKE: usize = 256;

/// One committed change of an object.
#[derive(Debug, Clone)]
pub struct WatchEvent {
    /// The version at which it happened: a written object's own, a deleted one's last step.
    pub version: Version,
    /// The object.
    pub key: Key,
    /// Before; `None` if it is new.
    pub old: Option<Arc<Object>>,
    /// After; `None` if it is gone.
    pub new: Option<Arc<Object>>,
}

impl WatchEvent {
    /// From what the world said when a change was applied, at the version after it.
    pub fn new(version: Version, changed: Changed) -> Self {
        Self { version, key: changed.key, old: changed.old, new: changed.new }
    }

    fn weight(&self) -> usize {
        // The old object is the new one of an earlier event or in the view, most of the time.
        self.new.as_ref().or(self.old.as_ref()).map_or(0, |o| o.weight())
    }
}

/// The version is not in the ring: before its start, or one that was never committed here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("too old resource version: {asked} ({oldest})")]
pub struct TooOld {
    /// What was asked for.
    pub asked: Version,
    /// From where on it could be.
    pub oldest: Version,
}

/// The published state.
#[derive(Debug)]
pub struct Live {
    inner: Mutex<Inner>,
    head: watch::Sender<Version>,
    bounds: Bounds,
}

#[derive(Debug, Clone, Copy)]
struct Bounds {
    bytes: usize,
    changes: usize,
}

#[derive(Debug)]
struct Inner {
    view: Arc<View>,
    kinds: HashMap<Kind, Stand>,
    /// The kinds of all changes that are kept, in their order.
    order: VecDeque<Kind>,
    weight: usize,
    /// The version that it began with: what was before is not known here.
    start: Version,
    /// How often it started over: a place in the ring belongs to one of these lives.
    life: u64,
}

/// The changes of one kind. A kind has its own, so that neither a change of another kind wakes its watchers nor
/// they look through those.
#[derive(Debug)]
struct Stand {
    ring: VecDeque<Arc<WatchEvent>>,
    /// Every change after this version is in the ring.
    start: Version,
    head: Arc<watch::Sender<Version>>,
}

impl Inner {
    fn new(view: View) -> Self {
        let start = view.version;
        Self { view: Arc::new(view), kinds: HashMap::new(), order: VecDeque::new(), weight: 0, start, life: 0 }
    }

    fn stand(&mut self, kind: Kind) -> &mut Stand {
        let start = self.start;
        self.kinds.entry(kind).or_insert_with(|| Stand {
            ring: VecDeque::new(),
            start,
            head: Arc::new(watch::channel(start).0),
        })
    }

    /// Drops the oldest change of all.
    fn forget(&mut self) {
        let Some(kind) = self.order.pop_front() else { return };
        let stand = self.stand(kind);
        if let Some(oldest) = stand.ring.pop_front() {
            stand.start = oldest.version;
            self.weight -= oldest.weight();
        }
    }
}

impl Live {
    /// Starts with what was loaded: watches from this view's version on.
    pub fn new(view: View) -> Self {
        Self::with_bounds(view, RING_BYTES, RING_CHANGES)
    }

    fn with_bounds(view: View, bytes: usize, changes: usize) -> Self {
        let (head, _) = watch::channel(view.version);
        Self { inner: Mutex::new(Inner::new(view)), head, bounds: Bounds { bytes, changes } }
    }

    /// Makes a committed batch visible: the changes in the order of their versions, and the view
    /// after them. To be called before the callers of the batch are answered.
    pub fn publish(&self, view: View, changes: impl IntoIterator<Item = WatchEvent>) {
        let version = view.version;
        let mut heads: HashMap<Kind, Arc<watch::Sender<Version>>> = HashMap::new();
        {
            let mut inner = self.lock();
            for change in changes {
                inner.weight += change.weight();
                let kind = change.key.kind;
                inner.order.push_back(kind);
                let stand = inner.stand(kind);
                stand.ring.push_back(Arc::new(change));
                heads.entry(kind).or_insert_with(|| stand.head.clone());
            }
            while inner.weight > self.bounds.bytes || inner.order.len() > self.bounds.changes {
                inner.forget();
            }
            inner.view = Arc::new(view);
            metrics::gauge!("evenkeel_watch_ring_bytes").set(f64_of(inner.weight));
            metrics::gauge!("evenkeel_watch_ring_changes").set(f64_of(inner.order.len()));
        }
        // Whoever wakes up finds the lock free.
        for head in heads.into_values() {
            head.send_replace(version);
        }
        self.head.send_replace(version);
    }

    /// Starts over after the store was loaded again: all watchers end with "too old".
    pub fn reset(&self, view: View) {
        let version = view.version;
        let heads: Vec<_> = {
            let mut inner = self.lock();
            let life = inner.life + 1;
            let kinds = std::mem::take(&mut inner.kinds);
            *inner = Inner { life, ..Inner::new(view) };
            // Their watchers hear of it by the heads that they know.
            for (kind, Stand { head, .. }) in kinds {
                inner.kinds.insert(kind, Stand { ring: VecDeque::new(), start: version, head });
            }
            inner.kinds.values().map(|stand| stand.head.clone()).collect()
        };
        for head in heads {
            head.send_replace(version);
        }
        self.head.send_replace(version);
    }

    /// Hears of every new view, by its version.
    pub fn head(&self) -> watch::Receiver<Version> {
        self.head.subscribe()
    }

    /// The last view.
    pub fn view(&self) -> Arc<View> {
        self.lock().view.clone()
    }

    /// Changes of one kind after a version.
    pub fn subscribe(&self, kind: Kind, after: Version) -> Result<Subscription, TooOld> {
        let mut inner = self.lock();
        let (newest, life) = (inner.view.version, inner.life);
        let stand = inner.stand(kind);
        if after < stand.start || after > newest {
            return Err(TooOld { asked: after, oldest: stand.start });
        }
        Ok(Subscription { kind, after, life, unseen: true, head: stand.head.subscribe() })
    }

    fn take(&self, kind: Kind, after: Version, life: u64) -> Result<Taken, TooOld> {
        let mut inner = self.lock();
        let (same, up_to) = (life == inner.life, inner.view.version);
        let stand = inner.stand(kind);
        if after < stand.start || !same {
            return Err(TooOld { asked: after, oldest: stand.start });
        }
        let from = stand.ring.partition_point(|e| e.version <= after);
        let events: Vec<_> = stand.ring.range(from..).take(TAKE).cloned().collect();
        let more = from + events.len() < stand.ring.len();
        let last = events.last().map_or(after, |e| e.version);
        Ok(Taken { up_to: if more { last } else { up_to }, more, events })
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // The state is whole at every point where this lock is released, even by a panic.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[allow(clippy::cast_precision_loss)] // a gauge
fn f64_of(n: usize) -> f64 {
    n as f64
}

/// Some changes, and the version up to which there are no others of the kind.
#[derive(Debug, Clone)]
pub struct Taken {
    /// In the order of their versions.
    pub events: Vec<Arc<WatchEvent>>,
    /// Everything up to here was seen.
    pub up_to: Version,
    /// Whether there are more than these.
    pub(super) more: bool,
}

/// A watcher's place in the ring.
#[derive(Debug)]
pub struct Subscription {
    kind: Kind,
    after: Version,
    life: u64,
    /// Whether there may be changes that were there before the last look at the head.
    unseen: bool,
    head: watch::Receiver<Version>,
}

impl Subscription {
    /// The version up to which everything was taken.
    pub fn position(&self) -> Version {
        self.after
    }

    /// Waits for the next changes of the kind. `None` when the server ends. May be dropped while
    /// waiting.
    pub async fn next(&mut self, live: &Live) -> Option<Result<Taken, TooOld>> {
        loop {
            if !self.unseen {
                self.head.changed().await.ok()?;
            }
            match self.look(live) {
                Ok(taken) if taken.events.is_empty() => {}
                other => return Some(other),
            }
        }
    }

    /// The next changes that are there now, if there are any: the place moves on although nothing has woken it.
    pub fn look(&mut self, live: &Live) -> Result<Taken, TooOld> {
        // Nothing else is heard of a version that is there already.
        self.head.borrow_and_update();
        self.unseen = true;
        let taken = live.take(self.kind, self.after, self.life)?;
        self.after = taken.up_to;
        self.unseen = taken.more;
        Ok(taken)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use evenkeel_core::{World, change::Change};
    use evenkeel_model::{Meta, Uid};
    use futures_util::FutureExt;
    use proptest::prelude::*;

    use super::*;

    fn write(world: &mut World, kind: Kind, name: u8, content: u8) -> Option<WatchEvent> {
        let key = Key::new(kind, "d", format!("o{name}"));
        let body = format!("{{\"data\":{content}}}");
        let object = Object::new(key, Uid(1), Meta::default(), body.as_bytes().into());
        let change = if content == 0 { Change::Delete(object.key) } else { Change::Put(Arc::new(object)) };
        let (changed, _) = world.apply(change)?;
        Some(WatchEvent::new(world.version, changed?))
    }

    proptest! {
        /// Whoever watches from a view's version and applies every event sees each later view.
        #[test]
        fn a_watcher_follows_the_views(writes in prop::collection::vec((0_u8..4, 0_u8..4, any::<bool>()), 1..80),
                                       start in 0_usize..40, changes in 4_usize..100) {
            let mut world = World::default();
            let live = Live::with_bounds(world.view(), RING_BYTES, changes);
            let mut watcher = None;
            for (i, (name, content, pod)) in writes.iter().enumerate() {
                if i == start {
                    let view = live.view();
                    let known: BTreeMap<_, _> = view.list(Kind::Secret, "").map(|o| (o.key.clone(), o.clone())).collect();
                    watcher = Some((live.subscribe(Kind::Secret, view.version).unwrap(), known));
                }
                let kind = if *pod { Kind::Pod } else { Kind::Secret };
                let event = write(&mut world, kind, *name, *content);
                live.publish(world.view(), event);
            }
            let Some((mut sub, mut known)) = watcher else { return Ok(()) };
            while let Some(next) = sub.next(&live).now_or_never() {
                match next.unwrap() {
                    Err(old) => {
                        prop_assert!(old.asked < old.oldest);
                        return Ok(());
                    }
                    Ok(taken) => {
                        for e in &taken.events {
                            prop_assert_eq!(known.get(&e.key).map(|o| o.version), e.old.as_ref().map(|o| o.version));
                            match &e.new {
                                Some(o) => known.insert(e.key.clone(), o.clone()),
                                None => known.remove(&e.key),
                            };
                        }
                    }
                }
            }
            prop_assert_eq!(sub.position(), world.version);
            let now: BTreeMap<_, _> = live.view().list(Kind::Secret, "").map(|o| (o.key.clone(), o.clone())).collect();
            prop_assert_eq!(known, now);
        }
    }

    #[test]
    fn versions_outside_the_ring_are_refused() {
        let mut world = World::new(Version(100), 1, [0; 32]);
        let live = Live::with_bounds(world.view(), RING_BYTES, 2);
        for content in 1..5 {
            let event = write(&mut world, Kind::Secret, 1, content);
            live.publish(world.view(), event);
        }
        assert!(live.subscribe(Kind::Secret, Version(101)).is_err());
        assert!(live.subscribe(Kind::Secret, Version(102)).is_ok());
        assert!(live.subscribe(Kind::Secret, Version(105)).is_err());
        let mut sub = live.subscribe(Kind::Secret, Version(104)).unwrap();
        live.reset(world.view());
        assert!(sub.next(&live).now_or_never().unwrap().unwrap().is_err());
        // Who lists again watches from there, also where nothing has changed since.
        let mut sub = live.subscribe(Kind::Secret, live.view().version).unwrap();
        let event = write(&mut world, Kind::Secret, 1, 9);
        live.publish(world.view(), event);
        assert_eq!(sub.next(&live).now_or_never().unwrap().unwrap().unwrap().events.len(), 1);
    }

    #[test]
    fn what_other_kinds_do_wakes_nobody_and_pushes_nobody_out() {
        let mut world = World::default();
        let live = Live::with_bounds(world.view(), RING_BYTES, 4);
        let mut quiet = live.subscribe(Kind::Secret, world.version).unwrap();
        assert!(quiet.next(&live).now_or_never().is_none());
        for content in 1..10 {
            let event = write(&mut world, Kind::Pod, 1, content);
            live.publish(world.view(), event);
        }
        assert!(!quiet.head.has_changed().unwrap());
        assert!(live.subscribe(Kind::Pod, Version(1)).is_err());
        // Its kind has lost no change, so it goes on, and may begin where another ends.
        assert!(live.subscribe(Kind::Secret, Version(1)).is_ok());
        assert_eq!((quiet.look(&live).unwrap().events.len(), quiet.position()), (0, world.version));
        let event = write(&mut world, Kind::Secret, 1, 1);
        live.publish(world.view(), event);
        assert_eq!(quiet.next(&live).now_or_never().unwrap().unwrap().unwrap().events.len(), 1);
    }

    #[test]
    fn who_is_far_behind_takes_a_part_at_a_time() {
        let mut world = World::default();
        let live = Live::new(world.view());
        let mut sub = live.subscribe(Kind::Secret, world.version).unwrap();
        let events: Vec<WatchEvent> = (0..TAKE + 5)
            .filter_map(|n| {
                write(&mut world, Kind::Secret, u8::try_from(n % 7).unwrap(), u8::try_from(n % 9 + 1).unwrap())
            })
            .collect();
        let all = events.len();
        assert!(all > TAKE, "{all}");
        live.publish(world.view(), events);
        let mut next = || sub.next(&live).now_or_never().map(|taken| taken.unwrap().unwrap().events.len());
        assert_eq!([next(), next(), next()], [Some(TAKE), Some(all - TAKE), None]);
    }

    #[test]
    fn heavy_objects_push_old_changes_out() {
        let mut world = World::default();
        let live = Live::with_bounds(world.view(), 600, 100);
        for content in 1..4 {
            let event = write(&mut world, Kind::Secret, 1, content);
            live.publish(world.view(), event);
        }
        assert!(live.subscribe(Kind::Secret, Version(0)).is_err());
        assert!(live.subscribe(Kind::Secret, Version(1)).is_ok());
    }
}
