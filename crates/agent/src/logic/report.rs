//! What waits to be reported: the newest state of each pod that changed, and of the node.

use std::{collections::BTreeMap, sync::Arc};

use evenkeel_model::{Time, Uid, canonical};
use evenkeel_wire::{NodeReport, PodReport, Report};

use super::{
    pod::{Mode, Pod},
    settings::Config,
};

/// Bounded by the number of pods: one report of each.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    node: Option<NodeReport>,
    node_told: Option<NodeReport>,
    pods: BTreeMap<Uid, PodReport>,
    told: BTreeMap<Uid, PodReport>,
}

impl Outbox {
    /// Takes a pod's state if it is news.
    pub(super) fn look(&mut self, pod: &mut Pod, config: &Config, now: Time) {
        let status = pod.status(config, now);
        pod.last_status = canonical::to_bytes(&status).unwrap_or_else(|_| Arc::from([]));
        let report = PodReport {
            uid: pod.uid(),
            namespace: pod.order.namespace.clone(),
            name: pod.order.name.clone(),
            status: pod.last_status.clone(),
            gone: pod.mode == Mode::Gone,
            image_ids: pod.image_ids().collect(),
            logs: pod.logs(),
        };
        if self.pods.get(&report.uid).or_else(|| self.told.get(&report.uid)) != Some(&report) {
            self.pods.insert(report.uid, report);
        }
    }

    pub(super) fn node(&mut self, node: NodeReport) {
        if self.node.as_ref().or(self.node_told.as_ref()) != Some(&node) {
            self.node = Some(node);
        }
    }

    /// A new session: all is told again.
    pub(super) fn forget_told(&mut self) {
        for (uid, report) in std::mem::take(&mut self.told) {
            self.pods.entry(uid).or_insert(report);
        }
        self.node = self.node.take().or_else(|| self.node_told.take());
    }

    pub(super) fn drop_pod(&mut self, uid: Uid) {
        self.pods.remove(&uid);
        self.told.remove(&uid);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.node.is_none() && self.pods.is_empty()
    }

    pub(super) fn take(&mut self) -> Report {
        let node = self.node.take();
        if node.is_some() {
            self.node_told.clone_from(&node);
        }
        let pods = std::mem::take(&mut self.pods);
        self.told.extend(pods.iter().map(|(uid, r)| (*uid, r.clone())));
        Report { node, pods: pods.into_values().collect(), ..Report::default() }
    }
}
