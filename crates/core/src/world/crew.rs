//! The pods of one controller, counted as they change: what ReplicaSets, Deployments and releases ask
//! at each change of one pod, which shall not cost a look at all its siblings.

use alloc::{collections::BTreeMap, string::String};
use core::time::Duration;

use evenkeel_model::{Key, Labels, Time, Uid};
use imbl::{OrdMap, OrdSet};

use super::pods::PodRecord;

/// Counts of the pods of one controller, of their records alone: never of a status that another
/// controller wrote, which may be a step behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Tally {
    /// Neither ended nor terminating.
    pub active: i32,
    /// Active and ready.
    pub ready: i32,
    /// Ready for `minReadySeconds`.
    pub available: i32,
    /// Asked to go, and not gone.
    pub terminating: i32,
    /// Ended, and not terminating.
    pub finished: i32,
    /// When the next ready pod becomes available by waiting alone.
    pub next_available: Option<Time>,
}

/// Pods of one controller with the same labels, none of them terminating.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Alike {
    active: i32,
    finished: i32,
}

/// The pods that a controller manages.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Crew {
    active: i32,
    terminating: i32,
    /// Active pods that are ready, by since when.
    ready: OrdMap<Time, i32>,
    ready_count: i32,
    finished: OrdSet<Key>,
    unready: OrdSet<Key>,
    troubled: OrdSet<Key>,
    alike: OrdMap<Labels, Alike>,
}

impl Crew {
    /// Counts them, for a `minReadySeconds`. Costs a look at the pods that are not available yet.
    pub fn tally(&self, min_ready: Duration, now: Time) -> Tally {
        let counts = Tally {
            active: self.active,
            ready: self.ready_count,
            available: self.ready_count,
            terminating: self.terminating,
            finished: i32::try_from(self.finished.len()).unwrap_or(i32::MAX),
            next_available: None,
        };
        if min_ready.is_zero() {
            return counts;
        }
        // The newest first: those before the first that is available are, too.
        let waiting = self.ready.iter().rev().take_while(|(since, _)| **since + min_ready > now);
        waiting.fold(counts, |t, (since, pods)| Tally {
            available: t.available - pods,
            next_available: Some(*since + min_ready),
            ..t
        })
    }

    /// Pods that ended and are not terminating.
    pub fn finished(&self) -> impl Iterator<Item = &Key> {
        self.finished.iter()
    }

    /// Pods that are not ready, or do not stay so: also those that ended or are terminating.
    pub fn unready(&self) -> impl Iterator<Item = &Key> {
        self.unready.iter()
    }

    /// Pods of which something is told ([`super::pods::Told`]) that is worth reading their status for.
    pub fn troubled(&self) -> impl Iterator<Item = &Key> {
        self.troubled.iter()
    }

    /// Whether every pod that is not terminating has labels that `fits` holds of.
    pub fn all_labelled(&self, fits: impl Fn(&BTreeMap<String, String>) -> bool) -> bool {
        self.alike.keys().all(|labels| fits(labels))
    }

    /// How many active pods have labels that `fits` holds of.
    pub fn active_labelled(&self, fits: impl Fn(&BTreeMap<String, String>) -> bool) -> i32 {
        self.alike.iter().filter(|(labels, _)| fits(labels)).map(|(_, alike)| alike.active).sum()
    }

    fn is_empty(&self) -> bool {
        // Each pod is active, terminating or finished.
        self.active == 0 && self.terminating == 0 && self.finished.is_empty()
    }

    fn add(&mut self, key: &Key, labels: &Labels, pod: &PodRecord) {
        if !pod.ready() {
            self.unready.insert(key.clone());
        }
        if pod.told.troubled() {
            self.troubled.insert(key.clone());
        }
        if pod.terminating {
            self.terminating += 1;
            return;
        }
        let alike = self.alike.entry(labels.clone()).or_default();
        if pod.finished() {
            alike.finished += 1;
            self.finished.insert(key.clone());
            return;
        }
        alike.active += 1;
        self.active += 1;
        if let Some(since) = pod.ready_since {
            *self.ready.entry(since).or_insert(0) += 1;
            self.ready_count += 1;
        }
    }

    fn remove(&mut self, key: &Key, labels: &Labels, pod: &PodRecord) {
        self.unready.remove(key);
        self.troubled.remove(key);
        if pod.terminating {
            self.terminating -= 1;
            return;
        }
        let (active, finished) = if pod.finished() { (0, 1) } else { (1, 0) };
        if let Some(alike) = self.alike.get_mut(labels) {
            alike.active -= active;
            alike.finished -= finished;
            if *alike == Alike::default() {
                self.alike.remove(labels);
            }
        }
        if pod.finished() {
            self.finished.remove(key);
            return;
        }
        self.active -= 1;
        if let Some(since) = pod.ready_since {
            self.ready_count -= 1;
            if let Some(pods) = self.ready.get_mut(&since) {
                *pods -= 1;
                if *pods == 0 {
                    self.ready.remove(&since);
                }
            }
        }
    }
}

/// All controllers' pods.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Crews {
    by_controller: OrdMap<Uid, Crew>,
}

