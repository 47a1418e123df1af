//! What each agent is told of Ingresses and their certificates: all when its session begins, then
//! what changed. Of Secrets, those alone that an Ingress names.
//!
//! As with the network, nothing is told while the world recovers, what is told is made once and shared
//! by all sessions, and the number of an update is the version of the world.

use std::{collections::BTreeSet, sync::Arc};

use evenkeel_core::{
    Changed, World,
    ingress::{certificate_net, id, ingress_net, secret_id, secrets},
};
use evenkeel_model::{
    Key, Kind,
    ingress::{CertificateNet, IngressNet, IngressUpdate},
    session::ToAgent,
};

use crate::told::{News, Told};

/// What changed since agents were told last, and what they were told.
#[derive(Debug, Default)]
pub(crate) struct Ingresses {
    touched: BTreeSet<Key>,
    /// Secrets that are named and changed.
    secrets: BTreeSet<Key>,
    /// Which Ingresses are served may have changed.
    all: bool,
    told: Told<Key, Arc<IngressNet>>,
    certificates: Told<Key, Arc<CertificateNet>>,
    /// Secrets that Ingresses name.
    named: BTreeSet<Key>,
    /// The number of the last update that said something new.
    last: u64,
}

impl Ingresses {
    /// Notes what a change means for Ingresses.
    pub(crate) fn note(&mut self, world: &World, changed: &Changed) {
        match changed.key.kind {
            Kind::Ingress => drop(self.touched.insert(changed.key.clone())),
            Kind::IngressClass => self.all = true,
            // What its ports speak.
            Kind::Service if changed.body_changed() => {
                let beside = world.list(Kind::Ingress, &changed.key.namespace);
                self.touched.extend(beside.map(|i| i.key.clone()));
            }
            Kind::Secret if self.named.contains(&changed.key) => drop(self.secrets.insert(changed.key.clone())),
            _ => {}
        }
    }

    /// Whether anything was noted since.
    pub(crate) fn has_news(&self) -> bool {
        self.all || !(self.touched.is_empty() && self.secrets.is_empty())
    }

    /// The number of the last update that said something new: an agent that serves it serves all.
    pub(crate) fn last(&self) -> u64 {
        self.last
    }

    /// The messages for what was noted: `fresh` hear all, `others` (with the number of their session)
    /// what changed.
    pub(crate) fn take(
        &mut self,
        world: &World,
        fresh: &[(Arc<str>, u64)],
        others: &[(Arc<str>, u64)],
    ) -> Vec<(Arc<str>, ToAgent)> {
        if world.recovering.is_some() {
            return Vec::new();
        }
        let difference = self.difference(world);
        let mut out = Vec::new();
        for (node, session) in fresh {
            let full = IngressUpdate {
                full: true,
                ingresses: self.told.values().cloned().collect(),
                certificates: self.certificates.values().cloned().collect(),
                ..blank(world, *session)
            };
            out.push((node.clone(), ToAgent::Ingresses(Arc::new(full))));
        }
        if difference != blank(world, 0) {
            self.last = difference.number;
            for (node, session) in others {
                let update = IngressUpdate { session: *session, ..difference.clone() };
                out.push((node.clone(), ToAgent::Ingresses(Arc::new(update))));
            }
        }
        out
    }

    fn difference(&mut self, world: &World) -> IngressUpdate {
        let mut difference = blank(world, 0);
        let mut ingresses = std::mem::take(&mut self.touched);
        if std::mem::take(&mut self.all) {
            ingresses.extend(world.list(Kind::Ingress, "").map(|i| i.key.clone()));
        }
        let changed = !ingresses.is_empty();
        for key in ingresses {
            let now = world.get(&key).and_then(|i| ingress_net(world, i)).map(Arc::new);
            match self.told.tell(key.clone(), now) {
                News::Is(net) => difference.ingresses.push(net),
                News::Gone => difference.gone_ingresses.push(id(&key)),
                News::Same => {}
            }
        }
        let mut look = std::mem::take(&mut self.secrets);
        if changed {
            let named: BTreeSet<Key> = self.told.values().flat_map(|i| secrets(i)).collect();
            look.extend(named.symmetric_difference(&self.named).cloned());
            self.named = named;
        }
        for key in look {
            let named = world.get(&key).filter(|_| self.named.contains(&key));
            match self.certificates.tell(key.clone(), named.and_then(|s| certificate_net(s)).map(Arc::new)) {
                News::Is(net) => difference.certificates.push(net),
                News::Gone => difference.gone_certificates.push(secret_id(&key)),
                News::Same => {}
            }
        }
        difference
    }

    /// Everything that there is in a world that was loaded.
    pub(crate) fn loaded() -> Self {
        Self { all: true, ..Self::default() }
    }
}

fn blank(world: &World, session: u64) -> IngressUpdate {
    IngressUpdate {
        session,
        number: world.version.0,
        full: false,
        ingresses: Vec::new(),
        gone_ingresses: Vec::new(),
        certificates: Vec::new(),
        gone_certificates: Vec::new(),
    }
}
