//! A change of `replicas` while several ReplicaSets have pods: in proportion, as Kubernetes.

use alloc::vec::Vec;

use super::{DESIRED_REPLICAS, Run, rolling::proportional};
use crate::cx::Cx;

/// Whether `replicas` is another than when the ReplicaSets with pods were last scaled.
pub(super) fn is_scaling(run: &Run<'_>) -> bool {
    run.owned.iter().filter(|o| o.wanted > 0).any(|o| {
        let desired = o.object.meta.annotation(DESIRED_REPLICAS).and_then(|d| d.parse::<i32>().ok());
        desired.is_some_and(|d| d != run.limits.replicas)
    })
}

/// Scales what is there; the rollout goes on in the next run.
pub(super) fn scale(run: &mut Run<'_>, new: Option<usize>, cx: &mut Cx<'_>) {
    let active: Vec<usize> = (0..run.owned.len()).filter(|i| run.owned[*i].wanted > 0).collect();
    if let [only] = active[..] {
        // Only the pods that are there besides it bound it; there are none that last.
        let others: i32 = run.others(Some(only)).iter().map(|i| run.owned[*i].tally.active).sum();
        let room = (run.limits.max_total() - others).max(0);
        return run.resize(only, run.limits.replicas.min(room), cx);
    }
    if let Some(n) = new
        && run.owned[n].wanted >= run.limits.replicas
        && run.owned[n].tally.available >= run.limits.replicas
    {
        for i in active {
            let replicas = if i == n { run.limits.replicas } else { 0 };
            run.resize(i, replicas, cx);
        }
        return;
    }
    let sizes: Vec<i32> = active.iter().map(|i| run.owned[*i].wanted).collect();
    let allowed = if run.limits.replicas > 0 { run.limits.max_total() } else { 0 };
    for (i, replicas) in active.into_iter().zip(proportional(&sizes, allowed)) {
        run.resize(i, replicas, cx);
    }
}
