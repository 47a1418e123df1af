//! What each agent is told of the network: all of it when its session begins, then what changed.
//!
//! One [`ServiceNet`] is made for each Service that changed and shared by all sessions. Nothing is told
//! while the world recovers: what is not known yet would take away what stands. Deliberately not here:
//! who stands behind a Service (core's `endpoints`), and when a pod may end (`endings`).

use std::{collections::BTreeSet, sync::Arc};

use evenkeel_core::{
    Changed, World,
    controllers::balancer,
    network::Layout,
    policy::{self, pod_net},
    service::net::{id, node_net, service_net},
    world::services::Services,
};
use evenkeel_model::{
    Key, Kind,
    net::{NetworkUpdate, NodeNet, ServiceNet},
    policy::{PodNet, PolicyNet, PolicyUpdate},
    session::ToAgent,
};

use crate::told::{News, Told};

/// What agents hear of the network, by its place among the messages of one step.
#[derive(Debug, Default)]
pub(crate) struct Messages {
    /// Before the assignments: a pod's policies are known before the pod begins.
    pub(crate) before: Vec<(Arc<str>, ToAgent)>,
    /// After the first assignment, by which an agent judges whether it obeys.
    pub(crate) after: Vec<(Arc<str>, ToAgent)>,
}

/// What changed since agents were told last, and who hears all of it.
#[derive(Debug, Default)]
pub(crate) struct Network {
    nodes: BTreeSet<Arc<str>>,
    services: BTreeSet<Key>,
    policies: BTreeSet<Key>,
    /// Pods whose policies may have changed.
    pods: BTreeSet<Key>,
    told: Told<Key, Arc<ServiceNet>>,
    told_policies: Told<Key, Arc<PolicyNet>>,
    told_pods: Told<Key, Arc<PodNet>>,
    told_nodes: Told<Arc<str>, NodeNet>,
    /// The number of the last update that said something new.
    last: u64,
    /// Whether anything was told since this server started.
    is_told: bool,
}

impl Network {
    /// Notes what a change means for the network.
    pub(crate) fn note(&mut self, world: &World, changed: &Changed) {
        match changed.key.kind {
            Kind::Node => drop(self.nodes.insert(changed.key.name.clone())),
            Kind::Service => drop(self.services.insert(changed.key.clone())),
            Kind::NetworkPolicy => drop(self.policies.insert(changed.key.clone())),
            Kind::EndpointSlice => {
                let both = changed.old.as_deref().into_iter().chain(changed.new.as_deref());
                self.services.extend(both.filter_map(Services::of_slice));
            }
            _ => {}
        }
        let services = &mut self.services;
        balancer::except_changed(world, changed, &mut |key| {
            services.insert(key);
        });
        let (pods, told) = (&mut self.pods, &self.told_pods);
        policy::touched(world, changed, &mut |key| {
            if !world.policies.is_empty() || told.get(&key).is_some() {
                pods.insert(key);
            }
        });
    }

    /// The number of the last update that said something new.
    pub(crate) fn last(&self) -> u64 {
        self.last
    }

    /// Whether anything was told since this server started: what agents follow can be judged from then on.
    pub(crate) fn is_told(&self) -> bool {
        self.is_told
    }

    /// Whether new connections are sent to a pod, by what agents were told last.
    pub(crate) fn leads_to(&self, world: &World, pod: &Key) -> bool {
        let Some(object) = world.get(pod) else { return false };
        let leads = |service: &Arc<ServiceNet>| {
            service.endpoints.iter().any(|e| !e.terminating && e.pod.as_ref() == Some(&pod.name))
        };
        world.services.selecting(&pod.namespace, &object.meta.labels).any(|s| self.told.get(s).is_some_and(leads))
    }

    /// Whether anything was noted since.
    pub(crate) fn has_news(&self) -> bool {
        !(self.nodes.is_empty() && self.services.is_empty() && self.policies.is_empty() && self.pods.is_empty())
    }

