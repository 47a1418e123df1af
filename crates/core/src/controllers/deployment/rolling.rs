//! The arithmetic of rollouts, as numbers in and numbers out: what the promise of availability
//! rests on. Called by the Deployment controller, and by the ReplicaSet controller for its budget.
//!
//! Two numbers bind every act: at least `replicas - maxUnavailable` pods stay ready, at most
//! `replicas + maxSurge` pods are not terminating. Where what is asked for (`spec.replicas` of a
//! set) and what is there (its pods) differ, the one that leaves more safety counts.

use k8s_openapi::{api::apps::v1::DeploymentStrategy, apimachinery::pkg::util::intstr::IntOrString};

/// Kubernetes' default for `maxSurge` and `maxUnavailable`, in percent.
const DEFAULT_PERCENT: i64 = 25;

/// A strategy for a number of replicas.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Limits {
    /// Wanted.
    pub(crate) replicas: i32,
    /// Pods above that.
    pub(crate) max_surge: i32,
    /// Pods below that.
    pub(crate) max_unavailable: i32,
    /// `Recreate`: nothing new before everything old is gone.
    pub(crate) recreate: bool,
}

/// One ReplicaSet in numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Set {
    /// `spec.replicas`.
    pub(crate) wanted: i32,
    /// Pods that are neither ended nor terminating.
    pub(crate) active: i32,
    /// Of them, ready for `minReadySeconds`.
    pub(crate) available: i32,
}

impl Set {
    /// Pods that it has or is about to have.
    fn most(self) -> i32 {
        self.wanted.max(self.active)
    }

    /// Pods that it shall have, and available ones that it could not give up yet: with nothing else
    /// done it comes down to these.
    fn least(self) -> i32 {
        self.wanted.max(self.available)
    }

    /// Available pods that it is not about to give up.
    fn lasting(self) -> i32 {
        self.wanted.min(self.available)
    }
}

impl Limits {
    /// Resolves a strategy. Percentages of the surge round up, of the unavailable down; if both
    /// come to nothing, one pod may be unavailable, as in Kubernetes.
    pub(crate) fn of(strategy: Option<&DeploymentStrategy>, replicas: i32) -> Self {
        let replicas = replicas.max(0);
        if strategy.and_then(|s| s.type_.as_deref()) == Some("Recreate") {
            return Self { replicas, max_surge: 0, max_unavailable: replicas, recreate: true };
        }
        let rolling = strategy.and_then(|s| s.rolling_update.as_ref());
        let surge = scaled(rolling.and_then(|r| r.max_surge.as_ref()), replicas, true);
        let mut unavailable = scaled(rolling.and_then(|r| r.max_unavailable.as_ref()), replicas, false);
        if surge == 0 && unavailable == 0 {
            unavailable = 1;
        }
        Self { replicas, max_surge: surge, max_unavailable: unavailable.min(replicas), recreate: false }
    }

    /// Ready pods that every act leaves.
    pub(crate) fn min_ready(self) -> i32 {
        self.replicas - self.max_unavailable
    }

    /// Pods that are not terminating, at most.
    pub(crate) fn max_total(self) -> i32 {
        self.replicas.saturating_add(self.max_surge)
    }

    /// What the new set shall have now.
    pub(crate) fn scale_new(self, new: Set, old: &[Set]) -> i32 {
        if new.wanted >= self.replicas {
            return self.replicas;
        }
        let total: i32 = new.most() + old.iter().map(|s| s.most()).sum::<i32>();
        let room = (self.max_total() - total).max(0);
        // What is there already needs no room: pods that it was to give up, until it became the new one.
        let has = new.most().min(self.replicas);
        has + room.min(self.replicas - has)
    }

    /// What each old set shall have now, in the order given (oldest first). Pods that are not
    /// available go first: they take nothing from anybody.
    pub(crate) fn scale_old(self, new: Set, old: &[Set]) -> alloc::vec::Vec<i32> {
        let mut wanted: alloc::vec::Vec<i32> = old.iter().map(|s| s.wanted).collect();
        let total: i32 = new.least() + old.iter().map(|s| s.least()).sum::<i32>();
        let missing = (new.wanted - new.lasting()).max(0);
        let mut spare = total - self.min_ready() - missing;
        for (slot, set) in wanted.iter_mut().zip(old) {
            let unhealthy = (*slot - set.available).max(0).min(spare);
            if unhealthy > 0 {
                *slot -= unhealthy;
                spare -= unhealthy;
            }
        }
        let lasting: i32 = new.lasting() + old.iter().zip(&wanted).map(|(s, w)| s.available.min(*w)).sum::<i32>();
        let mut spare = lasting - self.min_ready();
        for slot in &mut wanted {
            let less = (*slot).min(spare).max(0);
            *slot -= less;
            spare -= less;
        }
        wanted
    }
}

