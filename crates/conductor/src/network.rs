//! What each agent is told of the network: all of it when its session begins, then what changed.
//!
//! One [`ServiceNet`] is made for each Service that changed and shared by all sessions. Nothing is told
//! while the world recovers: what is not known yet would take away what stands. Deliberately not here:
//! who stands behind a Service (core's `endpoints`), and when a pod may end (`endings`).

use std::{collections::BTreeSet, sync::Arc};

use evenkeel_core::{
    Changed, World,
    network::Layout,
    service::net::{id, node_net, service_net},
    world::services::Services,
};
use evenkeel_model::{
    Key, Kind,
    net::{NetworkUpdate, NodeNet, ServiceNet},
    session::ToAgent,
};

use crate::told::{News, Told};

/// What changed since agents were told last, and who hears all of it.
#[derive(Debug, Default)]
pub(crate) struct Network {
    nodes: BTreeSet<Arc<str>>,
    services: BTreeSet<Key>,
    told: Told<Key, Arc<ServiceNet>>,
    told_nodes: Told<Arc<str>, NodeNet>,
    /// The number of the last update that said something new.
    last: u64,
}

impl Network {
    /// Notes what a change means for the network.
    pub(crate) fn note(&mut self, changed: &Changed) {
        match changed.key.kind {
            Kind::Node => drop(self.nodes.insert(changed.key.name.clone())),
            Kind::Service => drop(self.services.insert(changed.key.clone())),
            Kind::EndpointSlice => {
                let both = changed.old.as_deref().into_iter().chain(changed.new.as_deref());
                self.services.extend(both.filter_map(Services::of_slice));
            }
            _ => {}
        }
    }

    /// The number of the last update that said something new.
    pub(crate) fn last(&self) -> u64 {
        self.last
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
        !(self.nodes.is_empty() && self.services.is_empty())
    }

    /// The messages for what was noted: `fresh` hear all, `others` (with the number of their session)
    /// what changed.
    pub(crate) fn take(
        &mut self,
        world: &World,
        layout: &Layout,
        fresh: &[(Arc<str>, u64)],
        others: &[(Arc<str>, u64)],
    ) -> Vec<(Arc<str>, ToAgent)> {
        if world.recovering.is_some() {
            return Vec::new();
        }
        let blank = |session| NetworkUpdate {
            session,
            number: world.version.0,
            full: false,
            settings: None,
            nodes: Vec::new(),
            gone_nodes: Vec::new(),
            services: Vec::new(),
            gone_services: Vec::new(),
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
        let quiet = difference == blank(0);
        if !quiet {
            self.last = difference.number;
        }
        let mut out = Vec::new();
        for (node, session) in fresh {
            let full = NetworkUpdate {
                full: true,
                settings: Some(layout.net.clone()),
                nodes: self.told_nodes.values().cloned().collect(),
                services: self.told.values().cloned().collect(),
                ..blank(*session)
            };
            out.push((node.clone(), ToAgent::Network(Arc::new(full))));
        }
        if !quiet {
            for (node, session) in others {
                let update = NetworkUpdate { session: *session, ..difference.clone() };
                out.push((node.clone(), ToAgent::Network(Arc::new(update))));
            }
        }
        out
    }

    /// Everything that there is in a world that was loaded.
    pub(crate) fn of(world: &World) -> Self {
        Self {
            nodes: world.list(Kind::Node, "").map(|o| o.key.name.clone()).collect(),
            services: world.list(Kind::Service, "").map(|o| o.key.clone()).collect(),
            ..Self::default()
        }
    }
}