    /// The messages for what was noted: `fresh` hear all, `others` (with the number of their session)
    /// what changed.
    pub(crate) fn take(
        &mut self,
        world: &World,
        layout: &Layout,
        fresh: &[(Arc<str>, u64)],
        others: &[(Arc<str>, u64)],
    ) -> Messages {
        if world.recovering.is_some() {
            return Messages::default();
        }
        self.is_told = true;
        let blank = |session| NetworkUpdate {
            session,
            number: world.version.0,
            full: false,
            settings: None,
            nodes: Vec::new(),
            gone_nodes: Vec::new(),
            services: Vec::new(),
            gone_services: Vec::new(),
            policy: PolicyUpdate::default(),
        };
        let mut difference = blank(0);
        for name in std::mem::take(&mut self.nodes) {
            let now = world.get(&Key::cluster(Kind::Node, name.clone())).map(|node| node_net(world, node));
            match self.told_nodes.tell(name.clone(), now) {
                News::Is(node) => difference.nodes.push(node),
                News::Gone => difference.gone_nodes.push(name),
                News::Same => {}
            }
        }
        for key in std::mem::take(&mut self.services) {
            let now = world.get(&key).map(|service| Arc::new(service_net(world, service)));
            match self.told.tell(key.clone(), now) {
                News::Is(net) => difference.services.push(net),
                News::Gone => difference.gone_services.push(id(&key)),
                News::Same => {}
            }
        }
        difference.policy = self.policy_difference(world, layout);
        let quiet = difference == blank(0);
        if !quiet {
            self.last = difference.number;
        }
        let mut out = Messages::default();
        for (node, session) in fresh {
            let policy = self.of_node(node);
            if !policy.is_empty() {
                let early = NetworkUpdate { number: 0, policy, ..blank(*session) };
                out.before.push((node.clone(), ToAgent::Network(Arc::new(early))));
            }
            let full = NetworkUpdate {
                full: true,
                settings: Some(layout.net.clone()),
                nodes: self.told_nodes.values().cloned().collect(),
                services: self.told.values().cloned().collect(),
                policy: PolicyUpdate {
                    policies: self.told_policies.values().cloned().collect(),
                    pods: self.told_pods.values().cloned().collect(),
                    ..PolicyUpdate::default()
                },
                ..blank(*session)
            };
            out.after.push((node.clone(), ToAgent::Network(Arc::new(full))));
        }
        if !quiet {
            for (node, session) in others {
                let update = NetworkUpdate { session: *session, ..difference.clone() };
                out.before.push((node.clone(), ToAgent::Network(Arc::new(update))));
            }
        }
        out
    }

    fn policy_difference(&mut self, world: &World, layout: &Layout) -> PolicyUpdate {
        let mut out = PolicyUpdate::default();
        for key in std::mem::take(&mut self.policies) {
            let now = world.policies.get(&key).cloned();
            match self.told_policies.tell(key.clone(), now) {
                News::Is(net) => out.policies.push(net),
                News::Gone => out.gone_policies.push(policy::id(&key)),
                News::Same => {}
            }
        }
        for key in std::mem::take(&mut self.pods) {
            let now = pod_net(world, layout, &key).map(Arc::new);
            let before = self.told_pods.get(&key).map(|p| p.uid);
            // Another pod of the same name is another pod.
            out.gone_pods.extend(before.filter(|uid| now.as_ref().is_none_or(|n| n.uid != *uid)));
            if let News::Is(net) = self.told_pods.tell(key, now) {
                out.pods.push(net);
            }
        }
        out
    }

    /// What isolates the pods of a node: an agent knows it before it begins any of them.
    fn of_node(&self, node: &str) -> PolicyUpdate {
        let pods = self.told_pods.values().filter(|p| p.node.as_deref() == Some(node));
        PolicyUpdate {
            policies: self.told_policies.values().cloned().collect(),
            pods: pods.cloned().collect(),
            ..PolicyUpdate::default()
        }
    }

    /// Everything that there is in a world that was loaded.
    pub(crate) fn of(world: &World) -> Self {
        Self {
            nodes: world.list(Kind::Node, "").map(|o| o.key.name.clone()).collect(),
            services: world.list(Kind::Service, "").map(|o| o.key.clone()).collect(),
            policies: world.policies.keys().cloned().collect(),
            pods: world.list(Kind::Pod, "").map(|o| o.key.clone()).chain([policy::names_key()]).collect(),
            ..Self::default()
        }
    }
}