/// Spreads a new total over sets in proportion to what they have, the biggest first taking what
/// rounding leaves. The sum is exact; no set goes below zero.
pub(crate) fn proportional(sets: &[i32], total: i32) -> alloc::vec::Vec<i32> {
    let sum: i64 = sets.iter().map(|n| i64::from(*n)).sum();
    if sum == 0 || sets.is_empty() {
        return sets.to_vec();
    }
    let total = i64::from(total.max(0));
    let mut out: alloc::vec::Vec<i64> = sets.iter().map(|n| i64::from(*n) * total / sum).collect();
    let mut rest = total - out.iter().sum::<i64>();
    let mut order: alloc::vec::Vec<usize> = (0..sets.len()).collect();
    order.sort_by_key(|i| (core::cmp::Reverse(sets[*i]), *i));
    for i in order.into_iter().cycle().take(sets.len()) {
        if rest == 0 {
            break;
        }
        out[i] += 1;
        rest -= 1;
    }
    out.into_iter().map(|n| i32::try_from(n).unwrap_or(i32::MAX)).collect()
}

fn scaled(value: Option<&IntOrString>, replicas: i32, up: bool) -> i32 {
    let percent = |p: i64| {
        let exact = p.max(0).saturating_mul(i64::from(replicas));
        let n = if up { exact.saturating_add(99) / 100 } else { exact / 100 };
        i32::try_from(n).unwrap_or(i32::MAX)
    };
    match value {
        None => percent(DEFAULT_PERCENT),
        Some(IntOrString::Int(n)) => (*n).max(0),
        Some(IntOrString::String(text)) => {
            percent(text.trim().trim_end_matches('%').parse().unwrap_or(DEFAULT_PERCENT))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::vec::Vec;

    use proptest::prelude::*;

    use super::*;

    fn limits(replicas: i32, max_surge: i32, max_unavailable: i32) -> Limits {
        Limits { replicas, max_surge, max_unavailable: max_unavailable.min(replicas), recreate: false }
    }

    #[test]
    fn percentages_round_as_in_kubernetes() {
        for (replicas, surge, unavailable) in [(0, 0, 0), (1, 1, 0), (3, 1, 0), (4, 1, 1), (10, 3, 2), (7, 2, 1)] {
            let l = Limits::of(None, replicas);
            assert_eq!((l.max_surge, l.max_unavailable), (surge, unavailable), "{replicas}");
        }
        let none: DeploymentStrategy =
            serde_json::from_value(serde_json::json!({"rollingUpdate": {"maxSurge": 0, "maxUnavailable": "1%"}}))
                .unwrap();
        assert_eq!(Limits::of(Some(&none), 10).max_unavailable, 1);
        assert_eq!(Limits::of(Some(&none), 10).max_surge, 0);
    }

    #[test]
    fn a_rollout_goes_step_by_step() {
        let l = limits(3, 1, 0);
        let old = Set { wanted: 3, active: 3, available: 3 };
        assert_eq!(l.scale_new(Set::default(), &[old]), 1);
        let new = Set { wanted: 1, active: 1, available: 0 };
        assert_eq!(l.scale_old(new, &[old]), [3]);
        let new = Set { wanted: 1, active: 1, available: 1 };
        assert_eq!(l.scale_old(new, &[old]), [2]);
        // Broken old pods give way at once.
        let old = Set { wanted: 3, active: 3, available: 1 };
        assert_eq!(limits(3, 0, 1).scale_old(Set::default(), &[old]), [2]);
    }

    #[test]
    fn available_pods_that_could_not_go_yet_stand_in_nobodys_way() {
        let l = limits(3, 1, 0);
        let broken = Set { wanted: 3, active: 3, available: 0 };
        let held = Set { wanted: 0, active: 1, available: 1 };
        // It was rolled back to.
        assert_eq!(l.scale_new(held, &[broken]), 1);
        assert_eq!(l.scale_old(held, &[broken]), [2]);
        // Something third is rolled out.
        assert_eq!(l.scale_new(Set::default(), &[held, broken]), 0);
        assert_eq!(l.scale_old(Set::default(), &[held, broken]), [0, 2]);
    }

    #[test]
    fn proportions_are_exact() {
        assert_eq!(proportional(&[10, 5], 30), [20, 10]);
        assert_eq!(proportional(&[3, 3, 1], 10), [5, 4, 1]);
        assert_eq!(proportional(&[5], 2), [2]);
    }

    fn set() -> impl Strategy<Value = Set> {
        (0..12_i32, 0..12_i32, 0..12_i32).prop_map(|(wanted, active, a)| Set {
            wanted,
            active,
            available: a.min(active),
        })
    }

    proptest! {
        /// Whatever the state, no act by itself leaves fewer available pods than promised, or takes
        /// some away when there already are fewer; and none lets there be more than allowed.
        #[test]
        fn no_act_breaks_the_promise(
            replicas in 0..12_i32, surge in 0..5_i32, unavailable in 0..5_i32,
            new in set(), old in prop::collection::vec(set(), 0..4),
        ) {
            let unavailable = if surge == 0 { unavailable.max(1) } else { unavailable };
            let l = limits(replicas, surge, unavailable);
            let before: i32 = new.available + old.iter().map(|s| s.available).sum::<i32>();
            let after_old = l.scale_old(new, &old);
            for (w, s) in after_old.iter().zip(&old) {
                prop_assert!(*w <= s.wanted && *w >= 0);
            }
            if after_old.iter().zip(&old).any(|(w, s)| *w < s.wanted) {
                let left: i32 = new.lasting() + old.iter().zip(&after_old).map(|(s, w)| s.available.min(*w)).sum::<i32>();
                let kept: i32 = new.lasting() + old.iter().map(|s| s.lasting()).sum::<i32>();
                prop_assert!(left >= l.min_ready().min(kept), "{before} -> {left}");
            }
            let grown = l.scale_new(new, &old);
            let total = grown.max(new.active) + old.iter().map(|s| s.most()).sum::<i32>();
            if grown > new.wanted {
                prop_assert!(total <= l.max_total() || grown <= new.active, "{total}");
            }
        }

        /// Wherever it begins, a rollout ends if the new pods become available, also beside old ones
        /// that never do.
        #[test]
        fn every_rollout_ends_from_anywhere(
            replicas in 0..12_i32, surge in 0..5_i32, unavailable in 0..5_i32,
            new in set(), old in prop::collection::vec((set(), any::<bool>()), 0..4),
        ) {
            let unavailable = if surge == 0 { unavailable.max(1) } else { unavailable };
            let l = limits(replicas, surge, unavailable);
            let (mut new, (mut old, works)) = (new, old.into_iter().unzip::<Set, bool, Vec<_>, Vec<_>>());
            for _ in 0..200 {
                new.wanted = l.scale_new(new, &old);
                let less = l.scale_old(new, &old);
                for (set, wanted) in old.iter_mut().zip(less) {
                    set.wanted = wanted;
                }
                // As the ReplicaSets do: ready pods go only as far as the promise allows.
                let available = new.available + old.iter().map(|s| s.available).sum::<i32>();
                let mut spare = (available - l.min_ready()).max(0);
                for set in old.iter_mut().chain(std::iter::once(&mut new)) {
                    let surplus = (set.active - set.wanted).max(0);
                    let broken = surplus.min(set.active - set.available);
                    let ready = (surplus - broken).min(spare);
                    spare -= ready;
                    set.active -= broken + ready;
                    set.available -= ready;
                    set.active = set.active.max(set.wanted);
                }
                for (set, _) in old.iter_mut().zip(&works).filter(|(_, works)| **works) {
                    set.available = set.active;
                }
                new.available = new.active;
            }
            let left: i32 = old.iter().map(|s| s.active).sum();
            prop_assert_eq!((new.active, left), (replicas, 0), "{:?} {:?}", new, old);
        }

        /// Alternating the two acts always ends with all new and nothing old.
        #[test]
        fn every_rollout_ends(replicas in 0..20_i32, surge in 0..5_i32, unavailable in 0..5_i32, old in 0..25_i32) {
            let unavailable = if surge == 0 { unavailable.max(1) } else { unavailable };
            let l = limits(replicas, surge, unavailable);
            let (mut new, mut was) = (Set::default(), Set { wanted: old, active: old, available: old });
            for _ in 0..200 {
                let w = l.scale_new(new, &[was]);
                new = Set { wanted: w, active: w, available: w };
                let w = l.scale_old(new, &[was])[0];
                was = Set { wanted: w, active: w, available: w };
            }
            prop_assert_eq!((new.wanted, was.wanted), (replicas, 0));
        }
    }
}
