//! A node's table without a kernel: the real book, and maps that take what it plans. For the table's
//! own tests, and for simulations of whole clusters, which ask where a packet would be sent.

use std::{collections::BTreeMap, net::Ipv4Addr, sync::Arc};

use evenkeel_model::{
    Uid,
    net::{NetworkUpdate, PortProtocol},
};

use super::{
    book::{Book, Plan},
    element::{Key, Value},
    front::{At, Front},
    policy::{Flow, Policies},
};

/// A kernel's maps.
#[derive(Debug, Default, Clone, PartialEq)]
pub(super) struct Maps(pub(super) BTreeMap<Key, Value>);

impl Maps {
    /// Takes a plan, or says which of its elements the kernel refuses.
    pub(super) fn run(&mut self, plan: &Plan) -> Result<(), String> {
        if plan.full {
            self.0.clear();
        }
        for key in &plan.deleted {
            self.0.remove(key).ok_or_else(|| format!("{key:?} is deleted and not there"))?;
        }
        for (key, value) in &plan.added {
            if self.0.insert(*key, *value).is_some() {
                return Err(format!("{key:?} is added and there"));
            }
        }
        Ok(())
    }
}

/// Where clients knock: an address, or `None` for all that a node has; a protocol; a port.
pub type Knock = (Option<Ipv4Addr>, PortProtocol, u16);

/// The Services of one node.
#[derive(Debug)]
pub(crate) struct Services {
    book: Book,
    kernel: Maps,
}

impl Services {
    pub(crate) fn new(node: &Arc<str>) -> Self {
        Self { book: Book::new(String::new(), node.clone()), kernel: Maps::default() }
    }

    /// The agent starts again: what the kernel has stays, and is not known.
    pub(crate) fn restart(&mut self, node: &Arc<str>) {
        self.book = Book::new(String::new(), node.clone());
    }

    /// The machine's power goes, and with it what the kernel has.
    pub(crate) fn power_off(&mut self) {
        self.kernel = Maps::default();
    }

    pub(crate) fn update(&mut self, update: &NetworkUpdate) {
        self.book.update(update);
    }

    /// Brings the maps to what was said.
    pub(crate) fn apply(&mut self) -> Result<(), String> {
        let Some(plan) = self.book.plan() else { return Ok(()) };
        self.kernel.run(&plan)?;
        self.book.done(plan);
        Ok(())
    }

    /// Every place where somebody answers or clients are refused.
    pub(crate) fn fronts(&self) -> impl Iterator<Item = Knock> + '_ {
        self.kernel.0.keys().filter_map(|key| match key {
            Key::Count(front) | Key::Nobody(front) => Some(knock(*front)),
            _ => None,
        })
    }

    /// Who answers everybody there, in order; `None` where nothing is led anywhere.
    pub(crate) fn answers(&self, (address, protocol, port): Knock) -> Option<Vec<(Ipv4Addr, u16)>> {
        let front = Front { at: address.map_or(At::Node, At::Address), protocol, port };
        if self.kernel.0.contains_key(&Key::Nobody(front)) {
            return Some(Vec::new());
        }
        let Value::Pick(picker) = self.kernel.0.get(&Key::Count(front))? else { return None };
        let backend = |number| {
            let value = match self.kernel.0.get(&Key::Slot(front, number)) {
                Some(value) => Some(value),
                None => match self.kernel.0.get(&Key::Name(front, number)) {
                    Some(Value::Name(name)) => self.kernel.0.get(&Key::Named(front, *name)),
                    _ => None,
                },
            };
            if let Some(Value::Backend(b)) = value { Some((b.address, b.port)) } else { None }
        };
        (0..picker.of).map(backend).collect()
    }
}

/// Whom the policies let through on one node.
#[derive(Debug)]
pub(crate) struct Filter(Policies);

impl Filter {
    /// One that lets everybody through.
    pub(crate) fn new(node: &Arc<str>) -> Self {
        Self(Policies::new(node.clone()))
    }

    pub(crate) fn update(&mut self, update: &NetworkUpdate) {
        self.0.update(update);
    }

    pub(crate) fn set_address(&mut self, pod: Uid, address: Option<Ipv4Addr>) {
        self.0.set_address(pod, address);
    }

    /// Whether a connection passes here from one address to a port of another.
    pub(crate) fn allows(&self, from: Ipv4Addr, (to, protocol, port): (Ipv4Addr, PortProtocol, u16)) -> bool {
        self.0.allows(Flow { from, to, port, protocol })
    }
}

fn knock(front: Front) -> Knock {
    let address = if let At::Address(address) = front.at { Some(address) } else { None };
    (address, front.protocol, front.port)
}