impl Crews {
    /// The pods of a controller; `None` if it has none.
    pub(super) fn of(&self, controller: Uid) -> Option<&Crew> {
        self.by_controller.get(&controller)
    }

    /// A pod came, with these labels and this record.
    pub(super) fn join(&mut self, key: &Key, labels: &Labels, pod: &PodRecord) {
        if let Some(controller) = pod.controller {
            self.by_controller.entry(controller).or_default().add(key, labels, pod);
        }
    }

    /// A pod went, which had come with these.
    pub(super) fn leave(&mut self, key: &Key, labels: &Labels, pod: &PodRecord) {
        let Some(controller) = pod.controller else { return };
        let Some(crew) = self.by_controller.get_mut(&controller) else { return };
        crew.remove(key, labels, pod);
        if crew.is_empty() {
            self.by_controller.remove(&controller);
        }
    }
}

#[cfg(test)]
mod tests {
    use alloc::{collections::BTreeMap, format, sync::Arc, vec::Vec};

    use evenkeel_model::{Kind, Rng};

    use super::*;
    use crate::world::pods::{PodPhase, Told};

    const OWNER: Uid = Uid(7);

    fn labels(n: u64) -> Labels {
        Arc::new([("app".into(), format!("v{n}"))].into())
    }

    fn drawn(rng: &mut Rng) -> (Labels, PodRecord) {
        let phases = [PodPhase::Pending, PodPhase::Running, PodPhase::Running, PodPhase::Failed, PodPhase::Succeeded];
        let phase = phases[usize::try_from(rng.below(5)).unwrap()];
        let record = PodRecord {
            uid: rng.uid(),
            phase,
            ready_since: (rng.below(2) == 0).then(|| Time(i64::try_from(rng.below(20)).unwrap() * 1000)),
            terminating: rng.below(4) == 0,
            node: None,
            controller: Some(OWNER),
            unschedulable: false,
            told: Told { ended: rng.below(3) == 0, held_up: rng.below(3) == 0 },
            created: Time(0),
            address: None,
            shape: Arc::default(),
        };
        (labels(rng.below(3)), record)
    }

    /// Counts them by a look at each.
    fn anew(pods: &BTreeMap<Key, (Labels, PodRecord)>, min_ready: Duration, now: Time) -> Tally {
        let mut t = Tally::default();
        for (_, pod) in pods.values() {
            match pod.ready_since {
                _ if pod.terminating => t.terminating += 1,
                _ if pod.finished() => t.finished += 1,
                None => t.active += 1,
                Some(since) => {
                    t.active += 1;
                    t.ready += 1;
                    let at = since + min_ready;
                    if at <= now {
                        t.available += 1;
                    } else {
                        t.next_available = Some(t.next_available.map_or(at, |n| n.min(at)));
                    }
                }
            }
        }
        t
    }

    #[test]
    fn pods_that_come_change_and_go_are_counted_as_by_a_look_at_each() {
        let mut rng = Rng::new(11);
        let (mut crews, mut pods) = (Crews::default(), BTreeMap::new());
        for _ in 0..3000 {
            let key = Key::new(Kind::Pod, "default", format!("p{}", rng.below(40)));
            if let Some((labels, record)) = pods.remove(&key) {
                crews.leave(&key, &labels, &record);
            }
            if rng.below(3) > 0 {
                let (labels, record) = drawn(&mut rng);
                crews.join(&key, &labels, &record);
                pods.insert(key, (labels, record));
            }
            let Some(crew) = crews.of(OWNER) else {
                assert!(pods.is_empty());
                continue;
            };
            let now = Time(i64::try_from(rng.below(30)).unwrap() * 1000);
            for min_ready in [0, 5].map(Duration::from_secs) {
                let now = if min_ready.is_zero() { Time(20_000) } else { now };
                assert_eq!(crew.tally(min_ready, now), anew(&pods, min_ready, now));
            }
            let keys = |of: &dyn Fn(&PodRecord) -> bool| -> Vec<&Key> {
                pods.iter().filter(|(_, (_, p))| of(p)).map(|(k, _)| k).collect()
            };
            assert_eq!(crew.unready().collect::<Vec<_>>(), keys(&|p| !p.ready()));
            assert_eq!(crew.troubled().collect::<Vec<_>>(), keys(&|p| p.told.ended || p.told.held_up));
            assert_eq!(crew.finished().collect::<Vec<_>>(), keys(&|p| p.finished() && !p.terminating));
            let first = labels(0);
            let fits = |have: &BTreeMap<_, _>| *have == *first;
            let staying = || pods.values().filter(|(_, p)| !p.terminating);
            assert_eq!(crew.all_labelled(fits), staying().all(|(l, _)| *l == first));
            let active = staying().filter(|(l, p)| *l == first && !p.finished()).count();
            assert_eq!(crew.active_labelled(fits), i32::try_from(active).unwrap());
        }
        for (key, (labels, record)) in pods {
            crews.leave(&key, &labels, &record);
        }
        assert_eq!(crews, Crews::default(), "nothing is kept of controllers without pods");
    }
}
