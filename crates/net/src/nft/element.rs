//! The elements that make a front work, and how nft writes them. Pure. Deliberately not here: the
//! chains that look at them (`table`).

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    net::Ipv4Addr,
};

use evenkeel_model::net::{Cidr, PortProtocol};

use super::front::{Answer, At, Backend, Body, Front};

/// What an element is filed under: its map or set, and its key there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Key {
    /// Who picks for everyone.
    Count(Front),
    /// Who picks for pods and the node, where that differs.
    Near(Front),
    /// What becomes of a front with nobody behind it.
    Nobody(Front),
    /// One that answers, by its number.
    Slot(Front, u32),
    /// The lasting name, by its number, of one that answers: fronts with affinity.
    Name(Front, u32),
    /// One that answers, by its lasting name.
    Named(Front, u32),
    /// A front that is not for everybody.
    Guarded(Front),
    /// A range from which it is.
    Allowed(Front, Cidr),
    /// A pod of this node that may be sent to itself.
    Hairpin(Ipv4Addr),
    /// One that answers and is no pod of the cluster.
    Outside(Ipv4Addr, PortProtocol, u16),
}

/// What is filed there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Value {
    Pick(Picker),
    Refuse,
    Drop,
    Backend(Backend),
    Name(u32),
    /// An element of a set.
    Present,
}

/// A chain that picks one of so many.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Picker {
    pub(super) kind: Kind,
    pub(super) of: u32,
}

/// How a chain picks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Kind {
    /// For fronts at the node's own addresses.
    pub(super) node: bool,
    /// For pods and the node, where that differs.
    pub(super) near: bool,
    /// The same one again for a client that comes back within so many seconds.
    pub(super) affinity: Option<u32>,
}

/// Numbers of what answers pods and the node begin here, where that differs: no front has so many.
pub(super) const NEAR: u32 = 1 << 16;

/// Lasting names lie above all numbers: those for everyone, and those of pods and the node.
const NAMES: u32 = 1 << 30;
const NEAR_NAMES: u32 = 1 << 31;

impl Picker {
    /// The name of its chain.
    pub(super) fn chain(self) -> String {
        let mut name = String::from(if self.kind.node { "node" } else { "address" });
        if self.kind.near {
            name.push_str("_near");
        }
        let _ = write!(name, "_{}", self.of);
        if let Some(seconds) = self.kind.affinity {
            let _ = write!(name, "_{seconds}s");
        }
        name
    }
}

/// All elements of a front.
pub(super) fn elements(front: Front, body: &Body) -> BTreeMap<Key, Value> {
    let mut out = BTreeMap::new();
    match &body.every {
        Answer::Backends(all) => side(&mut out, front, all, false, body.affinity),
        Answer::Refuse => drop(out.insert(Key::Nobody(front), Value::Refuse)),
        Answer::Drop => drop(out.insert(Key::Nobody(front), Value::Drop)),
    }
    if !body.sources.is_empty() {
        out.insert(Key::Guarded(front), Value::Present);
        out.extend(body.sources.iter().map(|range| (Key::Allowed(front, *range), Value::Present)));
    }
    if let Some(near) = &body.near {
        side(&mut out, front, near, true, body.affinity);
    }
    out
}

fn side(out: &mut BTreeMap<Key, Value>, front: Front, all: &[Backend], near: bool, affinity: Option<u32>) {
    let of = u32::try_from(all.len()).unwrap_or(u32::MAX);
    let picker = Picker { kind: Kind { node: front.at == At::Node, near, affinity }, of };
    out.insert(if near { Key::Near(front) } else { Key::Count(front) }, Value::Pick(picker));
    let names = if near { NEAR_NAMES } else { NAMES };
    for (number, backend) in (if near { NEAR } else { 0 }..).zip(all) {
        if affinity.is_none() {
            out.insert(Key::Slot(front, number), Value::Backend(*backend));
            continue;
        }
        let mut name = names | lasting_hash(*backend);
        // Two of one front with the same hash, once in 2^30: the later one takes the next.
        while out.contains_key(&Key::Named(front, name)) {
            name = names | (name.wrapping_add(1) & (NAMES - 1));
        }
        out.insert(Key::Name(front, number), Value::Name(name));
        out.insert(Key::Named(front, name), Value::Backend(*backend));
    }
}

/// The same for the same one at every start and on every node: what clients are remembered with must
/// not come to mean another one (FNV-1a).
fn lasting_hash(backend: Backend) -> u32 {
    let bytes = backend.address.octets().into_iter().chain(backend.port.to_be_bytes());
    bytes.fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193)) & (NAMES - 1)
}

/// Elements that fronts share, which one of them asks for.
pub(super) fn shared(front: Front, body: &Body, cluster: Cidr, own: Option<Cidr>) -> BTreeSet<Key> {
    let near = body.near.as_deref().unwrap_or_default();
    body.every
        .backends()
        .iter()
        .chain(near)
        .filter_map(|b| {
            if own.is_some_and(|own| own.contains(b.address.into())) {
                Some(Key::Hairpin(b.address))
            } else if cluster.contains(b.address.into()) {
                None
            } else {
                Some(Key::Outside(b.address, front.protocol, b.port))
            }
        })
        .collect()
}

impl Key {
    /// Its map or set.
    pub(super) fn container(&self) -> &'static str {
        match self {
            Self::Count(_) => "services",
            Self::Near(_) => "services_near",
            Self::Nobody(_) => "nobody",
            Self::Slot(..) => "backends",
            Self::Name(..) => "names",
            Self::Named(..) => "named",
            Self::Guarded(_) => "guarded",
            Self::Allowed(..) => "allowed",
            Self::Hairpin(_) => "hairpin",
            Self::Outside(..) => "outside",
        }
    }

    /// Writes it as nft does.
    pub(super) fn write(&self, out: &mut String) {
        let front = |f: &Front, out: &mut String| {
            let at = if let At::Address(at) = f.at { at } else { Ipv4Addr::UNSPECIFIED };
            let _ = write!(out, "{at} . {} . {}", f.protocol.as_str(), f.port);
        };
        match self {
            Self::Count(f) | Self::Near(f) | Self::Nobody(f) | Self::Guarded(f) => front(f, out),
            Self::Allowed(f, range) => {
                front(f, out);
                let _ = write!(out, " . {range}");
            }
            Self::Slot(f, number) | Self::Name(f, number) => {
                front(f, out);
                let _ = write!(out, " . {number}");
            }
            Self::Named(f, name) => {
                front(f, out);
                out.push_str(" . ");
                write_name(*name, out);
            }
            Self::Hairpin(address) => {
                let _ = write!(out, "{address} . {address}");
            }
            Self::Outside(address, protocol, port) => {
                let _ = write!(out, "{address} . {} . {port}", protocol.as_str());
            }
        }
    }
}

impl Value {
    /// Writes it as nft does, with the colon before it.
    pub(super) fn write(&self, out: &mut String) {
        let _ = match self {
            Self::Pick(picker) => write!(out, " : goto {}", picker.chain()),
            Self::Refuse => write!(out, " : goto refuse"),
            Self::Drop => write!(out, " : drop"),
            Self::Backend(b) => write!(out, " : {} . {}", b.address, b.port),
            Self::Name(name) => {
                out.push_str(" : ");
                write_name(*name, out);
                Ok(())
            }
            Self::Present => Ok(()),
        };
    }
}

/// Names are of the kind that nft knows a packet's priority by.
fn write_name(name: u32, out: &mut String) {
    let _ = write!(out, "{:x}:{:x}", name >> 16, name & 0xffff);
}
